"""``explain``: texts in, attributions out; and ``trace``, the same with every step of the path kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.baseline import as_baseline
from udig_lab.engine import TOKEN_BUDGET, ScalarFunction, contributions
from udig_lab.inputs import Encoding, encode, encode_ids
from udig_lab.methods import METHODS, Explicands, Paths
from udig_lab.paths import LineIntegral
from udig_lab.protocol import Protocol
from udig_lab.protocol import protocol as as_protocol
from udig_lab.target import Classifier, TextModel, as_text_model, left_as_found, logits_of, pad_embeddings


@overload
def explain(model: Any, texts: str, **keywords: Any) -> Attribution: ...
@overload
def explain(model: Any, texts: Sequence[str] | None = ..., **keywords: Any) -> list[Attribution]: ...


def explain(
    model: Any,
    texts: str | Sequence[str] | None = None,
    *,
    method: str = "ig",
    baseline: str | int | Tensor = "mask",
    target: int | str | Sequence[int | str] | None = None,
    tokenizer: Any | None = None,
    input_ids: Any | None = None,
    special_ids: Sequence[int] | None = None,
    max_length: int | None = None,
    protocol: str | Protocol = "corrected",
    internal_batch_size: int | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Attribution | list[Attribution]:
    """Explain what a classifier says of one text or many.

    Args:
        model: what ``udig_lab.load`` returns, or a Hugging Face sequence classifier with ``tokenizer=``. It is left
            as it was found.
        texts: one text, or several (they are batched together).
        method: a name in ``udig_lab.methods.METHODS``.
        baseline: "pad", "mask", "unk", "zero", "mean", a token, a token id, or a tensor (D,) or (L, D). Special
            tokens keep their value on the baseline.
        target: class index or label, one for all texts or one each; None explains the class predicted for the input,
            fixed along the path. Its logit is explained, not its probability.
        tokenizer: needed with a bare model and texts.
        input_ids: token ids instead of texts: a list or 1-D tensor, or several of them.
        special_ids: with ``input_ids``, the ids that are not explained; None asks the tokenizer.
        max_length: cut texts at this many tokens; None makes longer ones than the model reads an error.
        protocol: "corrected", or "as_published" (embedding block twice, largest logit at every point).
        internal_batch_size: points per forward and backward pass; None chooses by tokens.
        progress: show a bar; None shows it for long work in a terminal.
        settings: the method's own, such as ``n_steps``; see its entry in ``METHODS``.

    Returns:
        one ``Attribution`` for one text or one sequence of ids, a list of them for several.

    Raises:
        ValueError, TypeError: one sentence naming what was wrong and what would work.
    """
    text_model = as_text_model(model, tokenizer)
    encodings, single = _encodings(text_model, texts, input_ids, special_ids, max_length)
    results, _ = _run(
        text_model,
        encodings,
        method=method,
        baseline=baseline,
        target=target,
        rules=as_protocol(protocol),
        internal_batch_size=internal_batch_size,
        progress=len(encodings) > 16 and sys.stderr.isatty() if progress is None else progress,
        settings=settings,
    )
    return results[0] if single else results


@dataclass(frozen=True)
class Trace:
    """One explanation with every step of its path.

    Attributes:
        attribution: the result.
        explicand: (L, D).
        baseline: (L, D).
        integral: points and weights (K, L, D).
        contributions: (K, L) what every point adds to every token's score.
        f: (K,) F at every point.
    """

    attribution: Attribution
    explicand: Tensor
    baseline: Tensor
    integral: LineIntegral
    contributions: Tensor
    f: Tensor


def trace(model: Any, text: str, *, method: str = "ig", tokenizer: Any | None = None, **keywords: Any) -> Trace:
    """Explain one text and keep the path; arguments as for ``explain``."""
    text_model = as_text_model(model, tokenizer)
    encodings, _ = _encodings(text_model, text, None, None, None)
    options: dict[str, Any] = {"baseline": "mask", "target": None, "internal_batch_size": None, "progress": False}
    options |= {name: keywords.pop(name) for name in list(keywords) if name in options}
    rules = as_protocol(keywords.pop("protocol", "corrected"))
    (attribution,), run = _run(text_model, encodings, method=method, rules=rules, settings=keywords, **options)
    integral = run.paths.integral(0)
    with left_as_found(text_model.model), torch.no_grad():
        points, mask = pad_embeddings(list(integral.points))
        f = run.scalar(points, mask, torch.zeros(len(points), dtype=torch.int64, device=points.device))
    return Trace(attribution, *run.explicands.ends(0), integral, run.parts[0], f)


@dataclass(frozen=True)
class _Internals:
    """What ``trace`` needs beyond the attributions."""

    scalar: ScalarFunction
    explicands: Explicands
    paths: Paths
    parts: list[Tensor]


def _run(
    text_model: TextModel,
    encodings: Sequence[Encoding],
    *,
    method: str,
    baseline: Any,
    target: Any,
    rules: Protocol,
    internal_batch_size: int | None,
    progress: bool,
    settings: dict[str, Any],
) -> tuple[list[Attribution], _Internals]:
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    chosen = METHODS[method].settings(method, settings)
    begin = time.perf_counter()
    with left_as_found(text_model.model):
        explicands = Explicands(text_model, encodings, as_baseline(baseline, text_model))
        classifier = Classifier(text_model.model, embed_twice=rules.embed_twice)
        lengths = [len(e) for e in encodings]
        at_input = logits_of(classifier, lengths, lambda i: explicands.ends(i)[0], TOKEN_BUDGET)  # (N, C)
        at_baseline = logits_of(classifier, lengths, lambda i: explicands.ends(i)[1], TOKEN_BUDGET)
        targets = _targets(target, at_input, text_model)  # (N,)

        def chosen_logit(logits: Tensor, owners: Tensor) -> Tensor:
            if rules.moving_target:
                return logits.max(1).values
            return logits.gather(1, targets[owners, None])[:, 0]

        def scalar(points: Tensor, mask: Tensor, owners: Tensor) -> Tensor:
            return chosen_logit(classifier(points, mask), owners)

        paths = METHODS[method].build(explicands, **chosen)
        parts = contributions(
            scalar, paths.integral, lengths, internal_batch_size=internal_batch_size, progress=progress
        )
        everyone = torch.arange(len(encodings), device=at_input.device)
        f_input, f_baseline = (chosen_logit(logits, everyone).tolist() for logits in (at_input, at_baseline))
        probability = at_input.softmax(-1).gather(1, targets[:, None])[:, 0].tolist()
    seconds = (time.perf_counter() - begin) / len(encodings)
    results = [
        Attribution(
            tokens=e.tokens,
            input_ids=tuple(e.input_ids.tolist()),
            word_ids=e.word_ids,
            scores=tuple(parts[i].double().sum(0).tolist()),
            special=tuple(e.special.tolist()),
            target=int(targets[i]),
            target_name=text_model.class_name(int(targets[i])),
            probability=probability[i],
            f_input=f_input[i],
            f_baseline=f_baseline[i],
            method=method,
            baseline=explicands.baseline.name,
            protocol=rules.name,
            settings=chosen,
            anchors=paths.anchors(i) if paths.anchors is not None else None,
            evaluations=len(parts[i]),
            seconds=seconds,
        )
        for i, e in enumerate(encodings)
    ]
    return results, _Internals(scalar, explicands, paths, parts)


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
    single = isinstance(texts, str)
    listed = [texts] if single else list(texts)
    if not listed:
        raise ValueError("the list of texts is empty; pass at least one text")
    limit = max_length if max_length is not None else model.limit
    return encode(listed, model.tokenizer, limit=limit, truncate=max_length is not None), single


def _targets(target: Any, logits: Tensor, model: TextModel) -> Tensor:
    """Class index (N,) for every text."""
    n, classes = logits.shape
    if target is None:
        return logits.argmax(-1)
    listed = [target] * n if isinstance(target, (int, str)) else list(target)
    if len(listed) != n:
        raise ValueError(f"{len(listed)} targets were given for {n} texts; pass one, or one for each")
    names = {model.class_name(c): c for c in range(classes)}
    indices = [names.get(t, -1) if isinstance(t, str) else t for t in listed]
    for given, index in zip(listed, indices, strict=True):
        if not 0 <= index < classes:
            raise ValueError(
                f"unknown target {given!r}; this model has the classes {', '.join(names)} (0 to {classes - 1})"
            )
    return torch.tensor(indices, device=logits.device)
