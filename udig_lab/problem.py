"""What every method is given: texts, baseline, and F on any points between them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from udig_lab.engine import integrate
from udig_lab.integrals import Integral
from udig_lab.model.asked import asked_of
from udig_lab.model.baseline import Baseline, as_baseline
from udig_lab.model.batching import Budget
from udig_lab.model.check import check_order, read_checked
from udig_lab.model.continuations import continuations
from udig_lab.model.heads import GENERATING
from udig_lab.model.inputs import Encoding
from udig_lab.model.prefix import read_sharing
from udig_lab.model.protocol import CORRECTED, Protocol
from udig_lab.model.reader import Reader, read, read_own
from udig_lab.model.segments import TOKEN, require_segments
from udig_lab.model.target import Target, output_of, resolve
from udig_lab.model.textmodel import TextModel, left_as_found

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
        at_input, at_baseline: (N,) F at the explicands and at the baselines; (N, C) where every class is explained.
        protocol: how the model is read, and which rows may be anchors.
        budget: bounds every pass through the model.
        by: what moves as one, "token" or "segment".
        progress: whether long work shows a bar.
    """

    model: TextModel
    encodings: Sequence[Encoding]
    baseline: Baseline
    reader: Reader
    target: Target
    at_input: Tensor
    at_baseline: Tensor
    protocol: Protocol
    budget: Budget
    by: str = TOKEN
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

    def require_tokens(self, method: str) -> None:
        """Whether single tokens move, for a method that knows nothing else.

        Raises:
            ValueError: segments do.
        """
        if self.by != TOKEN:
            raise ValueError(
                f"{method} scores single tokens, or groups of its own; leave by={self.by!r} out, and read the sums of "
                "segments with segments()"
            )

    def explicand(self, i: int) -> Tensor:
        """Word embeddings x (L, D) of text i."""
        return self.encodings[i].embeddings(self.model.table)

    def explained(self, i: int) -> Tensor:
        """(L,) bool: tokens of text i that are explained, and so move on a path."""
        return ~self.encodings[i].special.to(self.model.table.device)

    def scalar(self, points: Tensor, mask: Tensor, owners: Tensor) -> Tensor:
        """F (n,) of points (n, L, D) with attention mask (n, L); row r belongs to text ``owners[r]``."""
        return self.target(self.reader(points, mask, owners), owners)

    def values(
        self,
        embed: Callable[[int], Tensor],
        owners: Sequence[int],
        begins: Sequence[tuple[Hashable, int]] | None = None,
    ) -> Tensor:
        """F (n,) of many sequences, forward only, in the model's own precision.

        Args:
            embed: gives sequence r, (L, D) for the text it belongs to.
            owners: that text.
            begins: what is known of sequences that begin alike, see ``prefix.read_sharing``.
        """
        lengths = [len(self.encodings[i]) for i in owners]
        texts = torch.tensor(owners, device=self.model.device)

        def explained(output: Tensor, r: int) -> Tensor:
            return self.target(output[None], texts[r : r + 1].to(output.device))[0]

        if begins is not None:
            return torch.stack(read_sharing(self.reader, embed, owners, lengths, begins, self.budget, explained))
        return torch.stack(read(self.reader, embed, owners, lengths, self.budget, explained))

    def integrate(
        self, build: Callable[[int], Integral], collect: str, texts: Sequence[int] | None = None
    ) -> list[Tensor]:
        """Evaluate one line integral a text, or for some of the texts; see ``engine.integrate``.

        Raises:
            ValueError: weights that were made in inference mode, which torch takes no gradient through.
        """
        if any(p.is_inference() for p in self.model.model.parameters()):
            raise ValueError(
                "this model was made inside torch.inference_mode, so there is no gradient through it; explain "
                'copy.deepcopy(model), made outside, or use a method that only reads it forward, such as method="sig"'
            )
        chosen = range(len(self)) if texts is None else texts
        number = torch.tensor(chosen, device=self.model.table.device)
        return integrate(
            lambda points, mask, owners: self.scalar(points, mask, number[owners]),
            lambda j: build(chosen[j]),
            [len(self.encodings[i]) for i in chosen],
            names=[self.encodings[i].name for i in chosen],
            collect=collect,
            budget=self.budget,
            mixed=self.reader.pads,
            progress=self.progress,
        )


@contextmanager
def posed(
    model: TextModel,
    encodings: Sequence[Encoding],
    *,
    baseline: Any = None,
    target: Any = None,
    output: str | None = None,
    at: Any = None,
    protocol: Protocol = CORRECTED,
    precision: str = "float32",
    internal_batch_size: int | None = None,
    progress: bool | None = None,
    check: bool = True,
    by: str = TOKEN,
    part: str | int | None = None,
) -> Iterator[Problem]:
    """Settle what is explained, and read F at inputs and baselines; arguments as for ``explain``.

    Of continuations, ``part`` explains every token, "all", or one of them, by its number; None the whole.

    The model is in evaluation mode inside, with gradients on whatever the caller's mode is, and as it was found after.

    Raises:
        ValueError, TypeError: one sentence naming what was wrong and what would work.
    """
    with left_as_found(model.model), torch.inference_mode(False), torch.enable_grad():
        budget = Budget.for_device(model.table.device, 1 if model.alone else internal_batch_size)
        if progress is None:
            progress = len(encodings) > _LONG and sys.stderr.isatty()
        require_segments(by, [(e.name, e.segment_of) for e in encodings])
        start = as_baseline(baseline, model)
        output_of(output, model.task)  # says what is wrong with it before anything is read
        asked = asked_of(model, encodings, target, at, budget)
        reader = Reader(
            model,
            asked.encodings,
            at=asked.at,
            answers=asked.answers,
            embed_twice=protocol.embed_twice,
            precision=precision,
        )
        lengths = [len(e) for e in asked.encodings]
        # As published, F is another function than the model's on purpose.
        own = read_own(reader, lengths, budget) if check and reader.block is None else []
        check_order(model, asked, own, budget)
        # Inputs and baselines in one go: for a single short text every pass counts.
        n = len(lengths)

        def embed(r: int) -> Tensor:
            text = asked.encodings[r % n]
            return text.embeddings(model.table) if r < n else start.embeddings(text, model.table)

        names = [e.name for e in encodings]
        outputs = read_checked(reader, embed, [*range(n)] * 2, lengths * 2, budget, own, names)
        at_input, at_baseline = outputs[:n], outputs[n:]
        if model.task in GENERATING:
            explained = continuations(asked.ids, output, model, at_input, part)
        else:
            explained = resolve(target, output, model, asked.encodings, at_input, moving_target=protocol.moving_target)
        f_input, f_baseline = (_values(explained, outputs) for outputs in (at_input, at_baseline))
        for encoding, value in zip(encodings, f_input, strict=True):
            if not bool(value.isfinite().all()):
                raise ValueError(
                    f"F of {encoding.name} is not finite ({float(value.sum())}): check the model's weights, or use a "
                    "wider number type"
                )
        yield Problem(
            model, asked.encodings, start, reader, explained, f_input, f_baseline, protocol, budget, by, progress
        )


def _values(target: Target, outputs: Sequence[Tensor]) -> Tensor:
    """F (N,) or (N, C) of N outputs."""
    owners = torch.arange(len(outputs), device=outputs[0].device)
    return torch.cat([target(o[None], i[None]) for o, i in zip(outputs, owners, strict=True)])
