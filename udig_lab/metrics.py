"""Faithfulness of scores: what happens to the prediction when the best tokens go, or when only they stay.

All metrics compare p(y | x), the probability of the explained class, with its value on a changed input, and return one
number a text. Definitions: DeYoung et al. 2020 (comprehensiveness, sufficiency), Shrikumar et al. 2017 (log-odds);
as used by Sanyal & Ren 2021, whose code sets the protocol "as_published".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.baseline import as_baseline
from udig_lab.batching import Budget
from udig_lab.inputs import Encoding
from udig_lab.protocol import Protocol
from udig_lab.protocol import protocol as as_protocol
from udig_lab.reader import Reader, read
from udig_lab.textmodel import TextModel, as_text_model, left_as_found


def selected(attribution: Attribution, top: float, rules: Protocol) -> Tensor:
    """(L,) bool: the k tokens with the largest scores (signed), k being a share ``top`` of the text.

    "corrected": special tokens never compete, k is rounded to the nearest whole number and at least 1.
    "as_published": special tokens compete with their score 0 and count in the length; k is rounded down, so that it
    is 0 for texts shorter than 1 / top.
    """
    scores = torch.tensor(attribution.scores)
    special = torch.tensor(attribution.special)
    if rules.special_tokens_compete:
        k = math.floor(top * len(scores) + 1e-9)
    else:
        scores = scores.masked_fill(special, -torch.inf)
        k = max(1, math.floor(top * int((~special).sum()) + 0.5))
    chosen = torch.zeros_like(special)
    chosen[scores.topk(k).indices] = True
    return chosen


def log_odds(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    top: float = 0.2,
    replacement: str | int = "mask",
    protocol: str | Protocol = "corrected",
) -> Tensor:
    """Log p(y | x with the best tokens replaced) - log p(y | x); lower is better.

    Args:
        model: the explained model, as for ``explain``.
        attributions: N explanations of it.
        top: share of tokens that are replaced.
        replacement: "mask", "pad", or any token or token id; length and positions stay.
        protocol: "corrected" or "as_published".

    Returns:
        (N,) in nats.

    Raises:
        ValueError: a share outside (0, 1], an unknown protocol or replacement, or no attributions.
    """
    before, after = _log_probabilities(model, attributions, [_replaced(model, replacement)], top, protocol)
    return after - before


def comprehensiveness(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    top: float = 0.2,
    protocol: str | Protocol = "corrected",
) -> Tensor:
    """p(y | x) - p(y | x without the best tokens); higher is better. Arguments as for ``log_odds``; returns (N,)."""
    before, after = _log_probabilities(model, attributions, [_without], top, protocol)
    return before.exp() - after.exp()


def sufficiency(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    top: float = 0.2,
    protocol: str | Protocol = "corrected",
) -> Tensor:
    """p(y | x) - p(y | only the best tokens of x); lower is better. Arguments as for ``log_odds``; returns (N,).

    "corrected" keeps the special tokens as well; "as_published" drops them unless they are among the best, and
    counts texts with k = 0 as 0.
    """
    before, after = _log_probabilities(model, attributions, [_only(as_protocol(protocol))], top, protocol)
    return before.exp() - after.exp()


def evaluate(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    top: float = 0.2,
    replacement: str | int = "mask",
    protocol: str | Protocol = "corrected",
) -> dict[str, Tensor]:
    """All three metrics, each (N,); the unchanged texts are read once for all of them."""
    changes = [_replaced(model, replacement), _without, _only(as_protocol(protocol))]
    before, replaced, without, only = _log_probabilities(model, attributions, changes, top, protocol)
    return {
        "log_odds": replaced - before,
        "comprehensiveness": before.exp() - without.exp(),
        "sufficiency": before.exp() - only.exp(),
    }


# A change makes the token ids of a new text from an attribution and its selected tokens (L,).
Change = Callable[[Attribution, Tensor], Tensor]


def _replaced(model: Any, replacement: str | int) -> Change:
    row = as_baseline(replacement, as_text_model(model, None)).row
    if row is None:
        raise ValueError(f"the replacement must be a token, not {replacement!r}; pass a token or its id")
    return lambda a, chosen: torch.tensor(a.input_ids).masked_fill(chosen, row)


def _only(rules: Protocol) -> Change:
    def only(a: Attribution, chosen: Tensor) -> Tensor:
        kept = chosen if rules.special_tokens_compete else chosen | torch.tensor(a.special)
        return torch.tensor(a.input_ids)[kept if bool(chosen.any()) else slice(None)]

    return only


def _without(attribution: Attribution, chosen: Tensor) -> Tensor:
    return torch.tensor(attribution.input_ids)[~chosen]


def _log_probabilities(
    model: Any,
    attributions: Sequence[Attribution],
    changes: Sequence[Change],
    top: float,
    protocol: str | Protocol,
) -> tuple[Tensor, ...]:
    """Log p(y) before and after every change of the inputs, (N,) each, in one batched pass over all."""
    if not attributions:
        raise ValueError("there are no attributions to judge; pass at least one")
    if not 0 < top <= 1:
        raise ValueError(f"top={top} is not a share of the tokens; pass a number above 0 and at most 1")
    text_model: TextModel = as_text_model(model, None)
    if text_model.task != "classification":
        raise TypeError(f"{text_model.name} is a {text_model.task} model; the metrics judge sequence classifiers")
    rules = as_protocol(protocol)
    chosen = [selected(a, top, rules) for a in attributions]
    ids = [torch.tensor(a.input_ids) for a in attributions]
    for change in changes:
        ids += [change(a, c) for a, c in zip(attributions, chosen, strict=True)]
    with left_as_found(text_model.model):
        table = text_model.table
        encodings = [_bare(i) for i in ids]
        reader = Reader(text_model, encodings, embed_twice=rules.embed_twice)
        rows = read(
            reader,
            lambda r: encodings[r].embeddings(table),
            range(len(ids)),
            [len(i) for i in ids],
            Budget.for_device(table.device),
        )
        logits = torch.stack(rows)  # (N (1 + changes), C)
    n = len(attributions)
    # The published code judges the class its own forward pass predicts; otherwise it is the class that was explained.
    targets = logits[:n].argmax(-1) if rules.moving_target else torch.tensor([a.target for a in attributions])
    target = targets.to(logits.device).repeat(1 + len(changes))[:, None]
    return torch.split(logits.log_softmax(-1).gather(1, target)[:, 0].cpu(), n)


def _bare(ids: Tensor) -> Encoding:
    """Token ids that are only read."""
    nothing = ("",) * len(ids)
    return Encoding(
        ids, torch.zeros(len(ids), dtype=torch.bool), nothing, nothing, (None,) * len(ids), (0,) * len(ids)
    )
