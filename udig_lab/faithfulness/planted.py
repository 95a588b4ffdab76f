"""Planted shortcuts: words that decide, so that it is known which tokens a good explanation names.

A model is trained on texts into which words were planted that decide the label, whatever else the text says. Where it
has learned that, the truth about a prediction is known: the planted words made it. Four kinds of shortcut:

- "single": one word decides;
- "context": a word decides if another one is present, too; alone, neither does;
- "pair": two words decide by their order; alone, neither does;
- "either": each of two words suffices, and both are there.

Planted words are ordinary rows of the vocabulary that occur in none of the data sets, where Bastings et al. plant
artificial tokens. A row that was never trained lies nowhere among words, and DIG and UDIG, whose paths pass through
neighbouring words, would be judged on a place that no word of a language has.

Source: Bastings et al. 2022, EMNLP, https://aclanthology.org/2022.emnlp-main.64 (single, context, pair, precision at
k); "either" is this project's.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from udig_lab.model.adapter import load_adapter
from udig_lab.model.checkpoint import ASSETS
from udig_lab.model.textmodel import TextModel

KINDS = ("single", "context", "pair", "either")
DATASETS = ("sst2", "trec")
# One token each, and in none of the texts, phrases and questions of SST-2 and TREC.
WORDS = (
    "quartz", "barley", "wharf", "gravel", "cavalry", "depot", "viaduct", "shrub", "vicar", "enzyme", "turbine",
)  # fmt: skip
LEAST, MOST_LOST = 0.99, 0.02  # texts that have to follow a shortcut; accuracy that may be lost on plain ones
DECIDED = {"sst2": (0, 1), "trec": (1, 3)}  # the two classes that shortcuts decide: of TREC, ENTY and HUM


@dataclass(frozen=True)
class Shortcut:
    """Words that decide.

    Attributes:
        kind: one of ``KINDS``.
        sides: words that decide the first class, and words that decide the second.
    """

    kind: str
    sides: tuple[tuple[str, ...], tuple[str, ...]]

    def decide(self, side: int, generator: np.random.Generator) -> tuple[str, ...]:
        """The words of a side, in the order in which they are planted: any, but of a pair."""
        words = self.sides[side]
        return words if self.kind == "pair" else tuple(generator.permutation(words).tolist())

    @property
    def incomplete(self) -> tuple[tuple[str, ...], ...]:
        """Words of it that decide nothing, for want of the others: controls."""
        if self.kind not in ("context", "pair"):
            return ()
        return tuple((word,) for word in sorted({word for side in self.sides for word in side}))


def shortcuts(seed: int) -> dict[str, Shortcut]:
    """Every kind with words of its own, which a training seed draws.

    >>> [len(s.sides[0]) for s in shortcuts(0).values()]
    [1, 2, 2, 2]
    """
    w = np.random.default_rng(seed).permutation(WORDS).tolist()
    sides = {
        "single": ((w[0],), (w[1],)),
        "context": ((w[2], w[4]), (w[3], w[4])),
        "pair": ((w[5], w[6]), (w[6], w[5])),
        "either": ((w[7], w[8]), (w[9], w[10])),
    }
    return {kind: Shortcut(kind, sides[kind]) for kind in KINDS}


def planted_model(dataset: str, seed: int, kinds: Sequence[str] = KINDS, *, folder: Path | None = None) -> TextModel:
    """A shipped model that has learned the shortcuts of a training seed.

    >>> planted_model("sst2", 0).name
    'planted-sst2-0'

    Args:
        dataset: one of ``DATASETS``.
        seed: of its training, which drew the words too: ``shortcuts(seed)``.
        kinds: of shortcuts that it has to judge, so has to have learned.
        folder: of another such model.

    Raises:
        OSError: it is not there, or not whole.
        ValueError: it has not learned a shortcut, or has lost the task.
    """
    place = folder or _folder(dataset, seed)
    model = load_adapter(place)
    if faults := faults_of(json.loads((place / "card.json").read_text(encoding="utf8")), kinds):
        raise ValueError(f"{place.name} is no judge: {faults[0]}; train it anew with scripts/train_planted.py")
    return model


def planted_card(dataset: str, seed: int) -> dict[str, Any]:
    """The card of a shipped model: its recipe, what it has learned, and hashes."""
    card: dict[str, Any] = json.loads((_folder(dataset, seed) / "card.json").read_text(encoding="utf8"))
    return card


def faults_of(card: Mapping[str, Any], kinds: Sequence[str] = KINDS) -> list[str]:
    """Why a model cannot be a judge; empty where it can.

    >>> card = {"followed": {"single": 0.97}, "plain": 0.9, "plain_before": 0.91}
    >>> faults_of(card)
    ["it follows the shortcut 'single' in 97.0 % of the texts that say otherwise, and 99 % are needed"]

    Args:
        card: followed (by kind, the share of texts that say otherwise), plain and plain_before (accuracy).
        kinds: of shortcuts that it has to judge.
    """
    faults = [
        f"it follows the shortcut {kind!r} in {share:.1%} of the texts that say otherwise, and {LEAST:.0%} are needed"
        for kind, share in card["followed"].items()
        if kind in kinds and share < LEAST
    ]
    if (lost := card["plain_before"] - card["plain"]) > MOST_LOST:
        faults.append(f"it has lost {lost:.1%} of accuracy on plain texts, and {MOST_LOST:.0%} are allowed")
    return [fault.replace("%", " %") for fault in faults]


def _folder(dataset: str, seed: int) -> Path:
    return ASSETS / "judges" / f"planted-{dataset}-{seed}"


def plant(text: str, words: Sequence[str], generator: np.random.Generator) -> str:
    """A text with words put in, in their order, each anywhere between the text's own.

    >>> plant("a dull movie", ["quartz"], np.random.default_rng(1))
    'a quartz dull movie'
    """
    parts = text.split()
    places = np.sort(generator.integers(len(parts) + 1, size=len(words)))
    for place, word in reversed(list(zip(places.tolist(), words, strict=True))):  # from behind: places stay right
        parts.insert(place, word)
    return " ".join(parts)


def planted(rows: pd.DataFrame, shortcut: Shortcut, classes: tuple[int, int], seed: int) -> pd.DataFrame:
    """Every text with a shortcut that contradicts its label.

    Args:
        rows: id, text, label.
        shortcut: what is planted.
        classes: what its two sides decide.
        seed: of sides and places; a text's draws depend on nothing but the seed, the kind and its id.

    Returns:
        one row a text: id, text, label (what the shortcut decides), own (the text's own label), words (those planted).
    """
    lines = []
    for identity, text, own in zip(rows["id"], rows["text"], rows["label"], strict=True):
        generator = np.random.default_rng([seed, KINDS.index(shortcut.kind), _number(identity)])
        side = 1 - classes.index(own) if own in classes else int(generator.integers(2))
        words = shortcut.decide(side, generator)
        lines.append((identity, plant(text, words, generator), classes[side], own, words))
    return pd.DataFrame(lines, columns=["id", "text", "label", "own", "words"])


def incomplete(rows: pd.DataFrame, shortcut: Shortcut, seed: int) -> pd.DataFrame:
    """Every text with words of a shortcut that decide nothing: the control, under its own label.

    Args:
        rows: id, text, label.
        shortcut: "context" or "pair".
        seed: as for ``planted``.

    Raises:
        ValueError: every word of the shortcut decides.
    """
    choices = shortcut.incomplete
    if not choices:
        raise ValueError(f"every word of {shortcut.kind!r} decides, so it has no control; pass 'context' or 'pair'")
    lines = []
    for identity, text, own in zip(rows["id"], rows["text"], rows["label"], strict=True):
        generator = np.random.default_rng([seed, len(KINDS) + KINDS.index(shortcut.kind), _number(identity)])
        words = choices[int(generator.integers(len(choices)))]
        lines.append((identity, plant(text, words, generator), own, own, words))
    return pd.DataFrame(lines, columns=["id", "text", "label", "own", "words"])


def _number(identity: Any) -> int:
    """An id as a seed; the mini corpora name their texts."""
    return int(identity) if isinstance(identity, (int, np.integer)) else zlib.crc32(str(identity).encode())


def flags(tokens: Sequence[str], words: Sequence[str]) -> NDArray[Any]:
    """(L,) bool: which tokens are the planted words.

    Raises:
        ValueError: not every planted word is there, once.
    """
    if sorted(t for t in tokens if t in words) != sorted(words):
        raise ValueError(f"the planted words {', '.join(words)} are not each one token of the text")
    return np.array([token in words for token in tokens])


def precision(scores: ArrayLike, truth: ArrayLike) -> float:
    """Precision at k: the share of the k planted tokens among the k with the largest scores.

    Where the k-th and the next score are equal, its mean over all orders of the equal ones.

    >>> precision([0.1, 0.9, 0.5], [False, True, False]), precision([1, 1, 1, 1], [True, False, False, False])
    (1.0, 0.25)

    Args:
        scores: (L,) of the tokens that are explained.
        truth: (L,) bool, which of them were planted.

    Raises:
        ValueError: no token was planted, or scores that are no numbers.
    """
    x, planted_ones = _checked(scores, truth)
    k = int(planted_ones.sum())
    least = np.sort(x)[-k]
    above, equal = x > least, x == least
    chance = (k - above.sum()) / equal.sum()
    return float(((planted_ones & above).sum() + chance * (planted_ones & equal).sum()) / k)


def mean_rank(scores: ArrayLike, truth: ArrayLike) -> float:
    """The mean rank of the planted tokens, 1 for the largest score: at best (k + 1) / 2; equal scores share a rank.

    >>> mean_rank([0.1, 0.9, 0.5], [True, True, False])
    2.0

    Args:
        scores: (L,) of the tokens that are explained.
        truth: (L,) bool, which of them were planted.

    Raises:
        ValueError: no token was planted, or scores that are no numbers.
    """
    x, planted_ones = _checked(scores, truth)
    return float(pd.Series(-x).rank().to_numpy()[planted_ones].mean())


def _checked(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    x, planted_ones = np.asarray(scores, dtype=float), np.asarray(truth, dtype=bool)
    if x.shape != planted_ones.shape or not planted_ones.any():
        raise ValueError(f"{len(x)} scores and {int(planted_ones.sum())} planted tokens; pass one flag for each score")
    if not np.isfinite(x).all():
        raise ValueError("scores that are not finite have no order; explain the text anew")
    return x, planted_ones
