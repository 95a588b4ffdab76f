"""Lead the search, and the index, from a method's short name to its chapter.

Chapters spell a method's name out, readers look for "UDIG". Notebooks are plain Markdown and cannot hold an index
entry of their own, so they get it here; Sphinx's search puts such an entry first.
"""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx


def enter(app: Sphinx, doctree: nodes.document) -> None:
    """Give the page an entry for every name that `_config.yml` lists for it, leading to its title."""
    names = app.config.method_names.get(app.env.docname, [])
    chapter = doctree.next_node(nodes.section)
    if names and chapter is not None:
        entries = [("single", name, chapter["ids"][0], "main", None) for name in names]
        doctree.insert(0, addnodes.index(entries=entries))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, before it collects the index entries of a page."""
    app.add_config_value("method_names", {}, "env", types=[dict])
    app.connect("doctree-read", enter, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
