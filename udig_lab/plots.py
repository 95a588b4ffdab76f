"""Every figure of the book, one look, drawn for light and for dark pages."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from cycler import cycler

from udig_lab.explainer import Trace

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


def four_panels(trace: Trace, token: int, *, caption: str = "") -> Picture:
    """The figure that opens every method chapter: path, F along it, contribution per step, scores.

    The first panel looks at one token. Its horizontal axis is the position along the straight line from baseline
    (0) to input (1); its vertical axis is the main direction in which the path leaves that line.

    Args:
        trace: what ``udig_lab.trace`` returns.
        token: number of the token whose path is drawn.
        caption: what the figure says.
    """
    a = trace.attribution
    points = trace.integral.points[:, token].double()  # (K, D)
    along, aside = _plane(points, trace.baseline[token].double(), trace.explicand[token].double())
    steps = trace.contributions.double().sum(1).numpy()  # (K,)
    f = trace.f.double().numpy()  # (K,)
    length = trace.integral.weights.double().flatten(1).norm(dim=1).numpy()  # (K,)
    width = length / length.sum()
    share = width.cumsum() - width / 2  # of the path: where each step has its middle
    words = a.words()

    def draw(path: Any, value: Any, step: Any, score: Any) -> None:
        path.plot([0, 1], [0, 0], "--", color="C5", linewidth=1)
        path.plot(along, aside, "o-", color="C0", markersize=3, linewidth=1)
        path.plot([0, 1], [0, 0], "s", color="C1", markersize=6)
        path.set_ylim(min(-0.03, 1.1 * aside.min()), max(0.3, 1.1 * aside.max()))  # the same for every method
        path.set(title=f"Path of “{a.tokens[token]}”", xlabel="along the line x′ → x", ylabel="away from the line")
        value.plot(share, f, "o-", markersize=3)
        value.axhline(a.f_baseline, color="C5", linestyle=":", linewidth=1)
        value.axhline(a.f_input, color="C5", linestyle="--", linewidth=1)
        value.set(title="F at the points", xlabel="share of the path's length", ylabel="F (logit)")
        step.bar(share, steps, width=0.85 * width, color="C0")
        total = step.twinx()
        total.plot(share, steps.cumsum(), color="C1")
        total.axhline(a.f_input - a.f_baseline, color="C1", linestyle="--", linewidth=1)
        total.grid(visible=False)
        total.set_ylabel("running sum (line)")
        step.set(title="Contribution of every step", xlabel="share of the path's length", ylabel="step (bars)")
        values = [s for _, s in words]
        score.barh(range(len(words)), values, color=["C1" if v >= 0 else "C0" for v in values])
        score.set_yticks(range(len(words)), [w for w, _ in words])
        score.invert_yaxis()
        score.set(title="Scores", xlabel="attribution (logits)")

    best = max(words, key=lambda pair: pair[1])
    alt = (
        f"Four panels for {a.method} with the {a.baseline} baseline. The path of “{a.tokens[token]}” leaves the "
        f"straight line by at most {np.abs(aside).max():.2f} of its length. F goes from {a.f_baseline:.2f} to "
        f"{a.f_input:.2f} over {len(f)} points. The running sum of the steps ends at {float(steps.sum()):.2f}, where "
        f"F(x) - F(x') is {a.f_input - a.f_baseline:.2f}. The largest score is {best[1]:.2f}, for “{best[0]}”."
    )
    return show(draw, alt=alt, caption=caption, panels=4, columns=2, size=(9.0, 6.4))


def _plane(points: torch.Tensor, start: torch.Tensor, end: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of points (K, D): along the line from start to end, and along the main direction off it."""
    direction = end - start
    length = direction.norm()
    offset = points - start
    along = offset @ direction / length**2
    residual = offset - along[:, None] * direction
    _, _, axes = torch.linalg.svd(residual, full_matrices=False)
    aside = residual @ axes[0] / length
    aside = aside if float(residual.norm()) > 1e-6 * float(length) else torch.zeros_like(aside)
    return along.numpy(), aside.numpy()
