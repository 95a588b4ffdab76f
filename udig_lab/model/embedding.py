"""The embedding layer, where points go in: what it says for ids, and how a path speaks in its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 4096  # ids that are looked up at once to fill a table


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside ``torch.compile``, ``DataParallel`` and their like: hooks and gradients need the real one."""
    inner = getattr(model, "_orig_mod", None)
    if inner is None and isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        inner = model.module
    return model if inner is None else unwrapped(inner)


def embedding_layer(model: Any) -> nn.Module:
    """The layer that turns token ids into word embeddings.

    Raises:
        TypeError: there is none, or several and nothing says which.
    """
    if hasattr(model, "get_input_embeddings"):
        try:
            layer = model.get_input_embeddings()
        except (NotImplementedError, AttributeError):  # transformers raises either where it finds none
            layer = None
        if isinstance(layer, nn.Module):
            return layer
    layers = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    if len(layers) != 1:
        raise TypeError(
            f"{type(model).__name__} has {len(layers) or 'no'} embedding layers, so it is not clear what to explain; "
            "name one: udig_lab.TextModel(model, tokenizer, embedding=layer)"
        )
    return layers[0]


def table_of(layer: nn.Module, size: int | None) -> Tensor:
    """(V, D) what the layer says for every id, in float32 or wider: the weights themselves where it only looks up.

    Args:
        layer: the embedding layer.
        size: V, for layers that do not say it.

    Raises:
        TypeError: nobody knows how many ids there are, or the layer does not turn ids into vectors.
    """
    weight = getattr(layer, "weight", None)
    if type(layer) is nn.Embedding and layer.max_norm is None and not layer._forward_hooks:
        return widened(layer.weight.detach())
    rows = getattr(layer, "num_embeddings", None) or (len(weight) if isinstance(weight, Tensor) else size)
    if rows is None:
        raise TypeError(f"{type(layer).__name__} does not say how many ids it knows; give it num_embeddings")
    device = device_of(layer)
    not_words = (
        f"{type(layer).__name__} does not turn any ids (n, L) into vectors (n, L, D); name the layer of the words "
        "alone: udig_lab.TextModel(model, tokenizer, embedding=layer)"
    )
    try:
        with torch.no_grad():
            parts = [
                layer(torch.arange(a, min(rows, a + _ROWS), device=device)[None])[0] for a in range(0, rows, _ROWS)
            ]
    except (RuntimeError, IndexError, TypeError) as error:  # positions run out in a block that adds them
        raise TypeError(not_words) from error
    if not all(isinstance(part, Tensor) and part.ndim == 2 for part in parts):
        raise TypeError(not_words)
    return widened(torch.cat(parts))


def version_of(layer: nn.Module) -> tuple[tuple[int, int], ...]:
    """Changes when a weight of the layer does, or is another tensor."""
    tensors = (*layer.parameters(), *layer.buffers())
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)


def device_of(layer: nn.Module) -> torch.device:
    """Where the layer expects its ids."""
    tensor = next((t for t in (*layer.parameters(), *layer.buffers())), None)
    return torch.device("cpu") if tensor is None else tensor.device


def widened(values: Tensor) -> Tensor:
    """Half precision as float32: sums and distances lose too much in fewer digits."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


@contextmanager
def points_at(layers: Sequence[nn.Module], ids: Tensor, points: Tensor, *, once: bool = False) -> Iterator[None]:
    """Let embedding layers answer with given points wherever they are asked for given ids.

    Every other answer is theirs: a decoder that reads other ids than its encoder keeps its own words, and what another
    thread asks the same model is none of ours.

    Args:
        layers: those that the model may ask.
        ids: (n, L) what the model is given.
        points: (n, L, D) what stands in the place of these ids' rows.
        once: at the first question only: the next is a decoder's for an answer, even if that repeats the text.

    Raises:
        ValueError: nobody was asked, so that the points went nowhere.
    """
    placed, thread = 0, threading.get_ident()

    def replace(layer: nn.Module, arguments: tuple[Any, ...], *others: Any) -> Any:
        nonlocal placed
        *named, answer = others  # torch leaves the keywords out where another thread comes while the hook is taken off
        if threading.get_ident() != thread:
            return answer
        asked = arguments[0] if arguments else next(iter(named[0].values()), None)
        if (once and placed) or not isinstance(asked, Tensor) or not isinstance(answer, Tensor):
            return answer
        changed = _placed(asked, answer, ids, points)
        placed += changed is not None
        return answer if changed is None else changed

    handles = [layer.register_forward_hook(replace, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if not placed:
        raise ValueError(
            f"the embedding layer ({', '.join(type(layer).__name__ for layer in layers)}) is not asked for the text's "
            "ids when the model reads them, so nothing that goes in there is explained; name the layer that is: "
            "udig_lab.TextModel(model, tokenizer, embedding=layer)"
        )


def _placed(asked: Tensor, answer: Tensor, ids: Tensor, points: Tensor) -> Tensor | None:
    """The answer (…, D) to ``asked`` with the points in place; None where it was asked for something else."""
    n, length = ids.shape
    points = points.to(answer)
    if asked.ndim == 2 and asked.shape[0] == n:
        extra = asked.shape[1] - length
        if extra >= 0 and _same(asked[:, :length], ids):  # as they are, or filled up behind (Longformer)
            # A copy: some models (CTRL) change it in place.
            return points.clone() if not extra else torch.cat([points, answer[:, length:]], dim=1)
        if extra > 0 and _same(asked[:, extra:], ids):  # behind tokens of the model's own
            return torch.cat([answer[:, :extra], points], dim=1)
        if extra == 0 and _same(asked[:, 1:], ids[:, :-1]):  # moved on by one: what a decoder has read so far
            return torch.cat([answer[:, :1], points[:, :-1]], dim=1)
    if asked.ndim == 2 and asked.shape == (length, n) and _same(asked, ids.T):  # XLNet reads columns
        return points.transpose(0, 1)
    if asked.shape == ids.shape and _same(asked, ids.flip(1)):  # the other half of a model of both directions
        return points.flip(1)
    if asked.numel() == n * length and _same(asked.flatten(), ids.flatten()):  # all in one row, or with an axis more
        return points.reshape(answer.shape)
    return None


def _same(a: Tensor, b: Tensor) -> bool:
    return bool((a == b.to(a.device)).all())
