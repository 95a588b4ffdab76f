"""``explain``: texts in, attributions out; and ``trace``, the same with every step of the path kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from udig_lab.attribution import Attribution, text_fields
from udig_lab.methods import Paths, Solution
from udig_lab.methods import method as method_named
from udig_lab.methods.anchors import allowed_rows
from udig_lab.model.inputs import Text
from udig_lab.model.protocol import Protocol
from udig_lab.model.protocol import protocol as as_protocol
from udig_lab.model.textmodel import as_text_model, left_as_found
from udig_lab.model.vocabulary import Vocabulary
from udig_lab.paths import Integral
from udig_lab.posing import encodings_of, pose
from udig_lab.problem import Problem


@overload
def explain(model: Any, texts: Text, **keywords: Any) -> Attribution: ...
@overload
def explain(model: Any, texts: Sequence[Text] | None = ..., **keywords: Any) -> list[Attribution]: ...


def explain(
    model: Any,
    texts: Text | Sequence[Text] | None = None,
    *,
    method: str = "ig",
    baseline: str | int | Tensor | None = None,
    target: Any = None,
    output: str | None = None,
    tokenizer: Any | None = None,
    input_ids: Any | None = None,
    special_ids: Sequence[int] | None = None,
    max_length: int | None = None,
    protocol: str | Protocol = "corrected",
    precision: str = "float32",
    internal_batch_size: int | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Attribution | list[Attribution]:
    """Explain what a model says of one text or many.

    >>> import udig_lab as ul
    >>> a = ul.explain(ul.load("sst2"), "a gorgeous , witty , seductive movie .", method="ig", n_steps=50)
    >>> a.target_name, a.evaluations, a.delta_percent < 5
    ('positive', 50, True)

    Args:
        model: what ``udig_lab.load`` returns, a Hugging Face model with ``tokenizer=``, or a torch module with an
            embedding layer. It is left as it was found.
        texts: one text or (question, context), or several (they are batched together).
        method: a name in ``udig_lab.methods.METHODS``.
        baseline: "pad", "mask", "unk", "zero", "mean", a token, a token id, or a tensor (D,) or (L, D); None takes
            the first of mask, pad and end-of-text that the tokenizer has. Special tokens keep their value on it.
        target: one for all texts or one each; None explains what the model predicts for the input. A classifier
            takes a class index or label, a span model an answer from the context or (start, end) token positions, a
            causal language model the text that continues the prompt. It is fixed along the path.
        output: which number of the target F is; None takes the first of
            "logit" (classifier), or "log_odds" log p / (1 - p);
            "joint" (span), the sum of start and end logit, or one of them, "start", "end";
            "log_prob" (causal), of the whole continuation, or the sum of its "logit"s.
        tokenizer: needed with a bare model and texts.
        input_ids: token ids instead of texts: a list or 1-D tensor, or several of them.
        special_ids: with ``input_ids``, the ids that are not explained; None asks the tokenizer.
        max_length: cut texts at this many tokens; None makes longer ones than the model reads an error.
        protocol: "corrected", or "as_published" (embedding block twice, largest logit at every point).
        precision: "float32" for the model as it is; "bfloat16" multiplies matrices of gradient passes in bfloat16.
        internal_batch_size: points per forward and backward pass; None chooses by tokens, and halves when memory
            runs out.
        progress: show a bar; None shows it for long work in a terminal.
        settings: the method's own, such as ``n_steps``; see its entry in ``METHODS``.

    Returns:
        one ``Attribution`` for one text or one sequence of ids, a list of them for several.

    Raises:
        ValueError, TypeError: one sentence naming what was wrong and what would work.
    """
    text_model = as_text_model(model, tokenizer)
    rules, chosen = as_protocol(protocol), method_named(method).settings(method, settings)
    encodings, single = encodings_of(text_model, texts, input_ids, special_ids, max_length)
    with left_as_found(text_model.model):
        begin = time.perf_counter()
        problem = pose(
            text_model,
            encodings,
            baseline=baseline,
            target=target,
            output=output,
            rules=rules,
            precision=precision,
            internal_batch_size=internal_batch_size,
            progress=progress,
        )
        made = method_named(method).build(problem, **chosen)
        solution = _followed(problem, made) if isinstance(made, Paths) else made
        at_baseline = _at_baseline(problem, made)
        seconds = (time.perf_counter() - begin) / len(encodings)
    made_by = {"method": method, "protocol": rules.name, "settings": chosen, "seconds": seconds}
    results = _attributions(problem, solution, made, at_baseline, made_by)
    return results[0] if single else results


@dataclass(frozen=True)
class Trace:
    """One explanation with every step of its path.

    >>> import udig_lab as ul
    >>> found = ul.trace(ul.load("sst2"), "a gorgeous movie", method="ig", n_steps=8, rule="midpoint")
    >>> len(found.integral), tuple(found.explicand.shape), tuple(found.contributions.shape)
    (8, (5, 384), (8, 5))
    >>> found.visits(2, candidates="words")[-1]
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
    integral: Any
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
    text: Text,
    *,
    method: str = "ig",
    baseline: str | int | Tensor | None = None,
    target: Any = None,
    output: str | None = None,
    tokenizer: Any | None = None,
    protocol: str | Protocol = "corrected",
    **settings: Any,
) -> Trace:
    """Explain one text and keep the path; arguments as for ``explain``.

    Raises:
        ValueError: a method that follows no path (see ``explain`` for the rest).
    """
    text_model = as_text_model(model, tokenizer)
    rules, chosen = as_protocol(protocol), method_named(method).settings(method, settings)
    encodings, _ = encodings_of(text_model, text, None, None, None)
    with left_as_found(text_model.model):
        begin = time.perf_counter()
        problem = pose(text_model, encodings, baseline=baseline, target=target, output=output, rules=rules)
        made = method_named(method).build(problem, **chosen)
        if not isinstance(made, Paths):
            hint = '; pass rule="gauss_legendre"' if chosen.get("rule") in ("exact", "adaptive") else ""
            raise ValueError(f"{method} follows no path with these settings, so there is nothing to trace{hint}")
        integral: Any = made.integral(0)
        (part,) = problem.integrate(lambda _: integral, "points")
        f = problem.values(lambda k: integral.block(k, k + 1)[0][0], [0] * len(integral))
        at_baseline = _at_baseline(problem, made)
        start = problem.ends(0)[1] if made.starts is None else made.starts(0).mean(0)
        seconds = time.perf_counter() - begin
    solution = Solution([part.double().sum(0)], [len(part) * made.gradients])
    made_by = {"method": method, "protocol": rules.name, "settings": chosen, "seconds": seconds}
    (attribution,) = _attributions(problem, solution, made, at_baseline, made_by)
    return Trace(attribution, problem.explicand(0), start, integral, part, f, text_model.vocabulary)


def _followed(problem: Problem, paths: Paths) -> Solution:
    """Let the engine evaluate every path."""
    sizes = [0] * len(problem)

    def build(i: int) -> Integral:
        integral = paths.integral(i)
        sizes[i] = len(integral)
        return integral

    scores = problem.integrate(build, "tokens")
    return Solution(scores, [size * paths.gradients for size in sizes])


def _at_baseline(problem: Problem, made: Paths | Solution) -> list[float]:
    """F(x') of every text, or the mean of F over the points where its paths begin."""
    if not isinstance(made, Paths) or made.starts is None:
        return problem.at_baseline.tolist()
    starts = made.starts
    rows = [(i, r) for i in range(len(problem)) for r in range(len(starts(i)))]
    values = problem.values(lambda q: starts(rows[q][0])[rows[q][1]], [i for i, _ in rows]).double()
    texts = torch.tensor([i for i, _ in rows], device=values.device)
    sums = torch.zeros(len(problem), dtype=values.dtype, device=values.device).index_add(0, texts, values)
    means: list[float] = (sums / texts.bincount(minlength=len(problem))).tolist()
    return means


def _attributions(
    problem: Problem,
    solution: Solution,
    made: Paths | Solution,
    at_baseline: Sequence[float],
    made_by: dict[str, Any],
) -> list[Attribution]:
    goal = problem.target
    anchors = made.anchors if isinstance(made, Paths) else None
    start = made.start if isinstance(made, Paths) and made.starts is not None else problem.baseline.name
    return [
        Attribution(
            **text_fields(e),
            scores=tuple(solution.scores[i].double().tolist()),
            target=goal.of(i),
            target_name=goal.names[i],
            output=goal.kind,
            probability=goal.probabilities[i],
            f_input=float(problem.at_input[i]),
            f_baseline=at_baseline[i],
            baseline=start,
            anchors=anchors(i) if anchors is not None else None,
            total=None if solution.totals is None else solution.totals[i],
            groups=None if solution.groups is None else solution.groups[i],
            evaluations=solution.evaluations[i],
            forwards=0 if solution.forwards is None else solution.forwards[i],
            **made_by,
        )
        for i, e in enumerate(problem.encodings)
    ]
