"""Recorded rows -> the tables of the book: means, differences, verdicts, shares of the oracle, ranks, agreement."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from udig_lab.experiments.rows import aligned, of_one_model
from udig_lab.faithfulness.statistics import Difference, Interval, attained, holm, interval, paired

BY = ("variant", "baseline")
LOWER_IS_BETTER = ("sufficiency", "log_odds", "delta_percent", "wae")


def better(metric: str) -> int:
    """1 where more is better, -1 where less is.

    >>> better("comprehensiveness_20"), better("sufficiency_20")
    (1, -1)
    """
    return -1 if metric.removeprefix("aopc_").startswith(LOWER_IS_BETTER) else 1


def summary(rows: pd.DataFrame, metrics: Sequence[str], *, by: Sequence[str] = BY) -> pd.DataFrame:
    """Mean and interval of every metric, a line a method and baseline.

    >>> rows = pd.DataFrame({"variant": "ig", "baseline": "mask", "wae": [0.5, 0.7] * 20})
    >>> str(summary(rows, ["wae"]).loc[("ig", "mask"), "wae"])[:5]
    '0.600'

    Args:
        rows: recorded rows of one data set and protocol.
        metrics: columns.
        by: what makes a line.

    Returns:
        ``Interval`` in every cell, None where nothing was recorded; the last column is n.
    """
    rows = of_one_model(rows, by)
    lines: dict[Hashable, dict[str, object]] = {}
    for name, part in rows.groupby(list(by), sort=False):
        cells: dict[str, object] = {m: None if part[m].isna().any() else interval(part[m]) for m in metrics}
        lines[name] = cells | {"n": len(part)}
    return _framed(lines, by, [*metrics, "n"])


def against(
    rows: pd.DataFrame, metrics: Sequence[str], *, reference: str = "ig", by: Sequence[str] = BY
) -> pd.DataFrame:
    """Every method minus a reference on the same examples, corrected for the whole table (Holm).

    A method is compared with the reference of the same baseline; one that has no baseline, with that of "mask", or
    else of the only one there is. A reference without baseline, such as "random", serves every method.

    >>> rows = pd.DataFrame({"variant": ["ig", "sig"] * 20, "baseline": "mask", "wae": [0.5, 0.7] * 20})
    >>> rows["id"] = [i // 2 for i in range(40)]
    >>> differences = against(rows, ["wae"])
    >>> round(differences.loc[("sig", "mask"), "wae"].mean, 3), int(differences["n"].iloc[0])
    (0.2, 20)

    Args:
        rows: as for ``summary``.
        metrics: columns.
        reference: a variant.
        by: what makes a line; ``variant`` and ``baseline`` are among it.

    Returns:
        ``Difference`` in every cell, None where one of the two lacks the metric; the last column is n, the examples
        that both have.

    Raises:
        ValueError: the reference was not recorded.
    """
    rows = of_one_model(rows)
    if reference not in set(rows["variant"]):
        known = ", ".join(sorted(set(rows["variant"])))
        raise ValueError(f"no rows of {reference!r} to compare with; there are {known}")
    theirs = dict(list(rows[rows["variant"] == reference].groupby("baseline")))
    usual = "mask" if "mask" in theirs else next(iter(theirs))
    pairs: dict[Hashable, tuple[pd.DataFrame, pd.DataFrame]] = {}
    for name, part in rows.groupby(list(by), sort=False):
        variant, baseline = part["variant"].iloc[0], part["baseline"].iloc[0]
        other = theirs.get(usual if "none" in (baseline, usual) else baseline)
        if variant != reference and other is not None:
            pairs[name] = (part, other)
    return _differences(pairs, metrics, by)


def contrast(
    rows: pd.DataFrame, metrics: Sequence[str], *, of: str, one: str, other: str, by: Sequence[str] = ("variant",)
) -> pd.DataFrame:
    """One choice minus another, everything else equal, corrected for the whole table (Holm).

    Args:
        rows: recorded rows of one data set.
        metrics: columns.
        of: the column of the choice, such as "baseline" or "protocol".
        one: its value that is minuend.
        other: its value that is subtrahend.
        by: what makes a line; ``of`` is not among it.

    Returns:
        as ``against``; a line for all that was recorded with both values.
    """
    rows = of_one_model(rows, [of, *by])
    sides = [dict(list(rows[rows[of] == value].groupby(list(by), sort=False))) for value in (one, other)]
    pairs: dict[Hashable, tuple[pd.DataFrame, pd.DataFrame]]
    pairs = {k: (part, sides[1][k]) for k, part in sides[0].items() if k in sides[1]}
    return _differences(pairs, metrics, by)


def verdicts(differences: pd.DataFrame) -> pd.DataFrame:
    """What a table of differences shows: "better", "worse" or, after the correction, "not shown"."""
    words = {
        m: [None if d is None else "not shown" if not d.shown else _side(m, d) for d in differences[m]]
        for m in differences.columns.drop("n")
    }
    return pd.DataFrame(words, index=differences.index, dtype=object).assign(n=differences["n"])


def shares(rows: pd.DataFrame, metrics: Sequence[str], *, by: Sequence[str] = BY) -> pd.DataFrame:
    """How much of the way from random scores (0) to the oracle (1) every method goes.

    Args:
        rows: as for ``summary``; they hold the control "random" and the bound "oracle".
        metrics: columns that the oracle was searched for.
        by: what makes a line.

    Returns:
        ``Interval`` in every cell, None where one of the three lacks the metric; the last column is n, the examples
        that all three have.

    Raises:
        ValueError: control or oracle were not recorded.
    """
    rows = of_one_model(rows)
    ends = {v: rows[rows["variant"] == v].set_index("id") for v in ("random", "oracle")}
    for variant, part in ends.items():
        if part.empty:
            raise ValueError(f"the share of the oracle needs recorded rows of {variant!r}; run that method too")
    lines: dict[Hashable, dict[str, object]] = {}
    for name, part in rows[~rows["variant"].isin(ends)].groupby(list(by), sort=False):
        own = part.set_index("id")
        ids = own.index.intersection(ends["random"].index).intersection(ends["oracle"].index)
        lines[name] = {"n": len(ids)}
        for m in metrics:
            three = [part.loc[ids, m] for part in (own, ends["random"], ends["oracle"])]
            complete = len(ids) and not any(values.isna().any() for values in three)
            lines[name][m] = attained(*three) if complete else None
    return _framed(lines, by, [*metrics, "n"])


def ranks(rows: pd.DataFrame, metric: str, *, of: str = "baseline") -> pd.DataFrame:
    """Places of the methods by their means, 1 the best, for every value of a column.

    Args:
        rows: recorded rows that differ in method and in ``of``; a method that lacks one of the values is left out.
        metric: a column.
        of: what may change the order, such as "baseline" or "protocol".

    Returns:
        methods x values.

    Raises:
        ValueError: the means would not be over the same examples.
    """
    groups = of_one_model(rows, [of]).groupby(["variant", of])
    if groups["id"].agg(frozenset).nunique() > 1:
        raise ValueError("methods can only be ranked on the same examples; pass rows of cells that hold all of them")
    means = groups[metric].mean().unstack(of).dropna()
    return (means * -better(metric)).rank().astype(int)


def rank_correlations(rows: pd.DataFrame, *, by: Sequence[str] = BY) -> pd.DataFrame:
    """Mean rank correlation (Spearman) of the scores of every two methods, over the texts that all explained.

    Tokens that score 0 by every method of the table are left out: that is what special tokens do.

    Returns:
        methods x methods; ``attrs["n"]`` is the number of texts.
    """
    rows = of_one_model(rows, by)
    parts = {name: part.set_index("id")["scores"] for name, part in rows.groupby(list(by), sort=False)}
    parts = {name: s for name, s in parts.items() if s.notna().all()}
    ids = sorted(set.intersection(*(set(s.index) for s in parts.values())))
    total = np.zeros((len(parts), len(parts)))
    counted = np.zeros_like(total)
    for i in ids:
        scores = np.stack([np.asarray(s.loc[i], dtype=float) for s in parts.values()])  # (M, L)
        scores = scores[:, np.any(scores != 0, axis=0)]
        if scores.shape[1] < 3:  # two tokens can only agree or not
            continue
        correlations = pd.DataFrame(scores.T).corr("spearman").to_numpy()
        total += np.nan_to_num(correlations)
        counted += np.isfinite(correlations)
    names = _index(parts, by)
    table = pd.DataFrame(total / counted, index=names, columns=names)
    table.attrs["n"] = len(ids)
    return table


def provenance(cards: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Where recorded runs come from: a line for each file and its card, fingerprints by their first eight digits."""
    lines = {
        card["name"]: {
            "n": card["n"],
            "seconds": card["seconds"],
            "precision": card["cell"]["precision"],
            "weights": card["weights_sha256"][:8],
            "data": card["data_sha256"][:8],
            "versions": ", ".join(f"{name} {' and '.join(numbers)}" for name, numbers in card["versions"].items()),
            "machine": "; ".join(card["machines"]),
        }
        for card in cards
    }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("file")


def _differences(
    pairs: Mapping[Hashable, tuple[pd.DataFrame, pd.DataFrame]], metrics: Sequence[str], by: Sequence[str]
) -> pd.DataFrame:
    """Paired differences of two groups of rows a line, where both have the metric on every shared example."""
    cells: dict[tuple[Hashable, str], Difference] = {}
    lines: dict[Hashable, dict[str, object]] = {}
    for name, sides in pairs.items():
        own, other = aligned(*sides)
        lines[name] = dict.fromkeys(metrics) | {"n": len(own)}
        for m in metrics:
            if len(own) and not own[m].isna().any() and not other[m].isna().any():
                cells[name, m] = paired(own[m], other[m])
    for (line, m), difference in zip(cells, holm(list(cells.values())), strict=True):
        lines[line][m] = difference
    return _framed(lines, by, [*metrics, "n"])


def _side(metric: str, difference: Difference) -> str:
    return "better" if difference.mean * better(metric) > 0 else "worse"


def _framed(lines: Mapping[Hashable, Mapping[str, object]], by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(list(lines.values()), index=_index(lines, by), columns=list(columns), dtype=object)


def _index(names: Iterable[Any], by: Sequence[str]) -> pd.Index:
    """One level a column of ``by``; names are tuples, of one where there is one column."""
    levels = pd.DataFrame(list(names), columns=list(by))
    return pd.MultiIndex.from_frame(levels) if len(by) > 1 else pd.Index(levels[by[0]])


__all__ = [
    "BY",
    "Difference",
    "Interval",
    "against",
    "better",
    "contrast",
    "provenance",
    "rank_correlations",
    "ranks",
    "shares",
    "summary",
    "verdicts",
]
