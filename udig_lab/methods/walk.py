"""DIG's walk from a word to the baseline, and why it is cheap: it is a walk on one fixed graph.

Which neighbour suits best next to an anchor depends on the anchor, the baseline and the number of steps; not on the
word where the walk began. Only "already visited" does. So the neighbours of an anchor are ranked once, for all words
whose walks come by.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding

from udig_lab.methods.anchors import BASELINE_ANCHOR, COSTS, AnchorSearch

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
        self._ranks: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Number of anchors whose neighbours have been ranked."""
        return len(self._ranks)

    def successors(self, rows: Tensor) -> Tensor:
        """The best neighbours (T, depth) of anchors (T,), best first; ``BASELINE_ANCHOR`` where there are no more."""
        new = sorted(set(rows.tolist()) - self._ranks.keys())
        for a in range(0, len(new), _BLOCK):
            block = new[a : a + _BLOCK]
            self._ranks.update(zip(block, self._ranked(torch.tensor(block, device=rows.device)), strict=True))
        return torch.stack([self._ranks[row] for row in rows.tolist()])

    def _ranked(self, rows: Tensor) -> Tensor:
        table, k = self.vocabulary.table, self.n_neighbors
        near = self.vocabulary.nearest(table[rows], k + 1, self.allowed)  # (b, k+1), the row itself among them, mostly
        itself = near == rows[:, None]
        itself[:, -1] |= ~itself.any(1)  # otherwise the farthest is one too many
        barred = itself if self.baseline_id is None else itself | (near == self.baseline_id)
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
        return ranked[:, : self._depth].clone()

    def _search(self, token_ids: Tensor) -> Tensor:
        walked = token_ids[:, None]  # (T, 1), then one anchor more a step
        for _ in range(self.n_steps):  # sequential by definition: the next neighbours are those of the last anchor
            last = walked[:, -1]
            options = self.successors(last.clamp(min=0))  # (T, depth)
            visited = (options[:, :, None] == walked[:, None, :]).any(-1)
            open_ = ~visited & (options != BASELINE_ANCHOR) & (last != BASELINE_ANCHOR)[:, None]
            best = options.gather(1, open_.int().argmax(1, keepdim=True))  # (T, 1), the first that is open
            walked = torch.cat([walked, best.masked_fill(~open_.any(1, keepdim=True), BASELINE_ANCHOR)], dim=1)
        return walked
