"""What a call asks of every text: the tokens that continue it, or the position that is looked at."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udig_lab.model.batching import Budget
from udig_lab.model.heads import AT_A_POSITION, GENERATING
from udig_lab.model.inputs import Encoding, continued
from udig_lab.model.reader import Reader, read_own
from udig_lab.model.textmodel import TextModel


@dataclass(frozen=True)
class Asked:
    """Texts as they are read.

    Attributes:
        encodings: N texts; of a language model with all but the last token of what continues them.
        ids: N continuations, of language models.
        at: (N, c) positions where the output is read; None for heads with one output a text.
        answers: (N, c) ids that the decoder of an encoder-decoder reads; None for other models.
    """

    encodings: Sequence[Encoding]
    ids: Sequence[Sequence[int]] = ()
    at: Tensor | None = None
    answers: Tensor | None = None


def asked_of(model: TextModel, encodings: Sequence[Encoding], target: Any, at: Any, budget: Budget) -> Asked:
    """Work out what is read; ``target`` and ``at`` as for ``explain``.

    Raises:
        ValueError, TypeError: a continuation or a position that the texts or the model do not have.
    """
    if model.task in AT_A_POSITION:
        wishes = _each(at, encodings)
        positions = [_position(model, e, wish) for e, wish in zip(encodings, wishes, strict=True)]
        return Asked(encodings, at=torch.tensor(positions, device=model.device)[:, None])
    if at is not None:
        raise ValueError(
            f"at={at!r} does not go with a {model.task} model; it names the token whose class is explained"
        )
    if model.task not in GENERATING:
        return Asked(encodings)
    ids = _wished(model, target, encodings)
    if any(row is None for row in ids):
        guesses = _next(model, encodings, budget)
        ids = [[guess] if row is None else row for row, guess in zip(ids, guesses, strict=True)]
    return _read_with(model, encodings, [row for row in ids if row is not None])


def answer_lengths(model: TextModel, target: Any, encodings: Sequence[Encoding]) -> list[int]:
    """How many tokens continue each of N texts of a language model.

    Raises:
        ValueError: as for ``asked_of``.
    """
    return [1 if row is None else len(row) for row in _wished(model, target, encodings)]


def as_read(
    model: TextModel, encodings: Sequence[Encoding], targets: Sequence[Any], at: Sequence[int | None]
) -> Asked:
    """Where the output of texts is read that hold what continues them already: those of finished explanations."""
    if model.task in AT_A_POSITION:
        return Asked(encodings, at=torch.tensor(at, device=model.device)[:, None])
    if model.task == "seq2seq":
        return _read_with(model, encodings, targets)
    if model.task == "causal":
        width = max(len(ids) for ids in targets)
        first = [len(e) - len(ids) for e, ids in zip(encodings, targets, strict=True)]
        places = torch.tensor(first, device=model.device)[:, None] + torch.arange(width, device=model.device)
        return Asked(encodings, targets, places)
    return Asked(encodings)


def next_token(model: TextModel, encodings: Sequence[Encoding]) -> Asked:
    """Texts, read for the token that comes next."""
    return _read_with(model, encodings, [[0]] * len(encodings)) if model.task in GENERATING else Asked(encodings)


def _read_with(model: TextModel, encodings: Sequence[Encoding], ids: Sequence[Sequence[int]]) -> Asked:
    """Texts with their continuations."""
    width = max(len(row) for row in ids)
    if model.task == "seq2seq":
        begin = _decoder_start(model)
        rows = [[begin, *row[:-1], *[model.pad_id] * (width - len(row))] for row in ids]
        at = torch.arange(width, device=model.device).expand(len(ids), -1)
        return Asked(encodings, ids, at, torch.tensor(rows, device=model.device))
    longer = [continued(e, row[:-1], model.tokenizer) for e, row in zip(encodings, ids, strict=True)]
    for e in longer:
        if model.limit is not None and len(e) > model.limit:
            raise ValueError(
                f"{e.name} with its continuation has {len(e)} tokens but the model reads at most {model.limit}; "
                "shorten one of them"
            )
    first = torch.tensor([len(e) - 1 for e in encodings], device=model.device)[:, None]
    return Asked(longer, ids, first + torch.arange(width, device=model.device))


def sides_of(target: Any, n: int) -> tuple[list[Any], list[Any]] | None:
    """What is explained, and what it is contrasted with, in each of n texts; None where the target is no contrast.

    A tuple of two is a contrast unless both are numbers: those are the ids of one continuation, or the ends of one
    answer, as ``Attribution.target`` has them.

    Raises:
        ValueError: contrasts for some of the texts only.
    """
    if _is_contrast(target):
        return [target[0]] * n, [target[1]] * n
    if not isinstance(target, (list, tuple)) or not any(map(_is_contrast, target)):
        return None
    if len(target) != n or not all(map(_is_contrast, target)):
        raise ValueError(
            "some of the targets are contrasts (this, that); pass one contrast for all texts, or one each"
        )
    return [this for this, _ in target], [that for _, that in target]


def _is_contrast(wish: Any) -> bool:
    return isinstance(wish, tuple) and len(wish) == 2 and not all(_is_number(side) for side in wish)


def _is_number(side: Any) -> bool:
    return isinstance(side, (int, np.integer)) or (isinstance(side, (Tensor, np.ndarray)) and side.ndim == 0)


def _continuations(target: Any, n: int) -> list[Any]:
    """A continuation for each of n texts: text, one id or several, or None for the model's next token."""
    one = target is None or isinstance(target, (str, int, np.integer))
    one = one or (isinstance(target, Tensor) and target.ndim < 2)
    # A list of ids is one continuation, a list of texts or of lists is one for each.
    one = one or (
        len(target) > 0 and all(isinstance(t, (int, np.integer)) and not isinstance(t, bool) for t in target)
    )
    wishes = [target] * n if one else list(target)
    if len(wishes) != n:
        raise ValueError(f"{len(wishes)} targets were given for {n} texts; pass one, or one for each")
    return wishes


def _wished(model: TextModel, target: Any, encodings: Sequence[Encoding]) -> list[list[int] | None]:
    """Token ids of N continuations; None for the model's own next token."""
    wishes = _continuations(target, len(encodings))
    return [_ids(model, wish, e.name) for wish, e in zip(wishes, encodings, strict=True)]


def _ids(model: TextModel, wish: Any, name: str) -> list[int] | None:
    """Token ids of a continuation; None for the model's own."""
    if wish is None:
        return None
    if isinstance(wish, str) and model.tokenizer is not None:
        ids = model.tokenizer(wish, add_special_tokens=False)["input_ids"]
        if not ids:
            raise ValueError(f"the continuation {wish!r} has no tokens; pass at least one word")
        _require_written(model.tokenizer, wish, ids)
        return list(ids)
    listed = (
        np.asarray(wish.tolist() if isinstance(wish, Tensor) else wish) if not isinstance(wish, str) else np.array("")
    )
    if listed.dtype.kind not in "iu" or not listed.size or listed.ndim > 1:
        raise ValueError(
            f"unknown target {wish!r} of {name}: a language model explains what continues the prompt, as text "
            "(with a tokenizer) or as token ids"
        )
    ids = [int(i) for i in listed.flatten()]
    if min(ids) < 0 or max(ids) >= len(model.table):
        raise ValueError(f"token ids {ids} behind {name} are outside the vocabulary of {len(model.table)} rows")
    return ids


def _require_written(tokenizer: Any, wish: str, ids: Sequence[int]) -> None:
    """Whether the tokens say what was asked for: some tokenizers have a token for what they cannot write, others leave
    it out.

    Raises:
        ValueError: they do not.
    """
    unknown = getattr(tokenizer, "unk_token_id", None)
    said = tokenizer.decode(ids)
    if (unknown in ids and tokenizer.unk_token not in wish) or _letters(said) != _letters(wish):
        raise ValueError(
            f"this tokenizer cannot write the continuation {wish!r}, of which it makes {said!r}; pass other words, or "
            "token ids"
        )


def _letters(text: str) -> str:
    """A text without what tokenizers change and readers overlook: white space, case, accents, forms of letters."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in plain if not c.isspace() and not unicodedata.combining(c))


def _next(model: TextModel, encodings: Sequence[Encoding], budget: Budget) -> list[int]:
    """The most likely next token of every text."""
    asked = next_token(model, encodings)
    reader = Reader(model, encodings, at=asked.at, answers=asked.answers)
    return [int(o[0].argmax()) for o in read_own(reader, [len(e) for e in encodings], budget)]


def _decoder_start(model: TextModel) -> int:
    for name in ("decoder_start_token_id", "bos_token_id", "pad_token_id"):
        for owner in (model.config, getattr(model.model, "generation_config", None)):
            row = getattr(owner, name, None)
            if isinstance(row, int):
                return row
    raise ValueError(
        f"{model.name} does not say with which token its decoder begins; set config.decoder_start_token_id"
    )


def _each(at: Any, encodings: Sequence[Encoding]) -> list[Any]:
    one = at is None or isinstance(at, (str, int, np.integer))
    wishes = [at] * len(encodings) if one else list(at)
    if len(wishes) != len(encodings):
        raise ValueError(f"{len(wishes)} places at=… were given for {len(encodings)} texts; pass one, or one for each")
    return wishes


def _position(model: TextModel, encoding: Encoding, wish: Any) -> int:
    """The token whose class is explained: by its number, by the word that it begins, or the only mask."""
    if isinstance(wish, (int, np.integer)) and not isinstance(wish, bool):
        if 0 <= wish < len(encoding):
            return int(wish)
        raise ValueError(
            f"at={wish} is outside {encoding.name} of {len(encoding)} tokens; pass 0 to {len(encoding) - 1}"
        )
    if wish is None and model.task == "masked":
        mask = getattr(model.tokenizer, "mask_token_id", None)
        places = [i for i, row in enumerate(encoding.input_ids.tolist()) if row == mask]
        if len(places) == 1:
            return places[0]
        token = getattr(model.tokenizer, "mask_token", None) or "a mask"
        raise ValueError(
            f"{encoding.name} has {len(places)} times {token}; write it once, or say which position: at=…"
        )
    if isinstance(wish, str):
        words: dict[int, tuple[int, str]] = {}  # number -> where it begins, and its letters
        for position, (piece, word) in enumerate(zip(encoding.pieces, encoding.word_ids, strict=True)):
            if word is not None:
                begin, letters = words.get(word, (position, ""))
                words[word] = begin, letters + piece.strip()
        places = [begin for begin, letters in words.values() if letters.casefold() == wish.strip().casefold()]
        if len(places) == 1:
            return places[0]
        raise ValueError(
            f"the word {wish!r} stands {len(places)} times in {encoding.name}; pass its token's number: at=…"
        )
    raise ValueError(
        f"say which token of {encoding.name} is explained: at=…, a word that stands there once or a number"
    )
