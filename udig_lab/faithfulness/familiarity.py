"""Is an input one of those that a model knows? A p-value from what the model makes of inputs that it does know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from udig_lab.model.batching import Budget, mask_of
from udig_lab.model.inputs import Text
from udig_lab.model.textmodel import TextModel, as_text_model, left_as_found


def masked_at_random(
    model: Any, texts: Sequence[Text], *, rate: float | None = None, seed: int = 0
) -> list[list[int]]:
    """Texts as token ids, with tokens masked at random; special tokens stay.

    Args:
        model: as for ``explain``; its tokenizer has a mask token.
        texts: N texts.
        rate: the probability of every token; None masks every second text, each at a rate of its own from U(0, 1), as
            the model of the profile "masked" was trained.
        seed: of the draws.

    Returns:
        N lists of ids.

    Raises:
        ValueError: a rate outside [0, 1], or a tokenizer without a mask token.
    """
    if rate is not None and not 0 <= rate <= 1:
        raise ValueError(f"rate={rate} is no probability; pass a number from 0 to 1, or None")
    text_model = as_text_model(model, None)
    mask = getattr(text_model.tokenizer, "mask_token_id", None)
    if mask is None:
        raise ValueError(f"the tokenizer of {text_model.name} has no mask token, so no text can be masked")
    generator = torch.Generator().manual_seed(seed)
    encodings, _ = text_model.encode(list(texts), max_length=text_model.limit)
    holed = []
    for number, encoding in enumerate(encodings):
        own = float(torch.rand((), generator=generator))
        share = rate if rate is not None else own if number % 2 else 0.0
        hole = (torch.rand(len(encoding), generator=generator) < share) & ~encoding.special
        holed.append(encoding.input_ids.masked_fill(hole, mask).tolist())
    return holed


def in_distribution(model: Any, reference: Sequence[Sequence[int]], inputs: Sequence[Sequence[int]]) -> Tensor:
    """How often an input that the model knows is as strange as this one: a p-value for every input.

    A text is what its largest value in each of a layer's D dimensions says of it (embeddings included). Half of the
    reference makes an empirical distribution of every dimension; a text's two-sided p-values in one layer are put
    together by Simes' rule, those of the layers by Fisher's. The other half says how large that sum is for inputs
    that the model knows: the p-value is the share of them at which it is as large or larger, the input itself
    counted. So for inputs drawn as the reference was, p-values are uniform, whatever the model.

    >>> import udig_lab as ul
    >>> model, texts = ul.load("sst2"), ul.data.examples("sst2")["text"]
    >>> known = masked_at_random(model, texts[:100], rate=0.0)
    >>> float(in_distribution(model, known, masked_at_random(model, texts[100:], rate=1.0)).median()) < 0.05
    True

    Args:
        model: an encoder, as for ``explain``: its layers are the longest list of modules in it.
        reference: token ids of R inputs that the model knows, such as training texts, masked as in training.
        inputs: token ids of N inputs.

    Returns:
        (N,) in (0, 1], at least 2 / (R + 2).

    Source: after MaSF, Haroush et al., ICLR 2022, with which Madsen et al., ICML 2024, arXiv 2310.07819, validate
    masked models. Theirs ranks all three statistics against one sample; here a half of its own ranks the last one.

    Raises:
        ValueError: fewer than 20 reference inputs, no inputs, or an input without a token.
        TypeError: the model has no layers that give a row for every token.
    """
    if len(reference) < 20:
        raise ValueError(f"{len(reference)} reference inputs say too little of what the model knows; pass at least 20")
    if not len(inputs):
        raise ValueError("there are no inputs to test; pass at least one")
    text_model = as_text_model(model, None)
    states = _largest(text_model, [*reference, *inputs])  # (R + N, K, D)
    fitted, rest = states[: len(reference) // 2], states[len(reference) // 2 :]
    strangeness = _strangeness(fitted, rest)
    known, asked = strangeness[: -len(inputs)], strangeness[-len(inputs) :]
    as_strange: Tensor = (known[:, None] >= asked).sum(0)
    return (1 + as_strange) / (1 + len(known))


def _strangeness(fitted: Tensor, states: Tensor) -> Tensor:
    """(n,) Fisher's sum over layers of Simes' p-values over dimensions, of states (n, K, D)."""
    ordered = fitted.flatten(1).T.contiguous().sort(1).values  # (K D, R)
    asked = states.flatten(1).T.contiguous()  # (K D, n)
    below = torch.searchsorted(ordered, asked)
    above = len(fitted) - torch.searchsorted(ordered, asked, right=True)
    one_sided = (1.0 + len(fitted) - torch.maximum(below, above)) / (1.0 + len(fitted))  # as extreme, or more
    p = (2 * one_sided).clamp(max=1.0).T.view(states.shape).sort(-1).values  # (n, K, D), rising
    simes = (p * states.shape[-1] / torch.arange(1, states.shape[-1] + 1)).amin(-1)  # (n, K)
    return -2 * simes.log().sum(-1)


def _largest(model: TextModel, inputs: Sequence[Sequence[int]]) -> Tensor:
    """(N, K, D) the largest value over an input's tokens, for every layer and dimension."""
    if not all(len(ids) for ids in inputs):
        raise ValueError("an input has no tokens; pass the ids of at least one")
    order = sorted(range(len(inputs)), key=lambda i: -len(inputs[i]))  # the longest of a batch is its first
    budget = Budget.for_device(model.device)
    largest: list[Tensor] = [torch.empty(0)] * len(inputs)
    states: list[Tensor] = []  # (n, L, D) each, filled by the hooks
    net = model.model
    with left_as_found(net), torch.no_grad():
        # Hooks of our own: transformers' stay on a model for good, and do not come back once they were taken off.
        layers = _layers(net)
        layers[0].register_forward_pre_hook(lambda _, given: states.append(given[0]))
        for layer in layers:
            layer.register_forward_hook(
                lambda _, __, said: states.append(said[0] if isinstance(said, tuple) else said)
            )
        while order:
            batch = order[: budget.fits(len(inputs[order[0]]))]
            order = order[len(batch) :]
            rows = [torch.tensor(list(inputs[i])) for i in batch]
            ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=model.pad_id).to(model.device)
            mask = mask_of(torch.tensor([len(row) for row in rows])).to(model.device)
            states.clear()
            net(input_ids=ids, attention_mask=mask)
            if not all(state.shape[:2] == ids.shape for state in states):
                raise TypeError(f"{type(net).__name__} has no layers that give a row for every token; pass an encoder")
            stacked = torch.stack(states, 1).masked_fill(mask[:, None, :, None] == 0, -torch.inf)  # (n, K, L, D)
            for i, row in zip(batch, stacked.amax(2).float().cpu(), strict=True):
                largest[i] = row
    return torch.stack(largest)


def _layers(net: nn.Module) -> Sequence[nn.Module]:
    """The layers of an encoder: the longest list of modules in it."""
    lists = [list(module) for module in net.modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not lists:
        raise TypeError(f"{type(net).__name__} has no layers that give a row for every token; pass an encoder")
    return max(lists, key=len)
