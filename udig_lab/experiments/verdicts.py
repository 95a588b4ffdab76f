"""What outcomes make of a setting, settings of a claim, and judges of each other.

Nothing here is a choice of the day: ``claims.toml`` holds the rule, and this file carries it out. A question that
falls to the one side is treated like one that falls to the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from udig_lab.experiments.claims import Claim, claims, replaced
from udig_lab.experiments.docket import BETTER, EQUAL, OPEN, SETTING, WORSE
from udig_lab.experiments.naming import DATASET_TITLES, title

DEPENDS, HOLDS, CONTRADICTED = "depends", "holds", "is contradicted"
UNASKED, EMPTY = "not asked", "no rows"


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


def votes(questions: pd.DataFrame) -> pd.Series:
    """The vote of every setting: a series over claim, dataset and where.

    Args:
        questions: of ``docket``.
    """
    settings = questions.groupby(["claim", *SETTING], sort=False)["outcome"]
    return settings.agg(lambda outcomes: together(list(outcomes)))


def verdicts(questions: pd.DataFrame) -> pd.DataFrame:
    """A line for each claim: its verdict, how many of its settings say what, and on what it depends.

    Args:
        questions: of ``docket``.
    """
    lines: dict[str, dict[str, Any]] = {}
    known, cast = claims(), votes(questions)
    for name, part in questions.groupby("claim", sort=False):
        own = cast[name]
        count, recorded = Counter(own), part["n"] > 0
        lines[str(name)] = {
            "verdict": verdict(list(own), known[str(name)].expected),
            **{word: count[word] for word in (BETTER, WORSE, EQUAL, DEPENDS, OPEN)},
            "examples": _range(part["n"]),
            "before registration": bool(recorded.any() and part.loc[recorded, "before"].all()),
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("claim")


def bench(dockets: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Claims down, judges across: what each says; "no rows" where none are recorded, "not asked" where nothing can be.

    Args:
        dockets: of ``docket``, by the judges' names.
    """
    columns = {
        name: verdicts(questions)["verdict"].where(questions.groupby("claim")["n"].max() > 0, EMPTY)
        for name, questions in dockets.items()
    }
    table = pd.DataFrame(columns).reindex([name for name in claims() if any(name in c for c in columns.values())])
    return table.fillna(UNASKED)


def flips(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Settings on which two judges take opposite sides: better for the one and worse for the other.

    A setting counts once for each claim; settings that only one of the two decided are no flips. Claims that two
    methods or baselines are the same are left out: either side speaks against them.

    Args:
        one: questions of ``docket``, as a judge answered them.
        other: of another judge, on settings of the same names.

    Returns:
        claim, dataset, where, and both votes; ``attrs["asked"]`` is how many settings both were asked about, and
        ``attrs["decided"]`` on how many of these both took a side.
    """
    both = pd.concat([votes(one).rename("one"), votes(other).rename("other")], axis=1, join="inner")
    same = [name for name, claim in claims().items() if claim.expected == EQUAL]
    both = both[~both.index.isin(same, level="claim")]
    sided = both[both.isin([BETTER, WORSE]).all(axis=1)]
    turned = sided[sided["one"] != sided["other"]].reset_index()
    turned.attrs |= {"asked": len(both), "decided": len(sided)}
    return turned


def called(claim: Claim) -> str:
    """A claim in words that name its methods.

    >>> from udig_lab.experiments.claims import claim
    >>> called(claim("udig-greedy-ig-published")), called(claim("sig-robust"))
    ('UDIG (greedy) beats IG, as published', 'SIG is the same with [MASK] and [PAD]')
    """
    how = ", as published" if claim.protocol == "as_published" else ""
    if claim.instead_of and claim.instead_of not in replaced():  # the older one is asked elsewhere
        how += f" on {', '.join(DATASET_TITLES[d] for d in claim.datasets)}"
    how += ", say people" if claim.margins else ""
    if claim.of in ("variant", "cell"):
        return f"{_settings(claim.one)} beats {_settings(claim.other)}{how}"
    one, other = f"[{claim.one.upper()}]", f"[{claim.other.upper()}]"
    if claim.expected == BETTER:
        return f"{one} beats {other}{how}"
    return f"{' and '.join(map(title, claim.variants))} is the same with {one} and {other}{how}"


def _settings(cell: str) -> str:
    """The beginning of a cell's name in words: a method, and how many nodes, which such claims are about."""
    variant, *settings = cell.split("-")
    nodes = [part.removeprefix("n_steps=") for part in settings if part.startswith("n_steps=")]
    return title(variant) + (f" ({nodes[0]} nodes)" if nodes else "")


def _range(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
