"""Means with intervals, paired differences, a correction for many questions at once, and rank correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Difference(Interval):
    """A mean paired difference.

    Attributes:
        p: probability of a mean at least as far from 0 if it were 0.
        p_holm: the same, corrected for all questions asked with it; at first equal to ``p``.
    """

    p: float
    p_holm: float

    @property
    def shown(self) -> bool:
        """Whether a difference is shown at the level of 5 % after the correction."""
        return self.p_holm < 0.05

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]{' *' if self.shown else ''}"


def interval(values: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Mean of the values and its percentile bootstrap interval over examples.

    >>> print(interval([0.0, 1.0, 1.0, 2.0] * 25))
    1.000 [0.860, 1.140]

    Args:
        values: (N,) one number an example.
        level: coverage.
        resamples: bootstrap samples.
        seed: of the resampling; the same for every call, so that intervals can be compared.

    Raises:
        ValueError: no values, or some that are not finite.
    """
    x = np.asarray(values, dtype=float)
    if not len(x) or not np.isfinite(x).all():
        raise ValueError(f"an interval needs finite values; got {len(x)}, {int((~np.isfinite(x)).sum())} not finite")
    low, high = np.quantile(_means(x[:, None], resamples, seed)[:, 0], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(x.mean()), float(low), float(high), len(x))


def paired(values: ArrayLike, reference: ArrayLike, **keywords: int) -> Difference:
    """Mean difference values - reference over the same examples, with its interval; arguments as ``interval``.

    p is that of the mean's standard error and a normal distribution: with the numbers of examples met here it is as
    good as a resampled one, and small enough to be corrected.

    >>> better = paired([0.5, 0.7, 0.6] * 30, [0.4, 0.5, 0.3] * 30)
    >>> round(better.mean, 3), better.shown
    (0.2, True)

    Raises:
        ValueError: different numbers of examples.
    """
    x, y = np.asarray(values, dtype=float), np.asarray(reference, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"{len(x)} values cannot be paired with {len(y)}; pass results on the same examples")
    d = x - y
    difference = interval(d, **keywords)
    error = float(d.std(ddof=1)) / math.sqrt(len(d)) if len(d) > 1 else 0.0
    p = math.erfc(abs(difference.mean) / error / math.sqrt(2)) if error else float(difference.mean == 0)
    return Difference(difference.mean, difference.low, difference.high, difference.n, p, p)


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """Correct the p of several differences for being asked together (Holm 1979).

    The smallest p is multiplied by the number of questions, the next by one less, and so on; never decreasing.

    >>> asked = [Difference(0.1, 0.0, 0.2, 9, p, p) for p in (0.01, 0.04)]
    >>> [d.p_holm for d in holm(asked)]
    [0.02, 0.04]
    """
    order = sorted(range(len(differences)), key=lambda i: differences[i].p)
    corrected, floor = [0.0] * len(differences), 0.0
    for rank, i in enumerate(order):
        floor = max(floor, min(1.0, differences[i].p * (len(differences) - rank)))
        corrected[i] = floor
    return [Difference(d.mean, d.low, d.high, d.n, d.p, p) for d, p in zip(differences, corrected, strict=True)]


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, equal numbers with the mean of theirs.

    >>> round(spearman([1, 2, 3, 4], [1, 2, 4, 3]), 3)
    0.8

    Args:
        x: (N,) numbers.
        y: (N,) as many.

    Returns:
        NaN where all numbers of either are equal, as nothing can be ranked then.

    Raises:
        ValueError: different numbers of numbers.
    """
    a, b = (pd.Series(np.asarray(values, dtype=float)).rank().to_numpy() for values in (x, y))
    if len(a) != len(b):
        raise ValueError(f"{len(a)} numbers have no rank correlation with {len(b)}; pass as many of both")
    a, b = a - a.mean() if len(a) else a, b - b.mean() if len(b) else b
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / scale) if scale else float("nan")


def attained(
    values: ArrayLike, control: ArrayLike, bound: ArrayLike, *, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Share of what can be reached: (mean value - mean control) / (mean bound - mean control), with its interval.

    >>> attained([0.3, 0.5], [0.0, 0.0], [0.6, 1.0]).mean
    0.5

    Args:
        values: (N,) one metric of a method.
        control: (N,) of random scores, on the same examples.
        bound: (N,) of the oracle.
        resamples: bootstrap samples, drawn over examples for all three at once.
        seed: of the resampling.

    Raises:
        ValueError: different numbers of examples.
    """
    columns = [np.asarray(c, dtype=float) for c in (values, control, bound)]
    if len({c.shape for c in columns}) > 1:
        sizes = ", ".join(str(len(c)) for c in columns)
        raise ValueError(f"{sizes} values do not belong together; pass results on the same examples")
    x = np.stack(columns, axis=1)  # (N, 3)
    drawn = _means(x, resamples, seed)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / (drawn[:, 2] - drawn[:, 1]), [0.025, 0.975])
    value, zero, one = x.mean(0)
    return Interval(float((value - zero) / (one - zero)), float(low), float(high), len(x))


def _means(x: NDArray[Any], resamples: int, seed: int) -> NDArray[Any]:
    """(resamples, C) means of bootstrap samples of the rows of x (N, C)."""
    means: NDArray[Any] = _counts(len(x), resamples, seed) @ x / len(x)
    return means


@lru_cache(8)
def _counts(n: int, resamples: int, seed: int) -> NDArray[Any]:
    """(resamples, n) how often each of n rows is drawn: all that a mean needs to know of a sample.

    Tables ask for many intervals over the same examples, and drawing takes far longer than the product.
    """
    index = np.random.default_rng(seed).integers(n, size=(resamples, n))
    return np.stack([np.bincount(row, minlength=n) for row in index]).astype(float)
