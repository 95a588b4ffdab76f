"""What is explained: which number F of a model's output, fixed for every text before any path is walked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udig_lab.model.answers import answer_of, best_span, words_between
from udig_lab.model.heads import GENERATING, ONE_CLASS, SIGMOID, link_of, log_probabilities
from udig_lab.model.inputs import Encoding
from udig_lab.model.textmodel import TextModel

_ONE_OF = ("logit", "log_odds")
OUTPUTS = dict.fromkeys(ONE_CLASS, _ONE_OF) | {"span": ("joint", "start", "end")}
OUTPUTS |= dict.fromkeys(GENERATING, ("log_prob", "logit"))
CONTRAST = "contrast"  # the output that is the difference of two logits
ALL = "all"  # the target that is every class, one after the other


@dataclass(frozen=True)
class Target:
    """One number a text, read from the model's output; or C of them, where every class is explained.

    Attributes:
        task: the model's.
        output: "logit" of a class, its "log_odds" log p / (1 - p), or the "contrast" of two classes' logits; the
            "start" logit of an answer, its "end" logit or their sum ("joint"); "log_prob" of a continuation, or the
            sum of its "logit"s.
        index: (N, c) what is explained in each text: a class, or two; start and end; the ids of a continuation,
            padded with -1. Where every class is explained, c is their number.
        names: N labels; where every class is explained, C; where every token of continuations, N tuples of them.
        probabilities: N probabilities of what is explained, at the input; None where a head has none. Where every
            class is explained, N tuples of C.
        moving_target: explain the largest logit of every point instead (the published code's choice).
        every: whether every class is explained, or every token of a continuation, each behind those before it.
        link: how the head's numbers become probabilities (see ``heads.link_of``).
    """

    task: str
    output: str
    index: Tensor
    names: tuple[Any, ...]
    probabilities: tuple[Any, ...]
    moving_target: bool = False
    every: bool = False
    link: str | None = None

    def __call__(self, outputs: Tensor, owners: Tensor) -> Tensor:
        """F (n,) of a model's outputs for n points, or (n, C) of every class; row r belongs to text ``owners[r]``."""
        index = self.index[owners]  # (n, c)
        if self.task == "span":
            return self._span(outputs, index)
        if self.task in GENERATING:
            return self._continuation(outputs, index)
        if self.moving_target:
            index = outputs.argmax(-1, keepdim=True)
        own = outputs.gather(1, index)  # (n, c)
        if self.output == CONTRAST:
            return own[:, 0] - own[:, 1]
        if self.output == "log_odds" and self.link != SIGMOID:  # a sigmoid's logit is the log-odds
            own = torch.stack([_log_odds(outputs, index[:, c]) for c in range(index.shape[1])], dim=1)
        return own if self.every else own[:, 0]

    def _span(self, outputs: Tensor, index: Tensor) -> Tensor:
        """Outputs (n, 2, L), index (n, 2)."""
        best = outputs.amax(-1) if self.moving_target else outputs.gather(2, index[:, :, None])[..., 0]  # (n, 2)
        return {"start": best[:, 0], "end": best[:, 1], "joint": best.sum(1)}[self.output]

    def _continuation(self, outputs: Tensor, index: Tensor) -> Tensor:
        """Outputs (n, c, V) at the places of the c tokens of the longest continuation, index (n, c)."""
        scores = outputs.log_softmax(-1) if self.output == "log_prob" else outputs
        picked = scores.gather(2, index.clamp(min=0)[..., None])[..., 0]  # (n, c)
        counted = picked * (index >= 0)
        return counted if self.every else counted.sum(1)

    def name(self, i: int, c: int | None = None) -> str:
        """The label of what is explained in text i; where it is every class or token, of number c."""
        names = self.names if self.every and self.task not in GENERATING else self.names[i]
        return str(names if c is None else names[c])

    def of(self, i: int, c: int | None = None) -> int | tuple[int, ...]:
        """The index of text i as plain numbers: a class (of all, number c), or two; positions; or ids.

        Of every token of a continuation, number c is its id, -1 behind the end of it.
        """
        if c is not None and self.task in GENERATING:
            return (int(self.index[i, c]),)
        numbers = [n for n in self.index[i].tolist() if n >= 0]
        if c is not None:
            return int(numbers[c])
        return numbers[0] if self.task in ONE_CLASS and self.output != CONTRAST else tuple(numbers)


def _log_odds(logits: Tensor, index: Tensor) -> Tensor:
    """(n,) log p / (1 - p) under softmax of one class of logits (n, C), index (n,)."""
    others = logits.scatter(1, index[:, None], -torch.inf)
    return logits.gather(1, index[:, None])[:, 0] - others.logsumexp(-1)


def output_of(output: str | None, task: str) -> str:
    """The output that is meant.

    Raises:
        ValueError: it is not one of the task's.
    """
    known = OUTPUTS[task]
    if output is not None and output not in known:
        raise ValueError(f"unknown output {output!r} for a {task} model; choose one of {', '.join(known)}")
    return output or known[0]


def resolve(
    target: Any,
    output: str | None,
    model: TextModel,
    encodings: Sequence[Encoding],
    outputs: Sequence[Tensor],
    *,
    moving_target: bool = False,
) -> Target:
    """Decide what is explained in every text; ``continuations`` does so for language models.

    Args:
        target: the caller's wish: None for what the model predicts at the input; else one for all texts or one each.
        output: one of ``OUTPUTS`` for the model's task, None for the first.
        model: the model.
        encodings: N texts.
        outputs: N outputs of the model at the input.
        moving_target: see ``Target``.

    Raises:
        ValueError, TypeError: an unknown output, class or answer, or another number of targets than texts.
    """
    name = output_of(output, model.task)
    if model.task == "span":
        return _spans(_one_each(target, len(encodings), pair=True), name, encodings, outputs, moving_target)
    logits = torch.stack(list(outputs))  # (N, C)
    if isinstance(target, str) and target == ALL:
        return _every(name, model, logits)
    return _classes(_one_each(target, len(encodings)), name, output, model, logits, moving_target)


def plain(wish: Any) -> Any:
    """A target as Python has it: whole numbers of every kind as int, and nothing else changed.

    Raises:
        TypeError: a truth value, or an array that is not one number.
    """
    if isinstance(wish, (bool, np.bool_)):
        raise TypeError(f"target={wish!r} is a truth value; pass the number of a class or its label")
    if isinstance(wish, (Tensor, np.ndarray, np.generic)):
        if wish.size != 1 if isinstance(wish, (np.ndarray, np.generic)) else wish.numel() != 1:
            raise TypeError(f"a target of shape {tuple(wish.shape)} is not one number; pass one for each text")
        return plain(wish.item())
    if isinstance(wish, tuple):
        return tuple(plain(part) for part in wish)
    return wish


def _one_each(target: Any, n: int, *, pair: bool = False) -> list[Any]:
    """A target for each of n texts. A tuple of two is one: an answer's ends, or a contrast."""
    alone = (
        target is None
        or isinstance(target, (int, str, np.generic))
        or (isinstance(target, tuple) and len(target) == 2)
    )
    alone = alone or (isinstance(target, (Tensor, np.ndarray)) and target.ndim == 0)
    if isinstance(target, float):
        raise TypeError(f"target={target!r} is no whole number; pass the number of a class or its label")
    if pair and isinstance(target, (Tensor, np.ndarray)) and target.ndim:
        target = tuple(target.tolist()) if target.ndim == 1 else [tuple(ends) for ends in target.tolist()]
        alone = isinstance(target, tuple) and len(target) == 2
    wishes = [target] * n if alone else list(target)
    if len(wishes) != n:
        raise ValueError(f"{len(wishes)} targets were given for {n} texts; pass one, or one for each")
    return [plain(wish) for wish in wishes]


def _classes(
    wishes: Sequence[Any], name: str, output: str | None, model: TextModel, logits: Tensor, moving_target: bool
) -> Target:
    """Logits (N, C)."""
    classes = logits.shape[1]
    link = link_of(model.model, model.task, classes)
    _needs_probability(name, link, model, classes)
    best = logits.argmax(-1).tolist()
    contrasts = [isinstance(wish, tuple) for wish in wishes]
    if any(contrasts):
        if not all(contrasts):
            raise ValueError(
                "some of the targets are contrasts (this, that); pass one contrast for all texts, or one each"
            )
        if output not in (None, "logit"):
            raise ValueError(f"a contrast explains the difference of two logits; pass no output, not {output!r}")
        pairs = [
            [predicted if side is None else _class(side, model, classes) for side in wish]
            for wish, predicted in zip(wishes, best, strict=True)
        ]
        index = torch.tensor(pairs, device=logits.device)  # (N, 2)
        names = [" − ".join(model.class_name(c) for c in pair) for pair in pairs]
        return Target(model.task, CONTRAST, index, tuple(names), (None,) * len(pairs), moving_target)
    indices = [
        predicted if w is None else _class(w, model, classes) for w, predicted in zip(wishes, best, strict=True)
    ]
    index = torch.tensor(indices, device=logits.device)[:, None]  # (N, 1)
    probabilities = [None] * len(indices)
    if link is not None:
        probabilities = log_probabilities(logits, link).gather(1, index)[:, 0].exp().tolist()
    names = [model.class_name(i) for i in indices]
    return Target(model.task, name, index, tuple(names), tuple(probabilities), moving_target, link=link)


def _every(name: str, model: TextModel, logits: Tensor) -> Target:
    """Every class of every text; logits (N, C)."""
    n, classes = logits.shape
    link = link_of(model.model, model.task, classes)
    _needs_probability(name, link, model, classes)
    probabilities: Any = [(None,) * classes] * n
    if link is not None:
        probabilities = [tuple(row) for row in log_probabilities(logits, link).exp().tolist()]
    index = torch.arange(classes, device=logits.device).expand(n, -1)  # (N, C)
    names = tuple(model.class_name(c) for c in range(classes))
    return Target(model.task, name, index, names, tuple(probabilities), every=True, link=link)


def _needs_probability(name: str, link: str | None, model: TextModel, classes: int) -> None:
    if name == "log_odds" and (link is None or (link != SIGMOID and classes < 2)):
        raise ValueError(f'{model.name} gives no probabilities, so there are no log-odds; explain its output="logit"')


def _class(wish: Any, model: TextModel, classes: int) -> int:
    """The number of a class that was asked for by number or label."""
    index = wish
    if isinstance(wish, str):
        if model.task == "masked":
            index = model.tokenizer.get_vocab().get(wish, -1) if model.tokenizer is not None else -1
        else:
            index = {model.class_name(c): c for c in range(classes)}.get(wish, -1)
    if not isinstance(index, int) or not 0 <= index < classes:
        some = [model.class_name(c) for c in range(min(classes, 8))]
        more = f", … ({classes} in all)" if classes > len(some) else ""
        raise ValueError(
            f"unknown target {wish!r}; this model has the classes {', '.join(some)}{more} (0 to {classes - 1})"
        )
    return index


def _spans(
    wishes: Sequence[Any], name: str, encodings: Sequence[Encoding], outputs: Sequence[Tensor], moving_target: bool
) -> Target:
    spans, names, probabilities = [], [], []
    for wish, encoding, logits in zip(wishes, encodings, outputs, strict=True):
        if wish is None:
            start, end = best_span(logits, encoding)
        elif isinstance(wish, str):
            start, end = answer_of(wish, encoding)
        else:
            start, end = wish if isinstance(wish, tuple) and len(wish) == 2 else (-1, -1)
        whole = isinstance(start, int) and isinstance(end, int)
        if not whole or not 0 <= start <= end < len(encoding):
            raise ValueError(
                f"unknown target {wish!r} for {encoding.name}: pass an answer that stands in the context, "
                f"or token positions (start, end) with 0 <= start <= end < {len(encoding)}"
            )
        spans.append((start, end))
        names.append(words_between(encoding, start, end))
        log = logits.log_softmax(-1)
        probabilities.append(float((log[0, start] + log[1, end]).exp()))
    index = torch.tensor(spans, device=outputs[0].device)  # (N, 2)
    return Target("span", name, index, tuple(names), tuple(probabilities), moving_target)
