"""The check that no explanation goes without: F at the input is the model's own output on the token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from udig_lab.model.asked import Asked, next_token
from udig_lab.model.batching import Budget
from udig_lab.model.inputs import Encoding, first_of
from udig_lab.model.reader import Reader, read, read_own
from udig_lab.model.textmodel import TextModel

_SAMPLE = 4  # texts by which a model is looked at before many are read


def read_checked(
    reader: Reader,
    embed: Callable[[int], Tensor],
    owners: Sequence[int],
    lengths: Sequence[int],
    budget: Budget,
    own: Sequence[Tensor],
    names: Sequence[str],
) -> list[Tensor]:
    """As ``reader.read``; the outputs of the first sequences must be the model's own.

    Where its answers depend on what else is in a batch, the model reads one length at a time from then on, or one
    text.

    Args:
        reader: the model.
        embed: see ``reader.read``, as for the next three.
        owners: the text of every sequence.
        lengths: its tokens.
        budget: bounds a pass.
        own: outputs of the model itself for the first sequences; none compares nothing.
        names: what messages call these.

    Raises:
        ValueError: they differ even for a text that is read alone.
    """
    model = reader.text_model
    while True:
        outputs = read(reader, embed, owners, lengths, budget)
        wrong = _differing(outputs[: len(own)], own, names[: len(own)], model)
        if wrong is None:
            return outputs
        if model.alone:
            raise ValueError(wrong)
        model.alone, model.mixes = not reader.pads, False
        budget.rows = 1 if model.alone else budget.rows


def look_at(model: TextModel, reader: Reader, texts: Sequence[Encoding], budget: Budget) -> None:
    """Find out by a few texts of different lengths whether the model's answers depend on what else is in a batch."""
    if model.looked_at:
        return
    chosen = list({len(e): i for i, e in enumerate(texts) if e.rows is None}.values())[:_SAMPLE]
    lengths = [len(texts[i]) for i in chosen]
    own = [o for i in chosen for o in read_own(reader, [len(texts[i])], budget, [i])]
    names = [texts[i].name for i in chosen]
    read_checked(reader, lambda r: texts[chosen[r]].embeddings(model.table), chosen, lengths, budget, own, names)
    model.looked_at = True


def check_order(model: TextModel, asked: Asked, own: Sequence[Tensor], budget: Budget) -> None:
    """What a language model says first must not depend on the words it says next, though both are read at once.

    Args:
        model: the model.
        asked: texts with what continues them.
        own: outputs of the model itself.
        budget: bounds a pass.

    Raises:
        ValueError: it does; the sum over the tokens would be no probability of the continuation.
    """
    long = [i for i, ids in enumerate(asked.ids) if len(ids) > 1]
    if model.task != "causal" or model.in_order or not long or not own:
        return
    i = long[0]
    prompt = next_token(model, [first_of(asked.encodings[i], len(asked.encodings[i]) - len(asked.ids[i]) + 1)])
    (alone,) = read_own(Reader(model, prompt.encodings, at=prompt.at), [len(prompt.encodings[0])], budget)
    name = asked.encodings[i].name
    if _differing([alone[:1]], [own[i][:1]], [name], model) is not None:
        raise ValueError(
            f"{model.name} reads ahead: what it says behind {name} changes with the words that follow, so they have "
            "no probability as a continuation; explain one token (a target of one), or set config.is_decoder=True "
            "where the model has it"
        )
    model.in_order = True


def _differing(read: Sequence[Tensor], own: Sequence[Tensor], names: Sequence[str], model: TextModel) -> str | None:
    """What is wrong where outputs with points put in are not the model's own; None where nothing is.

    Two outputs count as equal when half of their digits agree: a difference of at most the square root of the number
    type's precision, as a share of the largest output or of 1.

    Args:
        read: N outputs with every token's own embedding put in.
        own: N outputs of the model itself.
        names: what messages call the texts.
        model: the model.

    Raises:
        ValueError: their numbers depend on what else is in a batch.
    """
    tolerance = torch.finfo(coarsest(model)).eps ** 0.5
    for name, ours, theirs in zip(names, read, own, strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(
                f"{model.name} gives {len(ours)} numbers for {name} among longer ones and {len(theirs)} for it "
                "alone, so they are no classes; say what it is for: udig_lab.TextModel(model, tokenizer, task=…)"
            )
        theirs = theirs.to(ours)
        real = theirs > torch.finfo(torch.bfloat16).min  # padding of spans is out of reach
        gap = (ours - theirs).abs().masked_fill(~real, 0)
        if bool(theirs.isfinite().all()) and not float(gap.max()) <= tolerance * max(
            1.0, float(theirs[real].abs().max())
        ):
            worst = int(gap.argmax())
            return (
                f"{name} is not explained: with its words put in at the embedding layer, {model.name} says "
                f"{float(ours.flatten()[worst]):.6g} where its own output is {float(theirs.flatten()[worst]):.6g}; it "
                "reads its input in another way as well (name the layer: udig_lab.TextModel(model, tokenizer, "
                "embedding=layer)), or it is random (explain it with check=False)"
            )
    return None


def coarsest(model: TextModel) -> torch.dtype:
    """The number type with the fewest digits among the model's weights."""
    kinds = {p.dtype for p in model.model.parameters() if p.is_floating_point()} or {torch.float32}
    return max(kinds, key=lambda kind: torch.finfo(kind).eps)
