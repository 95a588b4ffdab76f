"""A model with its tokenizer and its embedding table, and the promise to leave it as it was found."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from udig_lab.model.borrowing import Borrowed, lock_of
from udig_lab.model.chats import is_chat, rendered
from udig_lab.model.embedding import device_of, embedding_layer, table_of, unwrapped, version_of
from udig_lab.model.heads import TASKS, task_of
from udig_lab.model.ids import encode_ids, unpadded
from udig_lab.model.inputs import Encoding, encode
from udig_lab.model.segments import one_each
from udig_lab.model.vocabulary import Vocabulary


def left_as_found(model: nn.Module) -> Borrowed:
    """Evaluation mode and no parameter gradients inside; everything as it was outside, also after an error or Ctrl-C.

    One thread at a time has the model, and may enter again; models that share modules are used at once.
    """
    return Borrowed(model)


@dataclass
class TextModel:
    """A model, its tokenizer, and what they are for.

    Attributes:
        model: a Hugging Face model with a head for one of the tasks, or any torch module that maps token ids (n, L)
            through an embedding layer to logits (n, C). Wrappers such as ``torch.compile``'s are taken off.
        tokenizer: its tokenizer, or None when only token ids are explained.
        name: for tables and figures.
        task: one of ``heads.TASKS``; "" asks the model's class.
        embedding: the word embedding layer; None finds it.
        mixes: whether texts of different lengths may share a batch; found out where the model answers otherwise then.
        alone: whether it reads one text at a time, because its answers depend on what else is in the batch.
        looked_at: whether that was found out.
        in_order: whether it was seen that a language model does not read ahead.
    """

    model: nn.Module
    tokenizer: Any | None = None
    name: str = "model"
    task: str = ""
    embedding: nn.Module | None = None
    mixes: bool = True
    alone: bool = False
    looked_at: bool = field(default=False, repr=False)
    in_order: bool = field(default=False, repr=False)
    _table: tuple[Any, Tensor] | None = field(default=None, repr=False)
    _vocabulary: tuple[Any, Vocabulary] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise TypeError(
                f"model is a {type(self.model).__name__}; pass a torch module or what udig_lab.load returns"
            )
        self.model = unwrapped(self.model)
        self.task = self.task or task_of(self.model)
        if self.task not in TASKS:
            raise ValueError(f"unknown task {self.task!r}; choose one of {', '.join(TASKS)}")
        if self.embedding is None:
            self.embedding = embedding_layer(self.model)

    @property
    def layers(self) -> list[nn.Module]:
        """The embedding layer, and those that share its weights: a decoder beside its encoder."""
        weight = getattr(self.embedding, "weight", None)
        others = [m for m in self.model.modules() if isinstance(m, nn.Embedding) and m.weight is weight]
        assert self.embedding is not None
        return list(dict.fromkeys([self.embedding, *others]))

    @property
    def table(self) -> Tensor:
        """(V, D) what the embedding layer says for every id, in float32 or wider."""
        assert self.embedding is not None
        version = version_of(self.embedding)
        if self._table is None or self._table[0] != version:
            self._table = version, table_of(self.embedding, getattr(self.config, "vocab_size", None))
        return self._table[1]

    @property
    def vocabulary(self) -> Vocabulary:
        """The embedding table as a space, with the anchors found so far; made anew when the table has changed."""
        table = self.table
        version = self._table and self._table[0]
        if self._vocabulary is None or self._vocabulary[0] != version:
            tokens: list[str] | None = None
            special: tuple[int, ...] = ()
            added: tuple[int, ...] = ()
            if self.tokenizer is not None:
                names = {row: token for token, row in self.tokenizer.get_vocab().items()}
                tokens = [names.get(row, "") for row in range(len(table))]  # a table padded beyond the tokenizer
                special = tuple(self.tokenizer.all_special_ids)
                base = getattr(self.tokenizer, "vocab_size", None) or len(table)
                added = tuple(row for row in names if base <= row < len(table))
            self._vocabulary = version, Vocabulary(table, tokens, special, added)
        return self._vocabulary[1]

    @property
    def config(self) -> Any:
        """The model's configuration, or None."""
        return getattr(self.model, "config", None)

    @property
    def device(self) -> torch.device:
        """Where ids go in."""
        assert self.embedding is not None
        return device_of(self.embedding)

    def takes(self, name: str) -> bool:
        """Whether the model's forward pass has an argument of this name, such as "attention_mask"."""
        inner: Any = self.model
        if hasattr(inner, "get_base_model"):  # peft passes everything on
            inner = inner.get_base_model()
        parameters = inspect.signature(inner.forward).parameters
        open_ = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        return name in parameters or (open_ and "input_ids" not in parameters and hasattr(inner, "config"))

    @property
    def pad_id(self) -> int:
        """What stands behind shorter texts of a batch."""
        for owner in (self.config, self.tokenizer):
            row = getattr(owner, "pad_token_id", None)
            if isinstance(row, int) and row >= 0:
                return row
        return 0

    @property
    def limit(self) -> int | None:
        """The longest input in tokens, special tokens included; None when the configuration names none."""
        positions = getattr(self.config, "max_position_embeddings", None)
        if not isinstance(positions, int) or positions <= 0:
            return None
        # RoBERTa and its kin number positions from padding_idx + 1, so that the first rows of their table are never
        # used: such tables know their padding row.
        layers = [m for name, m in self.model.named_modules() if name.endswith("position_embeddings")]
        reserved = [m.padding_idx + 1 for m in layers if isinstance(m, nn.Embedding) and m.padding_idx is not None]
        return positions - max(reserved, default=0)

    def encode(
        self,
        texts: Any = None,
        *,
        input_ids: Any = None,
        special_ids: Sequence[int] | None = None,
        max_length: int | None = None,
        segments: Any = None,
    ) -> tuple[list[Encoding], bool]:
        """Tokenise what was given; True when it was a single text or sequence.

        Raises:
            ValueError, TypeError: as for ``explain``.
        """
        if (texts is None) == (input_ids is None):
            raise ValueError("pass either texts or input_ids=…, and not both")
        if isinstance(texts, Mapping) and "input_ids" in texts:
            texts, input_ids = None, texts
        limit = self.limit
        if max_length is not None and (type(max_length) is not int or max_length < 1):
            raise ValueError(f"max_length={max_length!r} leaves nothing of a text; pass 1 or more, or None")
        if input_ids is not None:
            if segments is not None:
                raise ValueError(
                    "segments=… are parts of a text, which token ids do not show; pass the prompt as text"
                )
            rows, types, single = unpadded(input_ids, self.pad_id if self.tokenizer is not None else None)
            encodings = encode_ids(rows, types, special_ids=special_ids, tokenizer=self.tokenizer, single=single)
            self.check_ids(encodings)
            return encodings, single
        if self.tokenizer is None:
            raise ValueError("texts need a tokenizer: pass tokenizer=…, or input_ids=… with special_ids=…")
        single = isinstance(texts, (str, tuple)) or is_chat(texts)
        listed = [texts] if single else _listed(texts)
        named = one_each(segments, len(listed))
        for number, text in enumerate(listed):
            if is_chat(text):
                listed[number], messages = rendered(text, self.tokenizer)
                named[number] = messages if named[number] is None else named[number]
        # A text that is longer than the model reads is cut only where that was asked for.
        cut = max_length is not None and (limit is None or max_length <= limit)
        with lock_of(self.tokenizer):  # it remembers how it last cut a text
            most = max_length if cut else limit
            return encode(listed, self.tokenizer, limit=most, truncate=cut, segments=named, single=single), single

    def check_ids(self, encodings: Sequence[Encoding]) -> None:
        """Whether the table has the rows that are asked for, and the model reads sequences as long.

        Raises:
            ValueError: it has not, or does not.
        """
        rows, limit = len(self.table), self.limit
        for encoding in encodings:
            low, high = int(encoding.input_ids.min()), int(encoding.input_ids.max())
            if low < 0 or high >= rows:
                raise ValueError(
                    f"token id {low if low < 0 else high} is outside the vocabulary of {rows} rows; pass ids of this "
                    "model's own tokenizer"
                )
            if limit is not None and len(encoding) > limit:
                raise ValueError(
                    f"{encoding.name} has {len(encoding)} ids but the model reads at most {limit}; pass fewer"
                )

    def class_name(self, index: int) -> str:
        """The label of a class, from the model's configuration; of a masked word, its token."""
        if self.task in ("masked", "causal", "seq2seq") and self.tokenizer is not None:
            return str(self.tokenizer.convert_ids_to_tokens(index))
        names = getattr(self.config, "id2label", None) or {}
        return str(names.get(index, index))


def as_text_model(model: Any, tokenizer: Any | None) -> TextModel:
    """Accept what ``load`` returns or a bare module with ``tokenizer=``.

    Raises:
        TypeError: neither, or a module without an embedding layer.
    """
    return model if isinstance(model, TextModel) else TextModel(model, tokenizer)


def _listed(texts: Any) -> list[Any]:
    """Several texts as a list.

    Raises:
        TypeError: a table or a dictionary, of which nobody said which column holds the texts.
        ValueError: there are none.
    """
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):
        columns = ", ".join(map(str, texts.keys()))
        raise TypeError(
            f"texts is a {type(texts).__name__} with {columns}; pass one column, such as list(data['text'])"
        )
    try:
        listed = list(texts)
    except TypeError:
        raise TypeError(f"texts is a {type(texts).__name__}; pass a text or a list of texts") from None
    if not listed:
        raise ValueError("the list of texts is empty; pass at least one text")
    return listed
