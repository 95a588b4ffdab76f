"""Every colour of the book, on light and on dark paper: of figures, of heat maps, and of the pages around them.

The book's style sheets hold no colour of their own: `book/_ext/colours.py` hands them these.
"""

from dataclasses import dataclass

# Scores for and against the explained class: the ends of a colour-blind safe diverging map.
POSITIVE = (230, 97, 1)  # orange
NEGATIVE = (0, 90, 181)  # blue


@dataclass(frozen=True)
class Theme:
    """Colours for one kind of paper."""

    ink: str
    grid: str
    paper: str
    cycle: tuple[str, ...]  # "C0", "C1", …: Okabe and Ito's, for every kind of colour vision
    pages: dict[str, str]  # of pages only; text in them has a contrast of 4.5 : 1


THEMES = {
    "light": Theme(
        ink="#1f2328",
        grid="#d8dbe0",
        paper="#ffffff",
        cycle=("#0072b2", "#d55e00", "#009e73", "#a0528a", "#8a6d00", "#555555"),
        pages={
            "link": "#1d4ed8",
            "blue": "#2563eb",
            "amber": "#9a4a06",
            "green": "#047857",
            "red": "#b91c1c",
            "one": "#0072b2",  # of the explorers' charts
            "two": "#b34700",
        },
    ),
    "dark": Theme(  # the same, lighter, in the same order
        ink="#e8eaed",
        grid="#3a3f47",
        paper="#14181e",
        cycle=("#56b4e9", "#ff9e4a", "#3fd0a4", "#e29bcb", "#f0e442", "#bbbbbb"),
        pages={
            "link": "#93c5fd",
            "blue": "#60a5fa",
            "amber": "#fbbf24",
            "green": "#34d399",
            "red": "#f87171",
            "one": "#56b4e9",
            "two": "#ff9e4a",
        },
    ),
}
