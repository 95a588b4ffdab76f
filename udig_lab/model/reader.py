"""How a model is read: word embeddings in, its output out, with positions, types and normalisation inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from udig_lab.model.batching import Budget, pad_embeddings
from udig_lab.model.inputs import Encoding
from udig_lab.model.textmodel import TextModel

PRECISIONS = ("float32", "bfloat16")


class Reader:
    """Word embeddings of given texts, or of points on their paths -> the model's output.

    The output is (n, C) class logits; (n, 2, L) start and end logits of a span model; (n, keep, V) next-token logits
    at the last ``keep`` tokens of a causal language model.

    Args:
        model: the model.
        encodings: the N texts whose embeddings will be read.
        embed_twice: reproduce the published code, which applies the embedding block before handing the result to a
            model that applies it again (see ``_published_block`` for which models, and with what positions).
        keep: causal models only, at how many last tokens the output is wanted.
        precision: "bfloat16" multiplies matrices in bfloat16 (autocast) where a gradient is taken; what is only read
            forward is always read as the model is.

    Raises:
        ValueError: an unknown precision, or a decoder that cannot read batches.
    """

    def __init__(
        self,
        model: TextModel,
        encodings: Sequence[Encoding],
        *,
        embed_twice: bool = False,
        keep: int = 1,
        precision: str = "float32",
    ):
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
        config = getattr(model.model, "config", None)
        if model.decoder and model.task == "classification" and getattr(config, "pad_token_id", None) is None:
            raise ValueError(
                f"{type(model.model).__name__} has no padding token, so it reads no batches; "
                "set model.config.pad_token_id"
            )
        self.text_model = model
        self.block = _published_block(model.model) if embed_twice else None
        self.keep = keep
        self.precision = precision
        device = model.table.device
        self._ids = nn.utils.rnn.pad_sequence([e.input_ids for e in encodings], batch_first=True).to(device)
        types = [e.token_types for e in encodings if e.token_types is not None]
        self._types: Tensor | None = None  # (N, L), where there are two kinds of tokens
        if len(types) == len(encodings) and any(bool(t.any()) for t in types):
            self._types = nn.utils.rnn.pad_sequence(types, batch_first=True).to(device)

    @property
    def pads(self) -> bool:
        """Whether sequences of different lengths may share a batch: a plain module has no attention mask."""
        return self.text_model.from_hub

    def __call__(self, embeddings: Tensor, mask: Tensor, owners: Tensor) -> Tensor:
        """Output for embeddings (n, L, D) under an attention mask (n, L); row r belongs to text ``owners[r]``.

        Raises:
            TypeError: the model does not give the output its task needs.
        """
        if self.block is not None:
            embeddings = self.block(embeddings, self._types_of(embeddings, owners))
        with self._arithmetic(embeddings):
            output = self._output(embeddings, mask, owners)
        return output if output.dtype == embeddings.dtype else output.to(embeddings.dtype)

    def _output(self, embeddings: Tensor, mask: Tensor, owners: Tensor) -> Tensor:
        model: Any = self.text_model.model
        if not self.text_model.from_hub:
            with _replaced_output(self.text_model.embedding, embeddings):
                return _two_dimensional(model(self._ids[owners, : embeddings.shape[1]]), model)
        # Without padding there is nothing to mask, and every attention layer saves the work.
        padding = mask if bool((mask == 0).any()) else None
        inputs: dict[str, Any] = {"inputs_embeds": embeddings, "attention_mask": padding}
        if self.text_model.decoder:
            # The last token is the one that speaks, so all last tokens must stand in the last column.
            inputs = _padded_left(embeddings, mask)
            if self.text_model.task == "causal":
                inputs["logits_to_keep"] = self.keep
        elif self.block is None and self._types is not None:  # published code tells the types to its own pass only
            inputs["token_type_ids"] = self._types_of(embeddings, owners)
        output = model(**inputs)
        if self.text_model.task == "span":
            start, end = getattr(output, "start_logits", None), getattr(output, "end_logits", None)
            if start is None or end is None:
                raise TypeError(
                    f"{type(model).__name__} gives no start and end logits; load it with AutoModelForQuestionAnswering"
                )
            nowhere = torch.finfo(start.dtype).min  # no answer begins in the padding
            return torch.stack([start, end], dim=1).masked_fill(mask[:, None] == 0, nowhere)
        logits = getattr(output, "logits", None)
        if self.text_model.task == "causal" and isinstance(logits, Tensor) and logits.ndim == 3:
            return logits[:, -self.keep :]
        return _two_dimensional(logits, model)

    def _types_of(self, embeddings: Tensor, owners: Tensor) -> Tensor | None:
        """(n, L) kinds of tokens, for models with two."""
        return None if self._types is None else self._types[owners, : embeddings.shape[1]]

    @contextmanager
    def _arithmetic(self, embeddings: Tensor) -> Iterator[None]:
        with ExitStack() as stack:
            if self.precision == "bfloat16" and embeddings.requires_grad:
                stack.enter_context(torch.autocast(embeddings.device.type, torch.bfloat16))
                if embeddings.device.type == "cpu":
                    # The fused attention's backward pass in bfloat16 takes longer than all the rest together.
                    stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            yield


def read(
    reader: Reader, embed: Callable[[int], Tensor], owners: Sequence[int], lengths: Sequence[int], budget: Budget
) -> list[Tensor]:
    """Outputs of many sequences, without gradients, batched by length.

    Args:
        reader: the model.
        embed: gives the embeddings (L_r, D) of sequence r, when its batch is due.
        owners: the text each sequence was made from.
        lengths: its number of tokens.
        budget: bounds a pass.

    Returns:
        one output a sequence; a span's is cut to the sequence's length.
    """
    batches: list[list[int]] = [[]]
    for r in sorted(range(len(lengths)), key=lambda r: lengths[r]):  # ascending: the newest is the longest
        full = len(batches[-1]) >= budget.fits(lengths[r])
        padding = sum(lengths[r] - lengths[q] for q in batches[-1])
        if batches[-1] and (full or padding > (budget.pass_cost if reader.pads else 0)):
            batches.append([])
        batches[-1].append(r)
    found: list[Tensor] = [torch.empty(0)] * len(lengths)
    with torch.no_grad():
        for batch in batches:
            embeddings, mask = pad_embeddings([embed(r) for r in batch])
            texts = torch.tensor([owners[r] for r in batch], device=embeddings.device)

            def work(rows: slice, e: Tensor = embeddings, m: Tensor = mask, t: Tensor = texts) -> Tensor:
                return reader(e[rows], m[rows], t[rows])

            for r, row in zip(batch, budget.run(work, len(batch)), strict=True):
                found[r] = row[:, : lengths[r]] if reader.text_model.task == "span" else row
    return found


def _two_dimensional(output: Any, model: nn.Module) -> Tensor:
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise TypeError(
            f"{type(model).__name__} is not a sequence classifier: "
            "its output needs logits of shape (texts, classes); load it with AutoModelForSequenceClassification"
        )
    return logits


def _padded_left(embeddings: Tensor, mask: Tensor) -> dict[str, Any]:
    """Move the padding of right-padded sequences to their left, and number the positions from the first token."""
    lengths = mask.sum(1)
    width = mask.shape[1]
    if bool((lengths < width).any()):
        index = (torch.arange(width, device=mask.device) - (width - lengths)[:, None]) % width  # (n, L)
        embeddings = embeddings.gather(1, index[..., None].expand_as(embeddings))
        mask = mask.gather(1, index)
    return {
        "inputs_embeds": embeddings,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        "use_cache": False,
    }


@contextmanager
def _replaced_output(layer: nn.Module | None, embeddings: Tensor) -> Iterator[None]:
    """Let an embedding layer say ``embeddings`` whatever ids it is given."""
    assert layer is not None
    handle = layer.register_forward_hook(lambda *_: embeddings)
    try:
        yield
    finally:
        handle.remove()


def _published_block(model: nn.Module) -> Callable[[Tensor, Tensor | None], Tensor] | None:
    """The first of the two times that the published code applies the embedding block; None where it was the only one.

    That is DistilBERT: the codes of DIG and UDIG pin versions of transformers (4.5, 4.26) that left its
    ``inputs_embeds`` as they were; SIG's pins none, so of its runs this is not known. Positions are counted from 0,
    for RoBERTa too, whose own first one is 2; and the second kind of tokens begins with the [SEP] before the context.
    """
    block: Any = getattr(getattr(model, "base_model", None), "embeddings", None)
    if not isinstance(block, nn.Module):
        raise TypeError(f'{type(model).__name__} has no embedding block to apply twice; use protocol="corrected"')
    kind = getattr(getattr(model, "config", None), "model_type", "")
    if kind == "distilbert":
        return None

    def apply(embeddings: Tensor, types: Tensor | None) -> Tensor:
        more: dict[str, Tensor] = {}
        if kind == "roberta":
            more["position_ids"] = torch.arange(embeddings.shape[1], device=embeddings.device)[None]
        if types is not None:
            more["token_type_ids"] = torch.maximum(types, nn.functional.pad(types[:, 1:], (0, 1)))
        found: Tensor = block(inputs_embeds=embeddings, **more)
        return found

    return apply
