"""Fonts of the reader's machine, for letters that the book's own font does not have."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import lru_cache

from matplotlib import font_manager

OWN = "DejaVu Sans"
_PLAIN = 400  # a font's weight
_BOXES = "Last Resort"  # comes with matplotlib, and has a box for everything


@lru_cache(maxsize=256)
def _letters(path: str) -> frozenset[int]:
    """Code points that a font file can draw; none where matplotlib cannot open it, as for coloured pictures."""
    try:
        return frozenset(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def families(letters: Iterable[str]) -> list[str]:
    """The book's own font and, behind it, as few installed ones as it takes to draw all letters.

    Where none has a letter a box will stand for it, and one warning says so.
    """
    missing = {ord(letter) for letter in letters if letter.isprintable() and not letter.isspace()}
    missing -= _letters(font_manager.findfont(OWN))
    found = [OWN]
    fonts = font_manager.fontManager.ttflist if missing else []
    for font in sorted(fonts, key=lambda font: (abs(int(font.weight) - _PLAIN), font.style != "normal", font.name)):
        if font.name.startswith(_BOXES):
            continue
        if drawn := missing & _letters(font.fname):
            found.append(font.name)
            missing -= drawn
    if missing:
        warnings.warn(
            f"no installed font draws {' '.join(map(chr, sorted(missing)))}, so boxes stand there; install one "
            "that does, such as Noto Sans CJK",
            stacklevel=3,
        )
    return found
