"""Lead the search, and the index, from a method's short name to its chapter.

Chapters spell a method's name out, readers look for "UDIG". Notebooks are plain Markdown and cannot hold an index
entry of their own, so they get it here; Sphinx's search puts such an entry first.
"""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx


def enter(app: Sphinx, doctree: nodes.document) -> None:
    """Give the page's title an entry for every name that `_config.yml` lists for it."""
    names = app.config.method_names.get(app.env.docname, [])
    title = doctree.next_node(nodes.section)
    if names and title is not None:
        target = f"method-{names[0].lower()}"
        entries = [("single", name, target, "main", None) for name in names]
        title.insert(0, nodes.target("", "", ids=[target]))
        doctree.insert(0, addnodes.index(entries=entries))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, before it collects the index entries of a page."""
    app.add_config_value("method_names", {}, "env", types=[dict])
    app.connect("doctree-read", enter, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
