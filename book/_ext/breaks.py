"""Say where lines of tables may break: names of code behind a dot or an underscore, intervals nowhere."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

_BREAK = re.compile(r"(?<=[._])(?=[^<])")
_CELL = re.compile(r"(<t[hd]\b[^>]*>)((?:[^<]|<(?![a-z/!]))+)(?=</t[hd]>)", re.IGNORECASE)  # with no tag in it
_INTERVAL = re.compile(r"\[[-+\d.]+, [-+\d.]+\]( \*)?")
_PERCENT = re.compile(r"(?<=\d) (?=%)")


def visit_literal(self: Any, node: nodes.literal) -> None:
    """As the translator does, and remember where its text begins."""
    type(self).visit_literal(self, node)
    self.context.append(len(self.body))


def depart_literal(self: Any, node: nodes.literal) -> None:
    """Names in the body of a table get their breaks."""
    start = self.context.pop()
    if any(isinstance(above, nodes.tbody) for above in _above(node)):
        self.body[start:] = [_BREAK.sub("<wbr>", p) if p.startswith("<span") else p for p in self.body[start:]]
    type(self).depart_literal(self, node)


def _above(node: nodes.Element) -> list[nodes.Element]:
    return [] if node.parent is None else [node.parent, *_above(node.parent)]


class Intervals(SphinxPostTransform):
    """An interval stays whole, with its star; the mean before it may have a line of its own. So does "20 %"."""

    default_priority = 900
    formats = ("html",)

    def run(self, **keywords: Any) -> None:
        """Visit the HTML that cells of notebooks put out."""
        for output in self.document.findall(nodes.raw):
            if "text_html" in output["classes"]:
                output[:] = [nodes.Text(_CELL.sub(lambda cell: cell[1] + whole(cell[2]), output.astext()))]


def whole(text: str) -> str:
    """Text of a cell with spaces that do not break."""
    text = _INTERVAL.sub(lambda interval: interval[0].replace(" ", "\u00a0"), text)
    return _PERCENT.sub("\u00a0", text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_node(nodes.literal, override=True, html=(visit_literal, depart_literal))
    app.add_post_transform(Intervals)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
