"""``explain``: texts in, attributions out; and ``trace``, the same with every step of the path kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

from torch import Tensor

from udig_lab.attribution import Attribution, text_fields
from udig_lab.methods import Solution
from udig_lab.methods import method as method_named
from udig_lab.methods.anchors import allowed_rows
from udig_lab.model.inputs import Text
from udig_lab.model.protocol import Protocol, as_protocol
from udig_lab.model.textmodel import as_text_model
from udig_lab.model.vocabulary import Vocabulary
from udig_lab.paths import Integral
from udig_lab.problem import Problem, posed


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
    text_model, protocol = as_text_model(model, tokenizer), as_protocol(protocol)
    entry = method_named(method)
    chosen = entry.settings(method, settings)
    encodings, single = text_model.encode(texts, input_ids=input_ids, special_ids=special_ids, max_length=max_length)
    begin = time.perf_counter()
    with posed(
        text_model,
        encodings,
        baseline=baseline,
        target=target,
        output=output,
        protocol=protocol,
        precision=precision,
        internal_batch_size=internal_batch_size,
        progress=progress,
    ) as problem:
        solution = entry.build(problem, **chosen).solve(problem)
        seconds = (time.perf_counter() - begin) / len(encodings)
    made_by = {"method": method, "protocol": protocol.name, "settings": chosen, "seconds": seconds}
    results = _attributions(problem, solution, made_by)
    return results[0] if single else results


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
    text_model, protocol = as_text_model(model, tokenizer), as_protocol(protocol)
    entry = method_named(method)
    chosen = entry.settings(method, settings)
    encodings, _ = text_model.encode(text)
    begin = time.perf_counter()
    with posed(text_model, encodings, baseline=baseline, target=target, output=output, protocol=protocol) as problem:
        integral, parts, solution = entry.paths(method, problem, chosen).solve_one(problem)
        f = problem.values(lambda k: integral.block(k, k + 1)[0][0], [0] * len(integral))
        seconds = time.perf_counter() - begin
    explicand, start = problem.ends(0)
    start = start if integral.baselines is None else integral.baselines.mean(0)
    made_by = {"method": method, "protocol": protocol.name, "settings": chosen, "seconds": seconds}
    (attribution,) = _attributions(problem, solution, made_by)
    return Trace(attribution, explicand, start, integral, parts, f, text_model.vocabulary)


def _attributions(problem: Problem, solution: Solution, made_by: dict[str, Any]) -> list[Attribution]:
    target = problem.target
    at_baseline = problem.at_baseline.tolist() if solution.at_baseline is None else solution.at_baseline

    def of(values: Sequence[Any] | None, i: int) -> Any:
        return None if values is None else values[i]

    return [
        Attribution(
            **text_fields(e),
            scores=tuple(solution.scores[i].double().tolist()),
            target=target.of(i),
            target_name=target.names[i],
            output=target.output,
            probability=target.probabilities[i],
            f_input=float(problem.at_input[i]),
            f_baseline=at_baseline[i],
            baseline=solution.baseline or problem.baseline.name,
            anchors=of(solution.anchors, i),
            total=float(solution.scores[i].double().sum()) if solution.totals is None else solution.totals[i],
            groups=of(solution.groups, i),
            evaluations=solution.evaluations[i],
            forwards=of(solution.forwards, i) or 0,
            **made_by,
        )
        for i, e in enumerate(problem.encodings)
    ]
