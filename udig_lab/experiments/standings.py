"""Figures of recorded rows: where methods stand between chance and the oracle, how predictions fall, who agrees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from udig_lab.drawing.picture import Picture, legend_below, show
from udig_lab.experiments.naming import in_words, title
from udig_lab.experiments.rows import of_one_model
from udig_lab.experiments.tables import BY, better, rank_correlations
from udig_lab.faithfulness.statistics import Interval, interval

_BASELINES = {"pad": ("s", "C1"), "mask": ("o", "C0"), "none": ("D", "C2"), "zero": ("^", "C3")}
_METHODS = "o^sDvPX*<>"  # markers of the curves
_ENDS = {"random": ":", "oracle": "--"}  # control and bound are grey lines in every figure


def standings(rows: pd.DataFrame, metrics: Sequence[str], *, caption: str = "") -> Picture:
    """A dot with its 95 % interval for every method and baseline, one panel a metric.

    A dotted line marks random scores, a dashed one the oracle, where they were recorded; with their number of texts,
    where it is another. Methods are ordered by their best mean of the first metric, the best on top.

    Args:
        rows: recorded rows of one data set and protocol.
        metrics: columns, at least one.
        caption: what the figure says.
    """
    rows = of_one_model(rows)
    groups: dict[Any, pd.DataFrame] = dict(list(rows.groupby(list(BY))))
    groups = {k: part for k, part in groups.items() if k[0] not in _ENDS}
    ends = {v: rows[rows["variant"] == v] for v in _ENDS}
    n = rows["id"].nunique()
    named = {v: title(v) + (f" (n = {len(e):,})" if len(e) < n else "") for v, e in ends.items()}
    intervals: dict[Any, Interval] = {(*k, m): interval(part[m]) for k, part in groups.items() for m in metrics}
    best: dict[str, float] = {}
    for (variant, _, m), at in intervals.items():
        if m == metrics[0]:
            best[variant] = max(best.get(variant, -np.inf), better(m) * at.mean)
    height = {variant: y for y, variant in enumerate(sorted(best, key=best.__getitem__))}
    baselines = sorted({k[1] for k in groups})
    shift = {b: 0.22 * (i - (len(baselines) - 1) / 2) for i, b in enumerate(baselines)}

    def draw(*axes: Any) -> None:
        for ax, metric in zip(axes, metrics, strict=True):
            for variant, line in _ENDS.items():
                values = ends[variant][metric]
                if len(values) and values.notna().all():
                    ax.axvline(values.mean(), color="C5", linestyle=line, linewidth=1.2, label=named[variant])
            for baseline in baselines:
                mark, colour = _BASELINES.get(baseline, ("o", "C4"))
                at = {v: intervals[v, baseline, metric] for v in height if (v, baseline, metric) in intervals}
                ax.errorbar(
                    [a.mean for a in at.values()],
                    [height[v] + shift[baseline] for v in at],
                    xerr=[[a.mean - a.low for a in at.values()], [a.high - a.mean for a in at.values()]],
                    fmt=mark,
                    color=colour,
                    markersize=5,
                    label="no baseline" if baseline == "none" else f"[{baseline.upper()}]",
                )
            # On a phone panels stand one below the other: every row of panels begins with names.
            first = ax.get_subplotspec().is_first_col()
            ax.set_yticks(range(len(height)), [title(v) for v in height] if first else [])
            ax.set_ylim(-0.6, len(height) - 0.4)
            ax.set_title(f"{in_words(metric)}\n({_direction(metric)} is better)", fontsize="small")
        legend_below(*axes, abreast=6)

    fewer = " or fewer" if any(len(part) < n for part in groups.values()) else ""
    said = [f"Means with 95 % intervals of {len(height)} methods, n = {n:,}{fewer}."]
    for metric in metrics:
        mean = {k: better(metric) * at.mean for k, at in intervals.items() if k[2] == metric}
        variant, baseline, _ = first = max(mean, key=mean.__getitem__)
        lines = [
            f"{named[v].lower()} {e[metric].mean():.3f}" for v, e in ends.items() if len(e) and e[metric].notna().all()
        ]
        said.append(
            f"Best {in_words(metric)}: {title(variant)}, baseline {baseline}, {intervals[first]}"
            + (f" ({', '.join(lines)})." if lines else ".")
        )
    size = (2.5 * len(metrics) + 2.2, (0.2 + 0.08 * len(baselines)) * len(height) + 1.4)
    return show(draw, alt=" ".join(said), caption=caption, panels=len(metrics), size=size)


def curves(rows: pd.DataFrame, *, caption: str = "") -> Picture:
    """How predictions fall as the best tokens go, and what they are worth alone: means over the recorded shares.

    Random scores and the oracle are grey; the oracle ends where it was not searched any further.

    Args:
        rows: recorded rows of one data set, baseline and protocol, with control and oracle.
        caption: what the figure says.
    """
    rows = of_one_model(rows)
    metrics = ("comprehensiveness", "sufficiency")
    recorded = map(str, rows.dropna(axis="columns", how="all"))
    shares = sorted(int(c.rpartition("_")[2]) for c in recorded if re.fullmatch(rf"{metrics[0]}_\d\d", c))
    means = rows.groupby("variant")[[f"{m}_{s:02d}" for m in metrics for s in shares]].mean()
    order = means[f"{metrics[0]}_{shares[-1]:02d}"].drop(list(_ENDS), errors="ignore").sort_values(ascending=False)

    def draw(*axes: Any) -> None:
        for ax, metric in zip(axes, metrics, strict=True):
            for i, variant in enumerate([*order.index, *means.index.intersection(list(_ENDS))]):
                grey = variant in _ENDS
                look = {"color": "C5", "linestyle": _ENDS[variant]} if grey else {"color": f"C{i % 5}"}
                mark = {} if grey else {"marker": _METHODS[i % len(_METHODS)], "markersize": 5}
                values = [means.loc[variant, f"{metric}_{s:02d}"] for s in shares]
                ax.plot(range(len(shares)), values, label=title(variant), **look, **mark)
            ax.set_xticks(range(len(shares)), [f"{s} %" for s in shares])
            ax.set_xlabel(f"share of tokens {'taken away' if metric == metrics[0] else 'kept'}")
            ax.set_title(f"{metric} ({_direction(metric)} is better)", fontsize="small")
        axes[0].set_ylabel("fall of p(y | x)")
        legend_below(*axes, abreast=6)

    parts = []
    for variant, line in means[[f"{metrics[0]}_{s:02d}" for s in shares]].iterrows():
        heights = [f"{height:.2f} at {s} %" for s, height in zip(shares, line, strict=True) if pd.notna(height)]
        parts.append(f"{title(str(variant))} {', '.join(heights)}")
    alt = f"Mean comprehensiveness: {'; '.join(parts)}."
    return show(draw, alt=alt, caption=caption, panels=2, size=(8.4, 3.6))


def gaps(rows: pd.DataFrame, *, caption: str = "") -> Picture:
    """How far scores are from adding up: Δ% of every text, a box a method, on a logarithmic axis.

    Args:
        rows: recorded rows of one data set, baseline and protocol; methods that promise no completeness are better
            left out.
        caption: what the figure says; how to read its boxes is added.
    """
    parts = {str(v): part["delta_percent"].clip(lower=1e-3) for v, part in rows.groupby("variant")}
    order = sorted(parts, key=lambda v: float(parts[v].median()), reverse=True)

    def draw(ax: Any) -> None:
        ax.boxplot(
            [parts[v] for v in order],
            orientation="horizontal",
            whis=(5, 95),
            showfliers=False,
            tick_labels=[title(v) for v in order],
            medianprops={"color": "C1", "linewidth": 2},
            **{f"{part}props": {"color": "C0", "linewidth": 1.4} for part in ("box", "whisker", "cap")},
        )
        ax.set(xscale="log", xlabel="Δ%: distance of the sum of scores from F(x) − F(x′)")

    said = ", ".join(f"{title(v)} {parts[v].median():.2g}" for v in reversed(order))
    alt = f"Box plots of Δ% of {len(order)} methods. Medians: {said}."
    boxes = "Boxes hold the middle half of the texts, whiskers the middle 90 %; the line in a box is the median."
    return show(draw, alt=alt, caption=f"{caption} {boxes}".strip(), size=(7.2, 0.42 * len(order) + 1.0))


def correlation_map(rows: pd.DataFrame, *, caption: str = "") -> Picture:
    """Heat map of the mean rank correlation of every two methods' scores.

    Args:
        rows: recorded rows of one data set, baseline and protocol.
        caption: what the figure says.
    """
    table = rank_correlations(rows, by=["variant"])
    names = [title(v) for v in table.index]
    values = table.to_numpy()

    def draw(ax: Any) -> None:
        ax.imshow(values, cmap="Blues", vmin=0, vmax=1)
        for (i, j), value in np.ndenumerate(values):
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else "#111111")
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
        ax.set_yticks(range(len(names)), names)
        ax.grid(visible=False)

    pairs = [(values[i, j], f"{names[i]} and {names[j]}") for i in range(len(names)) for j in range(i)]
    low, high = min(pairs), max(pairs)
    alt = (
        f"Mean rank correlations of {len(names)} methods over {table.attrs['n']:,} texts, from {low[0]:.2f} "
        f"({low[1]}) to {high[0]:.2f} ({high[1]})."
    )
    return show(draw, alt=alt, caption=caption, size=(0.62 * len(names) + 2.4, 0.5 * len(names) + 1.6))


def _direction(metric: str) -> str:
    return "higher" if better(metric) > 0 else "lower"
