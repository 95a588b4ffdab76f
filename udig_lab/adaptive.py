"""Integrated Gradients with as many nodes as a text needs, and no more."""

from __future__ import annotations

from torch import Tensor

from udig_lab.problem import Problem


def adaptive(problem: Problem, *, n_steps: int, tolerance: float) -> tuple[list[Tensor], list[int]]:
    """Scores and gradient evaluations of every text."""
    raise NotImplementedError
