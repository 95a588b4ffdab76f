"""DIG's walk from a word to the baseline, and why it is cheap: it is a walk on one fixed graph.

Which neighbour suits best next to an anchor depends on the anchor, the baseline and the number of steps; not on the
word where the walk began. Only "already visited" does. So the neighbours of an anchor are ranked once, for all words
whose walks come by.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding

from udig_lab.methods.anchors import BASELINE_ANCHOR, COSTS, AnchorSearch, Visited, special_rows

_WALKS = 256  # words that walk together
_RANKED = 2**20  # numbers of ranked neighbours that are remembered: 4 MB, and with 30 steps all rows of BERT's table
_BLOCK = 128  # anchors whose neighbours are looked up in one matrix product
_CANDIDATES = 1024  # candidate rows compared at once: 1024 x 384 numbers stay in cache


class DigSearch(AnchorSearch):
    """Anchor words of DIG: a greedy walk among nearest neighbours (Sanyal & Ren 2021, §3.1).

    From the current anchor, its ``n_neighbors`` nearest rows compete, without itself, without those already visited
    and without the baseline's own row. Attributes as for ``AnchorSearch``; n_steps is m.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        # With the walk's m - 1 other anchors crossed out, one of the m best is always left.
        self._depth = min(self.n_neighbors, self.n_steps)
        rows, size = len(self.vocabulary), max(1, _RANKED // self._depth)
        device = self.vocabulary.table.device
        # One piece of memory for all: the newest take the places of the oldest.
        self._ranks = torch.empty(min(rows, size), self._depth, dtype=torch.int32, device=device)
        self._owner = torch.full((len(self._ranks),), rows, device=device)  # of every place, its row of the table
        self._place = torch.full((rows + 1,), -1, device=device)  # of every row, its place
        self._count = 0
        own = [] if self.baseline_id is None else [self.baseline_id]
        self._barred = torch.cat(
            [special_rows(self.vocabulary, self.candidates), torch.tensor(own, device=device).long()]
        )

    def __len__(self) -> int:
        """How often the neighbours of an anchor have been ranked."""
        return self._count

    def successors(self, rows: Tensor) -> Tensor:
        """The best neighbours (T, depth) of anchors (T,), best first; ``BASELINE_ANCHOR`` where there are no more."""
        best = self._ranks[self._place[rows].clamp(min=0)]
        missing = self._place[rows] < 0
        if bool(missing.any()):
            new, which = torch.unique(rows[missing], return_inverse=True)
            ranked = torch.cat([self._ranked(block) for block in torch.split(new, _BLOCK)])
            best[missing] = ranked[which]
            self._remember(new, ranked)
        return best.long()

    def _remember(self, rows: Tensor, ranked: Tensor) -> None:
        rows, ranked = rows[-len(self._ranks) :], ranked[-len(self._ranks) :]
        places = (self._count + torch.arange(len(rows), device=rows.device)) % len(self._ranks)
        self._place[self._owner[places]] = -1
        self._place[rows], self._owner[places], self._ranks[places] = places, rows, ranked
        self._count += len(rows)

    def _ranked(self, rows: Tensor) -> Tensor:
        table, k = self.vocabulary.table, self.n_neighbors
        near = self.vocabulary.nearest(table[rows], k + 1, self.allowed)  # (b, k+1), the row itself among them, mostly
        itself = near == rows[:, None]
        itself[:, -1] |= ~itself.any(1)  # otherwise the farthest is one too many
        barred = itself | torch.isin(near, self._barred)
        size = max(1, _CANDIDATES // k)
        cost = torch.empty(near.shape, dtype=table.dtype, device=table.device)  # (b, k+1)
        for a in range(0, len(rows), size):  # in blocks that fit the cache
            current = table[rows[a : a + size]]
            candidates = embedding(near[a : a + size], table)
            cost[a : a + size] = COSTS[self.strategy](
                candidates, current, self.baseline.expand_as(current), self.n_steps
            )
        cost = cost.masked_fill_(barred, torch.inf)
        cost, order = cost.sort(dim=1, stable=True)
        ranked = near.gather(1, order).masked_fill(cost.isinf(), BASELINE_ANCHOR)
        return ranked[:, : self._depth].int()

    def _search(self, token_ids: Tensor) -> Tensor:
        walks = torch.empty(len(token_ids), self.n_steps + 1, dtype=torch.int64, device=token_ids.device)
        walks[:, 0] = token_ids
        for walked in torch.split(walks, _WALKS):  # (b, m + 1) each
            visited = Visited(len(self.vocabulary), walked[:, :1])
            for step in range(self.n_steps):  # sequential by definition: the next neighbours are those of the last one
                last = walked[:, step]
                options = self.successors(last.clamp(min=0))  # (b, depth)
                closed = visited.among(options) | (options == BASELINE_ANCHOR) | (last == BASELINE_ANCHOR)[:, None]
                best = options.gather(1, closed.int().argmin(1, keepdim=True))[:, 0]  # (b,), the first that is open
                walked[:, step + 1] = best.masked_fill(closed.all(1), BASELINE_ANCHOR)
                visited.add(walked[:, step + 1])
        return walks
