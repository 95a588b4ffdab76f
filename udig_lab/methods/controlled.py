"""Path integrals of an F that turns sharply: nodes where they are needed, every panel corrected by its known sum.

Every text's path begins with panels of one size, between corners if it has any. Those whose scores have the largest
errors (``panels``) are cut in two, until no score's error is above the tolerance or the budget is spent.

Source: this project.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from udig_lab.integrals import Polyline
from udig_lab.methods.panels import Line, panels_of
from udig_lab.methods.solution import Passes
from udig_lab.problem import Problem

LEAST = 3  # nodes: with fewer, nothing is known of how slopes bend
_START = 16  # panels of the first round, at least: what F does between two nodes unseen, stays unseen
_NARROW = 1e-6  # a panel is not cut below this share of its piece: single precision tells no more points apart


@dataclass(frozen=True)
class Controlled:
    """Integrals with errors.

    Attributes:
        scores: (L,) of every text.
        errors: (L,) of every text, estimates.
        evaluations: gradients of every text.
        forwards: forward passes of every text without gradient.
    """

    scores: list[Tensor]
    errors: list[Tensor]
    evaluations: list[int]
    forwards: list[int]


def controlled(
    problem: Problem, path: Callable[[int], Polyline], *, budget: int, name: str, tolerance: float
) -> Controlled:
    """Integrals along polylines whose scores' errors are estimated, and lowered until they are within a tolerance.

    Args:
        problem: texts and baseline.
        path: text i -> its path; a straight line has two corners. All have as many.
        budget: the most gradients a text may take; a text that runs out keeps what it has, and its errors say so.
        name: of the setting that is the budget.
        tolerance: on the error of every score, in percent of |F(x) - F(x')| or of one unit of F, whichever is more.

    Raises:
        ValueError: no positive tolerance, or fewer nodes than one panel with its middle, or a panel for every piece.
    """
    pieces = path(0).count - 1
    least = max(LEAST, pieces + 1)
    if tolerance <= 0 or budget < least:
        needed = "one panel with its middle" if least == LEAST else f"one panel for each of {pieces} pieces"
        raise ValueError(
            f"the controlled rule needs a positive tolerance and {name} >= {least} ({needed}), "
            f"not {tolerance} and {budget}"
        )
    allowed = [allowed_error(float(c), tolerance) for c in problem.at_input - problem.at_baseline]
    panels = min(math.ceil(_START / pieces), (budget - 1) // pieces)  # of every piece
    first = torch.linspace(0, pieces, pieces * panels + 1, dtype=torch.float64)
    first[::panels] = torch.arange(pieces + 1, dtype=torch.float64)  # corners are whole numbers, whatever the rounding
    lines: list[Line | None] = [None] * len(problem)
    new = dict.fromkeys(range(len(problem)), first)
    while new:  # every round looks at the new nodes of all texts at once
        for i, (nodes, slopes, values) in _looked(problem, path, new).items():
            line = lines[i]
            lines[i] = Line(nodes, slopes, values) if line is None else line.with_more(nodes, slopes, values)
        new = {}
        for i, line in enumerate(lines):
            assert line is not None
            middles = _middles(line, allowed[i], budget - len(line.nodes))
            if len(middles):
                new[i] = middles
    known = [line for line in lines if line is not None]
    by_panel = [panels_of(line) for line in known]
    gradients = [len(line.nodes) for line in known]
    forwards = gradients if _reads_apart(problem) else [0] * len(known)
    return Controlled([scores.sum(0) for scores, _ in by_panel], [e.sum(0) for _, e in by_panel], gradients, forwards)


def controlled_passes(
    problem: Problem, path: Callable[[int], Polyline], more: Callable[[], dict[str, Any]] = dict, **asked: Any
) -> Passes:
    """The same for a method to hand back, with what ``more`` knows of its ``Solution``; ``asked`` as above."""
    made = cache(lambda: controlled(problem, path, **asked))  # how many nodes a text needs is known when it has them
    return Passes(
        lambda: {"scores": made().scores, "errors": made().errors} | more(),
        lambda i: (made().evaluations[i], made().forwards[i]),
    )


def allowed_error(change: float, tolerance: float) -> float:
    """The error a score may have: so many percent of what F changes, or of one unit where it changes less.

    >>> allowed_error(-4.0, 1.0), allowed_error(0.01, 1.0)
    (0.04, 0.01)
    """
    return max(abs(change), 1.0) * tolerance / 100


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


def _looked(
    problem: Problem, path: Callable[[int], Polyline], new: dict[int, Tensor]
) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
    """Nodes, slopes (k, 2, L) and F (k,) at new nodes of some texts."""
    texts = sorted(new)
    made = problem.integrate(lambda i: path(i).both_sides(new[i]), "valued", texts)
    parts = [part.double().cpu() for part in made]  # (k, 1 + 2 L)
    values = [part[:, 0] for part in parts]
    if _reads_apart(problem):
        values = _read(problem, path, new, texts)
    slopes = [part[:, 1:].reshape(len(part), -1, 2).transpose(1, 2) for part in parts]
    return {i: (new[i], own, f) for i, own, f in zip(texts, slopes, values, strict=True)}


def _reads_apart(problem: Problem) -> bool:
    """Whether F is read again: where gradients are taken in half precision, what F changes would drown in rounding."""
    return problem.reader.precision == "bfloat16"


def _read(
    problem: Problem, path: Callable[[int], Polyline], new: dict[int, Tensor], texts: Sequence[int]
) -> list[Tensor]:
    rows = [(i, j) for i in texts for j in range(len(new[i]))]
    integrals = {i: path(i).both_sides(new[i]) for i in texts}

    def embed(r: int) -> Tensor:
        i, j = rows[r]
        return integrals[i].block(j, j + 1)[0][0]

    values = problem.values(embed, [i for i, _ in rows]).double().cpu()
    return list(torch.split(values, [len(new[i]) for i in texts]))
