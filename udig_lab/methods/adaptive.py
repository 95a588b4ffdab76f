"""Integrated Gradients with as many nodes as a text needs, and no more.

Completeness holds on every piece of the path, not only on the whole: the integral from s to t must equal
F(x at t) - F(x at s), and those two numbers cost one forward pass each. So the error of every piece is known, and only
pieces with a large one are cut in two.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from udig_lab.integrals import Segment
from udig_lab.problem import Problem
from udig_lab.quadrature import segment_rule

# On SST-2 sentences, three pieces of four nodes are enough for most, and few need more than one round of cuts.
_PIECES, _NODES = 3, 4


@dataclass
class _Piece:
    """The straight line of one text from t = ``start`` to ``end``."""

    start: float
    end: float
    change: float = 0.0  # F at its end - F at its start
    scores: Tensor | None = None  # (L,)

    @property
    def error(self) -> float:
        assert self.scores is not None
        return abs(float(self.scores.sum()) - self.change)


def adaptive(problem: Problem, *, n_steps: int, tolerance: float) -> tuple[list[Tensor], list[int], list[int]]:
    """Straight-line integrals whose pieces' errors add up to at most ``tolerance`` percent of F(x) - F(x').

    Args:
        problem: texts and baseline.
        n_steps: the most nodes a text may use; a text that runs out keeps what it has, and its Δ% says so.
        tolerance: in percent; an upper bound on Δ%.

    Returns:
        scores (L,), gradient evaluations and additional forward passes of every text.

    Raises:
        ValueError: no positive tolerance, or fewer nodes than the first round needs.
    """
    if tolerance <= 0 or n_steps < _PIECES * _NODES:
        raise ValueError(
            f"the adaptive rule needs a positive tolerance and n_steps >= {_PIECES * _NODES}, "
            f"not {tolerance} and {n_steps}"
        )
    n = len(problem)
    allowed = (problem.at_input - problem.at_baseline).abs().double() * tolerance / 100  # (N,)
    marks = [{0.0: float(problem.at_baseline[i]), 1.0: float(problem.at_input[i])} for i in range(n)]
    done: list[list[_Piece]] = [[] for _ in range(n)]
    new = [[_Piece(k / _PIECES, (k + 1) / _PIECES) for k in range(_PIECES)] for _ in range(n)]
    nodes = [0] * n
    while any(new):  # every round looks at the pieces of all texts at once
        _measure(problem, new, marks)
        for i in range(n):
            nodes[i] += _NODES * len(new[i])
            done[i] += new[i]
            new[i] = _cuts(done[i], float(allowed[i]), n_steps - nodes[i])
    scores = [torch.stack([p.scores for p in pieces if p.scores is not None]).sum(0) for pieces in done]
    return scores, nodes, [len(known) - 2 for known in marks]


def _cuts(pieces: list[_Piece], allowed: float, room: int) -> list[_Piece]:
    """Take the fewest pieces out of the list without which the rest is accurate enough; returns their halves."""
    pieces.sort(key=lambda p: -p.error)
    excess = sum(p.error for p in pieces)
    halves: list[_Piece] = []
    while excess > allowed and room >= 2 * _NODES:
        worst = pieces.pop(0)
        middle = (worst.start + worst.end) / 2
        halves += [_Piece(worst.start, middle), _Piece(middle, worst.end)]
        excess -= worst.error
        room -= 2 * _NODES
    return halves


def _measure(problem: Problem, new: list[list[_Piece]], marks: list[dict[float, float]]) -> None:
    """Fill in scores and changes of the new pieces of every text."""
    wanted = [(i, t) for i, pieces in enumerate(new) for t in sorted({p.end for p in pieces} - marks[i].keys())]

    def embed(r: int) -> Tensor:
        i, t = wanted[r]
        explicand, baseline = problem.ends(i)
        return baseline + t * (explicand - baseline)

    values = problem.values(embed, [i for i, _ in wanted]).tolist() if wanted else []
    for (i, t), value in zip(wanted, values, strict=True):
        marks[i][t] = value
    rule, weights = segment_rule("gauss_legendre", _NODES)

    def integral(i: int) -> Segment:
        explicand, baseline = problem.ends(i)
        t = torch.cat([p.start + rule * (p.end - p.start) for p in new[i]])
        w = torch.cat([weights * (p.end - p.start) for p in new[i]])
        return Segment(baseline, explicand - baseline, t, w)

    chosen = [i for i, pieces in enumerate(new) if pieces]
    for i, part in zip(chosen, problem.integrate(integral, "points", chosen), strict=True):
        sums = part.double().reshape(-1, _NODES, part.shape[1]).sum(1)  # (pieces, L)
        for piece, scores in zip(new[i], sums, strict=True):
            piece.scores = scores
            piece.change = marks[i][piece.end] - marks[i][piece.start]
