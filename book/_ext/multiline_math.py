r"""Leave multi-line formulas as their author wrote them.

Sphinx puts every displayed formula that contains ``\\`` into a ``split`` environment, in which ``\tag`` is an
error. Our formulas bring their own environment (``aligned``, ``cases``) and must look the same in Colab, so
this transform keeps Sphinx from touching them.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


class PlainFormulas(SphinxPostTransform):
    """Wrap multi-line formulas in display delimiters and tell Sphinx to add nothing."""

    default_priority = 900
    formats = ("html",)

    def run(self, **keywords: Any) -> None:
        """Visit every displayed formula of a page."""
        for formula in self.document.findall(nodes.math_block):
            text = formula.astext()
            if r"\\" in text and not formula.get("nowrap"):
                formula[:] = [nodes.Text(rf"\[{text}\]")]
                formula["nowrap"] = True


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_post_transform(PlainFormulas)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
