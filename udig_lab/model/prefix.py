"""Sequences that begin alike: the keys and values of the beginning are computed once, and only the rest is read.

A decoder looks back only, so what stands behind a token changes nothing before it. This is used where all code is
known, and each time it is tried on the model before it is believed. Everything else is read as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

from udig_lab.model.batching import Budget
from udig_lab.model.check import coarsest
from udig_lab.model.reader import Reader, in_batches, read

SHORTEST = 48  # tokens of a sequence from which on it is tried: of fewer, trial and smaller passes cost what is saved
_WORTH = 0.75  # the part of all tokens that may be left to read
_TRIAL = 4  # sequences that are read as a whole to try it
_ROUNDING, _MOST = 16, 1 / 32  # so many times a number type's precision may outputs differ, as a share of the largest
_OWN = ("torch.", "transformers.")  # where code is at home that is known to take keys and values as they are meant
_CACHES = "transformers.cache_utils"  # of which older versions hold other kinds
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")

Kept = list[tuple[Tensor, Tensor]]  # keys and values (1, heads, L, d) of every layer


def read_sharing(
    reader: Reader,
    embed: Callable[[int], Tensor],
    owners: Sequence[int],
    lengths: Sequence[int],
    begins: Sequence[tuple[Hashable, int]],
    budget: Budget,
    keep: Callable[[Tensor, int], Tensor],
) -> list[Tensor]:
    """As ``reader.read``, for sequences of which many begin alike.

    Args:
        reader: the model.
        embed: see ``reader.read``, as for the next two, ``budget`` and ``keep``.
        owners: the text of every sequence.
        lengths: its tokens.
        begins: for every sequence the name of a beginning, which those of one text share, and how many tokens of it.
        budget: bounds a pass.
        keep: what is kept of an output.
    """
    done: dict[int, Tensor] = {}
    if looks_back(reader):
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for r, (name, _) in enumerate(begins):
            groups[name].append(r)
        assert reader.at is not None
        for rows in groups.values():
            text, length = owners[rows[0]], lengths[rows[0]]
            last = int(reader.at[text].min())  # where an output is read, a token must be
            rest = sorted((length - min(begins[r][1], last), r) for r in rows)
            if length < SHORTEST or sum(own for own, _ in rest) + _TRIAL * length > _WORTH * len(rest) * length:
                continue
            values = _Group(reader, embed, text, length, rest).read(budget, keep)
            if not values:
                break
            done |= values
    left = [r for r in range(len(lengths)) if r not in done]
    if left:
        whole = read(
            reader,
            lambda j: embed(left[j]),
            [owners[r] for r in left],
            [lengths[r] for r in left],
            budget,
            lambda output, j: keep(output, left[j]),
        )
        done |= dict(zip(left, whole, strict=True))
    return [done[r] for r in range(len(lengths))]


def may_share(reader: Reader, length: int) -> bool:
    """Whether sequences of so many tokens that begin alike may be read so."""
    return length >= SHORTEST and looks_back(reader)


def looks_back(reader: Reader) -> bool:
    """Whether nothing speaks against it: a language model whose code is all known, unchanged and not listened to."""
    model = reader.text_model
    if model.task != "causal" or model.alone or reader.block is not None or reader.at is None:
        return False
    if getattr(model.config, "_attn_implementation", None) not in ("eager", "sdpa"):
        return False
    if torch_modules._global_forward_hooks or torch_modules._global_forward_pre_hooks:
        return False
    takes = all(model.takes(name) for name in ("past_key_values", "use_cache", "attention_mask"))
    return takes and all(_is_known(part) for part in model.model.modules())


def _is_known(part: nn.Module) -> bool:
    code = [type(part).__module__, getattr(type(part).forward, "__module__", None) or ""]
    unchanged = "forward" not in vars(part) and not any(getattr(part, name) for name in _HOOKS)
    return unchanged and all(f"{name}.".startswith(_OWN) for name in code)


@dataclass(frozen=True)
class _Group:
    """Sequences of one length that begin alike.

    Attributes:
        reader, embed: see ``read_sharing``.
        text: which they belong to.
        length: tokens of each, L.
        rest: how many of them are its own, rising, and its number. The first has the beginning of all others.
    """

    reader: Reader
    embed: Callable[[int], Tensor]
    text: int
    length: int
    rest: Sequence[tuple[int, int]]

    def read(self, budget: Budget, keep: Callable[[Tensor, int], Tensor]) -> dict[int, Tensor]:
        """What is kept of each, by its number; nothing where the model reads the rest otherwise than the whole."""
        tried = [len(self.rest) // 2]
        with torch.no_grad():
            whole = self._output(tried)
            try:
                kept, other = self._kept(0), self._kept(tried[0])
                begin = self.length - self.rest[tried[0]][0]
                if not all(
                    torch.equal(a[..., :begin, :], b[..., :begin, :])
                    for pairs in zip(kept, other, strict=True)
                    for a, b in zip(*pairs, strict=True)
                ):
                    return {}  # something looks ahead
                del other
                gap = float((self._output(tried, kept) - whole).abs().max())
            except Exception:  # whatever goes wrong in a way of reading that nobody asked for
                return {}
        precision = torch.finfo(coarsest(self.reader.text_model)).eps
        if not gap <= min(_ROUNDING * precision, _MOST) * max(1.0, float(whole.abs().max())):
            return {}
        own = [tokens for tokens, _ in self.rest]

        def outputs(batch: Sequence[int]) -> Tensor:
            return budget.run(lambda part: self._output(batch[part], kept), len(batch))

        def keep_own(output: Tensor, j: int) -> Tensor:
            return keep(output, self.rest[j][1])

        try:
            # Half as many rows as whole ones: keys, values and logits are no fewer, and a mask comes on top.
            values = in_batches(outputs, own, budget, budget.pass_cost, self.reader, keep_own, 2 * self.length)
        except MemoryError:  # keys and values were too much beside it
            return {}
        return {r: value for (_, r), value in zip(self.rest, values, strict=True)}

    def _output(self, batch: Sequence[int], kept: Kept | None = None, past: Any = None) -> Tensor:
        """The model's output for some of them, (n, c, V); with what is kept of their beginning it reads the rest."""
        points = torch.stack([self.embed(self.rest[j][1]) for j in batch])
        if kept is not None:
            past = _past(kept, self.length - max(self.rest[j][0] for j in batch), len(batch))
        mask = torch.ones(points.shape[:2], dtype=torch.long, device=points.device)
        return self.reader(points, mask, torch.full((len(batch),), self.text, device=points.device), past)

    def _kept(self, j: int) -> Kept:
        """Keys and values of the whole of one of them.

        Raises:
            ValueError: what the model keeps is not those of every token in every layer, and nothing else.
        """
        caches: Any = import_module(_CACHES)
        past = caches.DynamicCache(config=self.reader.text_model.config)
        self._output([j], past=past)
        kept = [(layer.keys, layer.values) for layer in past.layers if type(layer) is caches.DynamicLayer]
        if not kept or len(kept) < len(past.layers) or any(t.shape[::2] != (1, self.length) for p in kept for t in p):
            raise ValueError("a window, or a state in the place of keys")
        return kept


def _past(kept: Kept, begin: int, n: int) -> Any:
    """The first keys and values, as n sequences: they are read and never added to, so that they need no copies."""
    caches: Any = import_module(_CACHES)
    past = caches.DynamicCache()
    past.layers = []
    for pair in kept:
        layer = caches.DynamicLayer()
        layer.keys, layer.values = (t[..., :begin, :].expand(n, -1, -1, -1) for t in pair)
        layer.dtype, layer.device, layer.is_initialized = layer.keys.dtype, layer.keys.device, True
        layer.update = partial(_joined, layer.keys, layer.values)
        past.layers.append(layer)
    return past


def _joined(keys: Tensor, values: Tensor, new_keys: Tensor, new_values: Tensor, *_: Any, **__: Any) -> Any:
    return torch.cat([keys, new_keys], dim=-2), torch.cat([values, new_values], dim=-2)
