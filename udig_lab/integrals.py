"""Line integrals as K points with weights, held at once or made block by block: then memory does not grow with K."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from udig_lab.quadrature import polyline_rule


class Integral(Protocol):
    """What the engine needs: K points with weights, block by block, so that they need not exist all at once."""

    def __len__(self) -> int: ...
    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points and weights (last - first, L, D)."""

    @property
    def points(self) -> Tensor:
        """(K, L, D), all of them: for one short text."""

    @property
    def weights(self) -> Tensor:
        """(K, L, D), all of them: for one short text."""

    @property
    def baselines(self) -> Tensor | None:
        """(R, L, D) where the path begins, when that is not the problem's baseline; F(x') is the mean of F there."""


@dataclass(frozen=True)
class LineIntegral:
    """Points and weights of a discretised line integral for one explicand of L tokens.

    Attributes:
        points: (K, L, D) where the gradient is evaluated.
        weights: (K, L, D) displacements the gradients are multiplied with; their sum over K is x - x'.
        baselines: (R, L, D), see ``Integral``.
    """

    points: Tensor
    weights: Tensor
    baselines: Tensor | None = None

    def __len__(self) -> int:
        return len(self.points)

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points and weights (last - first, L, D)."""
        return self.points[first:last], self.weights[first:last]


class Lazy:
    """What the forms below share: a block is made when it is due, and all points only for those who ask."""

    def __len__(self) -> int:
        raise NotImplementedError

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points and weights (last - first, L, D)."""
        raise NotImplementedError

    @property
    def points(self) -> Tensor:
        """(K, L, D), all of them: for one short text."""
        return self.block(0, len(self))[0]

    @property
    def weights(self) -> Tensor:
        """(K, L, D), all of them: for one short text."""
        return self.block(0, len(self))[1]

    @property
    def baselines(self) -> Tensor | None:
        """See ``Integral``."""
        return None


@dataclass(frozen=True)
class Segment(Lazy):
    """A straight line.

    Attributes:
        baseline: (L, D) where it begins.
        difference: (L, D) the way from there to its end.
        nodes: (K,) positions between 0 and 1.
        shares: (K,) share of the way that is each node's weight.
    """

    baseline: Tensor
    difference: Tensor
    nodes: Tensor
    shares: Tensor

    def __len__(self) -> int:
        return len(self.nodes)

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points and weights (last - first, L, D)."""
        nodes, shares = (q[first:last, None, None].to(self.difference) for q in (self.nodes, self.shares))
        return self.baseline + nodes * self.difference, shares * self.difference


@dataclass(frozen=True)
class Scattered(Lazy):
    """Points on lines from several baselines, which take turns: a Monte Carlo sum.

    Attributes:
        explicand: (L, D).
        starts: (R, L, D); point k lies on the line from number k modulo R.
        nodes: (K,) its position on that line.
        noise: from ``first`` and ``last``, what is added to the explicand of those points (last - first, L, D).
        baselines: see ``Integral``.
    """

    explicand: Tensor
    starts: Tensor
    nodes: Tensor
    noise: Callable[[int, int], Tensor] | None = None
    baselines: Tensor | None = None

    def __len__(self) -> int:
        return len(self.nodes)

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points and weights (last - first, L, D)."""
        start = self.starts[torch.arange(first, last, device=self.starts.device) % len(self.starts)]
        end = self.explicand if self.noise is None else self.explicand + self.noise(first, last)
        difference = end - start
        return start + self.nodes[first:last, None, None] * difference, difference / len(self)


@dataclass(frozen=True)
class Polyline(Lazy):
    """A path through corners that are made when they are due.

    Attributes:
        corners: from ``first`` and ``last``, those corners (last - first, L, D), baseline first.
        count: P, how many there are.
        rule: one of ``quadrature.POLYLINE_RULES``.
    """

    corners: Callable[[int, int], Tensor]
    count: int
    rule: str

    def __len__(self) -> int:
        return self.count if self.rule == "trapezoid" else self.count - 1

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points and weights (last - first, L, D)."""
        # At a corner, the trapezoid weighs the pieces on both sides.
        begin = max(first - 1, 0) if self.rule == "trapezoid" else first
        points, weights = polyline_rule(self.rule, self.corners(begin, min(last + 1, self.count)))
        return points[first - begin : last - begin], weights[first - begin : last - begin]

    def both_sides(self, nodes: Tensor) -> BothSides:
        """For slopes before and after each of some places; ``nodes`` (K,) as of ``BothSides``."""
        return BothSides(self.corners, self.count, nodes)


@dataclass(frozen=True)
class BothSides(Lazy):
    """Places on a polyline, and the pieces before and after each, on which slopes are asked for: one but at corners.

    Attributes:
        corners, count: as of ``Polyline``.
        nodes: (K,) float64 positions between 0 and count - 1; k + t is t of the way from corner k to the next.
    """

    corners: Callable[[int, int], Tensor]
    count: int
    nodes: Tensor

    def __len__(self) -> int:
        return len(self.nodes)

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points (last - first, L, D) and two weights each (last - first, L, 2, D), the whole pieces."""
        nodes = self.nodes[first:last]
        before, after = (nodes.ceil() - 1).clamp(min=0).long(), nodes.floor().clamp(max=self.count - 2).long()
        begin = int(before.min())
        corners = self.corners(begin, int(after.max()) + 2)
        steps = corners.diff(dim=0)
        here = (nodes - after)[:, None, None].to(corners)
        points = corners[after - begin] + here * steps[after - begin]
        return points, torch.stack([steps[before - begin], steps[after - begin]], dim=2)


@dataclass(frozen=True)
class OneAtATime(Lazy):
    """Paths on which one token moves while the others stay at the explicand: T paths of k points, one after another.

    All of it at once would be T k L D numbers: five gigabytes for 256 tokens and 50 nodes.

    Attributes:
        explicand: (L, D).
        tokens: T positions that move, in order.
        path: the path of the j-th of them, points and weights (k, 1, D).
        nodes: k.
    """

    explicand: Tensor
    tokens: Sequence[int]
    path: Callable[[int], Integral]
    nodes: int

    def __len__(self) -> int:
        return len(self.tokens) * self.nodes

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points and weights (last - first, L, D); weights are zero but for the moving row."""
        points = self.explicand.repeat(last - first, 1, 1)
        weights = torch.zeros_like(points)
        for j in range(first // self.nodes, -(-last // self.nodes)):  # tokens that move in this block
            begin, end = max(first - j * self.nodes, 0), min(last - j * self.nodes, self.nodes)
            rows, steps = self.path(j).block(begin, end)  # (end - begin, 1, D) each
            here = slice(j * self.nodes + begin - first, j * self.nodes + end - first)
            points[here, self.tokens[j]], weights[here, self.tokens[j]] = rows[:, 0], steps[:, 0]
        return points, weights
