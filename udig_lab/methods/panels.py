"""What is known of a path on which F turns sharply: scores of its panels, and how far they may be wrong.

Between two nodes, the scores must sum to what F changes there, and F at the nodes is known from the passes that gave
the gradients. So what a rule misses on a panel is known for the sum, exactly; not known is which tokens it belongs to.
It is shared out as the slopes around the panel are: where F turns because one thing in the model switches, all tokens'
slopes rise and fall together, in fixed proportions, and the shares are right however narrow the turn is. In the words
of Monte Carlo, the sum is a control variate of every score. Two ways to take the proportions are compared, and half of
what lies between them is the error of the score.

A path may have corners. There it goes on in another direction, so slopes before and after differ, and nothing that is
fitted to slopes reaches across.

Source: this project; of control variates, Glasserman 2003, Monte Carlo Methods in Financial Engineering, section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_RIDGE = 1e-6  # of the mean square slope: where F bends by less, proportions say nothing
_APART = 2.0  # proportions that differ by more measure no error: one of them has lost all meaning
_ALWAYS = 0.015  # of what was missed is an error even where both proportions agree
_SEEN = 0.5  # of width times range of the slopes around: who misses more has not seen what happens on the panel
_WINDOW = torch.tensor([-1, 0, 1, 2])  # nodes around a panel, from its first on
_SIDES = torch.tensor([1, 1, 0, 0])  # their slopes towards the panel: after the first two, before the others


@dataclass
class Line:
    """What is known of one text's path.

    Attributes:
        nodes: (n,) positions t, ascending: at whole numbers are the corners, 0 and the last among them, all there.
        slopes: (n, 2, L) what each token adds to dF/dt before and after each node; they differ at corners only.
        values: (n,) F there.
    """

    nodes: Tensor
    slopes: Tensor
    values: Tensor

    def with_more(self, nodes: Tensor, slopes: Tensor, values: Tensor) -> Line:
        """With more nodes, in order."""
        order = torch.cat([self.nodes, nodes]).argsort()
        old = (self.nodes, self.slopes, self.values)
        return Line(*(torch.cat([a, b])[order] for a, b in zip(old, (nodes, slopes, values), strict=True)))

    @property
    def corner(self) -> Tensor:
        """(n,) bool: nodes that are corners, or ends."""
        return self.nodes == self.nodes.round()

    @property
    def rise(self) -> Tensor:
        """(n - 1, L) what slopes change on each panel."""
        return self.slopes[1:, 0] - self.slopes[:-1, 1]

    @property
    def moves(self) -> Tensor:
        """(L,) 1 for tokens that move, or 0."""
        return (self.slopes.abs().sum((0, 1)) > 0).double()


def panels_of(line: Line) -> tuple[Tensor, Tensor]:
    """Scores and errors (n - 1, L) of the panels between a line's nodes.

    Every panel's scores sum to what F changes on it; its errors are half of what lies between two ways to share out
    what the cubic rule misses, and all of that where no node has seen anything like it.
    """
    plain = _cubic(line)  # (n - 1, L)
    missed = (line.values.diff() - plain.sum(1))[:, None]  # (n - 1, 1)
    near, inside = _four(line)
    around = _around(line, near, inside)
    apart = (around - _between(line, around)).abs().clamp(max=_APART)
    whole = near.sum(2)  # (n - 1, 4)
    most, least = (whole.where(inside, sign * torch.inf) for sign in (-1, 1))
    seen = line.nodes.diff() * (most.amax(1) - least.amin(1))
    unseen = (missed.abs() > _SEEN * seen[:, None]).double()  # (n - 1, 1)
    return plain + around * missed, missed.abs() * (apart / 2 + unseen + _ALWAYS) * line.moves


def _cubic(line: Line) -> Tensor:
    """(n - 1, L) integrals between nodes of the cubics through slopes, with derivatives from parabolas.

    Between two corners nothing is known but the slopes there: it is the trapezoid's.
    """
    width = line.nodes.diff()[:, None]
    rise = line.rise / width
    inner = torch.zeros_like(line.slopes[:, 0])  # (n, L) derivatives at nodes from both sides
    inner[1:-1] = (width[1:] * rise[:-1] + width[:-1] * rise[1:]) / (width[1:] + width[:-1])
    first, last = line.corner[:-1, None], line.corner[1:, None]  # (n - 1, 1) whether there is no other side
    begin = inner[:-1].where(~first, (2 * rise - inner[1:]).where(~last, rise))
    end = inner[1:].where(~last, (2 * rise - inner[:-1]).where(~first, rise))
    return width * (line.slopes[1:, 0] + line.slopes[:-1, 1]) / 2 + width**2 / 12 * (begin - end)


def _four(line: Line) -> tuple[Tensor, Tensor]:
    """(n - 1, 4, L) slopes at the nodes around each panel, and (n - 1, 4) whether no corner lies between."""
    n = len(line.nodes)
    places = (torch.arange(n - 1)[:, None] + _WINDOW).clamp(0, n - 1)
    inside = torch.ones(n - 1, 4, dtype=torch.bool)
    inside[:, 0], inside[:, 3] = ~line.corner[:-1], ~line.corner[1:]
    return line.slopes[places, _SIDES], inside


def _around(line: Line, near: Tensor, inside: Tensor) -> Tensor:
    """(n - 1, L) proportions of the tokens' slopes at the nodes around each panel, by least squares; sum 1."""
    whole = near.sum(2)  # (n - 1, 4)
    places = torch.arange(len(near))[:, None] + _WINDOW
    middle, width = (line.nodes[1:] + line.nodes[:-1]) / 2, line.nodes.diff()
    far = (line.nodes[places.clamp(0, len(near))] - middle[:, None]) / width[:, None]
    weights = inside / (1 + far**2) * whole  # (n - 1, 4)
    square = (weights * whole).sum(1, keepdim=True)
    shares = torch.einsum("pk,pkl->pl", weights, near) / square.clamp(min=1e-30)
    moves = line.moves / line.moves.sum().clamp(min=1)  # where there is no slope at all, to all that move alike
    return shares + (1 - shares.sum(1, keepdim=True)) * moves


def _between(line: Line, around: Tensor) -> Tensor:
    """(n - 1, L) proportions in which the slopes change from one end of each panel to the other; sum 1."""
    both = line.rise.sum(1, keepdim=True)
    shares = line.rise * both / (both**2 + _RIDGE * line.slopes.sum(2).square().mean()).clamp(min=1e-30)
    return shares + (1 - shares.sum(1, keepdim=True)) * around
