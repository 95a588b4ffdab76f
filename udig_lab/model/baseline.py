"""The reference point of a path: a token's row, the zero vector, the mean row, or any tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udig_lab.model.inputs import Encoding
from udig_lab.model.textmodel import TextModel

NAMED = ("pad", "mask", "unk", "zero", "mean")


@dataclass(frozen=True)
class Baseline:
    """What every explained token is moved to. Special tokens keep their own row.

    Attributes:
        name: for records and tables.
        value: (D,) one row for all tokens, or (L, D) a row for each.
        row: the row number in the table, when the baseline is a token.
    """

    name: str
    value: Tensor
    row: int | None = None

    def embeddings(self, encoding: Encoding, table: Tensor) -> Tensor:
        """The baseline x' (L, D) of one text.

        Raises:
            ValueError: a tensor for another number of tokens.
        """
        own = encoding.embeddings(table)  # (L, D)
        if self.value.ndim == 2 and len(self.value) != len(encoding):
            raise ValueError(
                f"the baseline has {len(self.value)} rows but the text has {len(encoding)} tokens; "
                f"pass ({len(encoding)}, {table.shape[1]}) or one row ({table.shape[1]},) for all"
            )
        return torch.where(encoding.special.to(table.device)[:, None], own, self.value)


def as_baseline(baseline: Any, model: TextModel) -> Baseline:
    """Make a baseline from a name ("pad", "mask", "unk", "zero", "mean"), a token, its id, a tensor, array or list.

    None takes the first of mask, pad and end-of-text that the tokenizer has.

    Raises:
        ValueError: a token the model does not have, or a tensor that does not fit the embedding table.
    """
    table = model.table
    if baseline is None:
        baseline = _default(model)
    if isinstance(baseline, (bool, np.bool_)):
        raise TypeError(
            f"baseline={baseline!r} is a truth value; pass {', '.join(NAMED)}, a token, a token id or a tensor"
        )
    if isinstance(baseline, list) or (isinstance(baseline, np.ndarray) and baseline.ndim):
        try:
            baseline = torch.as_tensor(np.asarray(baseline, dtype=np.float64))
        except ValueError:
            raise ValueError("a baseline that is a list must hold numbers, as many for every token") from None
    if isinstance(baseline, (np.integer, np.ndarray)) or (isinstance(baseline, Tensor) and baseline.ndim == 0):
        baseline = _whole(baseline)
    if isinstance(baseline, Tensor):
        if not bool(baseline.isfinite().all()):
            raise ValueError("the baseline holds NaN or infinity; pass finite numbers")
        if baseline.ndim not in (1, 2) or baseline.shape[-1] != table.shape[1]:
            raise ValueError(
                f"a baseline tensor must be ({table.shape[1]},) or (tokens, {table.shape[1]}), "
                f"not {tuple(baseline.shape)}"
            )
        return Baseline("tensor", baseline.detach().to(table).clone())
    if baseline == "zero":
        return Baseline("zero", torch.zeros_like(table[0]))
    if baseline == "mean":
        return Baseline("mean", table.mean(0))
    row = baseline if isinstance(baseline, int) else _row(baseline, model)
    if not 0 <= row < len(table):
        raise ValueError(f"baseline token id {row} is outside the vocabulary of {len(table)} rows")
    return Baseline(str(baseline), table[row], row)


def _whole(number: Any) -> int:
    """A token id that came as a number of NumPy or torch."""
    value = number.item()
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"baseline {value!r} is no token id; pass a whole number")
    return value


def _default(model: TextModel) -> str:
    for name in ("mask", "pad", "eos"):
        token = getattr(model.tokenizer, f"{name}_token", None)
        if token is not None:
            return name if name in NAMED else str(token)
    raise ValueError(
        "a model without a tokenizer, or one without special tokens, has no default baseline; "
        f"pass baseline=… ({', '.join(NAMED)}, a token, a token id or a tensor)"
    )


def special_row(name: str, model: TextModel) -> int | None:
    """The row of "mask", "pad" or another special token; None if the model has none."""
    row = getattr(model.tokenizer, f"{name}_token_id", None)
    return getattr(model.config, "pad_token_id", None) if row is None and name == "pad" else row


def _row(name: str, model: TextModel) -> int:
    """The row of a named special token or of any token of the vocabulary."""
    tokenizer: Any = model.tokenizer
    row = special_row(name, model) if name in NAMED else None
    if row is None and tokenizer is not None:
        row = tokenizer.get_vocab().get(name)
    if row is None:
        what = "its tokenizer has" if tokenizer is not None else "without a tokenizer there is"
        raise ValueError(
            f"unknown baseline {name!r}: {what} no such token; "
            f"pass one of {', '.join(NAMED)}, a token of the vocabulary, a token id or a tensor"
        )
    return int(row)
