"""Evaluates line integrals for many explicands at once.

One engine serves every method: it takes points and weights, whatever path they came from, and packs points of
explicands of similar length into batches of bounded size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from udig_lab.paths import LineIntegral
from udig_lab.target import pad_embeddings

# F: embeddings (n, L, D), attention mask (n, L), number of the explicand of every row (n,) -> one scalar a row (n,)
ScalarFunction = Callable[[Tensor, Tensor, Tensor], Tensor]

# Rows x tokens in one forward and backward pass: where a 3-layer and a 12-layer encoder are both near their best.
TOKEN_BUDGET = 4096


@dataclass
class _Piece:
    """Some consecutive points of one explicand: (k, L, D) each."""

    owner: int
    first: int
    points: Tensor
    weights: Tensor


def contributions(
    scalar: ScalarFunction,
    build: Callable[[int], LineIntegral],
    lengths: Sequence[int],
    *,
    token_budget: int = TOKEN_BUDGET,
    internal_batch_size: int | None = None,
    progress: bool = False,
) -> list[Tensor]:
    """Evaluate grad F(p_k) * w_k at every point of every explicand, summed over embedding dimensions.

    Args:
        scalar: F.
        build: gives the line integral of explicand i; called once each, longest explicand first.
        lengths: tokens of each explicand.
        token_budget: rows x tokens per pass.
        internal_batch_size: rows per pass; overrides the budget.
        progress: show a bar.

    Returns:
        one (K_i, L_i) tensor an explicand; its sum over points is the attribution.

    Raises:
        ValueError: a gradient is not finite.
    """
    found: list[Tensor | None] = [None] * len(lengths)
    bar = tqdm(total=len(lengths), unit="text", disable=not progress, leave=False)
    for pack in _packs(build, lengths, token_budget, internal_batch_size, found):
        points, mask = pad_embeddings([row for piece in pack for row in piece.points])  # (n, L, D), (n, L)
        counts = torch.tensor([len(piece.points) for piece in pack])
        owners = torch.repeat_interleave(torch.tensor([piece.owner for piece in pack]), counts).to(points.device)
        points.requires_grad_(True)
        (gradient,) = torch.autograd.grad(scalar(points, mask, owners).sum(), points)
        for piece, rows in zip(pack, torch.split(gradient, counts.tolist()), strict=True):
            part = torch.linalg.vecdot(rows[:, : piece.points.shape[1]], piece.weights)  # (k, L)
            if not bool(part.isfinite().all()):
                raise ValueError(
                    f"the gradient for text {piece.owner} is not finite (NaN or infinity): "
                    "check the model's weights, or use a wider number type"
                )
            store = found[piece.owner]
            assert store is not None
            store[piece.first : piece.first + len(part)] = part
            bar.update(int(piece.first + len(part) == len(store)))
    bar.close()
    return [c for c in found if c is not None]


def _packs(
    build: Callable[[int], LineIntegral],
    lengths: Sequence[int],
    token_budget: int,
    internal_batch_size: int | None,
    found: list[Tensor | None],
) -> Iterator[list[_Piece]]:
    """Cut explicands, longest first, into packs that fit the budget; makes room for their results in ``found``."""
    pack: list[_Piece] = []
    room = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        integral = build(i)
        n = len(integral.points)
        found[i] = integral.points.new_empty(n, lengths[i])
        first = 0
        while first < n:
            if room == 0:
                if pack:
                    yield pack
                pack = []
                # The first explicand of a pack is its longest, so it fixes the width.
                room = internal_batch_size or max(1, token_budget // lengths[i])
            last = min(n, first + room)
            pack.append(_Piece(i, first, integral.points[first:last], integral.weights[first:last]))
            room -= last - first
            first = last
    if pack:
        yield pack
