"""``explain``: texts in, attributions out; and ``trace``, the same with every step of the path kept."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.baseline import as_baseline
from udig_lab.batching import Budget
from udig_lab.inputs import Encoding, Text, continued, encode, encode_ids
from udig_lab.methods import Paths, Solution
from udig_lab.methods import method as method_named
from udig_lab.paths import Integral
from udig_lab.problem import Problem
from udig_lab.protocol import Protocol
from udig_lab.protocol import protocol as as_protocol
from udig_lab.reader import Reader, read
from udig_lab.target import Target, continuations, resolve
from udig_lab.textmodel import TextModel, as_text_model, left_as_found


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
    encodings, single = _encodings(text_model, texts, input_ids, special_ids, max_length)
    with left_as_found(text_model.model):
        begin = time.perf_counter()
        problem = _problem(
            text_model,
            encodings,
            baseline=baseline,
            target=target,
            output=output,
            rules=as_protocol(protocol),
            precision=precision,
            budget=Budget.for_device(text_model.table.device, internal_batch_size),
            progress=len(encodings) > 16 and sys.stderr.isatty() if progress is None else progress,
        )
        chosen = method_named(method).settings(method, settings)
        made = method_named(method).build(problem, **chosen)
        solution = _followed(problem, made) if isinstance(made, Paths) else made
        at_baseline = _at_baseline(problem, made)
        seconds = (time.perf_counter() - begin) / len(encodings)
    results = _attributions(problem, solution, made, at_baseline, method, chosen, as_protocol(protocol).name, seconds)
    return results[0] if single else results


@dataclass(frozen=True)
class Trace:
    """One explanation with every step of its path.

    Attributes:
        attribution: the result.
        explicand: (L, D).
        baseline: (L, D); the mean, where there are several.
        integral: points and weights (K, L, D).
        contributions: (K, L) what every point adds to every token's score.
        f: (K,) F at every point.
    """

    attribution: Attribution
    explicand: Tensor
    baseline: Tensor
    integral: Any
    contributions: Tensor
    f: Tensor


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
    encodings, _ = _encodings(text_model, text, None, None, None)
    rules = as_protocol(protocol)
    with left_as_found(text_model.model):
        begin = time.perf_counter()
        problem = _problem(
            text_model,
            encodings,
            baseline=baseline,
            target=target,
            output=output,
            rules=rules,
            precision="float32",
            budget=Budget.for_device(text_model.table.device),
            progress=False,
        )
        chosen = method_named(method).settings(method, settings)
        made = method_named(method).build(problem, **chosen)
        if not isinstance(made, Paths):
            hint = '; pass rule="gauss_legendre"' if chosen.get("rule") in ("exact", "adaptive") else ""
            raise ValueError(f"{method} follows no path with these settings, so there is nothing to trace{hint}")
        integral: Any = made.integral(0)
        (part,) = problem.integrate(lambda _: integral, "points")
        f = problem.values(lambda k: integral.block(k, k + 1)[0][0], [0] * len(integral))
        at_baseline = _at_baseline(problem, made)
        solution = Solution([part.double().sum(0)], [len(part) * made.gradients])
        baseline_ = problem.ends(0)[1] if made.starts is None else made.starts(0).mean(0)
        seconds = time.perf_counter() - begin
    (attribution,) = _attributions(problem, solution, made, at_baseline, method, chosen, rules.name, seconds)
    return Trace(attribution, problem.explicand(0), baseline_, integral, part, f)


def _problem(
    model: TextModel,
    encodings: Sequence[Encoding],
    *,
    baseline: Any,
    target: Any,
    output: str | None,
    rules: Protocol,
    precision: str,
    budget: Budget,
    progress: bool,
) -> Problem:
    """The problem; reads the inputs, because the target may be what the model predicts there."""
    start = as_baseline(baseline, model)
    if model.task == "causal":
        encodings, ids = _continued(model, encodings, target, budget)
        reader = Reader(model, encodings, keep=max(len(row) for row in ids), precision=precision)
    else:
        reader = Reader(model, encodings, embed_twice=rules.embed_twice, precision=precision)
    n = len(encodings)

    def embed(r: int) -> Tensor:
        return start.embeddings(encodings[r - n], model.table) if r >= n else _embedded(model, encodings[r])

    # Inputs and baselines in one go: for a single short text every pass counts.
    outputs = read(reader, embed, [*range(n)] * 2, [len(e) for e in encodings] * 2, budget)
    if model.task == "causal":
        goal = continuations(ids, output, model, outputs[:n])
    else:
        goal = resolve(target, output, model, encodings, outputs[:n], moving=rules.moving_target)
    owners = torch.arange(n, device=outputs[0].device).repeat(2)
    f = torch.cat([goal(o[None], i[None]) for o, i in zip(outputs, owners, strict=True)])  # (2N,)
    for number, value in enumerate(f[:n].tolist()):
        if not math.isfinite(value):
            raise ValueError(
                f"F of text {number} is not finite ({value}): check the model's weights, or use a wider number type"
            )
    return Problem(model, encodings, start, reader, goal, f[:n], f[n:], budget, progress)


def _embedded(model: TextModel, encoding: Encoding) -> Tensor:
    """(L, D)"""
    return model.table[encoding.input_ids.to(model.table.device)]


def _continued(
    model: TextModel, encodings: Sequence[Encoding], target: Any, budget: Budget
) -> tuple[list[Encoding], list[list[int]]]:
    """Prompts with all but the last token of what continues them, and the continuations' ids."""
    wishes = [target] * len(encodings) if target is None or isinstance(target, str) else list(target)
    if len(wishes) != len(encodings):
        raise ValueError(f"{len(wishes)} targets were given for {len(encodings)} texts; pass one, or one for each")
    ids: list[list[int]] = []
    next_ids: list[int] | None = None
    for number, wish in enumerate(wishes):
        if wish is None:
            if next_ids is None:
                lengths = [len(e) for e in encodings]
                reader = Reader(model, encodings)
                outputs = read(reader, lambda i: _embedded(model, encodings[i]), range(len(lengths)), lengths, budget)
                next_ids = [int(o[-1].argmax()) for o in outputs]
            ids.append([next_ids[number]])
        elif not isinstance(wish, str) or model.tokenizer is None:
            raise ValueError(f"unknown target {wish!r}: a language model explains the text that continues the prompt")
        else:
            ids.append(model.tokenizer(wish, add_special_tokens=False)["input_ids"])
            if not ids[-1]:
                raise ValueError(f"the continuation {wish!r} has no tokens; pass at least one word")
    longer = [continued(e, row[:-1], model.tokenizer) for e, row in zip(encodings, ids, strict=True)]
    for number, e in enumerate(longer):
        if model.limit is not None and len(e) > model.limit:
            raise ValueError(
                f"text {number} with its continuation has {len(e)} tokens but the model reads at most {model.limit}; "
                "shorten one of them"
            )
    return longer, ids


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
    means = []
    for i in range(len(problem)):
        points = made.starts(i)  # (R, L, D)
        means.append(float(problem.values(points.__getitem__, [i] * len(points)).mean()))
    return means


def _attributions(
    problem: Problem,
    solution: Solution,
    made: Paths | Solution,
    at_baseline: Sequence[float],
    method: str,
    settings: dict[str, Any],
    protocol: str,
    seconds: float,
) -> list[Attribution]:
    goal: Target = problem.target
    anchors = made.anchors if isinstance(made, Paths) else None
    start = made.start if isinstance(made, Paths) and made.starts is not None else problem.baseline.name
    return [
        Attribution(
            tokens=e.tokens,
            pieces=e.pieces,
            input_ids=tuple(e.input_ids.tolist()),
            word_ids=e.word_ids,
            scores=tuple(solution.scores[i].double().tolist()),
            special=tuple(e.special.tolist()),
            target=goal.of(i),
            target_name=goal.names[i],
            output=goal.kind,
            probability=goal.probabilities[i],
            f_input=float(problem.at_input[i]),
            f_baseline=at_baseline[i],
            method=method,
            baseline=start,
            protocol=protocol,
            settings=settings,
            anchors=anchors(i) if anchors is not None else None,
            total=None if solution.totals is None else solution.totals[i],
            groups=None if solution.groups is None else solution.groups[i],
            evaluations=solution.evaluations[i],
            forwards=0 if solution.forwards is None else solution.forwards[i],
            seconds=seconds,
        )
        for i, e in enumerate(problem.encodings)
    ]


def _encodings(
    model: TextModel, texts: Any, input_ids: Any, special_ids: Sequence[int] | None, max_length: int | None
) -> tuple[list[Encoding], bool]:
    """Tokenise what was given; True when it was a single text or sequence."""
    if (texts is None) == (input_ids is None):
        raise ValueError("pass either texts or input_ids=…, and not both")
    if input_ids is not None:
        first = input_ids[0] if len(input_ids) else None
        single = isinstance(first, int) or (isinstance(first, Tensor) and first.ndim == 0)
        encodings = encode_ids(input_ids, special_ids=special_ids, tokenizer=model.tokenizer)
        for encoding in encodings:
            if int(encoding.input_ids.max()) >= len(model.table) or int(encoding.input_ids.min()) < 0:
                raise ValueError(
                    f"token id {int(encoding.input_ids.max())} is outside the vocabulary of {len(model.table)} rows"
                )
        return encodings, single
    if model.tokenizer is None:
        raise ValueError("texts need a tokenizer: pass tokenizer=…, or input_ids=… with special_ids=…")
    single = isinstance(texts, (str, tuple))
    listed = [texts] if single else list(texts)
    if not listed:
        raise ValueError("the list of texts is empty; pass at least one text")
    limit = max_length if max_length is not None else model.limit
    return encode(listed, model.tokenizer, limit=limit, truncate=max_length is not None), single
