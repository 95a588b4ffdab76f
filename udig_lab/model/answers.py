"""Answers of a span model: the best one, one that stands in the context, and its words."""

from __future__ import annotations

import torch
from torch import Tensor

from udig_lab.model.inputs import Encoding


def best_span(logits: Tensor, encoding: Encoding, longest: int = 30) -> tuple[int, int]:
    """Start and end (inclusive) of the answer with the largest sum of logits (2, L), at most ``longest`` tokens."""
    context = _context(encoding)
    allowed = torch.tensor([s == context for s in encoding.sequence_ids], device=logits.device)  # (L,)
    both = logits[0][:, None] + logits[1][None, :]  # (L, L): start, end
    inside = allowed[:, None] & allowed[None, :]
    order = torch.ones_like(inside).triu() & torch.ones_like(inside).tril(longest - 1)
    flat = int(both.masked_fill(~(inside & order), -torch.inf).argmax())
    return flat // len(encoding), flat % len(encoding)


def _context(encoding: Encoding) -> int:
    """The number of the last of the texts: of a pair, the context."""
    return max(s for s in encoding.sequence_ids if s is not None)


def answer_of(answer: str, encoding: Encoding) -> tuple[int, int]:
    """Token positions of an answer in the context, compared without white space and case."""
    context = _context(encoding)
    wanted = "".join(answer.split()).casefold()
    places = [j for j, s in enumerate(encoding.sequence_ids) if s == context]
    for a in range(len(places)):
        text = ""
        for b in range(a, len(places)):
            text += "".join(encoding.pieces[places[b]].split()).casefold()
            if text == wanted:
                return places[a], places[b]
            if not wanted.startswith(text):
                break
    raise ValueError(f"the answer {answer!r} does not stand in the context of {encoding.name}; pass words from it")


def words_between(encoding: Encoding, start: int, end: int) -> str:
    """The words of a span, word pieces joined."""
    text, last = "", None
    for piece, word in zip(encoding.pieces[start : end + 1], encoding.word_ids[start : end + 1], strict=True):
        text += piece if word == last else f" {piece.strip()}"
        last = word
    return text.strip()
