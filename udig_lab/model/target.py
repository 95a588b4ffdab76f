"""What is explained: which number F of a model's output, fixed for every text before any path is walked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from udig_lab.model.inputs import Encoding
from udig_lab.model.textmodel import TextModel

OUTPUTS = {
    "classification": ("logit", "log_odds"),
    "span": ("joint", "start", "end"),
    "causal": ("log_prob", "logit"),
}


@dataclass(frozen=True)
class Target:
    """One number a text, read from the model's output.

    Attributes:
        task: the model's.
        output: "logit" of a class, its "log_odds" log p / (1 - p); the "start" logit of an answer, its "end" logit or
            their sum ("joint"); "log_prob" of a continuation, or the sum of its "logit"s.
        index: (N, c) what is explained in each text: a class; start and end; the ids of a continuation, padded
            with -1.
        names: N labels.
        probabilities: N probabilities of what is explained, at the input.
        moving_target: explain the largest logit of every point instead (the published code's choice).
    """

    task: str
    output: str
    index: Tensor
    names: tuple[str, ...]
    probabilities: tuple[float, ...]
    moving_target: bool = False

    def __call__(self, outputs: Tensor, owners: Tensor) -> Tensor:
        """F (n,) of a model's outputs for n points; row r belongs to text ``owners[r]``."""
        index = self.index[owners]  # (n, c)
        if self.task == "span":
            return self._span(outputs, index)
        if self.task == "causal":
            return self._continuation(outputs, index)
        if self.moving_target:
            index = outputs.argmax(-1, keepdim=True)
        own = outputs.gather(1, index)[:, 0]  # (n,)
        if self.output == "logit":
            return own
        others = outputs.scatter(1, index, -torch.inf)
        return own - others.logsumexp(-1)

    def _span(self, outputs: Tensor, index: Tensor) -> Tensor:
        """Output (n, 2, L), index (n, 2)."""
        best = outputs.amax(-1) if self.moving_target else outputs.gather(2, index[:, :, None])[..., 0]  # (n, 2)
        return {"start": best[:, 0], "end": best[:, 1], "joint": best.sum(1)}[self.output]

    def _continuation(self, outputs: Tensor, index: Tensor) -> Tensor:
        """Output (n, keep, V): the last positions predict the continuation (n, c), which ends where they end."""
        scores = outputs.log_softmax(-1) if self.output == "log_prob" else outputs
        real = index >= 0  # (n, c), real ones first
        column = outputs.shape[1] - real.sum(1, keepdim=True) + torch.arange(index.shape[1], device=index.device)
        row = torch.arange(len(index), device=index.device)[:, None]
        picked = scores[row, column.clamp(max=outputs.shape[1] - 1), index.clamp(min=0)]  # (n, c)
        return (picked * real).sum(1)

    def of(self, i: int) -> int | tuple[int, ...]:
        """The index of text i as plain numbers: a class, or positions or ids."""
        numbers = [n for n in self.index[i].tolist() if n >= 0]
        return numbers[0] if self.task == "classification" else tuple(numbers)


def resolve(
    target: Any,
    output: str | None,
    model: TextModel,
    encodings: Sequence[Encoding],
    outputs: Sequence[Tensor],
    *,
    moving_target: bool = False,
) -> Target:
    """Decide what is explained in every text.

    Args:
        target: the caller's wish: None for what the model predicts at the input; else one for all texts or one each.
        output: one of ``OUTPUTS`` for the model's task, None for the first.
        model: the model.
        encodings: N texts.
        outputs: N outputs of the model at the input.
        moving_target: see ``Target``.

    Raises:
        ValueError: an unknown output, class or answer, or another number of targets than texts.
    """
    known = OUTPUTS[model.task]
    output = output or known[0]
    if output not in known:
        raise ValueError(f"unknown output {output!r} for a {model.task} model; choose one of {', '.join(known)}")
    wishes = _one_each(target, len(encodings), model.task)
    if model.task == "classification":
        return _classes(wishes, output, model, torch.stack(list(outputs)), moving_target)
    if model.task == "span":
        return _spans(wishes, output, encodings, outputs, moving_target)
    raise AssertionError("continuations are resolved while the texts are encoded")


def continuations(
    ids: Sequence[Sequence[int]], output: str | None, model: TextModel, outputs: Sequence[Tensor]
) -> Target:
    """The target of a causal language model: N continuations as token ids."""
    output = output or OUTPUTS["causal"][0]
    if output not in OUTPUTS["causal"]:
        raise ValueError(f"unknown output {output!r} for a causal model; choose one of {', '.join(OUTPUTS['causal'])}")
    width = max(len(row) for row in ids)
    index = torch.tensor([[*row, *[-1] * (width - len(row))] for row in ids], device=outputs[0].device)
    names = [model.tokenizer.decode(row) if model.tokenizer is not None else str(list(row)) for row in ids]
    everyone = torch.arange(len(ids), device=index.device)
    log_prob = Target("causal", "log_prob", index, tuple(names), ())(torch.stack(list(outputs)), everyone)
    return Target("causal", output, index, tuple(names), tuple(log_prob.exp().tolist()))


def _one_each(target: Any, n: int, task: str) -> list[Any]:
    alone = target is None or isinstance(target, (int, str)) or (task == "span" and isinstance(target, tuple))
    wishes = [target] * n if alone else list(target)
    if len(wishes) != n:
        raise ValueError(f"{len(wishes)} targets were given for {n} texts; pass one, or one for each")
    return wishes


def _classes(wishes: Sequence[Any], output: str, model: TextModel, logits: Tensor, moving_target: bool) -> Target:
    classes = logits.shape[1]
    if output == "log_odds" and classes < 2:
        raise ValueError(f'{model.name} has one output, so there are no log-odds; explain its output="logit"')
    names = {model.class_name(c): c for c in range(classes)}
    best = logits.argmax(-1).tolist()
    indices = []
    for wish, predicted in zip(wishes, best, strict=True):
        index = predicted if wish is None else names.get(wish, -1) if isinstance(wish, str) else wish
        if not 0 <= index < classes:
            raise ValueError(
                f"unknown target {wish!r}; this model has the classes {', '.join(names)} (0 to {classes - 1})"
            )
        indices.append(index)
    index = torch.tensor(indices, device=logits.device)[:, None]  # (N, 1)
    probabilities = logits.softmax(-1).gather(1, index)[:, 0].tolist()
    return Target(
        "classification",
        output,
        index,
        tuple(model.class_name(i) for i in indices),
        tuple(probabilities),
        moving_target,
    )


def _spans(
    wishes: Sequence[Any], output: str, encodings: Sequence[Encoding], outputs: Sequence[Tensor], moving_target: bool
) -> Target:
    spans, names, probabilities = [], [], []
    for number, (wish, encoding, logits) in enumerate(zip(wishes, encodings, outputs, strict=True)):
        if wish is None:
            start, end = best_span(logits, encoding)
        elif isinstance(wish, str):
            start, end = _find(wish, encoding, number)
        else:
            start, end = wish
        if not 0 <= start <= end < len(encoding):
            raise ValueError(
                f"unknown target {wish!r} for text {number}: pass an answer that stands in the context, "
                f"or token positions (start, end) with 0 <= start <= end < {len(encoding)}"
            )
        spans.append((start, end))
        names.append(_between(encoding, start, end))
        log = logits.log_softmax(-1)
        probabilities.append(float((log[0, start] + log[1, end]).exp()))
    index = torch.tensor(spans, device=outputs[0].device)  # (N, 2)
    return Target("span", output, index, tuple(names), tuple(probabilities), moving_target)


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


def _find(answer: str, encoding: Encoding, number: int) -> tuple[int, int]:
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
    raise ValueError(f"the answer {answer!r} does not stand in the context of text {number}; pass words from it")


def _between(encoding: Encoding, start: int, end: int) -> str:
    """The words of a span, word pieces joined."""
    text, last = "", None
    for piece, word in zip(encoding.pieces[start : end + 1], encoding.word_ids[start : end + 1], strict=True):
        text += piece if word == last else f" {piece.strip()}"
        last = word
    return text.strip()
