"""Paths from the baseline to the explicand, each as a weighted list of points.

Every method of this family is the same discretised line integral

    contribution of point k = grad F(p_k) * w_k,      attribution = their sum over k,

and the methods differ only in the points p_k and the weights w_k. A new method is a function here that returns
an ``Integral``: the simplest is a ``LineIntegral(points, weights)``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from udig_lab.integrals import LineIntegral as LineIntegral
from udig_lab.integrals import OneAtATime, Scattered, Segment
from udig_lab.quadrature import polyline_rule, segment_rule


def straight(explicand: Tensor, baseline: Tensor, *, n_steps: int, rule: str) -> Segment:
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
    return Segment(baseline, explicand - baseline, *segment_rule(rule, n_steps))


def polyline(vertices: Tensor, *, rule: str) -> LineIntegral:
    """A path through given corners (P, L, D), baseline first, explicand last.

    >>> path = polyline(torch.tensor([0.0, 1.0, 4.0])[:, None, None], rule="midpoint")
    >>> path.points.flatten().tolist(), path.weights.flatten().tolist()
    ([0.5, 2.5], [1.0, 3.0])

    Raises:
        ValueError: unknown rule.
    """
    return LineIntegral(*polyline_rule(rule, vertices))


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
    moving = tokens.tolist()
    nodes, shares = segment_rule(rule, n_steps)
    difference = explicand - baseline  # (L, D)

    def path(j: int) -> Segment:
        token = moving[j]
        return Segment(baseline[token][None], difference[token][None], nodes, shares)

    return OneAtATime(explicand, moving, path, n_steps)


def scattered(
    explicand: Tensor, baselines: Tensor, nodes: Tensor, noise: Callable[[int, int], Tensor] | None = None
) -> Scattered:
    """Points drawn on lines to several baselines: a Monte Carlo sum (Erion et al. 2021, eq. 3).

    Args:
        explicand: (L, D).
        baselines: (R, L, D); they take turns, so that with R = K every point has its own.
        nodes: (K,) position t of every point between its baseline and the explicand.
        noise: what is added to the explicand of points ``first`` to ``last`` (last - first, L, D); None for none.
    """
    return Scattered(explicand, baselines, nodes, noise)


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
        points.append(bent(points[-1], anchors[:, step], baseline, m))
    return torch.stack([baseline, *points[::-1]], dim=1)


def bent(previous: Tensor, anchor: Tensor, baseline: Tensor, m: int) -> Tensor:
    """One step of ``monotone``: the anchor (T, D), with the coordinates that would turn back replaced."""
    between = (anchor - previous) * (anchor - baseline) <= 0
    return torch.where(between, anchor, previous - (previous - baseline) / m)


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


def piece(start: Tensor, end: Tensor, number: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Both ends of one of the pieces into which ``upscale`` cuts the way from start to end.

    >>> ends = piece(torch.tensor([[[0.0]]]), torch.tensor([[[4.0]]]), torch.tensor([2]), 2)
    >>> [float(end) for end in ends]
    [2.0, 3.0]

    Args:
        start: (n, T, D).
        end: (n, T, D).
        number: (n,) which of the 2^factor pieces.
        factor: how often the way is halved.
    """
    for level in reversed(range(factor)):
        middle = (start + end) / 2
        later = (number >> level & 1).bool()[:, None, None]
        start, end = torch.where(later, middle, start), torch.where(later, end, middle)
    return start, end
