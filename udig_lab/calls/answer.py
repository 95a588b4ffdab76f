"""``explain_answer``: a whole answer, token by token: what each of them owes to each token of the prompt."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group

from udig_lab.attribution import Attribution
from udig_lab.calls.call import Call, call_of
from udig_lab.drawing.heatgrid import grid_html, grid_to_terminal
from udig_lab.drawing.heatmap import visible
from udig_lab.model.asked import sides_of
from udig_lab.model.heads import GENERATING
from udig_lab.model.target import ALL
from udig_lab.problem import posed
from udig_lab.solved import attributions_of


@dataclass(frozen=True)
class AnswerAttribution:
    """An answer of c tokens, each explained behind those before it.

    Attributes:
        whole: the explanation of the answer: F is the sum over its tokens, and so are the scores.
        answer: c strings, the tokens of the answer.
        matrix: (c, L) scores; row j explains token j, and the rows add up to ``whole.scores``. Tokens of the answer,
            which stand behind the prompt, score 0.
        f_input: (c,) F of every token at the input.
        f_baseline: (c,) at the baseline.
        probabilities: (c,) of every token behind those before it, at the input.
    """

    whole: Attribution
    answer: tuple[str, ...]
    matrix: np.ndarray
    f_input: np.ndarray
    f_baseline: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.answer)

    def _rows(self) -> list[list[tuple[str, float]]]:
        """For each token of the answer words, or segments, with their scores."""
        return [replace(self.whole, scores=tuple(row), errors=None).shown() for row in self.matrix.tolist()]

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each token of the answer, one column for each word of the prompt, or segment."""
        rows = self._rows()
        index = pd.Index(self.answer, name="answer")
        return pd.DataFrame([[score for _, score in row] for row in rows], index, [word for word, _ in rows[0]])

    def _grid(self) -> tuple[list[str], list[str], list[list[float]]]:
        """Words, tokens of the answer and the whole, and the scores of each word for each of these."""
        names = [word for word, _ in self.whole.shown()]
        columns = [[score for _, score in row] for row in [*self._rows(), self.whole.shown()]]
        return names, [*self.answer, "all"], [list(scores) for scores in zip(*columns, strict=True)]

    def _repr_html_(self) -> str:
        a = self.whole
        caption = (
            f"{a.method} · what each token of “{a.target_name.strip()}” owes to the prompt, in {a.output} · baseline "
            f"{a.baseline} · {a.balance}"
        )
        caption += f" · {a.remark}" if a.remark else ""
        return grid_html(*self._grid(), caption, "word" if a.by == "token" else a.by)

    def __rich__(self) -> Group:
        """What ``rich.print`` shows."""
        return grid_to_terminal(*self._grid())

    def __str__(self) -> str:
        lines = [f"{visible(self.whole.method)} for {self.whole.target_name!r}, token by token:"]
        for token, p, row in zip(self.answer, self.probabilities, self._rows(), strict=True):
            body = " ".join(f"{visible(word)}({score:+.2f})" for word, score in row)
            lines.append(f"{token!r} (p = {p:.3f}): {body}")
        return "\n".join(lines)


def explain_answer(
    model: Any, texts: Any = None, *, target: Any = None, **options: Any
) -> AnswerAttribution | list[AnswerAttribution]:
    """Explain an answer as a whole and each of its tokens, all along the same paths.

    Log p of an answer is the sum of log p of its tokens, each behind those before it, which are read and not
    explained. So one path serves all of them. Methods that only read forward give the matrix for the passes of the
    whole; those with gradients take one gradient for each token of the answer at every point.

    Args:
        model: a language model, as for ``explain``.
        texts: prompts, as for ``explain``.
        target: the answer, as text or token ids; one for all prompts, or a list with one each. None is the most
            probable next token.
        options: as for ``explain``.

    Returns:
        one ``AnswerAttribution`` for one prompt, a list of them for several. Scores of methods that draw come without
        their standard errors, which do not add up.

    Raises:
        ValueError, TypeError: as for ``explain``; a model that writes nothing, a contrast of two answers, or a method
            whose scores do not add up over tokens.
    """
    call, together = answer_call_of(model, texts, target=target, **options)
    text_model, entry, settings, encodings, single, given, posing = call
    made_by = {"method": given["method"], "protocol": posing["protocol"].name, "settings": settings}
    parts: list[list[Attribution]] = [[] for _ in encodings]  # of every text, its tokens
    part, begin = 0, time.perf_counter()
    while True:
        with posed(text_model, encodings, part=ALL if together else part, **posing) as problem:
            made = attributions_of(problem, entry.build(problem, **settings).solve(problem), made_by)
            width = problem.target.index.shape[1]
        for i, own in enumerate(parts):
            own += made[i * width : (i + 1) * width] if together else [made[i]]
        part += 1
        if together or part == width:
            break
    seconds = (time.perf_counter() - begin) / len(encodings)
    kept = [[a for a in own if a.target not in ((), (-1,))] for own in parts]
    results = [_answer(own, together, seconds, text_model.tokenizer) for own in kept]
    return results[0] if single else results


def answer_call_of(model: Any, texts: Any, **options: Any) -> tuple[Call, bool]:
    """What ``explain_answer`` would do with its arguments, and whether its tokens share their passes.

    Raises:
        ValueError, TypeError: as for ``explain_answer``.
    """
    call = call_of(model, texts, **options)
    text_model, entry, method = call.model, call.entry, call.given["method"]
    if text_model.task not in GENERATING:
        raise ValueError(
            f"{text_model.name} is a {text_model.task} model, which writes no answer; use explain, with "
            f"target={ALL!r} for every class"
        )
    if not entry.linear:
        raise ValueError(
            f"{method} is not linear in F, so its scores of an answer's tokens do not add up to those of the "
            "answer; explain it as a whole"
        )
    if sides_of(call.given["target"], len(call.encodings)) is not None:
        raise ValueError("target=(this, that) is a contrast of two answers; pass one answer, and explain each alone")
    return call, entry.serves_all(call.settings)


def _answer(parts: Sequence[Attribution], together: bool, seconds: float, tokenizer: Any) -> AnswerAttribution:
    """An answer of its tokens' explanations; ``together`` says that they shared their forward passes."""
    matrix = np.array([a.scores for a in parts])  # (c, L)
    ids = tuple(i for a in parts for i in (a.target if isinstance(a.target, tuple) else (a.target,)))
    errors = [a.errors for a in parts if a.errors is not None and a.converged is not None]  # only these add up
    whole = replace(
        parts[0],
        scores=tuple(matrix.sum(0).tolist()),
        target=ids,
        target_name=tokenizer.decode(ids) if tokenizer is not None else str(list(ids)),
        probability=math.prod(a.probability or 0.0 for a in parts),
        f_input=sum(a.f_input for a in parts),
        f_baseline=sum(a.f_baseline for a in parts),
        errors=tuple(np.sum(errors, axis=0).tolist()) if len(errors) == len(parts) else None,
        evaluations=sum(a.evaluations for a in parts),
        forwards=parts[0].forwards if together else sum(a.forwards for a in parts),
        seconds=seconds,
    )
    numbers = (np.array([getattr(a, name) for a in parts]) for name in ("f_input", "f_baseline", "probability"))
    return AnswerAttribution(whole, tuple(a.target_name for a in parts), matrix, *numbers)
