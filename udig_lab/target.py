"""A model as a scalar function F of its word embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from udig_lab.vocabulary import Vocabulary


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter gradients inside; everything as it was outside, also after an error."""
    modes = [(module, module.training) for module in model.modules()]
    needs = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval().requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, needed in needs:
            parameter.requires_grad_(needed)


@dataclass
class TextModel:
    """A model, its tokenizer, and what they are for.

    Attributes:
        model: a Hugging Face sequence classifier (or a span model, for ``task="span"``).
        tokenizer: its tokenizer, or None when only token ids are explained.
        name: for tables and figures.
        task: "classification" or "span".
    """

    model: nn.Module
    tokenizer: Any | None = None
    name: str = "model"
    task: str = "classification"
    _vocabulary: Vocabulary | None = field(default=None, repr=False)
    _version: tuple[int, int] | None = field(default=None, repr=False)

    @property
    def table(self) -> Tensor:
        """(V, D) word embedding rows."""
        model: Any = self.model
        weight = (
            getattr(model.get_input_embeddings(), "weight", None) if hasattr(model, "get_input_embeddings") else None
        )
        if not isinstance(weight, Tensor):
            raise TypeError(
                f"{type(self.model).__name__} has no input embedding layer to explain; pass a Hugging Face model"
            )
        return weight.detach()

    @property
    def vocabulary(self) -> Vocabulary:
        """The embedding table as a space, with the anchors found so far; made anew when the table has changed."""
        table = self.table
        version = (table.data_ptr(), table._version)
        if self._vocabulary is None or self._version != version:
            tokens, special = None, ()
            if self.tokenizer is not None:
                tokens = self.tokenizer.convert_ids_to_tokens(list(range(len(table))))
                tokens = ["" if t is None else t for t in tokens]  # a table padded beyond the tokenizer
                special = tuple(self.tokenizer.all_special_ids)
            self._vocabulary, self._version = Vocabulary(table, tokens, special), version
        return self._vocabulary

    @property
    def limit(self) -> int | None:
        """The longest input in tokens, special tokens included; None when the configuration names none."""
        config: Any = getattr(self.model, "config", None)
        positions = getattr(config, "max_position_embeddings", None)
        # RoBERTa numbers positions from padding_idx + 1, so that many rows of its table are never used.
        if positions is not None and getattr(config, "model_type", "") in (
            "roberta",
            "xlm-roberta",
            "camembert",
        ):
            positions -= config.pad_token_id + 1
        return positions

    def class_name(self, index: int) -> str:
        """The label of a class, from the model's configuration."""
        names = getattr(getattr(self.model, "config", None), "id2label", None) or {}
        return str(names.get(index, index))


def as_text_model(model: Any, tokenizer: Any | None) -> TextModel:
    """Accept what ``load`` returns or a bare module with ``tokenizer=``.

    Raises:
        TypeError: neither, or a model whose head is not a classifier.
    """
    wrapped = model if isinstance(model, TextModel) else TextModel(model, tokenizer)
    if not isinstance(wrapped.model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; pass a torch module or what udig_lab.load returns")
    if wrapped.task != "classification":
        raise TypeError(f"{wrapped.name} is a {wrapped.task} model; explain needs a sequence classifier")
    return wrapped


class Classifier:
    """Word embeddings (n, L, D) -> class logits (n, C), with positions, types and LayerNorm inside.

    Args:
        model: a Hugging Face sequence classifier.
        embed_twice: reproduce the published code, which applies the embedding block before handing the result to a
            model that applies it again.
    """

    def __init__(self, model: nn.Module, *, embed_twice: bool = False):
        self.model = model
        self.block = _embedding_block(model) if embed_twice else None

    def __call__(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """Logits (n, C) of embeddings (n, L, D) under an attention mask (n, L).

        Raises:
            TypeError: the model does not give one row of logits per text.
        """
        if self.block is not None:
            embeddings = self.block(inputs_embeds=embeddings)
        logits = getattr(self.model(inputs_embeds=embeddings, attention_mask=mask), "logits", None)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise TypeError(
                f"{type(self.model).__name__} is not a sequence classifier: "
                "its output needs logits of shape (texts, classes); load it with AutoModelForSequenceClassification"
            )
        return logits


def _embedding_block(model: nn.Module) -> nn.Module:
    block = getattr(getattr(model, "base_model", None), "embeddings", None)
    if not isinstance(block, nn.Module):
        raise TypeError(f'{type(model).__name__} has no embedding block to apply twice; use protocol="corrected"')
    return block


def pad_embeddings(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack sequences (L_i, D) into (n, L, D), zeros behind the end, with their attention mask (n, L)."""
    lengths = torch.tensor([len(r) for r in rows], device=rows[0].device)
    mask = torch.arange(int(lengths.max()), device=rows[0].device) < lengths[:, None]
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True), mask.long()


def logits_of(
    classifier: Classifier, lengths: Sequence[int], embed: Callable[[int], Tensor], token_budget: int
) -> Tensor:
    """Logits (N, C) of N sequences without gradients, batched by length under a token budget.

    Args:
        classifier: the model.
        lengths: tokens of every sequence.
        embed: gives the embeddings (L_i, D) of sequence i, when its batch is due.
        token_budget: sequences x tokens per pass.
    """
    batches: list[list[int]] = [[]]
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):  # ascending: the newest is the longest
        if batches[-1] and lengths[i] * (len(batches[-1]) + 1) > token_budget:
            batches.append([])
        batches[-1].append(i)
    found: list[Tensor] = [torch.empty(0)] * len(lengths)
    with torch.no_grad():
        for batch in batches:
            embeddings, mask = pad_embeddings([embed(i) for i in batch])
            for i, row in zip(batch, classifier(embeddings, mask), strict=True):
                found[i] = row
    return torch.stack(found)
