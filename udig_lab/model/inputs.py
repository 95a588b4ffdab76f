"""Texts, pairs of texts and chats -> encodings: what a model reads, and what may be explained in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from udig_lab.model.chats import Prompt
from udig_lab.model.segments import Span, located, require_tokens, segments_of

Text = str | tuple[str, str]  # a text, or a question with its context

# Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese are written without spaces between words.
_NO_SPACES = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


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
        segment_of: L names, the segment of the prompt each token belongs to, None outside; None where there are none.
        rows: (L,) int64, rows of the table that stand in the place of ``input_ids``' own, while the model reads
            ``input_ids`` for all else it wants of them (positions, where the text ends); None where none do.
        name: what messages call it: the only text that was passed, or one of a list by its number.
    """

    input_ids: Tensor
    special: Tensor
    tokens: tuple[str, ...]
    pieces: tuple[str, ...]
    word_ids: tuple[int | None, ...]
    sequence_ids: tuple[int | None, ...]
    token_types: Tensor | None = None
    segment_of: tuple[str | None, ...] | None = None
    rows: Tensor | None = None
    name: str = "the text"

    def __len__(self) -> int:
        return len(self.input_ids)

    def embeddings(self, table: Tensor) -> Tensor:
        """Word embeddings (L, D) from a table (V, D)."""
        rows = self.input_ids if self.rows is None else self.rows
        return table[rows.to(table.device)]


def encode(
    texts: Sequence[Text],
    tokenizer: Any,
    *,
    limit: int | None,
    truncate: bool,
    segments: Sequence[Any] | None = None,
    single: bool = False,
) -> list[Encoding]:
    """Tokenise texts one by one (no padding: the engine pads batches itself).

    Args:
        texts: the texts, or pairs (question, context).
        tokenizer: a Hugging Face tokenizer.
        limit: the longest sequence the model reads, in tokens; None where the model names none.
        truncate: cut longer texts at ``limit`` (of a pair, the context); otherwise they are an error.
        segments: of every text: names -> what stands there, the spans of these, or None. Where a text has some, all
            that stands outside of them counts as special.
        single: whether the only text was passed by itself, and not in a list.

    Raises:
        TypeError: an entry is neither a string nor a pair of strings, or segments are no dictionary of strings.
        ValueError: a text is empty, has nothing but special tokens, or is too long; or its segments do not
            stand there once each, in tokens of their own.
    """
    encodings = []
    for number, text in enumerate(texts):
        name = named("text", number, single)
        parts = text if isinstance(text, tuple) else (text,)
        if len(parts) > 2 or not all(isinstance(part, str) for part in parts):
            raise TypeError(
                f"{name} is a {type(text).__name__}; pass strings, pairs (question, context), chats (lists of "
                "messages with role and content), or input_ids=… for token ids"
            )
        if not all(part.strip() for part in parts):
            raise ValueError(f"{name} is empty; pass at least one word")
        own = segments[number] if segments is not None else None
        spans = own or () if own is None or isinstance(own, list) else located(own, parts, name)
        encodings.append(_tokenised(parts, tokenizer, limit, truncate, spans, name))
    return encodings


def _tokenised(
    parts: Sequence[str], tokenizer: Any, limit: int | None, truncate: bool, spans: Sequence[Span], name: str
) -> Encoding:
    parts = [type(part)(part.encode("utf8", "replace").decode("utf8")) for part in parts]  # half surrogate pairs
    options: dict[str, Any] = {"return_offsets_mapping": True} if tokenizer.is_fast else {}
    if truncate and limit is not None:
        if len(parts) == 2:
            first = len(tokenizer(parts[0])["input_ids"]) + tokenizer.num_special_tokens_to_add(pair=True)
            if first - tokenizer.num_special_tokens_to_add() >= limit:
                raise ValueError(
                    f"{name} leaves no room for its context: the question alone fills max_length={limit} tokens; "
                    "pass a larger max_length, or a shorter question"
                )
        options |= {"truncation": "only_second" if len(parts) == 2 else True, "max_length": limit}
    coded = tokenizer(*parts, add_special_tokens=not isinstance(parts[0], Prompt), **options)
    begin = coded["input_ids"][:2]
    doubled = len(begin) == 2 and begin[0] == begin[1] and begin[0] in scaffolding(tokenizer)
    if doubled:  # the text holds its special tokens already: a chat template's
        coded = tokenizer(*parts, add_special_tokens=False, **options)
    if limit is not None and len(coded["input_ids"]) > limit:
        raise ValueError(
            f"{name} has {len(coded['input_ids'])} tokens but the model reads at most {limit}; "
            f"shorten it or pass max_length={limit} to cut it"
        )
    return _from_tokenizer(coded, parts, tokenizer, spans, name)


def named(kind: str, number: int, single: bool) -> str:
    """What messages call the only text that was passed, or one of a list.

    >>> named("text", 0, single=True), named("text", 0, single=False)
    ('the text', 'text 0')
    """
    return f"the {kind}" if single else f"{kind} {number}"


def continued(encoding: Encoding, ids: Sequence[int], tokenizer: Any) -> Encoding:
    """The encoding with tokens behind it that are read but not explained: the words a language model has said."""
    n = len(ids)
    tokens = tuple(map(str, ids)) if tokenizer is None else tuple(tokenizer.convert_ids_to_tokens(list(ids)))
    return replace(
        encoding,
        input_ids=torch.cat([encoding.input_ids, torch.tensor(ids, dtype=torch.int64)]),
        special=torch.cat([encoding.special, torch.ones(n, dtype=torch.bool)]),
        tokens=encoding.tokens + tokens,
        pieces=encoding.pieces + tokens,
        word_ids=encoding.word_ids + (None,) * n,
        sequence_ids=encoding.sequence_ids + (None,) * n,
        segment_of=None if encoding.segment_of is None else encoding.segment_of + (None,) * n,
        token_types=None,
    )


def first_of(encoding: Encoding, n: int) -> Encoding:
    """The first n tokens of an encoding."""
    return Encoding(
        encoding.input_ids[:n],
        encoding.special[:n],
        encoding.tokens[:n],
        encoding.pieces[:n],
        encoding.word_ids[:n],
        encoding.sequence_ids[:n],
        name=encoding.name,
    )


def scaffolding(tokenizer: Any) -> set[int]:
    """Special ids and markup of chats, without [UNK]: an unknown word is a word of the text."""
    added = getattr(tokenizer, "added_tokens_decoder", {})  # Llama's <|eot_id|> stands in no other list
    markup = {row for row, token in added.items() if token.special}
    return (markup | set(tokenizer.all_special_ids)) - {getattr(tokenizer, "unk_token_id", None)}


def _from_tokenizer(coded: Any, parts: Sequence[str], tokenizer: Any, spans: Sequence[Span], name: str) -> Encoding:
    ids = coded["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    types = coded.get("token_type_ids")
    fixed_ids = scaffolding(tokenizer)
    if not tokenizer.is_fast:  # knows no offsets: every token is its own word
        if spans:
            raise ValueError(
                f"{name} has segments, and this slow tokenizer does not show where its tokens stand; use a fast one, "
                "or pass the prompt as one text without segments"
            )
        special = [i in fixed_ids for i in ids]
        words = [None if fixed else position for position, fixed in enumerate(special)]
        sequence = [None if s else part for s, part in zip(special, _parts(ids, parts, tokenizer, name), strict=True)]
        return checked(ids, special, tokens, tokens, words, sequence, types, name)
    sequence = coded.sequence_ids()
    special = [s is None or i in fixed_ids for i, s in zip(ids, sequence, strict=True)]
    offsets = coded["offset_mapping"]
    owners: list[str | None] | None = None
    if spans:
        owners = segments_of(spans, offsets, sequence, parts, name)
        special = [fixed or owner is None for fixed, owner in zip(special, owners, strict=True)]
        require_tokens(spans, owners, special, name)
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
    whole = checked(ids, special, tokens, pieces, words, sequence, types, name)
    return replace(whole, segment_of=None if owners is None else tuple(owners))


def _parts(ids: Sequence[int], parts: Sequence[str], tokenizer: Any, name: str) -> list[int]:
    """For every token the number of its part, found by the ids that the second part has alone.

    Raises:
        ValueError: they do not stand there.
    """
    if len(parts) == 1:
        return [0] * len(ids)
    second = tokenizer(parts[1], add_special_tokens=False)["input_ids"]
    for length in range(len(second), 0, -1):  # the context may have been cut
        for a in range(len(ids) - length, -1, -1):
            if list(ids[a : a + length]) == second[:length]:
                return [int(position >= a) for position in range(len(ids))]
    raise ValueError(
        f"{name} is a pair, and this slow tokenizer does not show where its second text begins; use a fast one"
    )


def _word_ids(
    given: Sequence[int | None],
    special: Sequence[bool],
    sequence: Sequence[int | None],
    offsets: Sequence[tuple[int, int]],
    parts: Sequence[str],
) -> list[int | None]:
    """Number the words of all parts through.

    A tokenizer that cuts the text into words first knows them; one that does not calls the whole text one word, and
    then a word begins where the text has white space before a token. Where a script has no spaces, tokens are the
    words.
    """
    cuts = len({(s, w) for s, w, fixed in zip(sequence, given, special, strict=True) if not fixed}) > len(parts)
    numbers: list[int | None] = []
    last: Any = None  # the previous token's word, its text, and where that stands
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
        # A token without characters of its own is another byte of the character before it.
        begins = begins or (b > a and bool(_NO_SPACES.search(text[a:b] + last[1])) and (a, b) != last[2])
        count += begins
        last = (s, w), text[a:b], (a, b)
        numbers.append(count)
    return numbers


def checked(
    ids: Sequence[int],
    special: Sequence[bool],
    tokens: Sequence[str],
    pieces: Sequence[str],
    words: Sequence[int | None],
    sequence: Sequence[int | None],
    types: Sequence[int] | None,
    name: str,
) -> Encoding:
    """An encoding of lists of L entries each.

    Raises:
        ValueError: all tokens are special.
    """
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
        name=name,
    )
