"""Sentences with holes: F where some tokens are at the input and the others at the baseline."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from udig_lab.problem import Problem


def movers(problem: Problem, i: int) -> Tensor:
    """(T,) positions of the tokens of text i that move: the players."""
    return problem.explained(i).cpu().nonzero()[:, 0]


def values(problem: Problem, coalitions: Sequence[Tensor], *, again: bool = False) -> list[Tensor]:
    """F of coalitions of tokens; all texts' sentences share their forward passes.

    A row that is everybody is x and costs nothing, nor does one that is nobody, x': both have been read.

    Args:
        problem: N texts.
        coalitions: for each text (S, T) bool: which of its T moving tokens are at the input; the others are at the
            baseline. Special tokens stay where they are.
        again: whether such rows are read all the same, so that the number of passes does not depend on the draws.

    Returns:
        (S,) each, float64 on the CPU; (S, C) where every class is explained.
    """
    ends = [problem.ends(i) for i in range(len(problem))]
    places = [movers(problem, i) for i in range(len(problem))]
    found: list[Tensor] = []
    rows: list[tuple[int, int]] = []
    for i, players in enumerate(coalitions):
        f_input, f_baseline = (f[i].cpu().double() for f in (problem.at_input, problem.at_baseline))
        full, none = players.all(1), ~players.any(1)
        found.append(torch.where(full.view(-1, *[1] * f_input.ndim), f_input, f_baseline))
        wanted = torch.ones_like(full) if again else ~(full | none)
        rows += [(i, s) for s in wanted.nonzero()[:, 0].tolist()]

    def embed(r: int) -> Tensor:
        i, s = rows[r]
        explicand, baseline = ends[i]
        here = places[i][coalitions[i][s]]
        points = baseline.clone()
        points[here] = explicand[here]
        return points

    if rows:
        made = problem.values(embed, [i for i, _ in rows]).cpu().double()
        for (i, s), value in zip(rows, made, strict=True):
            found[i][s] = value
    return found


def read_anew(coalitions: Tensor) -> int:
    """Forward passes that a text's coalitions (S, T) take, beside those at x and x'."""
    return int((coalitions.any(1) & ~coalitions.all(1)).sum())


def spread(problem: Problem, i: int, scores: Tensor) -> Tensor:
    """Scores (..., T) of the tokens that move, at their places among all: (..., L), zero elsewhere."""
    whole = scores.new_zeros(*scores.shape[:-1], problem.lengths[i])
    whole[..., movers(problem, i)] = scores
    return whole
