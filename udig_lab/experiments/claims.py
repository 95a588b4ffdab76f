"""Claims and hypotheses that were registered before rows were recorded, and the rule that decides them."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("claims.toml")
CLAIM, HYPOTHESIS = "claim", "hypothesis"  # of a paper, of this book


@dataclass(frozen=True)
class Claim:
    """What a paper says, as questions to recorded rows.

    Attributes:
        name: its entry in ``claims.toml``.
        paper, source, words: who said it, where, and how.
        one, other: what is compared: two variants, or two values of the column ``of``.
        of: "variant", or another column of recorded rows; "cell" where settings are compared, and ``one`` and
            ``other`` then are cells' names without baseline and protocol.
        variants: methods for which the values of another column are compared.
        datasets, baselines, metrics: every combination is a question.
        protocol: under which the rows were recorded.
        expected: the outcome of a question that speaks for the claim.
        reason: why these questions.
        registered: date of the entry.
        kind: "claim", which a paper makes, or "hypothesis", which this book makes.
        instead_of: the claim for which it asks better questions, where it does; both stand in the file, and the
            older one is asked no more where this one asks on all of its data sets: see ``replaced``.
        margins: smallest differences that matter, of an entry that is asked of other rows than the docket's.
        question: what is asked of them, in words.
    """

    name: str
    paper: str
    source: str
    words: str
    one: str
    other: str
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    protocol: str
    reason: str
    registered: str
    kind: str
    of: str = "variant"
    variants: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    expected: str = "better"
    instead_of: str = ""
    margins: Mapping[str, float] = field(default_factory=dict)
    question: str = ""


@dataclass(frozen=True)
class Judge:
    """Where else the claims' questions are asked.

    Attributes:
        name: its entry in ``claims.toml``, without "judge-".
        words: the judge as it was registered.
        profile: of the rows that it judges by.
        metrics: what each metric of a claim becomes; one that is not among them is not asked.
        margins: the smallest differences that matter, where the rule has none for its metrics.
        reason: why this judge.
    """

    name: str
    words: str
    profile: str
    metrics: dict[str, str]
    reason: str
    margins: dict[str, float]


@dataclass(frozen=True)
class Rule:
    """How questions are answered.

    Attributes:
        words: the rule as it was registered.
        examples: fewer decide nothing.
        margins: the smallest difference that matters, by the beginning of a metric's name.
    """

    words: str
    examples: int
    margins: dict[str, float]

    def margin(self, metric: str) -> float:
        """The smallest difference of a metric that matters.

        Raises:
            ValueError: none is registered.
        """
        for beginning, margin in self.margins.items():
            if metric.removeprefix("aopc_").startswith(beginning):
                return margin
        raise ValueError(f"no margin is registered for {metric!r}; there is one for {', '.join(self.margins)}")


@cache
def registered_claims() -> dict[str, str]:
    """SHA-256 of every entry, by its name; empty as long as none is registered.

    Cards carry those that stood when the rows were made. Keys do not: a claim that is added later touches no row.
    """
    return {
        name: hashlib.sha256(json.dumps(entry, sort_keys=True, default=str).encode()).hexdigest()
        for name, entry in sorted(_entries().items())
    }


def claims() -> dict[str, Claim]:
    """All registered claims and hypotheses, by their names, in the order of their registration."""
    return {name: _claim(name, e) for name, e in _entries().items() if e["kind"] in (CLAIM, HYPOTHESIS)}


def replaced() -> dict[str, str]:
    """Claims that are asked no more -> the newer entry that asks the same two of all their data sets.

    >>> replaced()["dig-greedy-ig"]
    'dig-greedy-ig-abstract'
    """
    known = claims()
    return {
        new.instead_of: name for name, new in known.items() if new.instead_of and _as_wide(new, known[new.instead_of])
    }


def _as_wide(new: Claim, old: Claim) -> bool:
    """Whether nothing that the old entry asked is left without a question of the new one."""
    same = (new.one, new.other, new.of, new.protocol) == (old.one, old.other, old.of, old.protocol)
    wide = set(new.datasets) >= set(old.datasets) and set(new.baselines) >= set(old.baselines)
    return same and wide and set(new.variants) >= set(old.variants)


def claim(name: str) -> Claim:
    """A registered claim.

    >>> claim("dig-greedy-ig").metrics[-1]
    'log_odds_pad_20'

    Raises:
        ValueError: nothing of that name was registered.
    """
    known = claims()
    if name not in known:
        raise ValueError(f"no claim {name!r} is registered, so nothing is decided on it; there are {', '.join(known)}")
    return known[name]


def judge(name: str) -> Judge:
    """A registered judge.

    >>> judge("in-place").metrics["comprehensiveness_20"]
    'comprehensiveness_mask_20'

    Raises:
        ValueError: nothing of that name was registered.
    """
    known = {n.removeprefix("judge-"): e for n, e in _entries().items() if e["kind"] == "judge"}
    if name not in known:
        raise ValueError(f"no judge {name!r} is registered; there are {', '.join(known)}")
    e = known[name]
    return Judge(name, e["words"], e["profile"], e["metrics"], e["reason"], e.get("margins", {}))


def rule() -> Rule:
    """The registered rule.

    >>> rule().margin("log_odds_mask_20")
    0.04
    """
    entry = _entries()["rule"]
    return Rule(entry["words"], entry["examples"], entry["margins"])


def _entries() -> dict[str, dict[str, Any]]:
    return _parsed(_FILE.read_text(encoding="utf8")) if _FILE.is_file() else {}


@cache
def _parsed(text: str) -> dict[str, dict[str, Any]]:
    """What the file holds, parsed once: a docket asks for the rule some two hundred times."""
    return tomllib.loads(text)


def _claim(name: str, entry: dict[str, Any]) -> Claim:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    values |= {"name": name, "registered": str(entry["registered"])}
    return Claim(**values)
