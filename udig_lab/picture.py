"""One look for every figure: drawn once for light and once for dark pages, with alt text and caption."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from cycler import cycler

# Okabe and Ito's colours for every kind of colour vision; the dark set is lighter, in the same order.
_THEMES: dict[str, dict[str, Any]] = {
    "light": {
        "ink": "#1f2328",
        "grid": "#d8dbe0",
        "paper": "#ffffff",
        "cycle": ["#0072b2", "#d55e00", "#009e73", "#a0528a", "#8a6d00", "#555555"],
    },
    "dark": {
        "ink": "#e8eaed",
        "grid": "#3a3f47",
        "paper": "#14181e",
        "cycle": ["#56b4e9", "#ff9e4a", "#3fd0a4", "#e29bcb", "#f0e442", "#bbbbbb"],
    },
}


def style(theme: str = "light") -> Any:
    """Matplotlib settings of the book, for ``matplotlib.rc_context``."""
    look = _THEMES[theme]
    grey = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), look["ink"])
    return (
        sns.axes_style("whitegrid")
        | sns.plotting_context("notebook", font_scale=0.9)
        | grey
        | {
            "axes.edgecolor": look["grid"],
            "grid.color": look["grid"],
            "grid.linewidth": 0.6,
            "axes.facecolor": look["paper"],
            "figure.facecolor": look["paper"],
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "axes.prop_cycle": cycler(color=look["cycle"]),
            "font.sans-serif": ["DejaVu Sans"],
            "legend.frameon": False,
            "legend.fontsize": "small",
            "lines.linewidth": 1.8,
            "patch.linewidth": 0,
            "savefig.dpi": 110,
        }
    )


class Picture:
    """A figure for a page: both variants, alt text, caption. Notebooks show it by itself."""

    def __init__(self, images: dict[str, bytes], alt: str, caption: str):
        self.images = images
        self.alt = alt
        self.caption = caption

    def __repr__(self) -> str:
        return f"Picture({self.alt!r})"

    def _repr_html_(self) -> str:
        # The book's style sheet swaps the two; elsewhere (Colab, JupyterLab) only the light one shows.
        hidden = {"light": "", "dark": ' style="display:none"'}
        pictures = "".join(
            f'<img class="ul-{theme} dark-light" alt="{escape(self.alt)}"{hidden[theme]} '
            f'src="data:image/png;base64,{base64.b64encode(data).decode()}">'
            for theme, data in self.images.items()
        )
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        return f'<figure class="ul-figure" style="max-width:100%;margin:0">{pictures}{caption}</figure>'


def show(
    draw: Callable[..., None],
    *,
    alt: str,
    caption: str = "",
    panels: int = 1,
    columns: int | None = None,
    size: tuple[float, float] = (6.4, 3.6),
) -> Picture:
    """Draw a figure once for light and once for dark pages.

    Args:
        draw: called with ``panels`` axes; use colours "C0", "C1", … and the property cycle.
        alt: what the figure shows, for readers who do not see it.
        caption: what the figure says.
        panels: number of axes.
        columns: axes in a row; None puts all in one.
        size: of the whole figure, in inches.

    Raises:
        ValueError: an empty alt text.
    """
    if not alt.strip():
        raise ValueError("alt is empty; say in a sentence what the figure shows")
    columns = columns or panels
    images = {}
    for theme in _THEMES:
        with mpl.rc_context(style(theme)):
            figure, axes = plt.subplots(-(-panels // columns), columns, figsize=size, squeeze=False)
            try:
                draw(*axes.flat[:panels])
                figure.tight_layout()
                buffer = io.BytesIO()
                figure.savefig(buffer, format="png", bbox_inches="tight")
                images[theme] = buffer.getvalue()
            finally:
                plt.close(figure)
    return Picture(images, alt, caption)
