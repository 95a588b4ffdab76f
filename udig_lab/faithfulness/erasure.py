"""Texts with tokens taken out: which ones, what stands in their place, and what the model says then."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.model.asked import as_read
from udig_lab.model.baseline import as_baseline
from udig_lab.model.batching import Budget
from udig_lab.model.check import look_at
from udig_lab.model.heads import AT_A_POSITION, GENERATING, ONE_CLASS, link_of, log_probabilities
from udig_lab.model.inputs import Encoding
from udig_lab.model.protocol import Protocol
from udig_lab.model.reader import Reader, read
from udig_lab.model.segments import SEGMENT, places_of
from udig_lab.model.target import CONTRAST
from udig_lab.model.textmodel import TextModel, left_as_found

DELETE = "delete"
KEEP_POSITIONS = ("span", *AT_A_POSITION)  # tasks whose answer is a place in the text


@dataclass(frozen=True)
class Erasure:
    """One way of changing a text by its scores.

    Attributes:
        share: of the units (tokens, words under "eraser", or segments) that are the best.
        keep: False takes the best ones out, True takes all others out.
        replacement: "delete", "mask", "pad", or any token or token id that stands in their place; None for the first
            of mask, pad and end-of-text that the tokenizer has.
    """

    share: float
    keep: bool
    replacement: str | int | None


def replacement_row(replacement: str | int | None, model: TextModel) -> int | None:
    """The token id that stands in for a token taken out; None for deletion.

    Raises:
        ValueError: no token, or deletion where what is explained stands in the text.
    """
    if replacement == DELETE:
        if model.task in KEEP_POSITIONS:
            raise ValueError(
                f"deleting tokens moves what a {model.task} model says of the text; pass replacement='mask' or 'pad'"
            )
        return None
    try:
        row = as_baseline(replacement, model).row
    except ValueError as error:
        raise ValueError(
            f"{model.name} has no token for replacement={replacement!r}; pass one of its vocabulary or a token id, or "
            "'delete'"
        ) from error
    if row is None:
        raise ValueError(f"the replacement must be a token, not {replacement!r}; pass a token or its id")
    return row


def require_judgeable(attributions: Sequence[Attribution], shares: Sequence[float], n_samples: int = 1) -> None:
    """Whether there is something to judge.

    Raises:
        ValueError: no attributions, no shares, a share outside (0, 1], or no random samples.
    """
    if not attributions:
        raise ValueError("there are no attributions to judge; pass at least one")
    if not shares:
        raise ValueError("there is no share of the tokens to judge by; pass at least one, such as 0.2")
    for share in shares:
        if not 0 < share <= 1:
            raise ValueError(f"top={share} is not a share of the tokens; pass a number above 0 and at most 1")
    if n_samples < 1:
        raise ValueError(f"n_samples={n_samples} leaves nothing to average; pass at least 1")


def units(attribution: Attribution, protocol: Protocol) -> list[list[int]]:
    """The positions that are taken out together: tokens, the pieces of a word, or a segment's tokens."""
    if attribution.by == SEGMENT and attribution.segment_of is not None:
        return list(places_of(attribution.segment_of, attribution.special).values())
    if protocol.special_tokens_compete:
        return [[i] for i, fixed in enumerate(said(attribution).tolist()) if not fixed]
    places = [i for i, fixed in enumerate(attribution.special) if not fixed]
    if not protocol.whole_words:
        return [[i] for i in places]
    words: dict[int | None, list[int]] = {}
    for i in places:
        words.setdefault(attribution.word_ids[i], []).append(i)
    return list(words.values())


def said(attribution: Attribution) -> Tensor:
    """(L,) bool: tokens that are no part of the prompt, but of the answer that is explained, and is read with it."""
    tokens = torch.zeros(len(attribution), dtype=torch.bool)
    target, n = attribution.target, len(attribution)
    before = target[:-1] if isinstance(target, tuple) and attribution.output in ("log_prob", "logit") else ()
    if before and attribution.input_ids[n - len(before) :] == before:
        tokens[n - len(before) :] = torch.tensor(attribution.special[n - len(before) :])
    return tokens


def how_many(share: float, n: int, protocol: Protocol) -> int:
    """The number of units in a share of n."""
    if protocol.rounding == "down":
        return math.floor(share * n + 1e-9)
    return max(1, math.ceil(share * n - 1e-9) if protocol.rounding == "up" else math.floor(share * n + 0.5))


def selected(attribution: Attribution, top: float, protocol: Protocol) -> Tensor:
    """(L,) bool: the tokens of the k units with the largest scores (signed), k being a share ``top`` of them.

    "corrected": tokens; special ones never compete, k is rounded to the nearest whole number and at least 1.
    "as_published": special tokens compete with their score 0 and count in the length; k is rounded down, so that it
    is 0 for texts shorter than 1 / top.
    "eraser": whole words, with the sum of their pieces' scores; k is rounded up.
    """
    groups = units(attribution, protocol)
    scores = torch.tensor([sum(attribution.scores[i] for i in group) for group in groups])
    best = scores.topk(how_many(top, len(groups), protocol)).indices
    return chosen_tokens(len(attribution), [groups[b] for b in best.tolist()])


def chosen_tokens(length: int, groups: Sequence[Sequence[int]]) -> Tensor:
    """(L,) bool, true at every position of the groups."""
    chosen = torch.zeros(length, dtype=torch.bool)
    chosen[[i for group in groups for i in group]] = True
    return chosen


def erase(attribution: Attribution, chosen: Tensor, keep: bool, row: int | None, protocol: Protocol) -> Encoding:
    """The text after a change, to be read only.

    Args:
        attribution: its explanation.
        chosen: (L,) bool, the best tokens.
        keep: whether they are the ones to stay. Special tokens stay with them, unless the protocol lets those compete.
        row: token id that stands in for the tokens taken out; None deletes them.
        protocol: as published, a text without any best token is left whole.

    Raises:
        ValueError: nothing is left, which can happen where special tokens compete.
    """
    text = attribution.encoding
    ids, types = text.input_ids, text.token_types
    gone = ~chosen if keep else chosen
    if keep and not protocol.special_tokens_compete:
        gone = gone & ~text.special
    gone = gone & ~said(attribution)  # its own words are what is asked for
    if keep and not bool(chosen.any()):
        gone = torch.zeros_like(chosen)
    if row is not None:  # positions, and where the text ends, stay those of the text
        return replace(_bare(ids, types), rows=ids.masked_fill(gone, row))
    if bool(gone.all()):
        raise ValueError(
            f"all {len(ids)} tokens of a text would be deleted, special ones included; pass a smaller share, or a "
            "token to replace them"
        )
    return _bare(ids[~gone], None if types is None else types[~gone])


@dataclass(frozen=True)
class Judged:
    """What a changed text is judged by: a probability, or F itself where the head has none.

    Attributes:
        target: as ``Attribution.target``.
        output: as ``Attribution.output``.
        at: as ``Attribution.at``.
    """

    target: Any
    output: str
    at: int | None = None

    def value(self, output: Tensor, model: TextModel) -> Tensor:
        """() log p, or F: see ``is_probability``."""
        if model.task in GENERATING:  # (c, V)
            ids = torch.tensor(self.target, device=output.device)
            return output[: len(ids)].log_softmax(-1).gather(1, ids[:, None]).sum()
        if model.task == "span":  # (2, L)
            log = output.log_softmax(-1)
            start, end = log[0, self.target[0]], log[1, self.target[1]]
            return {"start": start, "end": end}.get(self.output, start + end)
        if self.output == CONTRAST:
            return output[self.target[0]] - output[self.target[1]]
        return log_probabilities(output, link_of(model.model, model.task, len(output)))[self.target]


def is_probability(model: TextModel, attributions: Sequence[Attribution]) -> bool:
    """Whether what was explained has a probability; metrics are in units of F where it has none.

    Raises:
        ValueError: some have, and some have not.
    """
    kinds = {a.output != CONTRAST and a.probability is not None for a in attributions}
    if len(kinds) > 1:
        raise ValueError(
            "some of these explanations have a probability and some have none, so that they cannot be judged in one "
            "unit; judge them apart"
        )
    return kinds.pop()


def in_units(model: TextModel, attributions: Sequence[Attribution], values: Tensor) -> Tensor:
    """What ``values`` read, (…, N) log p or F, in the unit that metrics have: p, or F."""
    return values.exp() if is_probability(model, attributions) else values


def judged_by(model: TextModel, attributions: Sequence[Attribution], protocol: Protocol) -> list[Judged]:
    """What was explained; as published, the class that the model, read the published way, predicts for the text."""
    for a in attributions:
        if isinstance(a.target, tuple) != (model.task in (*GENERATING, "span") or a.output == CONTRAST):
            raise ValueError(
                f"{model.name} is a {model.task} model, and these explanations are of another kind of model"
            )
        if a.output == CONTRAST and model.task not in ONE_CLASS:
            raise ValueError(
                "two continuations or answers are judged one after the other; explain and judge each of them alone"
            )
    explained = [Judged(a.target, a.output, a.at) for a in attributions]
    if not protocol.moving_target or model.task in GENERATING:  # nobody has published what to do with answers
        return explained
    outputs = _outputs(model, [a.encoding for a in attributions], explained, protocol)
    return [replace(j, target=o.argmax(-1).tolist()) for o, j in zip(outputs, explained, strict=True)]


def values(
    model: TextModel,
    texts: Sequence[Encoding],
    judged: Sequence[Judged],
    protocol: Protocol,
    points: Callable[[int], Tensor] | None = None,
) -> Tensor:
    """(M,) log p, or F, of M changed texts, in one batched pass over all.

    ``points`` gives the embeddings (L, D) of text r when its batch is due; None takes those of its ids.
    """
    outputs = _outputs(model, texts, judged, protocol, points, lambda output, r: judged[r].value(output, model))
    return torch.stack(outputs).cpu()


def _outputs(
    model: TextModel,
    texts: Sequence[Encoding],
    judged: Sequence[Judged],
    protocol: Protocol,
    points: Callable[[int], Tensor] | None = None,
    keep: Callable[[Tensor, int], Tensor] | None = None,
) -> list[Tensor]:
    with left_as_found(model.model):
        table = model.table
        asked = as_read(model, texts, [j.target for j in judged], [j.at for j in judged])
        reader = Reader(model, texts, at=asked.at, answers=asked.answers, embed_twice=protocol.embed_twice)
        budget = Budget.for_device(table.device, 1 if model.alone else None)
        if reader.block is None:
            look_at(model, reader, texts, budget)
        lengths = [len(text) for text in texts]
        embed = points or (lambda r: texts[r].embeddings(table))
        return read(reader, embed, range(len(texts)), lengths, budget, keep)


def _bare(ids: Tensor, types: Tensor | None) -> Encoding:
    nothing = ("",) * len(ids)
    never = torch.zeros(len(ids), dtype=torch.bool)
    return Encoding(ids, never, nothing, nothing, (None,) * len(ids), (0,) * len(ids), types)
