"""Guided IG: a path beside IG's line on which coordinates with small gradients move first."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from udig_lab.integrals import LineIntegral
from udig_lab.methods.solution import Passes
from udig_lab.problem import Problem


def guided_ig(problem: Problem, *, n_steps: int = 200, fraction: float = 0.25, max_dist: float = 0.02) -> Passes:
    """Guided IG: at every step, the coordinates with the smallest gradients move, within a band around IG's line.

    The path avoids regions of steep gradients as long as it may. Each step shortens the L1 distance to the input by
    the same amount; its displacement is multiplied with the gradient at its start.

    Args:
        problem: texts and baseline.
        n_steps: K, steps, one gradient each. They follow one another; texts walk side by side.
        fraction: share of the coordinates that move at a time, those with the smallest gradients, above 0 up to 1.
        max_dist: how far ahead of IG's line or behind it a coordinate may be, as a share of its way: 0 is IG with the
            left rule, 1 leaves the path free.

    Source: Kapishnikov et al., CVPR 2021, arXiv 2106.09788, algorithm 1; defaults and the bounded path of the
    authors' code. There the fraction counts pixels that do not move, here only coordinates that do.

    Raises:
        ValueError: no step, or a share outside its range.
    """
    if n_steps < 1:
        raise ValueError(f"guided_ig needs n_steps >= 1, not {n_steps}")
    if not 0 < fraction <= 1 or not 0 <= max_dist <= 1:
        raise ValueError(
            f"guided_ig needs a fraction above 0 and up to 1 and a max_dist from 0 to 1, not {fraction} and {max_dist}"
        )

    def find() -> dict[str, Any]:
        ends = [[p.double() for p in problem.ends(i)] for i in range(len(problem))]
        points = [baseline.clone() for _, baseline in ends]
        scores = [p.new_zeros(len(p)) for p in points]

        def here(i: int) -> LineIntegral:
            point = points[i][None].to(problem.model.table.dtype)
            return LineIntegral(point, torch.ones_like(point))

        for k in range(n_steps):  # sequential by definition: each step starts where the last one ended
            for i, gradient in enumerate(problem.integrate(here, "dimensions")):  # (L, D)
                explicand, baseline = ends[i]
                moves = (explicand != baseline) & problem.explained(i)[:, None]
                ahead = points[i].clone()
                ahead[moves] = _step(
                    points[i][moves], gradient[moves], baseline[moves], explicand[moves], (k + 1) / n_steps,
                    fraction, max_dist,
                )  # fmt: skip
                scores[i] += ((ahead - points[i]) * gradient).sum(-1)
                points[i] = ahead
        return {"scores": scores}

    return Passes(find, lambda i: (n_steps, 0))


def _step(
    point: Tensor, gradient: Tensor, start: Tensor, end: Tensor, share: float, fraction: float, max_dist: float
) -> Tensor:
    """Where coordinates (n,) go: ahead, smallest gradients first, until that share of the L1 way is behind them."""
    if not len(point):
        return point
    behind, ahead = (start + s * (end - start) for s in (max(share - max_dist, 0), min(share + max_dist, 1)))
    due = float((end - start).abs().sum()) * (1 - share)
    late = (point - start) / (end - start) < max(share - max_dist, 0)
    point = torch.where(late, behind, point)
    rank = math.floor(fraction * (len(point) - 1))
    while True:
        left = float((end - point).abs().sum())
        free = point != ahead
        if left <= due or math.isclose(left, due, rel_tol=1e-9, abs_tol=1e-9) or not bool(free.any()):
            return point
        size = gradient.abs().masked_fill(~free, math.inf)
        chosen = free & (size <= size.sort().values[rank])
        room = float((ahead - point).abs()[chosen].sum())
        gamma = (left - due) / room
        if gamma <= 1:
            return torch.where(chosen, point + gamma * (ahead - point), point)
        point = torch.where(chosen, ahead, point)
