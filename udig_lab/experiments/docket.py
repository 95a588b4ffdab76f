"""Registered claims as questions to recorded rows, and how each question ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from udig_lab.experiments.claims import CLAIM, Claim, Judge, claims, registered_claims, replaced, rule
from udig_lab.experiments.naming import title
from udig_lab.experiments.rows import aligned, under
from udig_lab.experiments.tables import better
from udig_lab.faithfulness.statistics import Difference, holm, paired

BETTER, WORSE = "better", "worse"
EQUAL, OPEN = "no difference that matters", "not decided"
SETTING = ["dataset", "where"]  # whose metrics have one vote
_SATURATED = (0.98, 0.90)  # of the probability, of the examples: see the registered rule
_Pair = tuple[pd.DataFrame, pd.DataFrame]
_Cards = Mapping[str, Sequence[Mapping[str, Any]]]


def docket(
    rows: Mapping[str, pd.DataFrame], cards: _Cards, judge: Judge | None = None, *, kind: str = CLAIM
) -> pd.DataFrame:
    """Every question of every registered claim or hypothesis, answered; one correction for all of a kind.

    Claims that bring margins of their own are left out: they are asked of other rows (``people``). So are those in
    whose place a newer entry asks the same: a question that was registered twice is one question.

    Args:
        rows: recorded rows by data set; of SQuAD, those of one output.
        cards: of the same data sets, to tell which rows are older than their claim.
        judge: who asks for other metrics than the claims; the rows are of its profile. What it cannot be asked is
            left out: claims without a metric that it knows, and, where it judges by another model, data sets that
            were not recorded with it and the published protocol, which reads a model as nobody trained it.
        kind: "claim" or "hypothesis".

    Returns:
        a row for each question: claim, dataset, where (the baseline, or the method whose baselines are compared),
        metric, n, difference (``Difference``, positive where the first is better, corrected for all that could be
        asked; None without rows), margin, before (whether some of the rows are older than the claim), why (a word
        where nothing can be decided), outcome.

    Raises:
        ValueError: rows that were recorded under another registration: one of their claims was edited since.
    """
    made = {(d, card["name"]): _stood(card, d) for d, own in cards.items() for card in own}
    lines = []
    elsewhere = judge is not None and judge.profile != "lab"
    for claim in _of_models(kind):
        if elsewhere and claim.protocol != "corrected":
            continue
        for dataset in claim.datasets if not elsewhere else [d for d in claim.datasets if d in rows]:
            for where, pair in _sides(claim, rows.get(dataset)):
                before = not all(_entry(claim) in made.get((dataset, cell), set()) for cell in _cells(pair))
                for metric in _asked_for(claim, judge):
                    line = {"claim": claim.name, "dataset": dataset, "where": where, "metric": metric}
                    lines.append(line | {"before": before} | _answer(pair, metric, _margin(metric, judge)))
    return decided(lines)


def planted_docket(
    rows: pd.DataFrame, cards: Sequence[Mapping[str, Any]], judge: Judge, *, kind: str = CLAIM
) -> pd.DataFrame:
    """The claims about methods, put to models of which it is known which tokens decide.

    Args:
        rows: dataset, kind (of shortcut), seed (of the training), id, variant, and the judge's metric.
        cards: of these rows.
        judge: the registered one.
        kind: as for ``docket``.

    Returns:
        as ``docket``; ``where`` is the kind of shortcut, and an example is a text with its mean over the seeds that
        both methods were recorded with.

    Raises:
        ValueError: as ``docket``.
    """
    stood: dict[str, set[tuple[str, str]]] = {}  # by data set, when all of its rows were made
    for card in cards:
        name, own = card["cell"]["dataset"], _stood(card, "planted shortcuts")
        stood[name] = stood.get(name, own) & own
    metrics = sorted(set(judge.metrics.values()))
    lines = []
    for claim in _of_models(kind):
        if claim.of != "variant" or claim.protocol != "corrected" or not set(claim.metrics) & set(judge.metrics):
            continue
        for (dataset, shortcut), part in rows.groupby(["dataset", "kind"], sort=False):
            pair = _by_text(part, (claim.one, claim.other), metrics)
            for metric in metrics:
                line = {"claim": claim.name, "dataset": dataset, "where": str(shortcut), "metric": metric}
                line |= {"before": _entry(claim) not in stood.get(str(dataset), set())}
                lines.append(line | _answer(pair, metric, _margin(metric, judge)))
    return decided(lines)


def _by_text(rows: pd.DataFrame, variants: tuple[str, str], metrics: Sequence[str]) -> _Pair:
    """The rows of two methods on the texts and training seeds that both have: a text's means over these seeds."""
    sides = [rows[rows["variant"] == v] for v in variants]
    seeds = set.intersection(*(set(side["seed"]) for side in sides))
    shared = [side[side["seed"].isin(seeds)].groupby("id", as_index=False, sort=False) for side in sides]
    one, other = (texts[list(metrics)].mean() for texts in shared)
    return aligned(one, other)


def outcome(difference: Difference, margin: float, least: int) -> str:
    """How a question ends: whatever side it falls to, the same is asked of it.

    >>> outcome(Difference(0.001, -0.01, 0.012, 500, 0.8, 1.0), margin=0.02, least=64)
    'no difference that matters'

    Args:
        difference: paired, positive where the first is better, corrected for the docket.
        margin: the smallest difference that matters.
        least: examples below which nothing is decided.
    """
    if difference.n < least:
        return OPEN
    if max(abs(difference.low), abs(difference.high)) < margin:
        return EQUAL
    if difference.shown:
        return BETTER if difference.mean > 0 else WORSE
    return OPEN


def _sides(claim: Claim, rows: pd.DataFrame | None) -> Iterator[tuple[str, _Pair]]:
    """Where a claim is asked on a data set, and the rows of both sides on the examples that both have."""
    known = None if rows is None else under(rows, protocol=claim.protocol, defaults=claim.of != "cell")
    empty = pd.DataFrame({"id": [], "cell": []})
    for place in claim.variants or claim.baselines:
        where = title(place) if claim.variants else f"[{place.upper()}]"
        if known is None:
            yield where, (empty, empty)
        elif claim.of == "cell":
            names = [f"{settings}-{place}-{claim.protocol}" for settings in (claim.one, claim.other)]
            yield where, aligned(*(known[known["cell"] == name] for name in names))
        elif claim.of == "variant":
            here = under(known, baseline=place)  # with IG2's, which takes none: its path has an end of its own
            yield where, aligned(*(here[here["variant"] == v] for v in (claim.one, claim.other)))
        else:
            here = known[known["variant"] == place]
            yield where, aligned(*(here[here[claim.of] == value] for value in (claim.one, claim.other)))


def _answer(pair: _Pair, metric: str, margin: float) -> dict[str, Any]:
    """A question's difference, and why it cannot be decided, if so."""
    one, other = pair
    line: dict[str, Any] = {"n": len(one), "difference": None, "margin": margin, "why": "", "outcome": OPEN}
    if not len(one):
        return line | {"why": "not recorded"}
    sign = better(metric)
    line["difference"] = paired(sign * one[metric], sign * other[metric])
    if len(one) < rule().examples:
        line["why"] = f"fewer than {rule().examples} texts"
    elif metric.startswith("comprehensiveness") and any(map(_saturated(metric), pair)):
        line["why"] = "saturated"
    return line


def decided(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """One correction (Holm) for all that was asked, then the outcomes; a line that says why not stays not decided."""
    asked = [line for line in lines if line["difference"] is not None]
    for line, difference in zip(asked, holm([line["difference"] for line in asked]), strict=True):
        line["difference"] = difference
        if not line["why"]:
            line["outcome"] = outcome(difference, line["margin"], rule().examples)
            line["why"] = "" if line["outcome"] != OPEN else _unshown(difference)
    return pd.DataFrame(lines)


def _unshown(difference: Difference) -> str:
    inside = difference.low <= 0 <= difference.high
    return "interval contains zero" if inside else "not shown after the correction"


def _of_models(kind: str) -> list[Claim]:
    """Claims that are asked, but for those that bring margins of their own: these are asked of people."""
    gone = replaced()
    return [c for name, c in claims().items() if c.kind == kind and not c.margins and name not in gone]


def _asked_for(claim: Claim, judge: Judge | None) -> list[str]:
    if judge is None:
        return list(claim.metrics)
    return [judge.metrics[m] for m in claim.metrics if m in judge.metrics]


def _margin(metric: str, judge: Judge | None) -> float:
    own = judge.margins if judge else {}
    return own[metric] if metric in own else rule().margin(metric)


def _saturated(metric: str) -> Callable[[pd.DataFrame], bool]:
    taken, texts = _SATURATED
    return lambda part: float((part[metric] / part["probability"] > taken).mean()) > texts


def _cells(pair: _Pair) -> set[str]:
    return {str(cell) for part in pair for cell in part["cell"]}


def _entry(claim: Claim) -> tuple[str, str]:
    return claim.name, registered_claims()[claim.name]


def _stood(card: Mapping[str, Any], where: str) -> set[tuple[str, str]]:
    """Claims that were registered when the card's rows were made."""
    entries: dict[str, str] = card.get("claims") or {}
    registered = registered_claims()
    if edited := [name for name, digest in entries.items() if registered.get(name, digest) != digest]:
        raise ValueError(
            f"rows of {where} ({card.get('name')}) were recorded under another registration of {edited[0]}; put "
            "its entry in claims.toml back as it was, and register the new one under a name of its own"
        )
    return set(entries.items())
