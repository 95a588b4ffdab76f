"""Integrated Gradients where F turns sharply: nodes where they are needed, every panel corrected by its known sum.

Between two nodes, the scores must sum to what F changes there, and F at the nodes is known from the passes that gave
the gradients. So what a rule misses on a panel is known for the sum, exactly; not known is which tokens it belongs to.
It is shared out as the slopes around the panel are: where F turns because one thing in the model switches, all tokens'
slopes rise and fall together, in fixed proportions, and the shares are right however narrow the turn is. In the words
of Monte Carlo, the sum is a control variate of every score. Two ways to take the proportions are compared, and half of
what lies between them is the error of the score; panels where that is large are cut in two.

Source: this project; of control variates, Glasserman 2003, Monte Carlo Methods in Financial Engineering, section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from udig_lab.integrals import Segment
from udig_lab.problem import Problem

LEAST = 3  # nodes: with fewer, nothing is known of how slopes bend
_START = 17  # nodes of the first round, evenly spaced: what F does between two of them unseen, stays unseen
_NARROW = 1e-6  # a panel is not cut below this share of the way: single precision tells no more points apart
_RIDGE = 1e-6  # of the mean square slope: where F bends by less, proportions say nothing
_APART = 2.0  # proportions that differ by more measure no error: one of them has lost all meaning
_ALWAYS = 0.015  # of what was missed is an error even where both proportions agree
_SEEN = 0.5  # of width times range of the slopes around: who misses more has not seen what happens on the panel
_WINDOW = torch.tensor([-1, 0, 1, 2])  # nodes around a panel, from its first on


@dataclass
class Line:
    """What is known of one text's line.

    Attributes:
        nodes: (n,) positions t, ascending, 0 and 1 among them.
        slopes: (n, L) what each token adds to dF/dt there.
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


def controlled(
    problem: Problem, *, n_steps: int, tolerance: float
) -> tuple[list[Tensor], list[Tensor], list[int], list[int]]:
    """Straight-line integrals whose scores' errors are estimated, and lowered until they are within a tolerance.

    Args:
        problem: texts and baseline.
        n_steps: the most gradients a text may take; a text that runs out keeps what it has, and its errors say so.
        tolerance: on the error of every score, in percent of |F(x) - F(x')| or of one unit of F, whichever is more.

    Returns:
        scores (L,), errors (L,), gradient evaluations and additional forward passes of every text.

    Raises:
        ValueError: no positive tolerance, or fewer nodes than one panel with its middle.
    """
    if tolerance <= 0 or n_steps < LEAST:
        raise ValueError(
            f"the controlled rule needs a positive tolerance and n_steps >= {LEAST} (one panel with its middle), "
            f"not {tolerance} and {n_steps}"
        )
    allowed = [allowed_error(float(c), tolerance) for c in problem.at_input - problem.at_baseline]
    first = torch.linspace(0, 1, min(_START, n_steps), dtype=torch.float64)
    lines: list[Line | None] = [None] * len(problem)
    new = dict.fromkeys(range(len(problem)), first)
    while new:  # every round looks at the new nodes of all texts at once
        for i, (nodes, slopes, values) in _looked(problem, new).items():
            line = lines[i]
            lines[i] = Line(nodes, slopes, values) if line is None else line.with_more(nodes, slopes, values)
        new = {}
        for i, line in enumerate(lines):
            assert line is not None
            middles = _middles(line, allowed[i], n_steps - len(line.nodes))
            if len(middles):
                new[i] = middles
    known = [line for line in lines if line is not None]
    panels = [panels_of(line) for line in known]
    gradients = [len(line.nodes) for line in known]
    forwards = gradients if _reads_apart(problem) else [0] * len(known)
    return [scores.sum(0) for scores, _ in panels], [errors.sum(0) for _, errors in panels], gradients, forwards


def allowed_error(change: float, tolerance: float) -> float:
    """The error a score may have: so many percent of what F changes, or of one unit where it changes less.

    >>> allowed_error(-4.0, 1.0), allowed_error(0.01, 1.0)
    (0.04, 0.01)
    """
    return max(abs(change), 1.0) * tolerance / 100


def panels_of(line: Line) -> tuple[Tensor, Tensor]:
    """Scores and errors (n - 1, L) of the panels between a line's nodes.

    Every panel's scores sum to what F changes on it; its errors are half of what lies between two ways to share out
    what the cubic rule misses, and all of that where no node has seen anything like it.
    """
    plain = _cubic(line.nodes, line.slopes)  # (n - 1, L)
    missed = (line.values.diff() - plain.sum(1))[:, None]  # (n - 1, 1)
    around = _around(line)
    apart = (around - _between(line, around)).abs().clamp(max=_APART)
    places, inside = _four(len(line.nodes))
    whole = line.slopes.sum(1)[places]  # (n - 1, 4)
    most, least = (whole.where(inside, sign * torch.inf) for sign in (-1, 1))
    seen = line.nodes.diff() * (most.amax(1) - least.amin(1))
    unseen = (missed.abs() > _SEEN * seen[:, None]).double()  # (n - 1, 1)
    moves = (line.slopes.abs().sum(0) > 0).double()  # (L,)
    return plain + around * missed, missed.abs() * (apart / 2 + unseen + _ALWAYS) * moves


def _cubic(nodes: Tensor, slopes: Tensor) -> Tensor:
    """(n - 1, L) integrals between nodes of the cubics through slopes, with derivatives from parabolas."""
    width = nodes.diff()[:, None]
    rise = slopes.diff(dim=0) / width
    inner = (width[1:] * rise[:-1] + width[:-1] * rise[1:]) / (width[1:] + width[:-1])
    bend = torch.cat([2 * rise[:1] - inner[:1], inner, 2 * rise[-1:] - inner[-1:]])  # (n, L)
    return width * (slopes[1:] + slopes[:-1]) / 2 + width**2 / 12 * (bend[:-1] - bend[1:])


def _four(n: int) -> tuple[Tensor, Tensor]:
    """(n - 1, 4) numbers of the nodes around each panel, and which of them there are."""
    places = torch.arange(n - 1)[:, None] + _WINDOW
    return places.clamp(0, n - 1), (places >= 0) & (places < n)


def _around(line: Line) -> Tensor:
    """(n - 1, L) proportions of the tokens' slopes at the four nodes around each panel, by least squares; sum 1."""
    whole = line.slopes.sum(1)
    places, inside = _four(len(line.nodes))
    middle, width = (line.nodes[1:] + line.nodes[:-1]) / 2, line.nodes.diff()
    far = (line.nodes[places] - middle[:, None]) / width[:, None]
    weights = inside / (1 + far**2) * whole[places]  # (n - 1, 4)
    square = (weights * whole[places]).sum(1, keepdim=True)
    shares = torch.einsum("pk,pkl->pl", weights, line.slopes[places]) / square.clamp(min=1e-30)
    return _completed(shares, line.slopes)


def _between(line: Line, around: Tensor) -> Tensor:
    """(n - 1, L) proportions in which the slopes change from one end of each panel to the other; sum 1."""
    change, whole = line.slopes.diff(dim=0), line.slopes.sum(1)
    both = whole.diff()[:, None]
    shares = change * both / (both**2 + _RIDGE * whole.square().mean()).clamp(min=1e-30)
    return shares + (1 - shares.sum(1, keepdim=True)) * around


def _completed(shares: Tensor, slopes: Tensor) -> Tensor:
    """Shares that sum to 1: what is lacking where there is no slope at all goes to all that move alike."""
    moves = (slopes.abs().sum(0) > 0).double()
    moves = moves / moves.sum().clamp(min=1)
    return shares + (1 - shares.sum(1, keepdim=True)) * moves


def _middles(line: Line, allowed: float, room: int) -> Tensor:
    """(k,) middles of the panels to cut, at most ``room``; none where errors are ``allowed``, or no cut helps."""
    _, errors = panels_of(line)
    errors_left = torch.where(line.nodes.diff()[:, None] > 2 * _NARROW, errors, 0.0)  # those that a cut can lower
    enough = float(errors.sum(0).max()) <= allowed or float(errors_left.sum(0).max()) <= allowed / 2
    if enough or room < 1:
        return line.nodes[:0]
    worst = errors_left.amax(1)  # (n - 1,)
    order = worst.argsort(descending=True)
    left = worst.sum() - worst[order].cumsum(0)  # what stays when so many are cut
    wanted = 1 + int((left > allowed / 2).sum())
    large = int((worst > worst.max() / 10).sum())  # the others wait: their neighbours' cuts tell more of them
    chosen = order[: min(wanted, large, room)].sort().values
    return (line.nodes[chosen] + line.nodes[chosen + 1]) / 2


def _looked(problem: Problem, new: dict[int, Tensor]) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
    """Nodes, slopes (k, L) and F (k,) at new nodes of some texts."""
    texts = sorted(new)

    def integral(i: int) -> Segment:
        explicand, baseline = problem.ends(i)
        return Segment(baseline, explicand - baseline, new[i], torch.ones_like(new[i]))

    parts = [part.double().cpu() for part in problem.integrate(integral, "valued", texts)]  # (k, 1 + L)
    values = [part[:, 0] for part in parts]
    if _reads_apart(problem):
        values = _read(problem, new, texts)
    return {i: (new[i], part[:, 1:], own) for i, part, own in zip(texts, parts, values, strict=True)}


def _reads_apart(problem: Problem) -> bool:
    """Whether F is read again: where gradients are taken in half precision, what F changes would drown in rounding."""
    return problem.reader.precision == "bfloat16"


def _read(problem: Problem, new: dict[int, Tensor], texts: Sequence[int]) -> list[Tensor]:
    rows = [(i, float(t)) for i in texts for t in new[i]]

    def embed(r: int) -> Tensor:
        i, t = rows[r]
        explicand, baseline = problem.ends(i)
        return baseline + t * (explicand - baseline)

    values = problem.values(embed, [i for i, _ in rows]).double().cpu()
    return list(torch.split(values, [len(new[i]) for i in texts]))
