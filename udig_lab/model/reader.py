"""How a model is read: points in at the embedding layer, its output out, with everything else as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from udig_lab.model.batching import Budget, mask_of, pad_embeddings
from udig_lab.model.embedding import points_at, widened
from udig_lab.model.heads import AT_A_POSITION, reads_forward
from udig_lab.model.inputs import Encoding
from udig_lab.model.precision import settled
from udig_lab.model.textmodel import TextModel

_ARGUMENTS = ("input_ids", "attention_mask", "token_type_ids", "use_cache", "logits_to_keep")
_KERNEL = threading.RLock()


class Reader:
    """Points on the paths of given texts -> the model's output.

    The model gets the texts' own ids and mask, and a hook on its embedding layer puts the points in the place of the
    ids' rows. So all that it does with ids besides stays what it is. Padding stands on the right.

    The output is (n, C) logits of a classifier, of a choice, or at one position; (n, 2, L) start and end logits of a
    span model; (n, c, V) logits of the c tokens that continue a text. It is in float32 or wider.

    Args:
        model: the model.
        encodings: the N texts on whose paths points will be read.
        at: (N, c) positions at which an output with a row for every token is wanted; None for other outputs.
        answers: (N, c) ids that the decoder of an encoder-decoder reads; None for other models.
        embed_twice: reproduce the published code, which applies the embedding block before handing the result to a
            model that applies it again (see ``_published_block`` for which models, and with what positions).
        precision: "bfloat16" multiplies matrices in bfloat16 (autocast) where a gradient is taken; what is only read
            forward is always read as the model is. "auto" takes the faster one here.

    Raises:
        ValueError: an unknown precision, or a decoder that cannot read batches.
    """

    def __init__(
        self,
        model: TextModel,
        encodings: Sequence[Encoding],
        *,
        at: Tensor | None = None,
        answers: Tensor | None = None,
        embed_twice: bool = False,
        precision: str = "float32",
    ):
        alone = reads_forward(model.model) and model.task == "classification"
        if alone and getattr(model.config, "pad_token_id", None) is None:
            raise ValueError(
                f"{type(model.model).__name__} has no padding token, so it reads no batches; "
                "set model.config.pad_token_id"
            )
        self.text_model = model
        self.block = _published_block(model.model) if embed_twice else None
        self.at, self.answers = at, answers
        self.precision = settled(precision, model.table.device)
        self._takes = {name: model.takes(name) for name in _ARGUMENTS}
        pad = nn.utils.rnn.pad_sequence
        self._ids = pad([e.input_ids for e in encodings], batch_first=True, padding_value=model.pad_id)  # (N, L)
        self._ids = self._ids.to(model.device)
        types = [e.token_types for e in encodings if e.token_types is not None]
        self._types: Tensor | None = None  # (N, L), where there are two kinds of tokens
        if len(types) == len(encodings) and any(bool(t.any()) for t in types) and self._takes["token_type_ids"]:
            self._types = pad(types, batch_first=True).to(model.device)

    @property
    def pads(self) -> bool:
        """Whether texts of different lengths share a batch: a model without a mask reads one length at a time."""
        return self._takes["attention_mask"] and self.text_model.mixes

    def __call__(self, points: Tensor, mask: Tensor, owners: Tensor, past: Any = None) -> Tensor:
        """Output for points (n, L, D) under an attention mask (n, L); row r belongs to text ``owners[r]``.

        What a language model kept of the first points may be passed as ``past``; see ``prefix``.

        Raises:
            TypeError: the model does not give the output its task needs.
        """
        width = points.shape[1]
        if self.block is not None:
            points = self.block(points, self._types_of(owners, width))
        begin = 0 if past is None else int(past.get_seq_length())
        ids, once = self._ids[owners, begin:width], self.answers is not None
        with self._arithmetic(points), points_at(self.text_model.layers, ids, points[:, begin:], once=once):
            return self._output(mask, owners, begin, past).to(points)

    def own(self, lengths: Sequence[int], owners: Tensor) -> Tensor:
        """Output for some of the texts as they are: no hook, nothing in the place of the ids' rows."""
        mask = mask_of(torch.tensor(lengths, device=self._ids.device))
        return widened(self._output(mask, owners.to(self._ids.device)))

    def _output(self, mask: Tensor, owners: Tensor, begin: int = 0, past: Any = None) -> Tensor:
        model: Any = self.text_model.model
        width = mask.shape[1]
        ids = self._ids[owners, begin:width]  # (n, L), or what of it is not in the past
        inputs: dict[str, Any] = {}
        if self._takes["attention_mask"]:
            inputs["attention_mask"] = mask
        if self._types is not None and self.block is None:  # published code tells the types to its own pass only
            inputs["token_type_ids"] = self._types[owners, begin:width]
        if self._takes["use_cache"]:
            inputs["use_cache"] = past is not None
        if past is not None:
            inputs["past_key_values"] = past
        if self.answers is not None:
            inputs["decoder_input_ids"] = self.answers[owners]
        if self.text_model.task == "choice":  # a text is one of the choices; the model wants them side by side
            ids, inputs = ids[:, None], {k: v[:, None] if isinstance(v, Tensor) else v for k, v in inputs.items()}
        first = 0  # position of the first logits, where only the last ones are asked for
        if self.text_model.task == "causal" and self.at is not None and self._takes["logits_to_keep"]:
            first = int(self.at[owners].min())
            inputs["logits_to_keep"] = width - first
        output = model(input_ids=ids, **inputs) if self._takes["input_ids"] else model(ids)
        if self.text_model.task == "span":
            return _start_and_end(output, mask, model)
        logits = output if isinstance(output, Tensor) else _part(output, "logits", 0, model)
        if self.at is not None:
            return self._at_positions(logits, owners, first, width)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise TypeError(
                f"{type(model).__name__} is not a sequence classifier: its output needs logits of shape (texts, "
                "classes); load it with AutoModelForSequenceClassification, or say what it is for: "
                "udig_lab.TextModel(model, tokenizer, task=…)"
            )
        return logits

    def _at_positions(self, logits: Any, owners: Tensor, first: int, width: int) -> Tensor:
        """Logits (n, c, V) at the wanted positions; (n, V) where that is one position of the text itself."""
        assert self.at is not None
        if not isinstance(logits, Tensor) or logits.ndim != 3:
            raise TypeError(
                f"{type(self.text_model.model).__name__} gives no logits of shape (texts, tokens, classes), as a "
                f"{self.text_model.task} model does"
            )
        if self.text_model.task == "causal" and logits.shape[1] != width - first:  # not all that give fewer say so
            first = width - logits.shape[1]
        places = (self.at[owners] - first).clamp(0, logits.shape[1] - 1).to(logits.device)  # (n, c)
        rows = torch.arange(len(places), device=logits.device)[:, None]
        chosen = logits[rows, places]  # (n, c, V)
        return chosen[:, 0] if self.text_model.task in AT_A_POSITION else chosen

    def _types_of(self, owners: Tensor, width: int) -> Tensor | None:
        """(n, L) kinds of tokens, for models with two."""
        return None if self._types is None else self._types[owners, :width]

    @contextmanager
    def _arithmetic(self, points: Tensor) -> Iterator[None]:
        with ExitStack() as stack:
            if self.precision == "bfloat16" and points.requires_grad:
                stack.enter_context(torch.autocast(points.device.type, torch.bfloat16))
                if points.device.type == "cpu":
                    # The fused attention's backward pass in bfloat16 takes longer than all the rest together. The
                    # choice is one for all threads.
                    stack.enter_context(_KERNEL)
                    stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            yield


def read(
    reader: Reader,
    embed: Callable[[int], Tensor],
    owners: Sequence[int],
    lengths: Sequence[int],
    budget: Budget,
    keep: Callable[[Tensor, int], Tensor] | None = None,
) -> list[Tensor]:
    """Outputs of many sequences, without gradients, batched by length.

    Args:
        reader: the model.
        embed: gives the embeddings (L_r, D) of sequence r, when its batch is due.
        owners: the text each sequence was made from.
        lengths: its number of tokens.
        budget: bounds a pass.
        keep: makes of the output of sequence r what is kept of it: logits of a large vocabulary for thousands of
            sequences would fill the memory. None keeps the output.

    Returns:
        one output a sequence; a span's is cut to the sequence's length.
    """

    def outputs(batch: Sequence[int]) -> Tensor:
        embeddings, mask = pad_embeddings([embed(r) for r in batch])
        texts = torch.tensor([owners[r] for r in batch], device=embeddings.device)
        return budget.run(lambda rows: reader(embeddings[rows], mask[rows], texts[rows]), len(batch))

    return in_batches(outputs, lengths, budget, budget.pass_cost if reader.pads else 0, reader, keep)


def read_own(
    reader: Reader, lengths: Sequence[int], budget: Budget, texts: Sequence[int] | None = None
) -> list[Tensor]:
    """The model's own outputs for the reader's texts, or some of them, each in a batch of texts of its length."""
    chosen = range(len(lengths)) if texts is None else texts

    def outputs(batch: Sequence[int]) -> Tensor:
        owners = torch.tensor([chosen[r] for r in batch])
        return budget.run(lambda rows: reader.own([lengths[r] for r in batch[rows]], owners[rows]), len(batch))

    return in_batches(outputs, lengths, budget, 0, reader)


def in_batches(
    outputs: Callable[[Sequence[int]], Tensor],
    lengths: Sequence[int],
    budget: Budget,
    padding: int,
    reader: Reader,
    keep: Callable[[Tensor, int], Tensor] | None = None,
    least: int = 0,
) -> list[Tensor]:
    """Outputs of sequences, or what is kept of them, in batches with at most so many tokens of padding.

    No more of them share a pass than of sequences of ``least`` tokens.
    """
    batches: list[list[int]] = [[]]
    for r in sorted(range(len(lengths)), key=lambda r: lengths[r]):  # ascending: the newest is the longest
        full = len(batches[-1]) >= budget.fits(max(lengths[r], least))
        if batches[-1] and (full or sum(lengths[r] - lengths[q] for q in batches[-1]) > padding):
            batches.append([])
        batches[-1].append(r)
    results: list[Tensor] = [torch.empty(0)] * len(lengths)
    with torch.no_grad():
        for batch in batches:
            for r, row in zip(batch, outputs(batch), strict=True):
                own = row[:, : lengths[r]] if reader.text_model.task == "span" else row
                results[r] = own if keep is None else keep(own, r)
    return results


def _part(output: Any, name: str, place: int, model: nn.Module) -> Any:
    """One of a model's outputs by its name; of a tuple, as transformers gives it where it is told to, by its place."""
    if isinstance(output, tuple) and hasattr(model, "config"):
        return output[place] if place < len(output) else None
    return output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)


def _start_and_end(output: Any, mask: Tensor, model: nn.Module) -> Tensor:
    """(n, 2, L) logits, out of reach in the padding."""
    start, end = _part(output, "start_logits", 0, model), _part(output, "end_logits", 1, model)
    if start is None or end is None or start.shape != mask.shape:
        raise TypeError(
            f"{type(model).__name__} gives no start and end logits for every token; load it with "
            "AutoModelForQuestionAnswering"
        )
    nowhere = torch.finfo(start.dtype).min  # no answer begins in the padding
    return torch.stack([start, end], dim=1).masked_fill(mask[:, None] == 0, nowhere)


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
        embedded: Tensor = block(inputs_embeds=embeddings, **more)
        return embedded

    return apply
