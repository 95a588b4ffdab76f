"""Do scores agree with people? Their labels of words and phrases beside scores: no question of faithfulness.

The Stanford Sentiment Treebank has labels that people gave to words and phrases. Some of those in its training part
stand in test sentences, too. A model need not see a word as people do, and then a faithful score disagrees with them;
so what is measured here is agreement, and says nothing about whether a score is right about the model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from udig_lab.experiments.claims import Claim, claims, rule
from udig_lab.experiments.docket import OPEN, decided
from udig_lab.experiments.records import results_folder, whole_record
from udig_lab.faithfulness.statistics import Difference, Interval

KINDS = ("word", "negation", "conjunction")
_MARKS = {
    "negation": {"no", "not", "n't", "never", "nothing", "neither", "nor", "without", "hardly", "barely", "lacks"},
    "conjunction": {"and", "but", "or", "yet", "although", "though", "while"},
}  # as registered
_WORDS = range(2, 9)  # of a phrase
_CHUNK = 200  # bootstrap samples that are weighed at once


def labelled(text: str, labels: Mapping[str, int]) -> list[tuple[str, int, int, int]]:
    """The words and phrases of a text to which people gave a label: kind, first word, words, label.

    Phrases are those with a negation or a conjunction, shorter than the text; one with both is listed twice.

    >>> labelled("it is not good .", {"good": 1, "not good": 0, "is": 1, "it is": 1})
    [('word', 1, 1, 1), ('word', 3, 1, 1), ('negation', 2, 2, 0)]
    """
    words = text.split()
    places = [("word", a, 1, labels[word]) for a, word in enumerate(words) if word in labels]
    for kind, marks in _MARKS.items():
        for n in _WORDS:
            for a in range(len(words) - n + 1):
                phrase = words[a : a + n]
                if n < len(words) and marks & set(phrase) and " ".join(phrase) in labels:
                    places.append((kind, a, n, labels[" ".join(phrase)]))
    return places


def per_word(text: str, offsets: Sequence[tuple[int, int]], scores: ArrayLike) -> NDArray[Any]:
    """Scores of tokens summed over the words between spaces; a token without characters belongs to none.

    >>> per_word("does n't", [(0, 0), (0, 4), (5, 6), (6, 7), (7, 8), (0, 0)], [9, 1, 2, 3, 4, 9]).tolist()
    [1.0, 9.0]

    Args:
        text: W words.
        offsets: L pairs of characters, where each token begins and ends.
        scores: (L,).

    Returns:
        (W,).
    """
    begins = [match.start() for match in re.finditer(r"\S+", text)]
    sums = np.zeros(len(begins))
    for (a, b), score in zip(offsets, np.asarray(scores, dtype=float), strict=True):
        if b > a:
            sums[np.searchsorted(begins, a, side="right") - 1] += score
    return sums


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scores above a negative; equal scores count half.

    >>> auc([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
    0.875

    Args:
        scores: (N,).
        labels: (N,) 1 for positive.

    Raises:
        ValueError: labels of one kind only, or scores that are no numbers.
    """
    return float(_aucs(scores, labels, np.ones((1, len(np.asarray(labels)))))[0])


def _aucs(scores: ArrayLike, labels: ArrayLike, weights: NDArray[Any]) -> NDArray[Any]:
    """(R,) AUC under each row of weights (R, N); NaN where only one label has weight."""
    x, positive = np.asarray(scores, dtype=float), np.asarray(labels) == 1
    if positive.all() or not positive.any() or not np.isfinite(x).all():
        raise ValueError(
            f"an AUC needs finite scores and both labels, not {int(positive.sum())} positives among {len(x)} labels"
        )
    order = np.argsort(x, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(x[order]) > 0])  # where each value begins
    ordered = weights[:, order]  # (R, N)
    right = np.add.reduceat(ordered * positive[order], first, axis=1)  # (R, values)
    wrong = np.add.reduceat(ordered * ~positive[order], first, axis=1)
    below = wrong.cumsum(1) - wrong / 2
    total = right.sum(1) * wrong.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: NDArray[Any] = (right * below).sum(1) / total
    return areas


def people_auc(rows: pd.DataFrame, *columns: str, resamples: int = 2000, seed: int = 0) -> list[Interval]:
    """AUC of each column against the labels, with its bootstrap interval over sentences; of two, their difference too.

    Args:
        rows: of ``people_rows``, of one kind.
        columns: cells; only rows that all of them have count.
        resamples: bootstrap samples, the same for all columns.
        seed: of the resampling.

    Returns:
        an ``Interval`` for each column (n is the number of sentences); behind two of them the first minus the second,
        as a ``Difference`` with p of a normal distribution with the bootstrap's deviation.

    Raises:
        ValueError: no rows in common, or labels of one kind only.
    """
    shared = rows.dropna(subset=list(columns))
    sentence, ids = pd.factorize(shared["id"])
    values = np.array([_aucs(shared[c], shared["label"], np.ones((1, len(shared))))[0] for c in columns])
    generator, drawn = np.random.default_rng(seed), []
    for a in range(0, resamples, _CHUNK):
        counts = generator.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=min(_CHUNK, resamples - a))
        drawn.append(np.stack([_aucs(shared[c], shared["label"], counts[:, sentence]) for c in columns], axis=1))
    samples = np.concatenate(drawn)  # (R, columns)

    def bounds(x: NDArray[Any]) -> tuple[float, float]:
        low, high = np.nanquantile(x, [0.025, 0.975])
        return float(low), float(high)

    intervals = [Interval(float(v), *bounds(s), len(ids)) for v, s in zip(values, samples.T, strict=True)]
    if len(columns) == 2:
        difference, spread = float(values[0] - values[1]), float(np.nanstd(samples[:, 0] - samples[:, 1], ddof=1))
        p = math.erfc(abs(difference) / spread / math.sqrt(2)) if spread else float(difference == 0)
        intervals.append(Difference(difference, *bounds(samples[:, 0] - samples[:, 1]), len(ids), p, p))
    return intervals


def people_rows(*, folder: Path | None = None) -> pd.DataFrame:
    """Recorded agreement: labels of words and phrases beside scores, without the texts.

    Returns:
        one row an occurrence: id (of the sentence), kind ("word", "negation", "conjunction"), start, words, label
        (1 positive), known (how many of its words have a label of their own) and their mean in ``alone`` (NaN for
        none), and a column for each cell, its score towards the positive class, NaN where that was not recorded.

    Raises:
        FileNotFoundError: nothing was recorded.
        ValueError: a damaged file.
    """
    file = (folder or results_folder()) / "people" / "sst2" / "agreement.parquet"
    if not file.exists():
        raise FileNotFoundError("no agreement with people is recorded; record it with: scripts/record_people.py")
    record = whole_record(file)
    if record is None:
        raise ValueError(f"{file} or its card is damaged; record it again with: scripts/record_people.py")
    return record[0]


def people_questions(rows: pd.DataFrame) -> pd.DataFrame:
    """The registered claims about people, answered as the docket answers its own.

    Args:
        rows: of ``people_rows``.

    Returns:
        a row a question: claim, dataset, baseline, metric, n (sentences), occurrences, positives, difference, margin,
        why, outcome.
    """
    lines: list[dict[str, Any]] = []
    for claim in (c for c in claims().values() if c.margins):
        lines += [_asked(claim, baseline, metric, rows) for baseline in claim.baselines for metric in claim.metrics]
    return decided(lines)


def _asked(claim: Claim, baseline: str, metric: str, rows: pd.DataFrame) -> dict[str, Any]:
    line: dict[str, Any] = {"claim": claim.name, "dataset": "sst2", "baseline": baseline, "metric": metric}
    line |= {"n": 0, "occurrences": 0, "positives": 0, "difference": None, "margin": claim.margins[metric]}
    line |= {"why": "", "outcome": OPEN}
    columns = [f"{variant}-{baseline}-{claim.protocol}" for variant in (claim.one, claim.other)]
    if not set(columns) <= set(rows):
        return line | {"why": "not recorded"}
    own = rows[rows["kind"] == metric.removesuffix("_auc")].dropna(subset=columns)
    line |= {"occurrences": len(own), "positives": int((own["label"] == 1).sum()), "n": own["id"].nunique()}
    if own["label"].nunique() < 2:
        return line | {"why": "labels of one kind only"}
    few = f"fewer than {rule().examples} texts" if line["n"] < rule().examples else ""
    return line | {"difference": people_auc(own, *columns)[-1], "why": few}
