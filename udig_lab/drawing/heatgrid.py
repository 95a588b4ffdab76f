"""Scores of words for several things at once: a grid of numbers on colours, as HTML and for terminals.

The look is that of ``heatmap``: orange for, blue against. Colour is never the only signal: every number stands there
with its sign. In HTML a grid is a table like the others of the book, so that it scrolls and is reached by keyboard as
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich.console import Group
from rich.table import Table
from rich.text import Text

from udig_lab.drawing.colours import NEGATIVE, POSITIVE
from udig_lab.drawing.heatmap import STRONGEST, visible

_NAME = "text-align:left;font-weight:normal;overflow-wrap:break-word"  # words stay whole, and columns as wide as they
_ABREAST = 6  # columns of numbers beside the words that a terminal of 80 characters has room for


def shares(values: Sequence[Sequence[float]]) -> list[list[float]]:
    """Numbers on a scale from -1 to 1, the largest magnitude of them all being 1.

    >>> shares([[2.0, -4.0], [0.0, 1.0]])
    [[0.5, -1.0], [0.0, 0.25]]
    """
    top = max((abs(v) for row in values for v in row), default=0.0)
    return [[v / top if top else 0.0 for v in row] for row in values]


def grid_html(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]], caption: str, corner: str = ""
) -> str:
    """A table of R rows and C columns, all text escaped.

    Args:
        rows: R names.
        columns: C names.
        values: R rows of C numbers.
        caption: what it shows.
        corner: what the names of the rows are.
    """
    sides = ["left", *["right"] * len(columns)]  # heads stand over their values
    heads = "".join(
        f'<th scope="col" style="text-align:{side};white-space:nowrap">{escape(name)}</th>'
        for name, side in zip([corner, *columns], sides, strict=True)
    )
    lines = []
    for name, numbers, row in zip(rows, values, shares(values), strict=True):
        cells = "".join(_cell(number, share) for number, share in zip(numbers, row, strict=True))
        lines.append(f'<tr><th scope="row" style="{_NAME}">{escape(name)}</th>{cells}</tr>')
    return (
        f'<div class="ul-heat"><table><caption style="text-align:left">{escape(caption)}. Orange, +: for it; blue, −: '
        f"against it.</caption><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(number: float, share: float) -> str:
    red, green, blue = POSITIVE if share >= 0 else NEGATIVE
    return (
        f'<td style="text-align:right;white-space:nowrap;'
        f'background:rgba({red},{green},{blue},{STRONGEST * abs(share):.2f})">{_signed(number)}</td>'
    )


def _signed(number: float) -> str:
    return f"{number:+.2f}".replace("-", "−")


def grid_to_terminal(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]]) -> Group:
    """The same for a terminal: as many tables, one below the other, as its width asks for. Controls are shown."""
    coloured = shares(values)
    tables = []
    for first in range(0, len(columns), _ABREAST):
        chosen = slice(first, first + _ABREAST)
        table = Table(box=None, pad_edge=False)
        table.add_column("")
        for name in columns[chosen]:
            table.add_column(Text(visible(name)), justify="right", no_wrap=True)
        for name, numbers, row in zip(rows, values, coloured, strict=True):
            cells = zip(numbers[chosen], row[chosen], strict=True)
            table.add_row(Text(visible(name)), *(_inked(number, share) for number, share in cells))
        tables.append(table)
    return Group(*tables)


def _inked(number: float, share: float) -> Text:
    colour = POSITIVE if share >= 0 else NEGATIVE
    # Blend with white: terminals have no opacity.
    red, green, blue = (round(255 + (c - 255) * abs(share)) for c in colour)
    return Text(f"{number:+.2f}", style=f"{'white' if abs(share) > 0.6 else 'black'} on rgb({red},{green},{blue})")
