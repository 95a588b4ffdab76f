"""Sphinx extension: take Thebe's scripts off the pages.

Jupyter Book loads sphinx-thebe for live cells, which this book does not offer. Its configuration lands
on every page twice, a script error in every reader's console, and names an outside host.
"""

from typing import Any

from sphinx.application import Sphinx


def drop(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Remove the scripts in place: Sphinx renders from this very list."""
    scripts = context.get("script_files", [])
    scripts[:] = [
        script
        for script in scripts
        if "sphinx-thebe" not in str(script) and "THEBE" not in getattr(script, "attributes", {}).get("body", "")
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, after every extension that adds scripts."""
    app.connect("html-page-context", drop, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
