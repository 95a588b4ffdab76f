"""``explain``: texts in, attributions out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, overload

from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.methods import method as method_named
from udig_lab.model.asked import sides_of
from udig_lab.model.heads import ONE_CLASS
from udig_lab.model.inputs import Text
from udig_lab.model.protocol import Protocol, as_protocol
from udig_lab.model.segments import TOKEN
from udig_lab.model.target import ALL
from udig_lab.model.textmodel import TextModel, as_text_model
from udig_lab.problem import posed
from udig_lab.solved import attributions_of, contrasted


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
    at: Any = None,
    precision: str = "float32",
    internal_batch_size: int | None = None,
    progress: bool | None = None,
    check: bool = True,
    segments: Any = None,
    by: str = TOKEN,
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
        texts: one text, (question, context) or chat (a list of messages with role and content), or several of them
            (they are batched together); or what a tokenizer returns (its mask and types are kept).
        method: a name in ``udig_lab.methods.METHODS``.
        baseline: "pad", "mask", "unk", "zero", "mean", a token, a token id, or a tensor (D,) or (L, D); None takes
            the first of mask, pad and end-of-text that the tokenizer has. Special tokens keep their value on it.
        target: one for all texts or a list with one each; None explains what the model predicts for the input. A
            classifier takes a class index or label, a span model an answer from the context or (start, end) token
            positions, a language model the text or token ids that continue the prompt. It is fixed along the path.
            A tuple of two is their contrast (of token ids: two lists; None is what the model predicts): F is the
            difference of two classes' logits, two answers' joint logits, or two continuations' log-probabilities.
            "all" gives a list with an attribution for each class.
        output: which number of the target F is; None takes the first of
            "logit" (classifier), or "log_odds" log p / (1 - p);
            "joint" (span), the sum of start and end logit, or one of them, "start", "end";
            "log_prob" (causal), of the whole continuation, or the sum of its "logit"s.
        tokenizer: needed with a bare model and texts.
        input_ids: token ids instead of texts: a list, array or 1-D tensor, or several of them.
        special_ids: with ``input_ids``, the ids that are not explained; None asks the tokenizer.
        max_length: cut texts at this many tokens; None makes longer ones than the model reads an error.
        at: token classifiers and masked language models only: the token whose class is explained, by its number or,
            where it stands once, the word that it begins; None takes the only mask.
        protocol: "corrected", or "as_published" (embedding block twice, largest logit at every point).
        precision: "float32" for the model as it is; "bfloat16" multiplies matrices of gradient passes in bfloat16;
            "auto" takes the faster one on this device, measured once in a process and logged.
        internal_batch_size: points per forward and backward pass; None chooses by tokens, and halves when memory
            runs out.
        progress: show a bar; None shows it for long work in a terminal.
        check: compare F at the input with the model's own output on the token ids, and raise where they differ.
            False explains whatever answers where points go in at the embedding layer.
        segments: names -> parts of the prompt, such as {"examples": …, "question": …}, each of which stands there
            once; they are explained, and all else stays as it is. One dictionary for all texts, or one each. A chat
            has a segment for each message; what its template writes stays.
        by: "segment" for methods that take tokens out to take whole segments out, and for metrics and pictures to take
            a segment for a word; otherwise "token".
        settings: the method's own, such as ``n_steps``; see its entry in ``METHODS``.

    Returns:
        one ``Attribution`` for one text or one sequence of ids, a list of them for several.

    Raises:
        ValueError, TypeError: one sentence naming what was wrong and what would work.
    """
    text_model, protocol = as_text_model(model, tokenizer), as_protocol(protocol)
    entry = method_named(method)
    chosen = entry.settings(method, settings)
    encodings, single = text_model.encode(
        texts, input_ids=input_ids, special_ids=special_ids, max_length=max_length, segments=segments
    )
    posing = {
        "baseline": baseline,
        "output": output,
        "at": at,
        "protocol": protocol,
        "precision": precision,
        "internal_batch_size": internal_batch_size,
        "progress": progress,
        "check": check,
        "by": by,
    }

    def solved(wish: Any) -> list[Attribution]:
        begin = time.perf_counter()
        with posed(text_model, encodings, target=wish, **posing) as problem:
            solution = entry.build(problem, **chosen).solve(problem)
            seconds = (time.perf_counter() - begin) / len(encodings)
        made_by = {"method": method, "protocol": protocol.name, "settings": chosen, "seconds": seconds}
        return attributions_of(problem, solution, made_by)

    wishes = wishes_of(text_model, method, chosen, target, output, len(encodings))
    made = [solved(wish) for wish in wishes]
    results: list[Any]
    if _is_all(target):
        classes = len(made[0]) // len(encodings)
        by_text = zip(*made, strict=True) if wishes != [ALL] else zip(*[iter(made[0])] * classes, strict=True)
        results = [list(row) for row in by_text]
    else:
        results = made[0] if len(made) == 1 else contrasted(encodings, *made)
    return results[0] if single else results


def wishes_of(
    model: TextModel, method: str, settings: dict[str, Any], target: Any, output: str | None, n: int
) -> list[Any]:
    """The targets of n texts that are explained one after the other; most often the one that was given.

    Every class is explained from one walk of the path where possible. The contrast of two continuations or answers
    has two paths.

    Raises:
        ValueError: a target that the model or the method does not go with.
    """
    entry = method_named(method)
    if _is_all(target):
        if model.task not in ONE_CLASS or model.task == "masked":  # its "classes" are all the words there are
            raise ValueError(
                f"target={ALL!r} explains every class; {model.name} is a {model.task} model, which has none"
            )
        together = entry.serves_all(settings)
        return [ALL] if together else list(range(getattr(model.config, "num_labels", None) or 2))
    sides = sides_of(target, n) if model.task not in ONE_CLASS else None
    if sides is None:
        return [target]
    if model.task == "span" and output not in (None, "joint"):
        raise ValueError(f"the contrast of two answers is that of their joint logits; pass no output, not {output!r}")
    if not entry.linear:
        raise ValueError(
            f"{method} is not linear in F, so it has no contrast of two continuations or answers; explain each alone"
        )
    return list(sides)


def _is_all(target: Any) -> bool:
    return isinstance(target, str) and target == ALL
