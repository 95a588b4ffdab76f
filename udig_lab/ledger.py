"""From rows to statements: means with intervals, paired differences, published values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from udig_lab.models import ASSETS


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interval(values: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Mean of the values and its percentile bootstrap interval over examples.

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
    index = np.random.default_rng(seed).integers(len(x), size=(resamples, len(x)))
    low, high = np.quantile(x[index].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(x.mean()), float(low), float(high), len(x))


def paired(values: ArrayLike, reference: ArrayLike, **keywords: int) -> Interval:
    """Mean difference values - reference over the same examples, with its interval; arguments as ``interval``.

    Raises:
        ValueError: different numbers of examples.
    """
    x, y = np.asarray(values, dtype=float), np.asarray(reference, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"{len(x)} values cannot be paired with {len(y)}; pass results on the same examples")
    return interval(x - y, **keywords)


def published() -> pd.DataFrame:
    """Published numbers, one a row: source, dataset, model, method, baseline, metric, value, n, protocol, note."""
    return pd.read_csv(ASSETS / "published.csv")


def benchmarks() -> dict[str, Any]:
    """What ``make bench`` last recorded: seconds and ratios beside peers and beside the bare model.

    Raises:
        FileNotFoundError: nothing was recorded.
    """
    here = Path(__file__).parent
    for file in (here.parent / "benchmarks" / "results.json", here / "results" / "benchmarks.json"):  # clone, wheel
        if file.is_file():
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf8"))
            return found
    raise FileNotFoundError("no benchmarks are recorded; make them with: make bench")
