"""One look for scored words: HTML for notebooks and the book, Rich text for terminals.

Orange pushes towards the explained class, blue against it; the two stay apart for every common kind of colour
blindness. Colour is never the only signal: the sign is also in the underline, the size in a table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from rich.table import Table
from rich.text import Text

from udig_lab.drawing.colours import NEGATIVE, POSITIVE

# What a terminal obeys, or what turns the direction of what stands near it: C0 and C1 controls, lone surrogates, line
# and paragraph separators, bidirectional controls.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
STRONGEST = 0.55  # opacity: text stays readable on a light and on a dark page


def visible(text: str) -> str:
    r"""A text for a terminal: controls are shown, not sent.

    >>> visible("dull\x1b[2J")
    'dull\\x1b[2J'
    """
    return _OBEYED.sub(lambda sign: ascii(sign[0])[1:-1], text)


def shades(words: Sequence[tuple[str, float]]) -> list[float]:
    """Scores on a scale from -1 to 1, the largest magnitude of the text being 1.

    >>> shades([("dull", -1.0), ("movie", 0.25)])
    [-1.0, 0.25]
    """
    top = max((abs(score) for _, score in words), default=0.0)
    return [score / top if top else 0.0 for _, score in words]


def coloured(words: Sequence[tuple[str, float]]) -> str:
    """Words on their colours, with their scores as titles, as HTML. Words are escaped."""
    spans = []
    for (word, score), shade in zip(words, shades(words), strict=True):
        red, green, blue = POSITIVE if shade >= 0 else NEGATIVE
        line = "solid" if shade >= 0 else "dashed"
        width = 3 if abs(shade) > 0.5 else 2 if abs(shade) > 0.15 else 0
        spans.append(
            f'<span title="{score:+.4f}" style="background:rgba({red},{green},{blue},{STRONGEST * abs(shade):.2f});'
            f"border-bottom:{width}px {line} rgb({red},{green},{blue});"
            f'border-radius:3px;padding:1px 4px;margin:1px">{escape(word)}</span>'
        )
    return " ".join(spans)


def to_html(
    words: Sequence[tuple[str, float]],
    caption: str,
    tables: Mapping[str, Sequence[tuple[str, float]]] | None = None,
) -> str:
    """A heat map with fold-out tables of values, under what their rows are: words, where none are given.

    All text is escaped.
    """
    folded = "".join(_values(kind, values) for kind, values in (tables or {"word": words}).items())
    return (
        f'<div class="ul-heat"><p style="line-height:2.1;margin:0.4em 0">{coloured(words)}</p>'
        f'<p style="font-size:0.85em;margin:0.2em 0">{escape(caption)}. '
        "Orange, solid line: for the class; blue, dashed line: against it.</p>"
        '<details style="font-size:0.85em"><summary>Values</summary>'
        f"{folded}</details></div>"
    )


def _values(kind: str, values: Sequence[tuple[str, float]]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{score:+.4f}</td></tr>" for name, score in values)
    return f"<table><thead><tr><th>{kind}</th><th>score</th></tr></thead><tbody>{rows}</tbody></table>"


def to_terminal(words: Sequence[tuple[str, float]], kind: str = "word") -> tuple[Text, Table]:
    """A coloured line of words, or of what else is scored, and a table with signs, values and bars (readable without
    colour).
    """
    line = Text()
    table = Table(kind, "score", "", box=None, pad_edge=False)
    for (word, score), shade in zip(words, shades(words), strict=True):
        colour = POSITIVE if shade >= 0 else NEGATIVE
        # Blend with white: terminals have no opacity.
        mix = [round(255 + (c - 255) * min(1.0, abs(shade))) for c in colour]
        ink = "white" if abs(shade) > 0.6 else "black"
        line.append(f" {visible(word)} ", style=f"{ink} on rgb({mix[0]},{mix[1]},{mix[2]})")
        bar = ("+" if score >= 0 else "-") * round(abs(shade) * 20)
        table.add_row(Text(visible(word)), f"{score:+.4f}", Text(bar))
    return line, table
