"""Sequences of different lengths in one tensor, and passes that shrink when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Rows x tokens in one pass: on a CPU where a 3-layer and a 12-layer encoder are both near their best; on a GPU what
# a 12-layer encoder's activations in 16 GB allow.
_BUDGETS = {"cpu": 2048}
_GPU_BUDGET = 8192

# What starting another pass costs, in tokens that could be read instead.
_PASS_COSTS = {"cpu": 128}
_GPU_PASS_COST = 8192


@dataclass
class Budget:
    """How many tokens may go through the model at once; halved for good when that was too many.

    Attributes:
        tokens: rows x tokens in one pass.
        rows: rows in one pass, whatever their length; None leaves it to the tokens.
        pass_cost: padding, in tokens, from which on another pass is cheaper.
    """

    tokens: int = _BUDGETS["cpu"]
    rows: int | None = None
    pass_cost: int = _PASS_COSTS["cpu"]

    @classmethod
    def for_device(cls, device: torch.device, rows: int | None = None) -> Budget:
        """The default for a kind of device.

        Raises:
            ValueError: no positive number of rows.
        """
        if rows is not None and (not isinstance(rows, int) or rows < 1):
            raise ValueError(f"internal_batch_size={rows!r} leaves nothing to read; pass 1 or more, or None")
        tokens = _BUDGETS.get(device.type, _GPU_BUDGET)
        return cls(tokens, rows, _PASS_COSTS.get(device.type, _GPU_PASS_COST))

    def fits(self, length: int) -> int:
        """How many rows of a length go into one pass, at least 1."""
        return self.rows or max(1, self.tokens // length)

    def run(self, work: Callable[[slice], Tensor], n: int) -> Tensor:
        """``work(slice(0, n))`` in as few parts as memory allows, joined along the first axis.

        Raises:
            MemoryError: not even one row fits.
        """
        try:
            return work(slice(0, n))
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not _is_memory(error):
                raise
            if n == 1:
                raise MemoryError(
                    "one text alone does not fit into memory; shorten it with max_length=…, or use a smaller model, "
                    'precision="bfloat16" or a device with more memory'
                ) from error
        # Outside the except clause: inside, the traceback would keep the failed pass's tensors alive.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = -(-n // 2)
        self.tokens = max(1, self.tokens // 2)
        self.rows = half if self.rows is not None else None
        first = self.run(work, half)
        rest = self.run(lambda part: work(slice(part.start + half, part.stop + half)), n - half)
        return torch.cat([first, rest])


def _is_memory(error: BaseException) -> bool:
    """CPU allocators report a full memory as a plain RuntimeError."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def pad_embeddings(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack sequences (L_i, D) into (n, L, D), zeros behind the end, with their attention mask (n, L)."""
    lengths = torch.tensor([len(r) for r in rows], device=rows[0].device)
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True), mask_of(lengths)


def mask_of(lengths: Tensor) -> Tensor:
    """(n, L) int64 attention mask of right-padded sequences of given lengths (n,)."""
    return (torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]).long()
