"""Token ids that were made elsewhere -> encodings: padding off, names and words back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from udig_lab.model.inputs import Encoding, checked, encode, named, scaffolding

_READ = {"input_ids", "attention_mask", "token_type_ids"}  # of what a tokenizer hands back
_LARGE = 2**31  # no vocabulary has as many rows
_KNOWN = _READ | {"special_tokens_mask", "offset_mapping", "length", "labels", "overflow_to_sample_mapping"}


def unpadded(given: Any, pad_id: int | None) -> tuple[list[list[int]], list[list[int]] | None, bool]:
    """Ids, and types of tokens where there are some, without padding; True when it was a single sequence.

    Args:
        given: ids (a list, an array or a tensor) of one sequence or several, or what a tokenizer returns.
        pad_id: what fills up the rows of a rectangle that comes without a mask; None for nothing.

    Raises:
        TypeError: no ids, or something among them that is no whole number.
        ValueError: there are none, or mask and types do not fit.
    """
    types, mask = None, None
    if isinstance(given, Mapping):
        if unknown := set(given) - _KNOWN:
            raise TypeError(
                f"input_ids holds {', '.join(sorted(map(str, unknown)))}, which is not read here; pass input_ids, "
                "attention_mask and token_type_ids"
            )
        types, mask, given = given.get("token_type_ids"), given.get("attention_mask"), given["input_ids"]
    rows, single = _rows(given)
    if not rows or not all(rows):
        raise ValueError("input_ids is empty; pass at least one sequence of token ids")
    kept = _real(rows, given, pad_id) if mask is None else [[bool(m) for m in row] for row in _lists(mask)[0]]
    all_types = None if types is None else _rows(types)[0]
    for other in (kept, all_types):
        if other is not None and [len(r) for r in other] != [len(r) for r in rows]:
            raise ValueError("attention_mask and token_type_ids need a number for every one of input_ids")

    def of(lists: list[list[int]]) -> list[list[int]]:
        return [[value for value, keep in zip(r, k, strict=True) if keep] for r, k in zip(lists, kept, strict=True)]

    return of(rows), None if all_types is None else of(all_types), single


def encode_ids(
    rows: Sequence[Sequence[int]],
    types: Sequence[Sequence[int]] | None = None,
    *,
    special_ids: Sequence[int] | None,
    tokenizer: Any | None,
    single: bool = False,
) -> list[Encoding]:
    """Wrap token ids.

    Args:
        rows: ids of N sequences.
        types: the kinds of their tokens, for models with two.
        special_ids: ids that are not to be explained; None takes them from the tokenizer.
        tokenizer: gives tokens their names; None names them by number.
        single: whether the only sequence was passed by itself, and not in a list.

    Raises:
        ValueError: none to explain, one that is in no vocabulary, or nobody says which ids are special.
    """
    if special_ids is None:
        if tokenizer is None:
            raise ValueError("a model without a tokenizer needs special_ids=[…] (an empty list if there are none)")
        special_ids = sorted(scaffolding(tokenizer))
    fixed_ids = set(special_ids)
    encodings = []
    for number, ids in enumerate(rows):
        if outside := [i for i in ids if not 0 <= i < _LARGE]:  # the tokenizer would be asked for their names
            raise ValueError(f"token id {outside[0]} is in no vocabulary; pass ids of this model's own tokenizer")
        special = [i in fixed_ids for i in ids]
        tokens = tokenizer.convert_ids_to_tokens(list(ids)) if tokenizer is not None else [str(i) for i in ids]
        tokens = [str(i) if token is None else token for i, token in zip(ids, tokens, strict=True)]
        pieces, words = _written(ids, special, tokens, tokenizer)
        part = types[number] if types is not None and any(types[number]) else _runs(special)
        sequence = [None if fixed else kind for fixed, kind in zip(special, part, strict=True)]
        own = None if types is None else types[number]
        name = named("sequence", number, single)
        encodings.append(checked(ids, special, tokens, pieces, words, sequence, own, name))
    return encodings


def _runs(special: Sequence[bool]) -> list[int]:
    """For every token the number of its part, where types do not tell: 1 behind the special tokens that cut it in two.

    Ids that are cut more often (a chat) are one text.
    """
    begins = [not fixed and (j == 0 or special[j - 1]) for j, fixed in enumerate(special)]
    return [max(0, sum(begins[: j + 1]) - 1) for j in range(len(special))] if sum(begins) == 2 else [0] * len(special)


def _written(
    ids: Sequence[int], special: Sequence[bool], tokens: Sequence[str], tokenizer: Any | None
) -> tuple[list[str], list[int | None]]:
    """Pieces of text and numbers of words, where the ids written out and read again are the same ids."""
    plain = list(tokens), [None if fixed else position for position, fixed in enumerate(special)]
    if tokenizer is None or not tokenizer.is_fast:
        return plain
    kept = [i for i, fixed in zip(ids, special, strict=True) if not fixed]
    text = tokenizer.decode(kept, clean_up_tokenization_spaces=False)
    if not text.strip():
        return plain
    try:
        (again,) = encode([text], tokenizer, limit=None, truncate=False)
    except ValueError:
        return plain
    places = (~again.special).nonzero()[:, 0].tolist()
    if [int(again.input_ids[p]) for p in places] != kept:
        return plain
    at = iter(places)
    where = [None if fixed else next(at) for fixed in special]
    pieces = [token if p is None else again.pieces[p] for token, p in zip(tokens, where, strict=True)]
    return pieces, [None if p is None else again.word_ids[p] for p in where]


def _rows(given: Any) -> tuple[list[list[int]], bool]:
    """Whole numbers as lists; True when they were one sequence."""
    rows, single = _lists(given)
    for row in rows:
        for value in row if isinstance(row, list) else [row]:
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{value!r} is no token id; pass whole numbers")
    return rows, single


def _lists(given: Any) -> tuple[list[list[Any]], bool]:
    listed = given.tolist() if isinstance(given, (Tensor, np.ndarray)) else [_plain(row) for row in given]
    single = bool(listed) and not isinstance(listed[0], list)
    return ([listed] if single else listed), single


def _plain(row: Any) -> Any:
    if hasattr(row, "tolist"):
        return row.tolist()
    return [_plain(value) for value in row] if isinstance(row, (list, tuple)) else row


def _real(rows: Sequence[Sequence[int]], given: Any, pad_id: int | None) -> list[list[bool]]:
    """Which ids are no padding, for rows that come without a mask: all, but of a rectangle of several rows."""
    kept = [[True] * len(row) for row in rows]
    if pad_id is None or len(rows) < 2 or not hasattr(given, "shape"):
        return kept
    for row, keep in zip(rows, kept, strict=True):
        for order in (range(len(row)), range(len(row) - 1, -1, -1)):  # from the left, and from the right
            for position in order:
                if row[position] != pad_id:
                    break
                keep[position] = False
    return kept
