"""Differences in units of what matters: a docket, several models, and methods against another, each in one figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import pandas as pd

from udig_lab.drawing.picture import Picture, legend_above, show
from udig_lab.experiments.across import ASKED
from udig_lab.experiments.claims import claims, rule
from udig_lab.experiments.docket import BETTER, EQUAL, OPEN, SETTING, WORSE
from udig_lab.experiments.findings import side
from udig_lab.experiments.naming import DATASET_TITLES, SHORTCUTS, in_words, title
from udig_lab.experiments.tables import better
from udig_lab.experiments.verdicts import called, verdicts

_COLOURS = {BETTER: "C0", WORSE: "C1", EQUAL: "C2", OPEN: "C5"}
_MARKS = {"comprehensiveness": "o", "sufficiency": "s", "log_odds": "^"}
_SHORT = DATASET_TITLES | {"rotten_tomatoes": "RT"}
_LINE = 0.21  # inches
_AXIS = "difference, in margins: right is the claim's side"
_EDGE = 6.0  # margins; what lies further is drawn there, with an arrow
_TALL = 0.27  # inches of a line that holds several metrics
_DOUBLE = 0.58  # inches of such a line with its name above it
_LONG = 42  # characters; what is longer has no room on one line of a phone
_HOLLOW = "_05"  # metrics that end so: beside the same of 20 %, their marks are not filled


def forest(questions: pd.DataFrame, *, caption: str = "") -> Picture:
    """A forest plot: a line for each setting of each claim, a mark for each metric, in units of its margin.

    Zero is "no difference"; the grey band holds differences that do not matter. Blue lies on the claim's side.

    Args:
        questions: of ``docket``, at least one of them with rows.
        caption: what the figure says.

    Raises:
        ValueError: nothing was recorded.
    """
    asked = questions[questions["difference"].notna()]
    if asked.empty:
        raise ValueError("none of these questions has recorded rows; record them with udig-lab run")
    verdict = verdicts(questions)["verdict"]
    known = claims()
    lines: list[tuple[str, pd.DataFrame | None]] = []
    for name, part in asked.groupby("claim", sort=False):
        lines.append((f"{called(known[str(name)])}: {verdict[name]}", None))
        for (dataset, where), setting in part.groupby(SETTING, sort=False):
            place = f"{_SHORT.get(str(dataset), dataset)} {SHORTCUTS.get(str(where), where)}"
            lines.append((f"{place}, n = {setting['n'].iloc[0]:,}", setting))

    def draw(ax: Any, above: bool = False) -> None:
        _ground(ax, len(lines))
        for y, (_, setting) in enumerate(lines):
            if setting is not None:
                _marks(ax, y, setting)
        ax.set_yticks(range(len(lines)), [label for label, _ in lines], fontsize="small")
        for label, (text, setting) in zip(ax.get_yticklabels(), lines, strict=True):
            weight = "normal" if setting is not None else "bold"
            label.set_fontweight(weight)
            if above:  # a phone has no room at the side: what a line is about stands above its marks
                y = label.get_position()[1] - (0.47 if setting is not None else 0)
                paper = {"facecolor": ax.get_facecolor(), "alpha": 0.85, "linewidth": 0, "pad": 0.5}  # over the zero
                look = {"fontsize": "small", "va": "center", "bbox": paper, "zorder": 4}
                # A long claim has its verdict on a second line.
                text = text.replace(": ", ":\n") if setting is None and len(text) > _LONG else text
                ax.text(-_EDGE - 0.3, y, text, fontweight=weight, **look)
        if above:
            ax.set_yticklabels([])
        ax.set_xlabel(_AXIS)
        _explain(ax, asked)

    count = Counter(asked["outcome"])
    said = ", ".join(f"{count[o]} {o}" for o in _COLOURS if count[o])
    alt = f"Forest plot of {len(asked)} questions to {asked['claim'].nunique()} claims: {said}. " + " ".join(
        f"{label}." for label, setting in lines if setting is None
    )
    height = _LINE * len(lines) + 1.6
    return show(
        draw,
        alt=alt,
        caption=caption,
        size=(7.4, height),
        narrow=lambda ax: draw(ax, above=True),
        narrow_height=_DOUBLE * len(lines) + 1.6,
    )


def side_by_side(questions: pd.DataFrame, *, caption: str = "") -> Picture:
    """Every question a line, every model a column: the difference in margins, with its 95 % interval.

    On a phone every claim is a block, with a line for each model and a mark for each metric.

    Args:
        questions: of ``across``.
        caption: what the figure says.
    """
    models = list(questions["model"].unique())
    lines = questions[ASKED].drop_duplicates().reset_index(drop=True)
    known = claims()
    names = [
        f"{called(known[claim])}: {in_words(metric)}"
        for claim, metric in zip(lines["claim"], lines["metric"], strict=True)
    ]
    blocks = list(questions.groupby([c for c in ASKED if c != "metric"], sort=False))

    def draw(*axes: Any) -> None:
        for ax, model in zip(axes, models, strict=True):
            own = questions[questions["model"] == model]
            places = lines.merge(own, on=ASKED, how="left")
            _ground(ax, len(lines))
            for y in places.index[places["difference"].notna()]:
                _marks(ax, int(y), places.loc[[y]])
            ax.set_yticks(range(len(lines)), names if ax is axes[0] else [""] * len(lines), fontsize="small")
            ax.set_title(f"{model}\nn = {own['n'].max():,}", fontsize="small")
        axes[len(axes) // 2].set_xlabel(_AXIS)
        _explain(axes[0], questions)

    def stack(ax: Any) -> None:
        high = len(blocks) * (1 + len(models))
        _ground(ax, high)
        places, labels = [], []
        for first, (key, block) in zip(range(0, high, 1 + len(models)), blocks, strict=True):
            ax.text(-_EDGE - 0.3, first, called(known[str(key[0])]), fontweight="bold", fontsize="small", va="center")
            for y, model in enumerate(models, first + 1):
                own = block[block["model"] == model]
                if own.empty:
                    continue
                _marks(ax, y, own)
                places.append(y)
                labels.append(f"{model}, n = {own['n'].max():,}")
        ax.set_yticks(places, labels, fontsize="x-small")
        ax.set_xlabel(_AXIS, fontsize="small")
        _explain(ax, questions)

    counts = {m: Counter(questions[questions["model"] == m]["outcome"]) for m in models}
    said = "; ".join(f"{m}: " + ", ".join(f"{c[o]} {o}" for o in _COLOURS if c[o]) for m, c in counts.items())
    alt = f"A line for each of {len(lines)} questions, a column for each of {len(models)} models. {said}."
    return show(
        draw,
        alt=alt,
        caption=caption,
        panels=len(models),
        size=(3.4 + 1.3 * len(models), _LINE * len(lines) + 1.4),
        narrow=stack,
        narrow_height=_TALL * len(blocks) * (1 + len(models)) + 0.8,
    )


def rivals(differences: pd.DataFrame, metrics: Sequence[str], *, reference: str = "ig", caption: str = "") -> Picture:
    """Every method minus another one, in margins: a panel for each metric, a mark for each method and baseline.

    The grey band holds differences that do not matter; right of it the method is better, left of it worse.

    Args:
        differences: of ``tables.against``.
        metrics: columns of it, for each of which a margin is registered.
        reference: the method that was subtracted.
        caption: what the figure says.
    """
    lines = differences[differences[list(metrics)].notna().any(axis=1)]
    names = [title(v) + ("" if b == "none" else f", [{b.upper()}]") for v, b in lines.index]
    sides = {m: [None if d is None else side(m, d) for d in lines[m]] for m in metrics}

    def draw(*axes: Any) -> None:
        for ax, metric in zip(axes, metrics, strict=True):
            _ground(ax, len(lines))
            for y, (d, outcome) in enumerate(zip(lines[metric], sides[metric], strict=True)):
                if d is not None:
                    _mark(ax, y, better(metric) * np.array([d.low, d.mean, d.high]) / rule().margin(metric), outcome)
            # On a phone panels stand one below the other: every row of panels begins with names.
            ax.set_yticks(range(len(lines)), names if ax.get_subplotspec().is_first_col() else [])
            ax.set_title(in_words(metric), fontsize="small")
            ax.set_xlabel("in margins; right is better")
        _name_colours(axes[0], {o for own in sides.values() for o in own})
        legend_above(axes[0])

    said = [
        f"{in_words(m)}: " + "; ".join(f"{n} {d}, {o}" for n, d, o in zip(names, lines[m], sides[m], strict=True) if o)
        for m in metrics
    ]
    alt = f"Differences to {title(reference)} with 95 % intervals, right is better. {'. '.join(said)}."
    size = (2.6 * len(metrics) + 2.2, 0.3 * len(lines) + 1.5)
    return show(draw, alt=alt, caption=caption, panels=len(metrics), size=size)


def _ground(ax: Any, lines: int) -> None:
    """Axes in margins for so many lines: the zero, and the band of differences that do not matter."""
    ax.axvspan(-1, 1, color="C5", alpha=0.15, linewidth=0, label="too small to matter")
    ax.axvline(0, color="C5", linewidth=1)
    ax.set_ylim(lines - 0.4, -0.6)
    ax.set_xlim(-_EDGE - 0.4, _EDGE + 0.4)
    ax.grid(visible=False, axis="y")


def _mark(ax: Any, y: float, ends: Any, outcome: str | None, mark: str = "o", *, hollow: bool = False) -> None:
    """One difference: low, mean and high in margins, cut at the edge of the axes."""
    low, mid, high = np.clip(ends, -_EDGE, _EDGE)
    colour = _COLOURS[outcome or OPEN]
    inside = ax.get_facecolor() if hollow else colour
    ax.plot([low, high], [y, y], color=colour, linewidth=1.2)
    ax.plot(mid, y, mark, color=colour, markersize=4, markerfacecolor=inside)
    if abs(ends[1]) > _EDGE:
        ax.plot(np.sign(mid) * (_EDGE + 0.2), y, ">" if mid > 0 else "<", color=colour, markersize=4)


def _marks(ax: Any, y: int, setting: pd.DataFrame) -> None:
    """One setting: its metrics above each other, so that their intervals can be told apart."""
    shifts = np.linspace(-0.24, 0.24, len(setting)) if len(setting) > 1 else [0.0]
    for shift, line in zip(shifts, setting.to_dict("records"), strict=True):
        d, metric = line["difference"], str(line["metric"])
        ends = np.array([d.low, d.mean, d.high]) / line["margin"]
        _mark(ax, y + shift, ends, line["outcome"], _MARKS.get(_kind(metric), "D"), hollow=metric.endswith(_HOLLOW))


def _explain(ax: Any, asked: pd.DataFrame) -> None:
    """A legend for what marks, lines, the band and colours say, above the figure: it may be longer than a screen."""
    metrics = list(asked["metric"])
    kinds = dict.fromkeys((_kind(m), m.endswith(_HOLLOW)) for m in metrics)
    both = {kind for kind, hollow in kinds if hollow} & {kind for kind, hollow in kinds if not hollow}
    for kind, hollow in kinds:
        inside = ax.get_facecolor() if hollow else "C5"
        name = kind.replace("log_odds", "log-odds") + ((", 5 %" if hollow else ", 20 %") if kind in both else "")
        mark = _MARKS.get(kind, "D")
        ax.plot([], [], mark, color="C5", markersize=4, markerfacecolor=inside, label=name)
    ax.plot([], [], color="C5", linewidth=1.2, label="95 % interval")
    if any(abs(d.mean) > _EDGE * m for d, m in zip(asked["difference"], asked["margin"], strict=True)):
        ax.plot([], [], ">", color="C5", markersize=4, label=f"further than {_EDGE:.0f} margins")
    _name_colours(ax, set(asked["outcome"]))
    legend_above(ax, abreast=3)


def _name_colours(ax: Any, outcomes: Container[str | None]) -> None:
    """Entries of a legend for the outcomes that occur, in one order everywhere."""
    for said in (o for o in _COLOURS if o in outcomes):
        ax.plot([], [], color=_COLOURS[said], linewidth=3, label=said)


def _kind(metric: str) -> str:
    """A metric's name without its operator and share."""
    return next((k for k in _MARKS if metric.startswith(k)), metric)
