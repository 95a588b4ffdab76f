"""A model with its tokenizer and its embedding table, and the promise to leave it as it was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
)

from udig_lab.model.inputs import Encoding, encode, encode_ids
from udig_lab.model.vocabulary import Vocabulary

TASKS = ("classification", "span", "causal")
_DECODERS = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(MODEL_FOR_MASKED_LM_MAPPING_NAMES)


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
        model: a Hugging Face model with a head for classification, question answering or language modelling, or any
            torch module that maps token ids (n, L) through an embedding layer to logits (n, C).
        tokenizer: its tokenizer, or None when only token ids are explained.
        name: for tables and figures.
        task: "classification", "span" (question answering) or "causal" (next tokens); "" asks the model's class.
        embedding: the word embedding layer; None finds it.
    """

    model: nn.Module
    tokenizer: Any | None = None
    name: str = "model"
    task: str = ""
    embedding: nn.Module | None = None
    _vocabulary: Vocabulary | None = field(default=None, repr=False)
    _version: tuple[int, int] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise TypeError(
                f"model is a {type(self.model).__name__}; pass a torch module or what udig_lab.load returns"
            )
        self.task = self.task or _task_of(self.model)
        if self.task not in TASKS:
            raise ValueError(f"unknown task {self.task!r}; choose one of {', '.join(TASKS)}")
        if self.embedding is None:
            self.embedding = _embedding_of(self.model)

    @property
    def table(self) -> Tensor:
        """(V, D) word embedding rows."""
        assert self.embedding is not None
        weight = self.embedding.weight
        assert isinstance(weight, Tensor)
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
    def from_hub(self) -> bool:
        """Whether the model follows Hugging Face's conventions and takes ``inputs_embeds``."""
        return hasattr(self.model, "get_input_embeddings")

    @property
    def decoder(self) -> bool:
        """Whether the model reads from left to right only."""
        return getattr(getattr(self.model, "config", None), "model_type", None) in _DECODERS

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

    def encode(
        self,
        texts: Any = None,
        *,
        input_ids: Any = None,
        special_ids: Sequence[int] | None = None,
        max_length: int | None = None,
    ) -> tuple[list[Encoding], bool]:
        """Tokenise what was given; True when it was a single text or sequence."""
        if (texts is None) == (input_ids is None):
            raise ValueError("pass either texts or input_ids=…, and not both")
        if input_ids is not None:
            first = input_ids[0] if len(input_ids) else None
            single = isinstance(first, int) or (isinstance(first, Tensor) and first.ndim == 0)
            encodings = encode_ids(input_ids, special_ids=special_ids, tokenizer=self.tokenizer)
            for encoding in encodings:
                if int(encoding.input_ids.max()) >= len(self.table) or int(encoding.input_ids.min()) < 0:
                    raise ValueError(
                        f"token id {int(encoding.input_ids.max())} is outside the vocabulary of {len(self.table)} rows"
                    )
            return encodings, single
        if self.tokenizer is None:
            raise ValueError("texts need a tokenizer: pass tokenizer=…, or input_ids=… with special_ids=…")
        single = isinstance(texts, (str, tuple))
        listed = [texts] if single else list(texts)
        if not listed:
            raise ValueError("the list of texts is empty; pass at least one text")
        limit = max_length if max_length is not None else self.limit
        return encode(listed, self.tokenizer, limit=limit, truncate=max_length is not None), single

    def class_name(self, index: int) -> str:
        """The label of a class, from the model's configuration."""
        names = getattr(getattr(self.model, "config", None), "id2label", None) or {}
        return str(names.get(index, index))


def as_text_model(model: Any, tokenizer: Any | None) -> TextModel:
    """Accept what ``load`` returns or a bare module with ``tokenizer=``.

    Raises:
        TypeError: neither, or a module without an embedding layer.
    """
    return model if isinstance(model, TextModel) else TextModel(model, tokenizer)


def _task_of(model: nn.Module) -> str:
    name = type(model).__name__
    if name in MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES.values():
        return "span"
    if name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values():
        return "causal"
    return "classification"


def _embedding_of(model: Any) -> nn.Module:
    if hasattr(model, "get_input_embeddings"):
        layer = model.get_input_embeddings()
        if isinstance(getattr(layer, "weight", None), Tensor):
            return layer  # type: ignore[no-any-return]
    layers = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    if len(layers) != 1:
        raise TypeError(
            f"{type(model).__name__} has {len(layers) or 'no'} embedding layers, so it is not clear what to explain; "
            "name one: udig_lab.TextModel(model, tokenizer, embedding=layer)"
        )
    return layers[0]
