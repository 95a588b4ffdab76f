"""Texts and token ids -> encodings: what a model reads, and what may be explained in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Encoding:
    """One tokenised text of L tokens, special tokens included.

    Attributes:
        input_ids: (L,) int64, row numbers in the embedding table.
        special: (L,) bool; these tokens keep their value on every baseline.
        tokens: L strings, as the tokenizer writes them.
        word_ids: L numbers, the word each token belongs to; None for special tokens.
    """

    input_ids: Tensor
    special: Tensor
    tokens: tuple[str, ...]
    word_ids: tuple[int | None, ...]

    def __len__(self) -> int:
        return len(self.input_ids)


def encode(texts: Sequence[str], tokenizer: Any, *, limit: int | None, truncate: bool) -> list[Encoding]:
    """Tokenise texts one by one (no padding: the engine pads batches itself).

    Args:
        texts: the texts.
        tokenizer: a Hugging Face tokenizer.
        limit: the longest sequence the model reads, in tokens; None where the model names none.
        truncate: cut longer texts at ``limit``; otherwise they are an error.

    Raises:
        TypeError: an entry is not a string.
        ValueError: a text is empty, has nothing but special tokens, or is too long.
    """
    encodings = []
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {number} is a {type(text).__name__}; pass strings, or input_ids=… for token ids")
        if not text.strip():
            raise ValueError(f"text {number} is empty; pass at least one word")
        coded = tokenizer(text, truncation=truncate and limit is not None, max_length=limit if truncate else None)
        ids = coded["input_ids"]
        if limit is not None and len(ids) > limit:
            raise ValueError(
                f"text {number} has {len(ids)} tokens but the model reads at most {limit}; "
                f"shorten it or pass max_length={limit} to cut it"
            )
        word_ids = tuple(coded.word_ids()) if tokenizer.is_fast else _one_word_each(ids, tokenizer.all_special_ids)
        encodings.append(_encoding(ids, tokenizer.all_special_ids, tokenizer, word_ids, f"text {number}"))
    return encodings


def encode_ids(input_ids: Any, *, special_ids: Sequence[int] | None, tokenizer: Any | None) -> list[Encoding]:
    """Wrap token ids that were made elsewhere.

    Args:
        input_ids: a list or 1-D tensor for one text; a list of those, or a 2-D tensor, for several.
        special_ids: ids that are not to be explained; None takes them from the tokenizer.
        tokenizer: gives tokens their names; None names them by number.

    Raises:
        ValueError: no ids at all, none to explain, or nobody says which ids are special.
    """
    if special_ids is None:
        if tokenizer is None:
            raise ValueError("a model without a tokenizer needs special_ids=[…] (an empty list if there are none)")
        special_ids = tokenizer.all_special_ids
    rows = input_ids.tolist() if isinstance(input_ids, Tensor) else [_plain(row) for row in input_ids]
    if rows and isinstance(rows[0], int):
        rows = [rows]
    if not rows:
        raise ValueError("input_ids is empty; pass at least one sequence of token ids")
    return [
        _encoding(row, special_ids, tokenizer, _one_word_each(row, special_ids), f"sequence {number}")
        for number, row in enumerate(rows)
    ]


def _plain(row: Any) -> Any:
    return row.tolist() if hasattr(row, "tolist") else row


def _one_word_each(ids: Sequence[int], special_ids: Sequence[int]) -> tuple[int | None, ...]:
    return tuple(None if i in special_ids else position for position, i in enumerate(ids))


def _encoding(
    ids: Sequence[int],
    special_ids: Sequence[int],
    tokenizer: Any | None,
    word_ids: tuple[int | None, ...],
    name: str,
) -> Encoding:
    # An unknown word is read as [UNK]; that is a word of the text, not scaffolding around it.
    unknown = getattr(tokenizer, "unk_token_id", None)
    special = torch.tensor([i in special_ids and i != unknown for i in ids], dtype=torch.bool)  # (L,)
    if bool(special.all()):
        raise ValueError(f"{name} has no token to explain: it is empty or holds special tokens only")
    tokens = tokenizer.convert_ids_to_tokens(list(ids)) if tokenizer is not None else [str(i) for i in ids]
    return Encoding(torch.tensor(ids, dtype=torch.int64), special, tuple(tokens), word_ids)
