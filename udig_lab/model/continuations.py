"""What is explained in a language model: a text that goes on, as a whole or token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from udig_lab.model.target import ALL, Target, output_of
from udig_lab.model.textmodel import TextModel


def continuations(
    ids: Sequence[Sequence[int]],
    output: str | None,
    model: TextModel,
    outputs: Sequence[Tensor],
    part: str | int | None = None,
) -> Target:
    """The target of a language model: N continuations as token ids, and its outputs (c, V) at the input.

    ``part`` is "all" for each of their tokens, the number of one of them, or None for the whole.
    """
    name = output_of(output, model.task)
    width = max(len(row) for row in ids)
    index = torch.tensor([[*row, *[-1] * (width - len(row))] for row in ids], device=outputs[0].device)
    every, at_input = part == ALL, torch.stack(list(outputs))
    if isinstance(part, int):
        index = torch.where(torch.arange(width, device=index.device) == part, index, -1)
        ids = [row[part : part + 1] for row in ids]
    names: list[Any] = [_written(row, model) for row in ids]
    if every:
        names = [tuple(_written([i], model) if i >= 0 else "" for i in row) for row in index.tolist()]
    everyone = torch.arange(len(ids), device=index.device)
    log_prob = Target(model.task, "log_prob", index, (), (), every=every)(at_input, everyone)
    return Target(model.task, name, index, tuple(names), tuple(log_prob.exp().tolist()), every=every)


def _written(ids: Sequence[int], model: TextModel) -> str:
    """Token ids as text."""
    return model.tokenizer.decode(ids) if model.tokenizer is not None else str(list(ids))
