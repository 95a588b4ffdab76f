"""``trace``: one explanation with every step of its path kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.integrals import Integral
from udig_lab.methods import method as method_named
from udig_lab.methods.anchors import allowed_rows
from udig_lab.model.asked import sides_of
from udig_lab.model.heads import ONE_CLASS
from udig_lab.model.inputs import Text
from udig_lab.model.protocol import Protocol, as_protocol
from udig_lab.model.target import ALL
from udig_lab.model.textmodel import as_text_model
from udig_lab.model.vocabulary import Vocabulary
from udig_lab.problem import posed
from udig_lab.solved import attributions_of


@dataclass(frozen=True)
class Trace:
    """One explanation with every step of its path.

    >>> import udig_lab as ul
    >>> trace = ul.trace(ul.load("sst2"), "a gorgeous movie", method="ig", n_steps=8, rule="midpoint")
    >>> len(trace.integral), tuple(trace.explicand.shape), tuple(trace.contributions.shape)
    (8, (5, 384), (8, 5))
    >>> trace.visits(2, candidates="words")[-1]
    'gorgeous'

    Attributes:
        attribution: the result.
        explicand: (L, D).
        baseline: (L, D); the mean, where there are several.
        integral: points and weights (K, L, D).
        contributions: (K, L) what every point adds to every token's score.
        f: (K,) F at every point.
        vocabulary: the embedding table, for naming words.
    """

    attribution: Attribution
    explicand: Tensor
    baseline: Tensor
    integral: Integral
    contributions: Tensor
    f: Tensor
    vocabulary: Vocabulary

    def visits(self, token: int, *, candidates: str = "all") -> tuple[str, ...]:
        """The word nearest to each point at which a token stands, in the order of the path.

        For paths through words ``Attribution.anchors`` names the anchors themselves, before they were bent.

        Args:
            token: its position.
            candidates: "all" rows of the table, or "words".
        """
        allowed = allowed_rows(self.vocabulary, candidates)
        moving = self.integral.weights[:, token].any(-1)  # on paths of one token at a time, its own
        rows = self.vocabulary.nearest(self.integral.points[moving, token], 1, allowed)[:, 0]
        return tuple(self.vocabulary.name(row) for row in rows.tolist())


def trace(
    model: Any,
    text: Text | None = None,
    *,
    method: str = "ig",
    baseline: str | int | Tensor | None = None,
    target: Any = None,
    output: str | None = None,
    tokenizer: Any | None = None,
    input_ids: Any | None = None,
    special_ids: Sequence[int] | None = None,
    protocol: str | Protocol = "corrected",
    at: Any = None,
    **settings: Any,
) -> Trace:
    """Explain one text and keep the path; arguments as for ``explain``.

    Raises:
        ValueError: a method that follows no path, several texts, the contrast of two continuations or answers, whose
            paths are two, or every class (see ``explain`` for the rest).
    """
    text_model, protocol = as_text_model(model, tokenizer), as_protocol(protocol)
    entry = method_named(method)
    chosen = entry.settings(method, settings)
    encodings, _ = text_model.encode(text, input_ids=input_ids, special_ids=special_ids)
    if len(encodings) > 1:
        raise ValueError(f"a trace is one explanation, and these are {len(encodings)} texts; trace each of them alone")
    if text_model.task not in ONE_CLASS and sides_of(target, 1):
        raise ValueError("the contrast of two continuations or answers is made of two paths; trace each of them alone")
    if isinstance(target, str) and target == ALL:
        raise ValueError(f"target={target!r} explains every class, and a trace is one explanation; name a class")
    posing: dict[str, Any] = {"baseline": baseline, "target": target, "output": output, "at": at, "protocol": protocol}
    begin = time.perf_counter()
    with posed(text_model, encodings, **posing) as problem:
        integral, parts, solution = entry.paths(method, problem, chosen).solve_one(problem)
        f = problem.values(lambda k: integral.block(k, k + 1)[0][0], [0] * len(integral))
        seconds = time.perf_counter() - begin
    explicand, start = problem.ends(0)
    start = start if integral.baselines is None else integral.baselines.mean(0)
    made_by = {"method": method, "protocol": protocol.name, "settings": chosen, "seconds": seconds}
    (attribution,) = attributions_of(problem, solution, made_by)
    return Trace(attribution, explicand, start, integral, parts, f, text_model.vocabulary)
