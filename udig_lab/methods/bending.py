"""Monotone paths through anchor words, made from the embedding table piece by piece."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from udig_lab.methods.anchors import BASELINE_ANCHOR, AnchorSearch
from udig_lab.paths import bent, piece

_WINDOW = 2**18  # numbers of a path that are held at once: 1 MB, which stays in cache


class BentPath:
    """Corners of the monotone paths of T words, made when they are due; the words are searched for then, too.

    They are those of ``AnchorSearch.vertices``, which makes all at once. Each leans on the one nearer to the word, but
    a path is followed from the baseline. So the walk from the word is cut into windows: the corners of one are held,
    and of the others no more than a few starts half-way, then half of the rest, and so on, to begin again from.

    Args:
        search: for the words' anchors.
        token_ids: (T,) the words.
        factor: how often every piece between two anchors is halved.
    """

    def __init__(self, search: AnchorSearch, token_ids: Tensor, factor: int):
        self.search = search
        self.token_ids = token_ids
        self.factor = factor
        self.steps = search.n_steps + 1  # from the word to the baseline
        self.size = max(1, _WINDOW // (len(token_ids) * search.vocabulary.table.shape[1]))  # steps in a window
        self._starts: dict[int, Tensor] = {}  # window -> the point (T, D) where its steps begin
        self._held = -1, torch.empty(0)  # a window and its points

    def __len__(self) -> int:
        return (self.steps << self.factor) + 1

    def __call__(self, first: int, last: int) -> Tensor:
        """Corners ``first`` to ``last`` (last - first, T, D), at least two, baseline first."""
        number = torch.arange(first, last - 1, device=self.token_ids.device)  # of the piece after each but the last
        whole = number >> self.factor  # of the piece between two anchors that it is part of
        begin, end = first >> self.factor, (last - 2 >> self.factor) + 1
        anchored = self._anchored(begin, end)
        starts, ends = anchored[whole - begin], anchored[whole - begin + 1]  # (n, T, D)
        starts, ends = piece(starts, ends, number % 2**self.factor, self.factor)
        return torch.cat([starts, ends[-1:]])

    def _anchored(self, first: int, last: int) -> Tensor:
        """Corners at anchors, before any piece is halved, ``first`` to ``last`` inclusive."""
        parts = []
        while first < last:
            number = (self.steps - 1 - first) // self.size
            points = self._window(number)
            begin = self.steps - self._range(number).stop
            parts.append(points[first - begin : min(last - begin, len(points) - 1)])
            first = begin + len(points) - 1
        return torch.cat([*parts, points[last - begin][None]])

    def _range(self, window: int) -> range:
        """The steps of a window, counted from the word."""
        return range(window * self.size, min((window + 1) * self.size, self.steps))

    def _window(self, number: int) -> Tensor:
        """Points (n + 1, T, D) of the n steps of a window, in the order of the path: where they begin comes last."""
        if self._held[0] != number:
            self._held = -1, torch.empty(0)  # before the next is made: there are never two
            word = self.search.vocabulary.table[self.token_ids]  # (T, D)
            self._starts = {0: word} | {w: start for w, start in self._starts.items() if w <= number}
            nearest = max(self._starts)
            point = self._starts[nearest]
            while nearest < number:
                half = (nearest + number + 1) // 2
                for window in range(nearest, half):
                    *_, point = self._walk(window, point)
                self._starts[half] = point
                nearest = half
            points = [point, *self._walk(number, point)]
            self._held = number, torch.stack(points[::-1])
        return self._held[1]

    def _walk(self, window: int, point: Tensor) -> Iterator[Tensor]:
        """Where every step of a window leads to (T, D), from the point before; the last of all to the baseline."""
        search, steps = self.search, self._range(window)
        anchors = search.anchors(self.token_ids, slice(steps.start + 1, steps.stop + 1))  # (T, n)
        for rows in anchors.unbind(1):
            missing = (rows == BASELINE_ANCHOR)[:, None]
            anchor = torch.where(missing, search.baseline, search.vocabulary.table[rows])
            point = bent(point, anchor, search.baseline, search.n_steps)
            yield point
        if steps.stop == self.steps:
            yield search.baseline.expand_as(point)
