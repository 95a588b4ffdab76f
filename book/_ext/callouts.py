"""Make boxes of quotations that begin with a bold word, each of a kind: ``> **Break it.** …`` has class `ul-break-it`.

Notebooks write plain quotations, which read well on GitHub and Colab too; the style sheet gives boxes their colours.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def name(app: Sphinx, doctree: nodes.document) -> None:
    """Give every quotation of a page that begins with a bold word its classes."""
    for quote in doctree.findall(nodes.block_quote):
        # MyST puts an empty text before what is bold.
        word = next((text.parent for text in quote.findall(nodes.Text) if text.astext()), None)
        if isinstance(word, nodes.strong) and word.parent is quote[0]:
            kind = re.sub("[^a-z]+", "-", word.astext().lower()).strip("-")
            quote["classes"] += ["ul-box", f"ul-{kind}"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-read", name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
