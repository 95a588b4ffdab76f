"""Methods whose paths visit words: DIG, UDIG, and both with one token moving at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from udig_lab.integrals import Integral, OneAtATime, Polyline
from udig_lab.methods.anchors import BASELINE_ANCHOR, AnchorSearch, UdigSearch
from udig_lab.methods.bending import BentPath
from udig_lab.methods.controlled import controlled_passes
from udig_lab.methods.solution import Anchors, Passes, Paths, moving_ids
from udig_lab.methods.walk import DigSearch
from udig_lab.problem import Problem


def dig(
    problem: Problem,
    *,
    n_steps: int = 30,
    n_neighbors: int = 500,
    factor: int = 0,
    strategy: str = "greedy",
    rule: str = "left",
    candidates: str = "all",
    max_evaluations: int = 500,
    tolerance: float = 1.0,
) -> Paths | Passes:
    """Discretized IG: from each word to the baseline through neighbouring words, made monotone.

    Args:
        problem: texts and baseline (one row for all tokens).
        n_steps: m, anchors per token.
        n_neighbors: nearest rows of an anchor among which the next is chosen.
        factor: f, how often every piece of the path is halved; 2^f (m + 1) + 1 points in all.
        strategy: "greedy" or "maxcount".
        rule: "left" as published, "right", "midpoint" or "trapezoid", which take the anchors as nodes; or
            "controlled", for large models: it integrates along the polyline through the anchors, with nodes where F
            turns, until no score's error is estimated above ``tolerance``, and returns the errors. The corners stay;
            ``factor`` is of no effect.
        candidates: "all" rows of the table (special ones only under a protocol in which special tokens compete),
            or "words".
        max_evaluations: the most gradients a text may use; for "controlled" only, and at least m + 2.
        tolerance: in percent; for "controlled" only.

    Source: Sanyal & Ren, EMNLP 2021, arXiv 2108.13654; the defaults are its code's.
    """
    search = _search(problem, DigSearch, n_steps, n_neighbors, strategy, candidates)
    return _together(problem, search, factor, rule, budget=max_evaluations, tolerance=tolerance)


def udig(
    problem: Problem,
    *,
    n_steps: int = 30,
    n_neighbors: int = 50,
    factor: int = 1,
    strategy: str = "greedy",
    rule: str = "left",
    candidates: str = "all",
    max_evaluations: int = 500,
    tolerance: float = 1.0,
) -> Paths | Passes:
    """Uniform Discretized IG: through words near evenly spaced points of the straight line, made monotone.

    Args:
        problem: texts and baseline (one row for all tokens).
        n_steps: m, interpolation points and so anchors per token.
        n_neighbors: candidate words per interpolation point.
        factor: f, how often every piece of the path is halved; 2^f (m + 1) + 1 points in all.
        strategy: "greedy" or "maxcount".
        rule: "left" as published, "right", "midpoint" or "trapezoid", which take the anchors as nodes; or
            "controlled", for large models: it integrates along the polyline through the anchors, with nodes where F
            turns, until no score's error is estimated above ``tolerance``, and returns the errors. The corners stay;
            ``factor`` is of no effect.
        candidates: "all" rows of the table (special ones only under a protocol in which special tokens compete),
            or "words".
        max_evaluations: the most gradients a text may use; for "controlled" only, and at least m + 2.
        tolerance: in percent; for "controlled" only.

    Source: Sinha Roy & Kundu, arXiv 2412.03886; settings of its recorded DistilBERT run.
    """
    search = _search(problem, UdigSearch, n_steps, n_neighbors, strategy, candidates)
    return _together(problem, search, factor, rule, budget=max_evaluations, tolerance=tolerance)


def sequential_dig(
    problem: Problem,
    *,
    n_steps: int = 30,
    n_neighbors: int = 500,
    factor: int = 0,
    strategy: str = "greedy",
    rule: str = "left",
    candidates: str = "all",
) -> Paths:
    """DIG's paths walked by one token at a time, the others in place; settings as for ``dig``.

    With ever finer paths the scores tend to SIG's: with one moving token the sum over its dimensions does not depend
    on the path.

    Source: Enguehard, Findings of ACL 2023, arXiv 2305.15853 ("Seq-DIG" in its code).
    """
    return _one_by_one(problem, _search(problem, DigSearch, n_steps, n_neighbors, strategy, candidates), factor, rule)


def sequential_udig(
    problem: Problem,
    *,
    n_steps: int = 30,
    n_neighbors: int = 50,
    factor: int = 1,
    strategy: str = "greedy",
    rule: str = "left",
    candidates: str = "all",
) -> Paths:
    """UDIG's paths walked by one token at a time, the others in place; settings as for ``udig``.

    Source: none; the counterpart of ``sequential_dig``.
    """
    return _one_by_one(problem, _search(problem, UdigSearch, n_steps, n_neighbors, strategy, candidates), factor, rule)


def _search(
    problem: Problem, kind: type[AnchorSearch], n_steps: int, n_neighbors: int, strategy: str, candidates: str
) -> AnchorSearch:
    """The search for these settings, shared by all calls with them."""
    baseline, vocabulary = problem.baseline, problem.model.vocabulary
    if baseline.value.ndim != 1:
        raise ValueError("paths through words need one baseline row for all tokens; pass a token, a name or (D,)")
    if candidates == "all" and not problem.protocol.special_tokens_compete:
        candidates = "tokens"
    settings = (n_steps, n_neighbors, strategy, candidates)
    key = (kind, *settings, baseline.row if baseline.row is not None else tuple(baseline.value.tolist()))
    search = vocabulary.searches.get(key)
    if not isinstance(search, AnchorSearch):
        search = kind(vocabulary, baseline.value, baseline.row, *settings)
        vocabulary.searches[key] = search
    return search


def _together(
    problem: Problem, search: AnchorSearch, factor: int, rule: str, *, budget: int, tolerance: float
) -> Paths | Passes:
    controls, texts, names = rule == "controlled", range(len(problem)), _names(problem, search)

    def integral(i: int) -> Polyline:
        explicand, moving = problem.explicand(i), problem.explained(i)
        path = BentPath(search, moving_ids(problem, i), 0 if controls else factor)

        def corners(first: int, last: int) -> Tensor:
            points = explicand.repeat(last - first, 1, 1)  # special tokens stand still
            points[:, moving] = path(first, last)
            return points

        return Polyline(corners, len(path), rule)

    if not controls:
        return Paths(integral, names, search=search)
    search.anchors(torch.cat([moving_ids(problem, i) for i in texts]))  # all words of all texts are looked up together
    asked: dict[str, Any] = {"budget": budget, "name": "max_evaluations", "tolerance": tolerance}
    return controlled_passes(problem, integral, lambda: {"anchors": [names(i) for i in texts]}, **asked)


def _one_by_one(problem: Problem, search: AnchorSearch, factor: int, rule: str) -> Paths:
    problem.require_tokens("a method that moves one token after the other")

    def integral(i: int) -> Integral:
        tokens, words = problem.explained(i).nonzero()[:, 0].tolist(), moving_ids(problem, i)

        @lru_cache(maxsize=1)  # one token moves, then the next
        def path(j: int) -> Polyline:
            corners = BentPath(search, words[j : j + 1], factor)
            return Polyline(corners, len(corners), rule)

        return OneAtATime(problem.explicand(i), tokens, path, len(path(0)))

    return Paths(integral, _names(problem, search), search=search)


def _names(problem: Problem, search: AnchorSearch) -> Callable[[int], Anchors]:
    """For every token the words its path visits, input first."""
    name = problem.model.vocabulary.name

    def anchors(i: int) -> Anchors:
        rows = iter(search.anchors(moving_ids(problem, i)).tolist())
        return tuple(
            tuple(f"<{problem.baseline.name}>" if row == BASELINE_ANCHOR else name(row) for row in next(rows))
            if explained
            else None
            for explained in problem.explained(i).tolist()
        )

    return anchors
