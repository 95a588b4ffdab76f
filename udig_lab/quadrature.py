"""Rules that turn an integral along a path into a weighted sum of gradients."""

from __future__ import annotations

import numpy as np
import torch
from numpy.polynomial.legendre import legder, leggauss, legval
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

SEGMENT_RULES = ("gauss_legendre", "left", "right", "midpoint", "trapezoid")
POLYLINE_RULES = ("left", "right", "midpoint", "trapezoid")
_SMALL = 100  # nodes from which on numpy's eigenvalue problem, n x n, weighs more than the rest of an explanation


def segment_rule(name: str, n: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of an n-point rule on [0, 1].

    >>> nodes, weights = segment_rule("midpoint", 4)
    >>> nodes.tolist(), weights.tolist()
    ([0.125, 0.375, 0.625, 0.875], [0.25, 0.25, 0.25, 0.25])

    Args:
        name: one of ``SEGMENT_RULES``.
        n: number of nodes, at least 1 (2 for the trapezoid).

    Returns:
        nodes (n,) and weights (n,), float64; the weights sum to 1.

    Raises:
        ValueError: unknown rule, or too few nodes.
    """
    least = 2 if name == "trapezoid" else 1
    if name not in SEGMENT_RULES:
        raise ValueError(f"unknown rule {name!r}; choose one of {', '.join(SEGMENT_RULES)}")
    if n < least:
        raise ValueError(f"the {name} rule needs n_steps >= {least}, not {n}")
    uniform = torch.full((n,), 1 / n, dtype=torch.float64)
    steps = torch.arange(n, dtype=torch.float64)
    if name == "left":
        return steps / n, uniform
    if name == "right":
        return (steps + 1) / n, uniform
    if name == "midpoint":
        return (steps + 0.5) / n, uniform
    if name == "trapezoid":
        weights = torch.full((n,), 1 / (n - 1), dtype=torch.float64)
        weights[[0, -1]] /= 2
        return steps / (n - 1), weights
    nodes, weights_ = leggauss(n) if n <= _SMALL else _many_nodes(n)  # on [-1, 1]
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights_ / 2)


def _many_nodes(n: int) -> tuple[Array, Array]:
    """What ``leggauss`` gives, by Newton's method on the Legendre polynomial: n numbers are held and not n²."""
    polynomial = np.zeros(n + 1)
    polynomial[n] = 1
    slope = legder(polynomial)
    x = -np.cos(np.pi * (4 * np.arange(1, n + 1) - 1) / (4 * n + 2))
    for _ in range(3):  # from a first guess that is good to five digits, each step doubles them
        x -= legval(x, polynomial) / legval(x, slope)
    return x, 2 / ((1 - x**2) * legval(x, slope) ** 2)


def polyline_rule(name: str, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """Points and weights of a rule along a polyline.

    >>> corners = torch.tensor([0.0, 1.0, 4.0])
    >>> [q.tolist() for q in polyline_rule("left", corners)]
    [[0.0, 1.0], [1.0, 3.0]]
    >>> [q.tolist() for q in polyline_rule("trapezoid", corners)]
    [[0.0, 1.0, 4.0], [0.5, 2.0, 1.5]]

    Args:
        name: "left" (the published choice: one gradient at the start of every piece), "right",
            "midpoint" or "trapezoid" (the mean of both ends, at the cost of one gradient more).
        vertices: (P, ...) the corners, baseline first, explicand last.

    Returns:
        points (K, ...) and weights (K, ...), with K = P - 1, or P for the trapezoid. The weights are
        displacements: they sum to ``vertices[-1] - vertices[0]`` over K.

    Raises:
        ValueError: unknown rule.
    """
    step = vertices[1:] - vertices[:-1]  # (P-1, ...)
    if name == "left":
        return vertices[:-1], step
    if name == "right":
        return vertices[1:], step
    if name == "midpoint":
        return (vertices[1:] + vertices[:-1]) / 2, step
    if name == "trapezoid":
        weights = torch.zeros_like(vertices)
        weights[:-1] += step / 2
        weights[1:] += step / 2
        return vertices, weights
    raise ValueError(f"unknown rule {name!r} for a polyline; choose one of {', '.join(POLYLINE_RULES)}")
