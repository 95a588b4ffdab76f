"""Anchor words: which rows of the embedding table a path through words visits.

UDIG looks for them near evenly spaced points of the straight line, DIG among the neighbours of the last anchor. Both
let candidates compete for the one that needs the least bending to keep the path monotone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding

from udig_lab.model.vocabulary import Vocabulary
from udig_lab.paths import monotone, upscale

STRATEGIES = ("greedy", "maxcount")
CANDIDATES = ("all", "tokens", "words")
BASELINE_ANCHOR = -1  # stands for the baseline in a list of anchors, when no candidate row was left

# Tokens whose anchors are chosen together: 32 x 50 candidates x 384 numbers is 2.4 MB, which stays in cache.
_BLOCK = 32
_POINTS = 32  # points of their segments that are looked at together: so memory does not grow with n_steps


def udig_anchors(
    vocabulary: Vocabulary,
    token_ids: Tensor,
    baseline: Tensor,
    *,
    baseline_ids: Tensor | None = None,
    n_steps: int,
    n_neighbors: int,
    strategy: str,
    candidates: str = "all",
) -> Tensor:
    """Anchor words of UDIG: near evenly spaced points of the straight line (Sinha Roy & Kundu 2024, §3).

    The m points are visited from the word to the baseline. At each, the nearest ``n_neighbors`` rows compete, without
    those already used and without the baseline's own row.

    Args:
        vocabulary: the embedding table.
        token_ids: (T,) the words.
        baseline: (T, D) where each path ends, or (1, D) for all.
        baseline_ids: (T,) rows that are baselines and therefore no candidates; None when the baseline is no row.
        n_steps: m, the number of interpolation points.
        n_neighbors: candidates per point.
        strategy: "greedy" (smallest change needed to be monotone) or "maxcount" (most monotone coordinates).
        candidates: "all" rows with a token, "tokens" (special ones among the nearest are passed over), or "words" (no
            special, unused or non-Latin rows).

    Returns:
        (T, m + 1) int64: the word itself, then its anchors; ``BASELINE_ANCHOR`` where no candidate was left.

    Raises:
        ValueError: an unknown strategy or kind of candidates, a number below 1, or too small a vocabulary.
    """
    _check(strategy, n_steps, n_neighbors)
    positions = torch.arange(n_steps, 0, -1, dtype=torch.float64) / (n_steps + 1)  # from the word's side
    allowed = allowed_rows(vocabulary, candidates)
    table = vocabulary.table
    special = special_rows(vocabulary, candidates).expand(len(token_ids), -1)
    barred = torch.cat([token_ids[:, None], special], dim=1)
    if baseline_ids is not None:
        barred = torch.cat([barred, baseline_ids[:, None]], dim=1)
    anchors = torch.empty(len(token_ids), n_steps + 1, dtype=torch.int64, device=table.device)
    anchors[:, 0] = token_ids
    for a in range(0, len(token_ids), _BLOCK):  # blocks that fit the cache; tokens are independent
        block = slice(a, a + _BLOCK)
        ids, start = token_ids[block], baseline if len(baseline) == 1 else baseline[block]
        near = (
            rows
            for part in torch.split(positions, _POINTS)
            for rows in vocabulary.nearest_on_segments(start, table[ids], part, n_neighbors, allowed).unbind(1)
        )
        _choose(table, start.expand(len(ids), -1), near, Visited(len(table), barred[block]), strategy, anchors[block])
    return anchors


def _choose(
    table: Tensor, baseline: Tensor, near: Iterable[Tensor], visited: Visited, strategy: str, anchors: Tensor
) -> None:
    """Walk from word to baseline, taking the best candidate at every step.

    Shapes (V, D), (b, D), m times (b, k); anchors is (b, m + 1), the words first, and filled.
    """
    m = anchors.shape[1] - 1
    current = table[anchors[:, 0]]  # (b, D)
    for step, rows in enumerate(near, 1):  # sequential by definition: candidates compete with respect to the last one
        cost = COSTS[strategy](embedding(rows, table), current, baseline, m)  # (b, k)
        best, index = cost.masked_fill(visited.among(rows), torch.inf).min(-1)
        none_left = best.isinf()  # (b,)
        anchor = rows.gather(1, index[:, None])[:, 0].masked_fill(none_left, BASELINE_ANCHOR)
        current = torch.where(none_left[:, None], baseline, table[anchor])
        visited.add(anchor)
        anchors[:, step] = anchor


class Visited:
    """Which of V rows each of b walks may not visit (again): one truth value each, however long the walk.

    Args:
        rows: V.
        barred: (b, n) rows that count as visited from the start.
    """

    def __init__(self, rows: int, barred: Tensor):
        self._seen = torch.zeros(len(barred), rows + 1, dtype=torch.bool, device=barred.device)
        self._seen.scatter_(1, barred, True)

    def among(self, rows: Tensor) -> Tensor:
        """(b, k) bool: which of these rows."""
        return self._seen.gather(1, rows % self._seen.shape[1])

    def add(self, rows: Tensor) -> None:
        """One more row (b,) each; ``BASELINE_ANCHOR`` is the last column."""
        self._seen.scatter_(1, rows[:, None] % self._seen.shape[1], True)


def _greedy_cost(candidate: Tensor, current: Tensor, baseline: Tensor, m: int) -> Tensor:
    """(b, k) squared distance from each candidate (b, k, D) to its own monotone version."""
    bent = (current - (current - baseline) / m)[:, None]  # (b, 1, D) where non-monotone coordinates are sent
    change = (candidate - bent).mul_(_outside(candidate, current, baseline))  # (b, k, D)
    cost: Tensor = torch.linalg.vecdot(change, change)
    return cost


def _maxcount_cost(candidate: Tensor, current: Tensor, baseline: Tensor, m: int) -> Tensor:
    """(b, k) fewer monotone coordinates cost more; equal counts go to the nearer candidate, which comes first."""
    outside = _outside(candidate, current, baseline)
    k = candidate.shape[1]
    cost: Tensor = torch.linalg.vecdot(outside, outside) * k + torch.arange(k, device=candidate.device)
    return cost


def _outside(candidate: Tensor, current: Tensor, baseline: Tensor) -> Tensor:
    """(b, k, D): ±1 where a coordinate does not lie between current and baseline, else 0.

    Numbers, not truth values: multiplying by them is ten times faster here than masking.
    """
    low, high = torch.minimum(current, baseline)[:, None], torch.maximum(current, baseline)[:, None]
    return (candidate - candidate.clamp(low, high)).sign_()


COSTS = {"greedy": _greedy_cost, "maxcount": _maxcount_cost}


def allowed_rows(vocabulary: Vocabulary, candidates: str) -> Tensor | None:
    """(V,) bool: the rows a kind of candidates admits; None for all.

    A row without a token (a table padded beyond its tokenizer) and a row that was added to a finished vocabulary never
    compete: neither was trained with the others.

    Raises:
        ValueError: an unknown kind.
    """
    if candidates not in CANDIDATES:
        raise ValueError(f"unknown candidates {candidates!r}; choose one of {', '.join(CANDIDATES)}")
    return vocabulary.words if candidates == "words" else vocabulary.own


def special_rows(vocabulary: Vocabulary, candidates: str) -> Tensor:
    """(S,) special rows that may not be visited: they are passed over, as rows are that were visited before.

    They still count among the nearest, so that a walk that meets none of them is the same with and without them.
    """
    barred = [row for row in vocabulary.special_ids if row < len(vocabulary)] if candidates == "tokens" else []
    return torch.tensor(barred, dtype=torch.int64, device=vocabulary.table.device)


def _check(strategy: str, n_steps: int, n_neighbors: int) -> None:
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}")
    if n_steps < 1 or n_neighbors < 1:
        raise ValueError(f"n_steps and n_neighbors must be at least 1, not {n_steps} and {n_neighbors}")


@dataclass
class AnchorSearch:
    """Anchors for one baseline row and one setting, remembered per word.

    A word's path depends on nothing but the word, the baseline and the settings, so a whole data set needs each
    word's search once.

    Attributes:
        vocabulary: the embedding table.
        baseline: (D,) where every path ends.
        baseline_id: its row, if it is one.
        n_steps, n_neighbors, strategy, candidates: see ``udig_anchors``.
    """

    vocabulary: Vocabulary
    baseline: Tensor
    baseline_id: int | None
    n_steps: int
    n_neighbors: int
    strategy: str
    candidates: str

    def __post_init__(self) -> None:
        _check(self.strategy, self.n_steps, self.n_neighbors)
        self.allowed = allowed_rows(self.vocabulary, self.candidates)
        self._known: dict[int, Tensor] = {}

    def _search(self, token_ids: Tensor) -> Tensor:
        """Anchors (T, m + 1) of words (T,) that were not searched for before."""
        raise NotImplementedError

    def unseen(self, token_ids: Tensor) -> list[int]:
        """Those of some words that were not searched for yet, each once."""
        return sorted(set(token_ids.tolist()) - self._known.keys())

    def anchors(self, token_ids: Tensor, steps: slice = slice(None)) -> Tensor:
        """Anchors (T, m + 1) of the words (T,), or some columns; unseen words are searched for together."""
        new = self.unseen(token_ids)
        if new:
            # With many steps, these numbers are what an explanation holds the most of.
            anchors = self._search(torch.tensor(new, device=token_ids.device)).int()
            self._known.update(zip(new, anchors, strict=True))
        return torch.stack([self._known[i][steps] for i in token_ids.tolist()]).long()

    def vertices(self, token_ids: Tensor, factor: int) -> Tensor:
        """Monotone paths (2^factor (m+1) + 1, T, D) of the words (T,), baseline first."""
        anchors = self.anchors(token_ids)  # (T, m+1)
        missing = (anchors == BASELINE_ANCHOR)[..., None]
        rows = torch.where(missing, self.baseline, self.vocabulary.table[anchors])  # (T, m+1, D)
        return upscale(monotone(rows, self.baseline), factor).transpose(0, 1)


class UdigSearch(AnchorSearch):
    """UDIG's anchors, remembered per word."""

    def _search(self, token_ids: Tensor) -> Tensor:
        return udig_anchors(
            self.vocabulary,
            token_ids,
            self.baseline[None],
            baseline_ids=None if self.baseline_id is None else torch.full_like(token_ids, self.baseline_id),
            n_steps=self.n_steps,
            n_neighbors=self.n_neighbors,
            strategy=self.strategy,
            candidates=self.candidates,
        )
