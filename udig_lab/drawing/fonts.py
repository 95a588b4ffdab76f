"""Fonts of the reader's machine for characters that the figures' own font lacks."""

from __future__ import annotations

import unicodedata
import warnings
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.text import Text

_PLAIN = (400, "normal", "regular", "book")  # weights
_BOXES = "Last Resort"  # matplotlib's own font of boxes "holds" every character
FONT = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic, and most signs


def fit_fonts(figure: Any, preferred: list[str]) -> set[str]:
    """Give every text of a figure fonts that hold its characters, as far as there are any.

    Args:
        figure: of matplotlib.
        preferred: names of fonts that are looked at first: those that the reader has chosen.

    Returns:
        characters that no font of this machine holds.
    """
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    needed = {c for text in texts for c in text.get_text() if _drawn(c)}
    missing = needed - _characters(findfont(FONT))
    if not missing:
        return missing
    families = [FONT]
    for name, path in _installed(preferred):
        if covered := missing & _characters(path):
            families.append(name)
            missing = missing - covered
        if not missing:
            break
    for text in texts:
        text.set_fontfamily(families)
    return missing


def reader_fonts() -> list[str]:
    """What the reader has set in matplotlib, generic families as the list that stands behind them."""
    settings: dict[Any, Any] = dict(mpl.rcParams)  # their keys are literals for mypy
    names: list[str] = []
    for family in settings["font.family"]:
        names += settings.get(f"font.{family}", [family])
    return names


def warn_of(missing: set[str]) -> None:
    """One warning for all characters that stay boxes."""
    if missing:
        some = ", ".join(
            f"U+{ord(c):04X} {unicodedata.name(c, 'without a name').lower()}" for c in sorted(missing)[:3]
        )
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        warnings.warn(
            f"no font of this machine holds {some}{more}, so the figure shows boxes; install one that does (the Noto "
            "fonts hold most scripts), or read the scores as a table: print(attribution)",
            stacklevel=3,
        )


def _drawn(character: str) -> bool:
    return not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf", "Cs")


def _installed(preferred: list[str]) -> list[tuple[str, str]]:
    """(name, path) of this machine's fonts for plain text, the preferred ones first, then by name."""
    plain = {
        e.name: e.fname
        for e in fontManager.ttflist
        if (e.style, e.stretch) == ("normal", "normal") and e.weight in _PLAIN and not e.name.startswith(_BOXES)
    }
    first = [name for name in dict.fromkeys(preferred) if name in plain]
    return [(name, plain[name]) for name in (*first, *sorted(plain.keys() - first))]


@lru_cache(512)
def _characters(path: str) -> frozenset[str]:
    """What a font holds; nothing where matplotlib cannot draw it (pictures of emoji)."""
    try:
        font = get_font(path)
        return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except (RuntimeError, OSError, ValueError):
        return frozenset()
