"""The embedding table as a space: which rows lie near a segment, and which rows are words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

# Letters with optional inner apostrophes or hyphens, or a number; one leading "##", "Ġ" or "▁".
_WORD = re.compile(r"(##|[Ġ▁])?([A-Za-z]+(['’-][A-Za-z]+)*|[0-9]+)")

# These only set the speed. Points in one product with the table; points whose distances to all rows are compared at
# once (2 MB with the BERT table, which stays in cache); and rows that are looked at closely for a segment, as a
# multiple of the k that are wanted: with k = 50, no word tried had more than 2,100 rows near its segment.
_PRODUCT = 256
_BLOCK = 16
_SHORTLIST = 48


class Vocabulary:
    """The rows of an embedding table, with the names of their tokens.

    >>> table = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> words = Vocabulary(table, ["[PAD]", "good", "##ly"], special_ids=[0])
    >>> words.kinds, words.words.tolist()
    (('special', 'word', 'piece'), [False, True, True])
    >>> words.nearest(torch.tensor([[0.1, 1.5]]), 2).tolist()
    [[2, 0]]
    >>> near = words.nearest_on_segments(table[:1], table[2:], torch.tensor([0.25, 0.75]), 1)
    >>> near[0, :, 0].tolist()
    [0, 2]

    Args:
        table: (V, D) embedding rows.
        tokens: V names; None when there is no tokenizer (then every row counts as a word).
        special_ids: rows that are never words.
        added_ids: rows that were added to the vocabulary when it was finished.
    """

    def __init__(
        self,
        table: Tensor,
        tokens: Sequence[str] | None = None,
        special_ids: Sequence[int] = (),
        added_ids: Sequence[int] = (),
    ):
        self.table = table.detach()
        self.tokens = tuple(tokens) if tokens is not None else None
        self.special_ids = tuple(special_ids)
        self.added_ids = tuple(added_ids)
        # Anchors found so far, by search settings: see methods.anchors.AnchorSearch.
        self.searches: dict[tuple[object, ...], object] = {}

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def squared_norms(self) -> Tensor:
        """(V,) squared length of every row."""
        return (self.table * self.table).sum(-1)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """V labels: "word", "piece" (##ing), "number", "unused", "special" or "other" (signs, other scripts)."""
        if self.tokens is None:
            return ("word",) * len(self)
        return tuple(self._kind(row, token) for row, token in enumerate(self.tokens))

    def _kind(self, row: int, token: str) -> str:
        if re.fullmatch(r"\[unused\d+\]", token):
            return "unused"
        if row in self.special_ids:
            return "special"
        if not _WORD.fullmatch(token):
            return "other"
        if token.startswith("##"):
            return "piece"
        return "number" if token.lstrip("Ġ▁").isdigit() else "word"

    @cached_property
    def words(self) -> Tensor:
        """(V,) bool: rows a reader would call words or word pieces in Latin script, or numbers."""
        return torch.tensor([kind in ("word", "piece", "number") for kind in self.kinds], device=self.table.device)

    @cached_property
    def own(self) -> Tensor | None:
        """(V,) bool: rows with a token of the vocabulary that the model was trained with; None where all are."""
        if self.tokens is None:
            return None
        own = torch.tensor([bool(token) for token in self.tokens], device=self.table.device)
        own[list(self.added_ids)] = False
        return None if bool(own.all()) else own

    def name(self, row: int) -> str:
        """The token of a row."""
        return self.tokens[row] if self.tokens is not None else str(row)

    def nearest(self, points: Tensor, k: int, allowed: Tensor | None = None) -> Tensor:
        """The k rows nearest to each point in Euclidean distance.

        Args:
            points: (n, D).
            k: how many rows.
            allowed: (V,) bool, rows to choose from; None for all.

        Returns:
            (n, k) int64, nearest first.

        Raises:
            ValueError: fewer than k rows to choose from.
        """
        return torch.cat(
            [
                d.topk(k, largest=False, sorted=True).indices
                for d in self._distances(points, self._constant(k, allowed))
            ]
        )

    def _distances(self, points: Tensor, constant: Tensor) -> Iterator[Tensor]:
        """Squared distances (b, V) of points (n, D) to all rows, less the points' own squared lengths, in blocks."""
        for a in range(0, len(points), _PRODUCT):
            distances = torch.addmm(constant, points[a : a + _PRODUCT], self.table.T, alpha=-2)
            for b in range(0, len(distances), _BLOCK):
                yield distances[b : b + _BLOCK]

    def _constant(self, k: int, allowed: Tensor | None) -> Tensor:
        """(V,) what every squared distance to a row begins with; huge for rows that are not allowed.

        Not infinite: between two infinities there is no straight line.
        """
        available = len(self) if allowed is None else int(allowed.sum())
        if k > available:
            raise ValueError(f"{k} neighbours were asked for but the vocabulary offers {available}; lower n_neighbors")
        huge = torch.finfo(self.table.dtype).max / 8
        return self.squared_norms if allowed is None else self.squared_norms.masked_fill(~allowed, huge)

    def nearest_on_segments(
        self, start: Tensor, end: Tensor, positions: Tensor, k: int, allowed: Tensor | None = None
    ) -> Tensor:
        """The k rows nearest to given points of many segments.

        With q(t) = start + t (end - start), |v - q(t)|² = |v|² - 2 [(1-t) v·start + t v·end] + const, and the
        constant does not depend on v: two dot products per row serve every point of a segment. As a function of t
        this is a straight line between its values at both ends, so a row is never nearer than at the better of the
        two outermost points. Rows that are too far by that bound are left out before the points are looked at one by
        one.

        Args:
            start: (T, D) where each segment begins; (1, D) when all begin at the same point.
            end: (T, D) where it ends.
            positions: (m,) values of t, the same for all segments.
            k: how many rows.
            allowed: (V,) bool, rows to choose from; None for all.

        Returns:
            (T, m, k) int64 row numbers, nearest first.

        Raises:
            ValueError: fewer than k rows to choose from.
        """
        constant = self._constant(k, allowed)
        t = positions.to(self.table)[:, None]  # (m, 1)
        size = min(len(self), _SHORTLIST * k)
        at_start = list(self._distances(start, constant))  # one row for all segments, or a row for each
        nearest = []
        for number, at_end in enumerate(self._distances(end, constant)):
            begin = at_start[0] if len(start) == 1 else at_start[number]
            nearest.append(_nearest_of(begin, at_end, t, k, size))  # (b, m, k)
        return torch.cat(nearest)


def _nearest_of(begin: Tensor, end: Tensor, t: Tensor, k: int, size: int) -> Tensor:
    """The k rows with the smallest (1 - t) begin + t end, (b, V) each, at every t: (b, m, k).

    Only the ``size`` rows with the smallest lower bound are compared; all of them when that may have missed one.
    """
    begin = begin.expand_as(end)
    outer = [torch.lerp(begin, end, t[p].item()) for p in (int(t.argmin()), int(t.argmax()))]
    least, rows = torch.minimum(*outer).topk(size, largest=False, sorted=False)  # (b, size)
    distance = torch.lerp(begin.gather(1, rows)[:, None], end.gather(1, rows)[:, None], t)  # (b, m, size)
    nearest, index = distance.topk(k, largest=False, sorted=True)  # (b, m, k)
    if size < end.shape[1] and bool((nearest[..., -1] >= least.amax(1, keepdim=True)).any()):
        return _nearest_of(begin, end, t, k, end.shape[1])
    return rows[:, None].expand(-1, len(t), -1).gather(2, index)
