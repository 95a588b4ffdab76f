"""Say what things are where Sphinx and the theme say something else, for readers who listen to the page."""

from collections.abc import Callable
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

# docutils writes the bibliography as a list whose children are no list items: their role is deprecated in favour of
# "listitem", so a screen reader would announce an empty list. Sphinx breaks long signatures into a list of definitions
# that defines nothing.
CHANGED = (
    (nodes.citation, 'role="doc-biblioentry"', 'role="listitem"'),
    (addnodes.desc_parameterlist, "<dl", '<dl role="none"'),
    (addnodes.desc_parameter, "<dd", '<dd role="none"'),
)


def changed(kind: str, old: str, new: str) -> Callable[[Any, nodes.Element], None]:
    """A visitor that lets the translator's own write, and changes a tag in what that has written."""

    def visit(self: Any, node: nodes.Element) -> None:
        start = len(self.body)
        getattr(type(self), f"visit_{kind}")(self, node)
        self.body[start:] = [part.replace(old, new, 1) for part in self.body[start:]]

    return visit


def name_arrows(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The theme's arrows that unfold a part of the table of contents have no text: they take their link's."""
    generate = context["generate_toctree_html"]

    def labelled(*arguments: Any, **keywords: Any) -> Any:
        tree = generate(*arguments, **keywords)
        for arrow in tree.select(".has-children > details > summary"):
            link = arrow.find_parent(class_="has-children").find("a")
            arrow["aria-label"] = f"Pages of {link.get_text().strip()}"
        return tree

    context["generate_toctree_html"] = labelled


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx; arrows after the theme has made its function."""
    for node, old, new in CHANGED:
        app.add_node(node, override=True, html=(changed(node.__name__, old, new), None))
    app.connect("html-page-context", name_arrows, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
