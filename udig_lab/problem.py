"""What every method is given: texts, baseline, and F on any points between them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from udig_lab.engine import integrate
from udig_lab.model.baseline import Baseline, as_baseline
from udig_lab.model.batching import Budget
from udig_lab.model.inputs import Encoding, continued
from udig_lab.model.protocol import Protocol
from udig_lab.model.reader import Reader, read
from udig_lab.model.target import Target, continuations, resolve
from udig_lab.model.textmodel import TextModel, left_as_found
from udig_lab.paths import Integral

_LONG = 16  # texts from which on a terminal is shown a bar


@dataclass(frozen=True)
class Problem:
    """N texts of one model, what is explained in them, and where their paths begin.

    Attributes:
        model: the model.
        encodings: N texts.
        baseline: the reference point.
        reader: embeddings -> the model's output.
        target: output -> F.
        at_input, at_baseline: (N,) F at the explicands and at the baselines.
        budget: bounds every pass through the model.
        progress: whether long work shows a bar.
    """

    model: TextModel
    encodings: Sequence[Encoding]
    baseline: Baseline
    reader: Reader
    target: Target
    at_input: Tensor
    at_baseline: Tensor
    budget: Budget
    progress: bool = False

    def __len__(self) -> int:
        return len(self.encodings)

    @property
    def lengths(self) -> list[int]:
        """Tokens of every text."""
        return [len(e) for e in self.encodings]

    def ends(self, i: int) -> tuple[Tensor, Tensor]:
        """Explicand x (L, D) and baseline x' (L, D) of text i."""
        return self.explicand(i), self.baseline.embeddings(self.encodings[i], self.model.table)

    def explicand(self, i: int) -> Tensor:
        """Word embeddings x (L, D) of text i."""
        return self.encodings[i].embeddings(self.model.table)

    def explained(self, i: int) -> Tensor:
        """(L,) bool: tokens of text i that are explained, and so move on a path."""
        return ~self.encodings[i].special.to(self.model.table.device)

    def scalar(self, points: Tensor, mask: Tensor, owners: Tensor) -> Tensor:
        """F (n,) of points (n, L, D) with attention mask (n, L); row r belongs to text ``owners[r]``."""
        return self.target(self.reader(points, mask, owners), owners)

    def values(self, embed: Callable[[int], Tensor], owners: Sequence[int]) -> Tensor:
        """F (n,) of many sequences, forward only, in the model's own precision.

        Args:
            embed: gives sequence r, (L, D) for the text it belongs to.
            owners: that text.
        """
        lengths = [len(self.encodings[i]) for i in owners]
        outputs = read(self.reader, embed, owners, lengths, self.budget)
        texts = torch.tensor(owners, device=outputs[0].device)
        return torch.cat([self.target(o[None], t[None]) for o, t in zip(outputs, texts, strict=True)])

    def integrate(
        self, build: Callable[[int], Integral], collect: str, texts: Sequence[int] | None = None
    ) -> list[Tensor]:
        """Evaluate one line integral a text, or for some of the texts; see ``engine.integrate``."""
        chosen = range(len(self)) if texts is None else texts
        number = torch.tensor(chosen, device=self.model.table.device)
        return integrate(
            lambda points, mask, owners: self.scalar(points, mask, number[owners]),
            lambda j: build(chosen[j]),
            [len(self.encodings[i]) for i in chosen],
            collect=collect,
            budget=self.budget,
            mixed=self.reader.pads,
            progress=self.progress,
        )


@contextmanager
def posed(model: TextModel, encodings: Sequence[Encoding], **arguments: Any) -> Iterator[Problem]:
    """A problem, settled and solved while the model is in evaluation mode; then the model is as it was found.

    Arguments and errors as for ``_pose``.
    """
    with left_as_found(model.model):
        yield _pose(model, encodings, **arguments)


def _pose(
    model: TextModel,
    encodings: Sequence[Encoding],
    *,
    baseline: Any = None,
    target: Any = None,
    output: str | None = None,
    protocol: Protocol,
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
        reader = Reader(model, encodings, embed_twice=protocol.embed_twice, precision=precision)
    n = len(encodings)

    def embed(r: int) -> Tensor:
        return start.embeddings(encodings[r - n], model.table) if r >= n else encodings[r].embeddings(model.table)

    # Inputs and baselines in one go: for a single short text every pass counts.
    outputs = read(reader, embed, [*range(n)] * 2, [len(e) for e in encodings] * 2, budget)
    if model.task == "causal":
        explained = continuations(ids, output, model, outputs[:n])
    else:
        explained = resolve(target, output, model, encodings, outputs[:n], moving_target=protocol.moving_target)
    owners = torch.arange(n, device=outputs[0].device).repeat(2)
    f = torch.cat([explained(o[None], i[None]) for o, i in zip(outputs, owners, strict=True)])  # (2N,)
    for number, value in enumerate(f[:n].tolist()):
        if not math.isfinite(value):
            raise ValueError(
                f"F of text {number} is not finite ({value}): check the model's weights, or use a wider number type"
            )
    return Problem(model, encodings, start, reader, explained, f[:n], f[n:], budget, progress)


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
