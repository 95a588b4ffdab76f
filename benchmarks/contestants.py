"""What is timed: udig-lab, the peers on the same texts and baseline, and the bare model on the same points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from udig_lab.model.baseline import as_baseline
from udig_lab.model.inputs import Encoding, encode
from udig_lab.model.textmodel import TextModel, left_as_found


class Texts:
    """Sentences as word embeddings, and their baselines, for peers that take tensors."""

    def __init__(self, model: TextModel, texts: Sequence[str]):
        self.model, self.texts = model, list(texts)
        self.encodings: list[Encoding] = encode(self.texts, model.tokenizer, limit=model.limit, truncate=False)
        baseline = as_baseline("mask", model)
        self.explicands = [model.table[e.input_ids][None] for e in self.encodings]  # (1, L, D) each
        self.baselines = [baseline.embeddings(e, model.table)[None] for e in self.encodings]
        with torch.no_grad():
            self.targets = [int(self.logits(x).argmax()) for x in self.explicands]

    def logits(self, embeddings: Tensor) -> Tensor:
        """Logits (n, C) of embeddings (n, L, D)."""
        output: Tensor = self.model.model(inputs_embeds=embeddings).logits
        return output


def bare(texts: Texts, points: Sequence[int], precision: str, budget: int) -> Callable[[], None]:
    """Forward and backward of the model alone over so many points of each text, batched by length."""
    model = texts.model.model
    lengths = sorted((len(e) for e, n in zip(texts.encodings, points, strict=True) for _ in range(n)), reverse=True)
    batches = []
    while lengths:
        rows = max(1, budget // lengths[0])
        batch, lengths = lengths[:rows], lengths[rows:]
        mask = (torch.arange(batch[0]) < torch.tensor(batch)[:, None]).long()
        batches.append((torch.randn(len(batch), batch[0], texts.model.table.shape[1]) * 0.05, mask))

    def work() -> None:
        with left_as_found(model), ExitStack() as stack:
            if precision == "bfloat16":
                stack.enter_context(torch.autocast("cpu", torch.bfloat16))
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            for embeddings, mask in batches:
                leaf = embeddings.requires_grad_(True)
                padding = None if bool(mask.all()) else mask
                logits = model(inputs_embeds=leaf, attention_mask=padding).logits
                torch.autograd.grad(logits[:, 0].sum(), leaf)

    return work


def captum_ig(texts: Texts, n_steps: int) -> Callable[[], list[Tensor]]:
    """Captum's Integrated Gradients, one text after another as its users do, with prediction and Delta as ours."""
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(texts.logits)

    def work() -> list[Tensor]:
        texts.model.model.eval()
        found = []
        for x, b in zip(texts.explicands, texts.baselines, strict=True):
            with torch.no_grad():
                target = int(texts.logits(x).argmax())
            scores, _ = method.attribute(x, b, target=target, n_steps=n_steps, return_convergence_delta=True)
            found.append(scores)
        return found

    return work


def tint_sig(texts: Texts, n_steps: int) -> Callable[[], list[Tensor]]:
    """time-interpret's Sequential Integrated Gradients."""
    from tint.attr import SequentialIntegratedGradients

    method = SequentialIntegratedGradients(texts.logits)

    def work() -> list[Tensor]:
        return [
            method.attribute(x, b, target=y, n_steps=n_steps)
            for x, b, y in zip(texts.explicands, texts.baselines, texts.targets, strict=True)
        ]

    return work


def tint_neighbours(texts: Texts, n_neighbors: int) -> Callable[[], Any]:
    """The neighbour graph of the whole vocabulary, as time-interpret's experiments build it before anything else."""
    from sklearn.neighbors import kneighbors_graph

    rows = texts.model.table.numpy()
    return lambda: (texts.model.tokenizer.get_vocab(), rows, kneighbors_graph(rows, n_neighbors, mode="distance"))  # type: ignore[union-attr]


def tint_dig(texts: Texts, graph: Any, n_steps: int, strategy: str) -> Callable[[], list[Tensor]]:
    """time-interpret's path search and Discretized Integrated Gradients."""
    from tint.attr import DiscretetizedIntegratedGradients
    from tint.attr.models import scale_inputs

    method = DiscretetizedIntegratedGradients(texts.logits)
    mask_id: int = texts.model.tokenizer.mask_token_id  # type: ignore[union-attr]

    def work() -> list[Tensor]:
        found = []
        for encoding, y in zip(texts.encodings, texts.targets, strict=True):
            ends = torch.where(encoding.special, encoding.input_ids, mask_id)
            path = scale_inputs(
                encoding.input_ids.tolist(), ends.tolist(), "cpu", graph, steps=n_steps, factor=0, strategy=strategy
            )
            found.append(method.attribute(path, target=y, n_steps=n_steps + 2))
        return found

    return work


def interpreto_ig(texts: Texts, n_steps: int) -> Callable[[], Any]:
    """Interpreto's IntegratedGradients (another quantity than IG: see the page)."""
    from interpreto import Granularity, IntegratedGradients

    method = IntegratedGradients(
        texts.model.model, texts.model.tokenizer, granularity=Granularity.TOKEN, n_perturbations=n_steps, batch_size=64
    )
    return lambda: method(texts.texts)
