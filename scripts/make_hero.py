"""Draw the picture of the landing page from a real result: one sentence, scored by two methods.

    python scripts/make_hero.py

Run it again when the shipped checkpoint changes; the two files are committed.
"""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

import udig_lab as ul
from udig_lab.drawing.colours import NEGATIVE, POSITIVE
from udig_lab.drawing.heatmap import shades

STATIC = Path(__file__).parents[1] / "book" / "_static"
SENTENCE = "the acting is wooden but the ending moved me"


def main() -> None:
    model = ul.load("sst2")
    found = {name: ul.explain(model, SENTENCE, method=name) for name in ("ig", "udig")}

    def draw(ax: Axes) -> None:
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.axis("off")
        for row, (name, attribution) in enumerate(found.items()):
            line(ax, name.upper(), attribution, 0.72 - 0.5 * row)

    picture = ul.plots.show(draw, alt="hero", size=(9.0, 2.1))
    for theme, data in picture.images.items():
        (STATIC / f"hero-{theme}.png").write_bytes(data)
    for name, attribution in found.items():
        print(name, attribution)


def line(ax: Axes, name: str, attribution: ul.Attribution, height: float) -> None:
    """One method: its name, the words on their colours, the scores below."""
    ax.text(0.0, height, name, fontsize=13, fontweight="bold", va="center")
    words = attribution.words()
    width = 0.88 / sum(len(word) + 2 for word, _ in words)
    left = 0.12
    for (word, score), shade in zip(words, shades(words), strict=True):
        colour = tuple(c / 255 for c in (POSITIVE if shade >= 0 else NEGATIVE))
        box: dict[str, Any] = {
            "boxstyle": "round,pad=0.25",
            "facecolor": (*colour, 0.6 * abs(shade)),
            "edgecolor": "none",
        }
        middle = left + width * (len(word) + 2) / 2
        ax.text(middle, height, word, fontsize=13, ha="center", va="center", bbox=box)
        ax.text(middle, height - 0.22, f"{score:+.2f}", fontsize=8, ha="center", va="center", alpha=0.8)
        left += width * (len(word) + 2)


if __name__ == "__main__":
    main()
