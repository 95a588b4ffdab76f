"""Paths from the baseline to the explicand, each as a weighted list of points.

Every method of this family is the same discretised line integral

    contribution of point k = grad F(p_k) * w_k,      attribution = their sum over k,

and the methods differ only in the points p_k and the weights w_k. A new method is a function here that returns
a ``LineIntegral``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from udig_lab.quadrature import polyline_rule, segment_rule


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


@dataclass(frozen=True)
class OneAtATime:
    """Paths on which one token moves while the others stay at the explicand: T paths of k points, one after another.

    All of it at once would be T k L D numbers: five gigabytes for 256 tokens and 50 nodes. Only the moving rows are
    held; blocks are filled when they are due.

    Attributes:
        explicand: (L, D).
        tokens: (T,) positions that move, in order.
        rows: (T, k, D) where the moving row stands.
        steps: (T, k, D) its weights.
    """

    explicand: Tensor
    tokens: Tensor
    rows: Tensor
    steps: Tensor
    baselines: None = None

    def __len__(self) -> int:
        return self.rows.shape[0] * self.rows.shape[1]

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points and weights (last - first, L, D); weights are zero but for the moving row."""
        index = torch.arange(last - first, device=self.tokens.device)
        moving = self.tokens[(first + index) // self.rows.shape[1]]
        points = self.explicand.repeat(last - first, 1, 1)
        points[index, moving] = self.rows.flatten(0, 1)[first:last]
        weights = torch.zeros_like(points)
        weights[index, moving] = self.steps.flatten(0, 1)[first:last]
        return points, weights

    @property
    def points(self) -> Tensor:
        """(K, L, D), all of them: for one short text."""
        return self.block(0, len(self))[0]

    @property
    def weights(self) -> Tensor:
        """(K, L, D), all of them: for one short text."""
        return self.block(0, len(self))[1]


def straight(explicand: Tensor, baseline: Tensor, *, n_steps: int, rule: str) -> LineIntegral:
    """The straight line from baseline to explicand: Integrated Gradients (Sundararajan et al. 2017, eq. 1).

    >>> path = straight(torch.tensor([[4.0]]), torch.tensor([[0.0]]), n_steps=2, rule="midpoint")
    >>> path.points.flatten().tolist(), path.weights.flatten().tolist()
    ([1.0, 3.0], [2.0, 2.0])

    Args:
        explicand: (L, D).
        baseline: (L, D).
        n_steps: number of nodes.
        rule: one of ``quadrature.SEGMENT_RULES``.

    Raises:
        ValueError: unknown rule or too few nodes.
    """
    nodes, weights = (q.to(explicand)[:, None, None] for q in segment_rule(rule, n_steps))  # (K, 1, 1)
    difference = explicand - baseline  # (L, D)
    return LineIntegral(baseline + nodes * difference, weights * difference)


def polyline(vertices: Tensor, *, rule: str) -> LineIntegral:
    """A path through given corners (P, L, D), baseline first, explicand last.

    >>> path = polyline(torch.tensor([0.0, 1.0, 4.0])[:, None, None], rule="midpoint")
    >>> path.points.flatten().tolist(), path.weights.flatten().tolist()
    ([0.5, 2.5], [1.0, 3.0])

    Raises:
        ValueError: unknown rule.
    """
    return LineIntegral(*polyline_rule(rule, vertices))


def one_at_a_time(explicand: Tensor, tokens: Tensor, vertices: Tensor, *, rule: str) -> OneAtATime:
    """Each token on its own polyline (P, T, D), baseline first, the others in place (Enguehard 2023, §4.1).

    Args:
        explicand: (L, D).
        tokens: (T,) positions of the tokens that move.
        vertices: (P, T, D) the corners of each token's path.
        rule: one of ``quadrature.POLYLINE_RULES``.

    Raises:
        ValueError: unknown rule.
    """
    points, weights = polyline_rule(rule, vertices)  # (k, T, D) each
    return OneAtATime(explicand, tokens, points.transpose(0, 1), weights.transpose(0, 1))


def segments(explicand: Tensor, baseline: Tensor, tokens: Tensor, *, n_steps: int, rule: str) -> OneAtATime:
    """Each token on the straight line from its baseline, the others in place: SIG (Enguehard 2023, eq. 5).

    >>> x, start = torch.tensor([[2.0], [4.0]]), torch.zeros(2, 1)
    >>> path = segments(x, start, torch.tensor([0, 1]), n_steps=1, rule="midpoint")
    >>> path.points[:, :, 0].tolist()
    [[1.0, 4.0], [2.0, 2.0]]
    >>> path.weights[:, :, 0].tolist()
    [[2.0, 0.0], [0.0, 4.0]]

    Args:
        explicand: (L, D).
        baseline: (L, D).
        tokens: (T,) positions of the tokens that move.
        n_steps: nodes a token.
        rule: one of ``quadrature.SEGMENT_RULES``.

    Raises:
        ValueError: unknown rule or too few nodes.
    """
    nodes, weights = (q.to(explicand)[:, None] for q in segment_rule(rule, n_steps))  # (k, 1)
    start = baseline[tokens][:, None]  # (T, 1, D)
    difference = explicand[tokens][:, None] - start  # (T, 1, D)
    return OneAtATime(explicand, tokens, start + nodes * difference, weights * difference)


def scattered(explicand: Tensor, baselines: Tensor, nodes: Tensor, noise: Tensor | None = None) -> LineIntegral:
    """Points drawn on lines to several baselines: a Monte Carlo sum (Erion et al. 2021, eq. 3).

    Args:
        explicand: (L, D).
        baselines: (K, L, D) the baseline of every point.
        nodes: (K,) its position t between baseline and explicand.
        noise: (K, L, D) added to the explicand of every point; None for none.
    """
    end = explicand if noise is None else explicand + noise
    difference = end - baselines
    return LineIntegral(baselines + nodes[:, None, None] * difference, difference / len(nodes))


def monotone(anchors: Tensor, baseline: Tensor) -> Tensor:
    """Bend a walk through anchor words until every coordinate is monotone (Sanyal & Ren 2021, §3.2).

    Going from the explicand's word to the baseline, a coordinate of the next anchor that does not lie between the
    previous point and the baseline is replaced by one m-th of the way to the baseline.

    >>> walk = torch.tensor([4.0, 5.0, 1.0])[None, :, None]  # the second step would turn back
    >>> monotone(walk, torch.zeros(1))[0, :, 0].tolist()
    [0.0, 1.0, 2.0, 4.0]

    Args:
        anchors: (T, m + 1, D) the word itself, then its m anchors.
        baseline: (T, D) or (D,).

    Returns:
        (T, m + 2, D) the path turned round: baseline first, word last.
    """
    m = anchors.shape[1] - 1
    baseline = baseline.expand_as(anchors[:, 0])
    points = [anchors[:, 0]]
    for step in range(1, m + 1):  # sequential by definition: each point leans on the one before
        previous, anchor = points[-1], anchors[:, step]
        between = (anchor - previous) * (anchor - baseline) <= 0
        points.append(torch.where(between, anchor, previous - (previous - baseline) / m))
    return torch.stack([baseline, *points[::-1]], dim=1)


def upscale(vertices: Tensor, factor: int) -> Tensor:
    """Insert the mid-point of every piece, ``factor`` times: (T, P, D) -> (T, 2^factor (P-1) + 1, D).

    >>> upscale(torch.tensor([0.0, 4.0])[None, :, None], 2)[0, :, 0].tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    for _ in range(factor):
        finer = vertices.new_empty(len(vertices), 2 * vertices.shape[1] - 1, vertices.shape[2])
        finer[:, ::2] = vertices
        finer[:, 1::2] = (vertices[:, 1:] + vertices[:, :-1]) / 2
        vertices = finer
    return vertices
