"""Sentences with holes: F where some tokens are at the input and the others at the baseline."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from udig_lab.problem import Problem


def movers(problem: Problem, i: int) -> Tensor:
    """(T,) positions of the tokens of text i that move: the players."""
    return problem.explained(i).nonzero()[:, 0]


def values(problem: Problem, coalitions: Sequence[Tensor]) -> list[Tensor]:
    """F of coalitions of tokens; all texts' sentences share their forward passes.

    A row that is everybody is x and costs nothing, nor does one that is nobody, x': both have been read.

    Args:
        problem: N texts.
        coalitions: for each text (S, T) bool: which of its T moving tokens are at the input; the others are at the
            baseline. Special tokens stay where they are.

    Returns:
        (S,) each, float64; (S, C) where every class is explained.
    """
    ends = [problem.ends(i) for i in range(len(problem))]
    places = [movers(problem, i) for i in range(len(problem))]
    found: list[Tensor] = []
    rows: list[tuple[int, int]] = []
    for i, players in enumerate(coalitions):
        f_input, f_baseline = problem.at_input[i].double(), problem.at_baseline[i].double()
        full, none = players.all(1), ~players.any(1)
        own = torch.where(full.view(-1, *[1] * f_input.ndim), f_input, f_baseline)
        found.append(own)
        rows += [(i, s) for s in (~(full | none)).nonzero()[:, 0].tolist()]

    def embed(r: int) -> Tensor:
        i, s = rows[r]
        explicand, baseline = ends[i]
        here = places[i][coalitions[i][s]]
        points = baseline.clone()
        points[here] = explicand[here]
        return points

    if rows:
        made = problem.values(embed, [i for i, _ in rows]).double()
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
