"""A problem solved: what a method hands back becomes results, one for each text; and the contrast of two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from udig_lab.attribution import Attribution
from udig_lab.methods.solution import Solution
from udig_lab.model.heads import AT_A_POSITION
from udig_lab.model.inputs import Encoding
from udig_lab.model.target import CONTRAST
from udig_lab.problem import Problem
from udig_lab.saving.fields import text_fields


def attributions_of(problem: Problem, solution: Solution, made_by: dict[str, Any]) -> list[Attribution]:
    """One for each text; where every class is explained, one for each text and class."""
    target, at = problem.target, problem.reader.at
    classes = range(target.index.shape[1]) if target.every else (None,)
    at_baseline = problem.at_baseline if solution.at_baseline is None else solution.at_baseline

    def of(values: Any, i: int, c: int | None = None) -> Any:
        return None if values is None else values[i] if c is None else values[i][c]

    made = []
    for i, encoding in enumerate(problem.encodings):
        for c in classes:
            scores = tuple(of(solution.scores, i, c).double().tolist())
            made.append(
                Attribution(
                    **text_fields(encoding),
                    scores=scores,
                    target=target.of(i, c),
                    target_name=target.name(i, c),
                    output=target.output,
                    probability=of(target.probabilities, i, c),
                    f_input=float(of(problem.at_input, i, c)),
                    f_baseline=float(of(at_baseline, i, c)),
                    integrated=of(solution.totals, i),
                    baseline=solution.baseline or problem.baseline.name,
                    at=int(at[i, 0]) if at is not None and problem.model.task in AT_A_POSITION else None,
                    anchors=of(solution.anchors, i),
                    groups=of(solution.groups, i),
                    by=problem.by,
                    errors=None if solution.errors is None else tuple(of(solution.errors, i, c).double().tolist()),
                    evaluations=solution.evaluations[i],
                    forwards=of(solution.forwards, i) or 0,
                    **made_by,
                )
            )
    return made


def contrasted(prompts: Sequence[Encoding], one: list[Attribution], other: list[Attribution]) -> list[Attribution]:
    """Explanations of one continuation or answer minus those of another: F is the difference, so scores are, too."""

    def errors(a: Attribution, b: Attribution, n: int) -> tuple[float, ...] | None:
        if a.errors is None or b.errors is None:
            return None
        # Estimates of errors add up; standard errors of draws do so squared.
        pairs = zip(a.errors[:n], b.errors[:n], strict=True)
        return tuple(math.hypot(e, f) if a.converged is None else e + f for e, f in pairs)

    return [
        replace(
            a,
            **text_fields(prompt),
            scores=tuple(s - t for s, t in zip(a.scores[: len(prompt)], b.scores[: len(prompt)], strict=True)),
            target=(a.target, b.target),
            target_name=f"{a.target_name} − {b.target_name}",
            output=CONTRAST,
            probability=None,
            f_input=a.f_input - b.f_input,
            f_baseline=a.f_baseline - b.f_baseline,
            integrated=None,
            anchors=None if a.anchors is None else a.anchors[: len(prompt)],
            errors=errors(a, b, len(prompt)),
            evaluations=a.evaluations + b.evaluations,
            forwards=a.forwards + b.forwards,
            seconds=a.seconds + b.seconds,
        )
        for prompt, a, b in zip(prompts, one, other, strict=True)
    ]
