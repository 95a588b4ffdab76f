"""A call's arguments -> a problem: texts tokenised, the target settled, F read at both ends."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from udig_lab.model.baseline import as_baseline
from udig_lab.model.batching import Budget
from udig_lab.model.inputs import Encoding, continued, encode, encode_ids
from udig_lab.model.protocol import Protocol
from udig_lab.model.reader import Reader, read
from udig_lab.model.target import continuations, resolve
from udig_lab.model.textmodel import TextModel
from udig_lab.problem import Problem

_LONG = 16  # texts from which on a terminal is shown a bar


def pose(
    model: TextModel,
    encodings: Sequence[Encoding],
    *,
    baseline: Any = None,
    target: Any = None,
    output: str | None = None,
    rules: Protocol,
    precision: str = "float32",
    internal_batch_size: int | None = None,
    progress: bool | None = None,
) -> Problem:
    """Settle what is explained, and read F at inputs and baselines; arguments as for ``explain``.

    Raises:
        ValueError, TypeError: one sentence naming what was wrong and what would work.
    """
    budget = Budget.for_device(model.table.device, internal_batch_size)
    if progress is None:
        progress = len(encodings) > _LONG and sys.stderr.isatty()
    start = as_baseline(baseline, model)
    if model.task == "causal":
        encodings, ids = _continued(model, encodings, target, budget)
        reader = Reader(model, encodings, keep=max(len(row) for row in ids), precision=precision)
    else:
        reader = Reader(model, encodings, embed_twice=rules.embed_twice, precision=precision)
    n = len(encodings)

    def embed(r: int) -> Tensor:
        return start.embeddings(encodings[r - n], model.table) if r >= n else encodings[r].embeddings(model.table)

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
                outputs = read(
                    reader,
                    lambda i: encodings[i].embeddings(model.table),
                    range(len(lengths)),
                    lengths,
                    budget,
                )
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


def encodings_of(
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
