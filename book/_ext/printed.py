"""Tell printed prose from printed columns: the class `ul-prose` lets the style sheet wrap prose on a phone too.

Columns that a program aligned with spaces fall apart when their lines wrap; sentences read badly when they do not.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

_GAP = re.compile(r"(?<=\S)\s{2,}(?=\S)")  # within a line, behind its indentation
_PHONE = 40  # so many signs of a line fit on a phone


def is_prose(text: str) -> bool:
    r"""Whether no line that is too long for a phone holds an aligned column.

    >>> is_prose("one sentence, and another"), is_prose("mask  0.1\npad   0.2"), is_prose("x" * 40 + "  1\n")
    (True, True, True)
    >>> is_prose("x" * 40 + "  1\n" + "y" * 41 + " 2")
    False
    """
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return not any(len(line) > _PHONE for line in _aligned(lines))


def _aligned(lines: list[str]) -> list[str]:
    """Lines of columns: two or more hold a gap, or a word stands below the one behind the only gap."""
    gaps = {at: found for at, line in enumerate(lines) if (found := _GAP.search(line))}
    if len(gaps) > 1:
        return [lines[at] for at in gaps]
    below = [
        line
        for at, gap in gaps.items()
        for other, line in enumerate(lines)
        if other != at and re.match(r"\s\S", line[gap.end() - 1 : gap.end() + 1])
    ]
    return [*(lines[at] for at in gaps), *below] if below else []


class Printed(SphinxPostTransform):
    """Visit what cells of notebooks print, and the text of their values."""

    default_priority = 900
    formats = ("html",)

    def run(self, **keywords: Any) -> None:
        """Name the prose among it."""
        for output in self.document.findall(nodes.literal_block):
            if "output" in output["classes"] and is_prose(output.astext()):
                output["classes"].append("ul-prose")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_post_transform(Printed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
