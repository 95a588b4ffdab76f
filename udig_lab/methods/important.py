"""IDGI: what changes F on every step of IG's line is paid in the direction of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from udig_lab.integrals import Integral
from udig_lab.methods.solution import Passes
from udig_lab.paths import straight
from udig_lab.problem import Problem


def idgi(problem: Problem, *, n_steps: int = 50) -> Passes:
    """Important Direction Gradient Integration: IG's line, every step's change of F shared out by squared gradients.

    score_{i,d} = sum_k g_{k,i,d}² / |g_k|² [F(x_{k+1}) - F(x_k)]: only the part of a step along the gradient changes
    F, to first order, so this direction gets all of it. How far a token moves does not count. The gradient at tokens
    that do not move is left out. Complete, except where a gradient is zero.

    Args:
        problem: texts and baseline.
        n_steps: K, steps of equal length; K gradients, and K - 1 forward passes for F between the ends.

    Source: Yang, Wang & Bilgic, CVPR 2023, arXiv 2303.14242, algorithm 1, on IG's path.

    Raises:
        ValueError: no step.
    """
    if n_steps < 1:
        raise ValueError(f"idgi needs n_steps >= 1, not {n_steps}")

    def integral(i: int) -> Integral:
        return straight(*problem.ends(i), n_steps=n_steps, rule="left")

    def find() -> dict[str, Any]:
        squares = problem.integrate(integral, "squares")  # (K, L) each, or (C, K, L)
        changes = _between(problem, integral, n_steps).diff(dim=1)  # (N, K), or (N, K, C)
        scores = []
        for i, own in enumerate(squares):
            own = own.double() * problem.explained(i)
            share = (own / own.sum(-1, keepdim=True)).nan_to_num()
            scores.append((changes[i].movedim(0, -1)[..., None] * share).sum(-2))
        return {"scores": scores}

    return Passes(find, lambda i: (n_steps, n_steps - 1))


def _between(problem: Problem, integral: Callable[[int], Integral], n_steps: int) -> Tensor:
    """F (N, K + 1) at the points of every text's line, both ends included; (N, K + 1, C) of every class."""
    ends = [f.double()[:, None] for f in (problem.at_baseline, problem.at_input)]
    rows = [(i, k) for i in range(len(problem)) for k in range(1, n_steps)]
    if not rows:
        return torch.cat(ends, dim=1)

    def embed(r: int) -> Tensor:
        i, k = rows[r]
        return integral(i).block(k, k + 1)[0][0]

    values = problem.values(embed, [i for i, _ in rows]).double()
    values = values.view(len(problem), n_steps - 1, *values.shape[1:])
    return torch.cat([ends[0], values, ends[1]], dim=1)
