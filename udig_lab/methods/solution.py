"""What a method hands back: paths for the engine to follow, passes it makes itself, or a solution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from udig_lab.integrals import Integral, LineIntegral
from udig_lab.methods.anchors import AnchorSearch
from udig_lab.methods.trees import Group
from udig_lab.problem import Problem

Anchors = tuple[tuple[str, ...] | None, ...]  # for each token the words its path visits; None for special tokens


@dataclass(frozen=True)
class Solution:
    """Scores of N texts, and what belongs to them.

    Attributes:
        scores: (L,) each; (C, L) where every one of C classes is explained.
        evaluations: gradients, a text.
        forwards: forward passes without gradient, a text.
        totals: what should equal F(x) - F(x'), where that is not the sum of the scores.
        groups: the groups of every text, for methods that score groups.
        anchors: the words that every token's path visits, input first, for methods through words.
        errors: standard errors of the scores, (L,) each or (C, L), for methods that draw and know their spread.
        at_baseline: F(x'), a text, where that is not F at the problem's baseline.
        baseline: what to call such a baseline.
    """

    scores: Sequence[Tensor]
    evaluations: Sequence[int]
    forwards: Sequence[int] | None = None
    totals: Sequence[float] | None = None
    groups: Sequence[tuple[Group, ...]] | None = None
    anchors: Sequence[Anchors] | None = None
    errors: Sequence[Tensor] | None = None
    at_baseline: Sequence[Any] | None = None
    baseline: str | None = None

    def solve(self, problem: Problem) -> Solution:
        """Itself: nothing is left to do."""
        return self


@dataclass(frozen=True)
class Passes:
    """Scores that are found without a path, from passes through the model that can be counted before.

    Attributes:
        find: makes the passes, and returns what it knows of a ``Solution``: the scores at least.
        cost: text i -> its gradients, and its forward passes without gradient.
        part: makes some of the forward passes for the first text and says how many; None where they only read.
    """

    find: Callable[[], dict[str, Any]]
    cost: Callable[[int], tuple[int, int]]
    part: Callable[[], int] | None = None

    def solve(self, problem: Problem) -> Solution:
        """Make the passes."""
        known = self.find()
        costs = [self.cost(i) for i in range(len(problem))]
        return Solution(evaluations=[g for g, _ in costs], forwards=[f for _, f in costs], **known)


@dataclass(frozen=True)
class Paths:
    """One line integral a text, for the engine to evaluate.

    Attributes:
        integral: text i -> its points and weights. Where they begin elsewhere than at the problem's baseline, it says
            so in ``baselines``.
        anchors: text i -> the words its paths visit.
        baseline: what to call a baseline of its own.
        gradients: what a point costs: 1 for the gradient of F there, more when finding the point took some as well.
        search: where paths visit words, the search for them: all words of all texts are looked up together.
    """

    integral: Callable[[int], Integral]
    anchors: Callable[[int], Anchors] | None = None
    baseline: str | None = None
    gradients: int = 1
    search: AnchorSearch | None = None

    def cost(self, i: int) -> tuple[int, int]:
        """Gradients and forward passes that text i takes."""
        return len(self.integral(i)) * self.gradients, 0

    def solve(self, problem: Problem) -> Solution:
        """Follow every path."""
        evaluations = [0] * len(problem)
        own: dict[int, Integral] = {}

        def build(i: int) -> Integral:
            integral = self.integral(i)
            evaluations[i], _ = self.cost(i)
            if self.baseline is not None:
                own[i] = integral  # some know where they begin only when they have been followed
            return integral

        if self.search is not None:
            self.search.anchors(torch.cat([moving_ids(problem, i) for i in range(len(problem))]))
        scores = problem.integrate(build, "tokens")
        return self._solution(problem, scores, evaluations, [own[i].baselines for i in sorted(own)])

    def solve_one(self, problem: Problem) -> tuple[LineIntegral, Tensor, Solution]:
        """The path of a single text, what each of its points adds to each token's score (K, L), and the solution."""
        lazy = self.integral(0)
        integral = LineIntegral(*lazy.block(0, len(lazy)), lazy.baselines)
        (parts,) = problem.integrate(lambda _: integral, "points")
        scores = [parts.double().sum(0)]
        return integral, parts, self._solution(problem, scores, [len(parts) * self.gradients], [integral.baselines])

    def _solution(
        self,
        problem: Problem,
        scores: Sequence[Tensor],
        evaluations: Sequence[int],
        baselines: Sequence[Tensor | None],
    ) -> Solution:
        anchors = None if self.anchors is None else [self.anchors(i) for i in range(len(problem))]
        own = [b for b in baselines if b is not None]  # of all texts, or of none
        at_baseline = _means(problem, own) if own else None
        return Solution(
            scores, evaluations, anchors=anchors, at_baseline=at_baseline, baseline=self.baseline if own else None
        )


def moving_ids(problem: Problem, i: int) -> Tensor:
    """(T,) ids of the tokens of text i that move."""
    ids = problem.encodings[i].input_ids.to(problem.model.table.device)
    return ids[problem.explained(i)]


def _means(problem: Problem, baselines: Sequence[Tensor]) -> list[Any]:
    """Mean of F over the points (R, L, D) where the paths of each text begin."""
    rows = [(i, r) for i, points in enumerate(baselines) for r in range(len(points))]
    values = problem.values(lambda q: baselines[rows[q][0]][rows[q][1]], [i for i, _ in rows]).double()
    texts = torch.tensor([i for i, _ in rows], device=values.device)
    sums = torch.zeros(len(problem), *values.shape[1:], dtype=values.dtype, device=values.device)
    counts = texts.bincount(minlength=len(problem)).view(-1, *[1] * (values.ndim - 1))
    means: list[Any] = (sums.index_add(0, texts, values) / counts).tolist()
    return means
