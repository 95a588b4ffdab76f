"""Texts, pairs of texts and token ids -> encodings: what a model reads, and what may be explained in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

Text = str | tuple[str, str]  # a text, or a question with its context


@dataclass(frozen=True)
class Encoding:
    """One tokenised text of L tokens, special tokens included.

    Attributes:
        input_ids: (L,) int64, row numbers in the embedding table.
        special: (L,) bool; these tokens keep their value on every baseline.
        tokens: L strings, as the tokenizer writes them.
        pieces: L strings, the part of the text each token stands for.
        word_ids: L numbers, the word each token belongs to; None for special tokens.
        sequence_ids: L numbers, 0 for the text or question, 1 for the context; None for special tokens.
        token_types: (L,) int64 for models that read them, else None.
    """

    input_ids: Tensor
    special: Tensor
    tokens: tuple[str, ...]
    pieces: tuple[str, ...]
    word_ids: tuple[int | None, ...]
    sequence_ids: tuple[int | None, ...]
    token_types: Tensor | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    def embeddings(self, table: Tensor) -> Tensor:
        """Word embeddings (L, D) from a table (V, D)."""
        return table[self.input_ids.to(table.device)]


def encode(texts: Sequence[Text], tokenizer: Any, *, limit: int | None, truncate: bool) -> list[Encoding]:
    """Tokenise texts one by one (no padding: the engine pads batches itself).

    Args:
        texts: the texts, or pairs (question, context).
        tokenizer: a Hugging Face tokenizer.
        limit: the longest sequence the model reads, in tokens; None where the model names none.
        truncate: cut longer texts at ``limit`` (of a pair, the context); otherwise they are an error.

    Raises:
        TypeError: an entry is neither a string nor a pair of strings.
        ValueError: a text is empty, has nothing but special tokens, or is too long.
    """
    encodings = []
    for number, text in enumerate(texts):
        parts = text if isinstance(text, tuple) else (text,)
        if len(parts) > 2 or not all(isinstance(part, str) for part in parts):
            raise TypeError(
                f"text {number} is a {type(text).__name__}; pass strings, pairs (question, context), "
                "or input_ids=… for token ids"
            )
        if not all(part.strip() for part in parts):
            raise ValueError(f"text {number} is empty; pass at least one word")
        how = ("only_second" if len(parts) == 2 else True) if truncate and limit is not None else False
        coded = tokenizer(
            *parts, truncation=how, max_length=limit if how else None, return_offsets_mapping=tokenizer.is_fast
        )
        if limit is not None and len(coded["input_ids"]) > limit:
            raise ValueError(
                f"text {number} has {len(coded['input_ids'])} tokens but the model reads at most {limit}; "
                f"shorten it or pass max_length={limit} to cut it"
            )
        encodings.append(_from_tokenizer(coded, parts, tokenizer, f"text {number}"))
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
        special_ids = sorted(_scaffolding(tokenizer))
    rows = input_ids.tolist() if isinstance(input_ids, Tensor) else [_plain(row) for row in input_ids]
    if rows and isinstance(rows[0], int):
        rows = [rows]
    if not rows:
        raise ValueError("input_ids is empty; pass at least one sequence of token ids")
    fixed_ids = set(special_ids)
    encodings = []
    for number, ids in enumerate(rows):
        tokens = tokenizer.convert_ids_to_tokens(ids) if tokenizer is not None else [str(i) for i in ids]
        special = [i in fixed_ids for i in ids]
        words = [None if fixed else position for position, fixed in enumerate(special)]
        sequence = [None if fixed else 0 for fixed in special]
        encodings.append(_checked(ids, special, tokens, tokens, words, sequence, None, f"sequence {number}"))
    return encodings


def continued(encoding: Encoding, ids: Sequence[int], tokenizer: Any) -> Encoding:
    """The encoding with tokens behind it that are read but not explained: the words a language model has said."""
    n = len(ids)
    tokens = tuple(tokenizer.convert_ids_to_tokens(list(ids))) if n else ()
    return replace(
        encoding,
        input_ids=torch.cat([encoding.input_ids, torch.tensor(ids, dtype=torch.int64)]),
        special=torch.cat([encoding.special, torch.ones(n, dtype=torch.bool)]),
        tokens=encoding.tokens + tokens,
        pieces=encoding.pieces + tokens,
        word_ids=encoding.word_ids + (None,) * n,
        sequence_ids=encoding.sequence_ids + (None,) * n,
        token_types=None,
    )


def _plain(row: Any) -> Any:
    return row.tolist() if hasattr(row, "tolist") else row


def _scaffolding(tokenizer: Any) -> set[int]:
    """Special ids, without [UNK]: an unknown word is a word of the text."""
    return set(tokenizer.all_special_ids) - {getattr(tokenizer, "unk_token_id", None)}


def _from_tokenizer(coded: Any, parts: Sequence[str], tokenizer: Any, name: str) -> Encoding:
    ids = coded["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    types = coded.get("token_type_ids")
    scaffolding = _scaffolding(tokenizer)
    if not tokenizer.is_fast:  # knows no offsets: every token is its own word
        special = [i in scaffolding for i in ids]
        words = [None if fixed else position for position, fixed in enumerate(special)]
        return _checked(ids, special, tokens, tokens, words, [None if s else 0 for s in special], types, name)
    sequence = coded.sequence_ids()
    special = [s is None or i in scaffolding for i, s in zip(ids, sequence, strict=True)]
    offsets = coded["offset_mapping"]
    pieces = []
    end = 0
    for token, s, (a, b) in zip(tokens, sequence, offsets, strict=True):
        if s is None:
            pieces.append(token)
            end = 0
        else:  # several tokens can stand for one character (bytes of an emoji): the first of them gets it
            pieces.append(parts[s][max(a, end) : b])
            end = max(b, end)
    words = _word_ids(coded.word_ids(), special, sequence, offsets, parts)
    return _checked(ids, special, tokens, pieces, words, sequence, types, name)


def _word_ids(
    given: Sequence[int | None],
    special: Sequence[bool],
    sequence: Sequence[int | None],
    offsets: Sequence[tuple[int, int]],
    parts: Sequence[str],
) -> list[int | None]:
    """Number the words of all parts through.

    A tokenizer that cuts the text into words first knows them; one that does not calls the whole text one word, and
    then a word begins where the text has white space before a token.
    """
    cuts = len({(s, w) for s, w, fixed in zip(sequence, given, special, strict=True) if not fixed}) > len(parts)
    numbers: list[int | None] = []
    last: Any = None  # the previous token's word, and its text
    count = -1
    for s, w, fixed, (a, b) in zip(sequence, given, special, offsets, strict=True):
        if fixed or s is None:
            numbers.append(None)
            last = None
            continue
        text = parts[s]
        if last is None or cuts:
            begins = last is None or last[0] != (s, w)
        else:  # white space can be a token of its own: then it has begun the word
            begins = text[a : a + 1].isspace() or (text[a - 1 : a].isspace() and not last[1].isspace())
        count += begins
        last = (s, w), text[a:b]
        numbers.append(count)
    return numbers


def _checked(
    ids: Sequence[int],
    special: Sequence[bool],
    tokens: Sequence[str],
    pieces: Sequence[str],
    words: Sequence[int | None],
    sequence: Sequence[int | None],
    types: Sequence[int] | None,
    name: str,
) -> Encoding:
    if all(special):
        raise ValueError(f"{name} has no token to explain: it is empty or holds special tokens only")
    return Encoding(
        torch.tensor(ids, dtype=torch.int64),
        torch.tensor(special, dtype=torch.bool),
        tuple(tokens),
        tuple(pieces),
        tuple(None if fixed else w for w, fixed in zip(words, special, strict=True)),
        tuple(sequence),
        None if types is None else torch.tensor(types, dtype=torch.int64),
    )
