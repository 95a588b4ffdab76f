"""The figures that several chapters share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap

from udig_lab.attribution import Attribution
from udig_lab.calls.tracing import Trace
from udig_lab.drawing.colours import NEGATIVE, POSITIVE
from udig_lab.drawing.heatmap import STRONGEST, shades
from udig_lab.drawing.picture import Picture, legend_below, show, style
from udig_lab.methods import METHODS, registered

_ABREAST = 9  # explanations beside each other on a phone: their numbers still have room

__all__ = ["Picture", "compare", "four_panels", "legend_below", "show", "style", "tree"]


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
    moving = trace.integral.weights[:, token].any(-1)  # where one token moves at a time, the steps of this one
    points = trace.integral.points[moving, token].double()  # (k, D)
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
        if abs(along[0]) < 1e-6 < 1 - along[-1] - 1e-6:  # the left rule takes no gradient where the last piece ends
            path.plot([along[-1], 1], [aside[-1], 0], ":", color="C0", linewidth=1)
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
        f"straight line by at most {np.abs(aside).max(initial=0):.2f} of its length. F goes from {a.f_baseline:.2f} "
        f"to {a.f_input:.2f} over {len(f)} points. The running sum of the steps ends at {float(steps.sum()):.2f}, "
        f"where F(x) - F(x') is {a.f_input - a.f_baseline:.2f}. The largest score is {best[1]:.2f}, for “{best[0]}”."
    )
    return show(draw, alt=alt, caption=caption, panels=4, columns=2, size=(9.0, 6.4))


def compare(attributions: Sequence[Attribution], *, caption: str = "") -> Picture:
    """Several explanations of one text, one row each, on one scale from blue (against the class) to orange (for it).

    Every row is scaled by its own largest score; the numbers are the scores.

    >>> import udig_lab as ul
    >>> model = ul.load("sst2")
    >>> explained = [ul.explain(model, "dull but witty", method=m) for m in ("sig", "gradient_x_input")]
    >>> compare(explained).alt.split(".")[0]
    'Scores of 3 words by 2 explanations'

    Args:
        attributions: of the same text, by different methods, baselines or settings.
        caption: what the figure says.

    Raises:
        ValueError: no attributions, or of different texts.
    """
    if not attributions:
        raise ValueError("there is nothing to compare; pass a list of attributions of one text")
    words = [[w for w, _ in a.words()] for a in attributions]
    if any(w != words[0] for w in words):
        raise ValueError("these attributions are of different texts; compare explanations of the same one")
    scores = np.array([[s for _, s in a.words()] for a in attributions])
    shade = np.array([shades(a.words()) for a in attributions])
    names = [_called(a.method) for a in attributions]
    starts = [a.baseline.replace("gradcf", "GradCF") for a in attributions]  # as its paper writes it
    labels = [f"{name}\n{start}" for name, start in zip(names, starts, strict=True)]
    alike = len({a.baseline for a in attributions}) == 1

    def draw(axes: Any) -> None:
        axes.imshow(shade, cmap=_colours(), vmin=-1, vmax=1, aspect="auto")
        for (row, column), score in np.ndenumerate(scores):
            axes.text(column, row, f"{score:+.2f}", ha="center", va="center", color="#111111", fontsize="small")
        axes.set_xticks(range(len(words[0])), [_plain(w) for w in words[0]], rotation=40, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.grid(visible=False)
        axes.tick_params(length=0)

    def draw_upright(axes: Any) -> None:
        """Words below each other: a phone has room for some explanations, and not for many words."""
        axes.imshow(shade.T, cmap=_colours(), vmin=-1, vmax=1, aspect="auto")
        for (row, column), score in np.ndenumerate(scores.T):
            axes.text(column, row, f"{score:+.2f}", ha="center", va="center", color="#111111", fontsize="x-small")
        axes.set_yticks(range(len(words[0])), [_plain(w) for w in words[0]])
        heads = names if alike else [label.replace("\n", ", ") for label in labels]
        axes.set_xticks(range(len(heads)), heads, rotation=60, ha="left", rotation_mode="anchor")
        axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
        axes.set_xlabel(f"baseline: {starts[0]}" if alike else "")
        axes.grid(visible=False)

    best = "; ".join(
        f"{name} with {a.baseline}: {max(a.words(), key=lambda p: p[1])[0]}"
        for name, a in zip(names, attributions, strict=True)
    )
    alt = f"Scores of {len(words[0])} words by {len(attributions)} explanations. Highest word of each: {best}."
    size = (max(5.0, 0.75 * len(words[0]) + 1.6), 0.62 * len(attributions) + 1.3)
    upright = draw_upright if len(attributions) <= _ABREAST else False
    return show(draw, alt=alt, caption=caption, size=size, narrow=upright, narrow_height=0.32 * len(words[0]) + 1.6)


def tree(attribution: Attribution, *, caption: str = "") -> Picture:
    """The groups of an IDG explanation above their words: colour: sign; strength: |IDG|; number: value.

    Args:
        attribution: made with ``method="idg"``.
        caption: what the figure says.

    Raises:
        ValueError: an attribution without groups.
    """
    groups = [g for g in attribution.groups or () if g.label != "token"]
    if not groups:
        raise ValueError(f'{attribution.method} scores no groups; explain with method="idg"')
    shown = [p for p, fixed in enumerate(attribution.special) if not fixed]
    rows = _levels([(g.start, g.end) for g in groups])
    tokens = [g for g in attribution.groups or () if g.label == "token"]
    top = max(abs(g.idg) for g in groups) or 1.0

    def draw(axes: Any, *, upright: bool = True) -> None:
        for group, row in zip([*groups, *tokens], [*rows, *[0] * len(tokens)], strict=True):
            look: dict[str, Any] = {"color": "C1", "hatch": ""} if group.idg >= 0 else {"color": "C0", "hatch": "//"}
            look["alpha"] = 0.1 + 0.6 * min(1.0, abs(group.idg) / top)
            first, middle, length = group.start + 0.03, (group.start + group.end) / 2, group.end - group.start - 0.06
            name = "" if group.label == "token" else group.label + (" " if upright else "\n")
            if upright:
                axes.barh(row, length, left=first, height=0.86, **look)
            else:
                axes.bar(row, length, bottom=first, width=0.94, **look)
            place = (middle, row) if upright else (row, middle)
            axes.text(*place, f"{name}{group.value:.2f}", ha="center", va="center", fontsize=7)
        places, words = [p + 0.5 for p in shown], [_plain(attribution.pieces[p]) for p in shown]
        if upright:
            axes.set_xticks(places, words, rotation=40, ha="right")
            axes.set_yticks([])
            axes.set_xlim(shown[0], shown[-1] + 1)
        else:
            axes.set_yticks(places, words)
            axes.set_xticks([])
            axes.set_ylim(shown[-1] + 1, shown[0])
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)

    def aside(axes: Any) -> None:
        """For phones: the words below one another, and their groups beside them."""
        draw(axes, upright=False)

    largest = max((g for g in groups if g.end - g.start < len(shown)), key=lambda g: g.value, default=groups[0])
    name = "".join(f" {p}" for p in attribution.pieces[largest.start : largest.end]).strip()
    alt = (
        f"{len(groups)} groups of “{' '.join(w for w, _ in attribution.words())}” as boxes above their words. Orange "
        f"boxes push towards {attribution.target_name}, hatched blue ones against it. The numbers are values. The "
        f"largest group below the whole text is “{name}” with value {largest.value:.2f}."
    )
    size = (max(6.0, 0.8 * len(shown)), 0.42 * max(rows) + 1.6)
    return show(draw, alt=alt, caption=caption, size=size, narrow=aside, narrow_height=0.3 * len(shown) + 0.8)


def _levels(ranges: Sequence[tuple[int, int]]) -> list[int]:
    """A row for every range so that no two in a row overlap, and larger ones lie higher; row 0 is for tokens."""
    order = sorted(range(len(ranges)), key=lambda r: (ranges[r][1] - ranges[r][0], ranges[r][0]))
    rows: dict[int, int] = {}
    for r in order:
        start, end = ranges[r]
        inside = [rows[q] for q in rows if start <= ranges[q][0] and ranges[q][1] <= end]
        taken = {rows[q] for q in rows if ranges[q][0] < end and start < ranges[q][1]}
        rows[r] = next(row for row in range(max(inside, default=0) + 1, len(ranges) + 2) if row not in taken)
    return [rows[r] for r in range(len(ranges))]


def _colours() -> LinearSegmentedColormap:
    """The heat map's blue and orange, as light as it shows them, so that dark ink stays readable."""
    ends = [[1 - STRONGEST * (1 - c / 255) for c in colour] for colour in (NEGATIVE, POSITIVE)]
    return LinearSegmentedColormap.from_list("ul", [ends[0], (1, 1, 1), ends[1]])


def _called(name: str) -> str:
    """A method's short name as the book writes it; one that is not registered stays as it is."""
    entry = METHODS.get(registered(name))
    return entry.short if entry else name


def _plain(text: str) -> str:
    """Dollar signs would start mathematics in matplotlib."""
    return text.replace("$", r"\$")


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
