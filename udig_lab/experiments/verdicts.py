"""Registered claims on trial: questions to recorded rows, their outcomes, and what they make of a claim.

Nothing here is a choice of the day: ``claims.toml`` holds the questions and the rule, and this file carries them out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from udig_lab.experiments.claims import Claim, Rule, claims, registered_claims, rule
from udig_lab.experiments.rows import aligned, under
from udig_lab.experiments.tables import better
from udig_lab.faithfulness.statistics import Difference, holm, paired

BETTER, WORSE = "better", "worse"
EQUAL, OPEN, DEPENDS = "no difference that matters", "not decided", "depends"
HOLDS, CONTRADICTED = "holds", "is contradicted"
_SATURATED = (0.98, 0.90)  # of the probability, of the examples: see the registered rule
_SETTING = ("dataset", "baseline", "variant")


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


def together(outcomes: Sequence[str]) -> str:
    """The one vote of a setting's correlated metrics.

    >>> together(["better", "not decided"]), together(["better", "worse"])
    ('better', 'depends')
    """
    sides = {o for o in outcomes if o in (BETTER, WORSE)}
    if len(sides) == 2:
        return DEPENDS
    if sides:
        return sides.pop()
    return EQUAL if outcomes and set(outcomes) == {EQUAL} else OPEN


def verdict(votes: Sequence[str], expected: str = BETTER) -> str:
    """What the settings' votes make of a claim.

    >>> verdict(["better", "better", "not decided"]), verdict(["worse", "worse", "not decided"])
    ('holds', 'is contradicted')

    Args:
        votes: of ``together``, one for each setting.
        expected: what the claim says: "better", or "no difference that matters".
    """
    count, half = Counter(votes), len(votes) / 2
    if count[DEPENDS] or (count[BETTER] and count[WORSE]):
        return DEPENDS if expected == BETTER else CONTRADICTED
    if expected == EQUAL:
        if count[EQUAL] > half and not count[BETTER] + count[WORSE]:
            return HOLDS
        return CONTRADICTED if count[BETTER] + count[WORSE] > half else OPEN
    if count[BETTER] > half:
        return HOLDS
    if count[WORSE] > half:
        return CONTRADICTED
    return EQUAL if count[EQUAL] > half and not count[BETTER] + count[WORSE] else OPEN


def docket(rows: Mapping[str, pd.DataFrame], cards: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """Every question of every registered claim, answered.

    Args:
        rows: recorded rows by data set; of SQuAD, those of one output.
        cards: of the same data sets, to tell which rows are older than their claim.

    Returns:
        a row a question: claim, dataset, baseline, variant (where a baseline is asked about), metric, n, difference
        (``Difference``, positive where the first is better; None without rows), margin, before (whether some of the
        rows were recorded before the claim was registered), why (a word where nothing can be decided), outcome.
    """
    registered, the_rule = registered_claims(), rule()
    made = {(d, card["name"]): set((card.get("claims") or {}).items()) for d, own in cards.items() for card in own}
    lines: list[dict[str, Any]] = []
    for claim in claims().values():
        for dataset in claim.datasets:
            for place, pair in _sides(claim, rows.get(dataset)):
                entry = claim.name, registered[claim.name]
                cells = {c for part in pair for c in part["cell"]}
                before = any(entry not in made.get((dataset, cell), set()) for cell in cells)
                for metric in claim.metrics:
                    line = {"claim": claim.name, "dataset": dataset, **place, "metric": metric, "before": before}
                    lines.append(line | _asked(pair, metric, the_rule))
    asked = [line for line in lines if line["difference"] is not None]
    for line, difference in zip(asked, holm([line["difference"] for line in asked]), strict=True):
        line["difference"] = difference
        if not line["why"]:
            line["outcome"] = outcome(difference, line["margin"], the_rule.examples)
    return pd.DataFrame(lines)


def verdicts(questions: pd.DataFrame) -> pd.DataFrame:
    """A line a claim: its verdict, and how many of its settings say what.

    Args:
        questions: of ``docket``.
    """
    lines: dict[str, dict[str, Any]] = {}
    known = claims()
    for name, part in questions.groupby("claim", sort=False):
        settings = part.groupby(list(_SETTING), sort=False)["outcome"].agg(lambda answers: together(list(answers)))
        count = Counter(settings)
        own = known[str(name)]
        lines[str(name)] = {
            "verdict": verdict(list(settings), own.expected),
            **{word: count[word] for word in (BETTER, WORSE, EQUAL, DEPENDS, OPEN)},
            "examples": _range(part["n"]),
            "before registration": bool(part["before"].all()),
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("claim")


def _sides(
    claim: Claim, rows: pd.DataFrame | None
) -> Iterator[tuple[dict[str, Any], tuple[pd.DataFrame, pd.DataFrame]]]:
    """Where a claim is asked on a data set, and the rows of both sides on the examples that both have."""
    empty = pd.DataFrame({"id": [], "cell": []})
    known = None if rows is None else under(rows, protocol=claim.protocol, defaults=True)
    places: list[dict[str, Any]]
    if claim.of == "variant":
        places = [{"baseline": baseline, "variant": ""} for baseline in claim.baselines]
    else:
        places = [{"baseline": "", "variant": variant} for variant in claim.variants]
    for place in places:
        if known is None:
            yield place, (empty, empty)
            continue
        if claim.of == "variant":
            parts = [under(known[known["variant"] == v], baseline=place["baseline"]) for v in (claim.one, claim.other)]
        else:
            own = known[known["variant"] == place["variant"]]
            parts = [own[own[claim.of] == value] for value in (claim.one, claim.other)]
        one, other = aligned(*parts)
        yield place, (one, other)


def _asked(pair: tuple[pd.DataFrame, pd.DataFrame], metric: str, the_rule: Rule) -> dict[str, Any]:
    """A question's difference, and why it cannot be decided, if so."""
    one, other = pair
    line: dict[str, Any] = {"n": len(one), "difference": None, "margin": the_rule.margin(metric)}
    line |= {"why": "", "outcome": OPEN}
    if not len(one):
        return line | {"why": "not recorded"}
    sign = better(metric)
    line["difference"] = paired(sign * one[metric], sign * other[metric])
    if len(one) < the_rule.examples:
        line["why"] = f"fewer than {the_rule.examples} texts"
    elif metric.startswith("comprehensiveness") and any(map(_saturated(metric), pair)):
        line["why"] = "saturated"
    return line


def _saturated(metric: str) -> Callable[[pd.DataFrame], bool]:
    taken, texts = _SATURATED
    return lambda part: float((part[metric] / part["probability"] > taken).mean()) > texts


def _range(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
