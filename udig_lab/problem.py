"""What every method is given: texts, baseline, and F on any points between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from udig_lab.engine import integrate
from udig_lab.model.baseline import Baseline
from udig_lab.model.batching import Budget
from udig_lab.model.inputs import Encoding
from udig_lab.model.reader import Reader, read
from udig_lab.model.target import Target
from udig_lab.model.textmodel import TextModel
from udig_lab.paths import Integral


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

    def moving(self, i: int) -> Tensor:
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
