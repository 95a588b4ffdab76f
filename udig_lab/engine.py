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

from udig_lab.model.batching import Budget, mask_of
from udig_lab.paths import Integral

# F: embeddings (n, L, D), attention mask (n, L), number of the explicand of every row (n,) -> one scalar a row (n,);
# or C of them (n, C), each of which is integrated along the same path
ScalarFunction = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass
class _Piece:
    """Some consecutive points of one explicand: (k, L, D) each."""

    owner: int
    first: int
    points: Tensor
    weights: Tensor


def integrate(
    scalar: ScalarFunction,
    build: Callable[[int], Integral],
    lengths: Sequence[int],
    *,
    collect: str = "tokens",
    budget: Budget | None = None,
    mixed: bool = True,
    progress: bool = False,
) -> list[Tensor]:
    """Evaluate grad F(p_k) * w_k at every point of every explicand, and add up.

    >>> from udig_lab.paths import straight
    >>> def scalar(x, mask, owners):
    ...     return x[:, 0, 0] * x[:, 1, 0]
    >>> x = torch.tensor([[2.0], [3.0]])
    >>> path = straight(x, torch.zeros(2, 1), n_steps=4, rule="midpoint")
    >>> integrate(scalar, lambda i: path, [2])[0].tolist()  # each factor gets half of the product
    [3.0, 3.0]

    Args:
        scalar: F.
        build: gives the line integral of explicand i; called once each, longest explicand first.
        lengths: tokens of each explicand.
        collect: what is kept apart: "tokens" gives (L_i,) float64 scores, summed over points and embedding
            dimensions; "points" (K_i, L_i), summed over dimensions; "dimensions" (L_i, D) float64, summed over points.
        budget: bounds a pass; halved when memory runs out.
        mixed: whether explicands of different lengths may share a pass.
        progress: show a bar.

    Returns:
        one tensor an explicand; with C values of F, each has C as its first axis.

    Raises:
        ValueError: a gradient is not finite.
        MemoryError: one point alone does not fit into memory.
    """
    budget = budget or Budget()
    results: list[Tensor | None] = [None] * len(lengths)
    bar = tqdm(total=len(lengths), unit="text", disable=not progress, leave=False)
    for pack in _packs(build, lengths, budget, mixed):
        points, mask, owners = _stacked(pack)

        def gradient(rows: slice, p: Tensor = points, m: Tensor = mask, o: Tensor = owners) -> Tensor:
            leaf = p[rows].requires_grad_(True)
            return _gradients(scalar(leaf, m[rows], o[rows]), leaf)

        rows = budget.run(gradient, len(points))  # (n, L, D), or (n, C, L, D)
        start = 0
        for piece in pack:
            k, length = piece.points.shape[:2]
            part = _collected(rows[start : start + k, ..., :length, :], piece, collect)
            start += k
            if not bool(part.isfinite().all()):
                raise ValueError(
                    f"the gradient for text {piece.owner} is not finite (NaN or infinity): "
                    "check the model's weights, or use a wider number type"
                )
            known = results[piece.owner]
            if known is None:
                results[piece.owner] = part
            else:
                results[piece.owner] = torch.cat([known, part], dim=-2) if collect == "points" else known + part
            bar.update(int(piece.first == 0))
    bar.close()
    return [f for f in results if f is not None]


def _gradients(values: Tensor, points: Tensor) -> Tensor:
    """Gradients (n, L, D) of values (n,) at points (n, L, D); (n, C, L, D) of values (n, C).

    Raises:
        ValueError: no gradient comes back to the points.
    """
    columns = values.sum(0).reshape(-1).unbind() if values.requires_grad else ()
    last = len(columns) - 1  # one pass forward, and one backward for each
    parts = [
        torch.autograd.grad(v, points, retain_graph=c < last, allow_unused=True)[0] for c, v in enumerate(columns)
    ]
    if not parts or any(part is None for part in parts):
        raise ValueError(
            "no gradient comes back from this model (it is quantised, or cuts its output off); use a method that only "
            'reads it forward, such as method="sig"'
        )
    return parts[0] if values.ndim == 1 else torch.stack(parts, dim=1)


def _collected(gradient: Tensor, piece: _Piece, collect: str) -> Tensor:
    """Gradients of a piece, (k, L, D) or (k, C, L, D), times its weights, summed."""
    if gradient.ndim == 4:
        gradient = gradient.transpose(0, 1)  # (C, k, L, D)
    if collect == "dimensions":
        return torch.einsum("...kld,kld->...ld", gradient, piece.weights).double()
    part: Tensor = torch.linalg.vecdot(gradient, piece.weights)  # (k, L), or (C, k, L)
    return part.double().sum(-2) if collect == "tokens" else part


def _stacked(pack: Sequence[_Piece]) -> tuple[Tensor, Tensor, Tensor]:
    """Points of all pieces in one tensor (n, L, D), zeros behind the end, with mask (n, L) and owners (n,)."""
    counts = torch.tensor([len(piece.points) for piece in pack])
    width = max(piece.points.shape[1] for piece in pack)
    first = pack[0].points
    if len(pack) == 1:
        points = first
    else:
        points = first.new_zeros(int(counts.sum()), width, first.shape[2])
        start = 0
        for piece in pack:
            k, length = piece.points.shape[:2]
            points[start : start + k, :length] = piece.points
            start += k
    lengths = torch.tensor([piece.points.shape[1] for piece in pack]).repeat_interleave(counts)
    owners = torch.tensor([piece.owner for piece in pack]).repeat_interleave(counts)
    return points, mask_of(lengths).to(first.device), owners.to(first.device)


def _packs(
    build: Callable[[int], Integral], lengths: Sequence[int], budget: Budget, mixed: bool
) -> Iterator[list[_Piece]]:
    """Cut explicands, longest first, into packs that fit the budget."""
    pack: list[_Piece] = []
    room = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        integral = build(i)
        first = 0
        while first < len(integral):
            padding = (pack[0].points.shape[1] - lengths[i]) * min(room, len(integral) - first) if pack else 0
            if room == 0 or padding > (budget.pass_cost if mixed else 0):
                if pack:
                    yield pack
                pack = []
                # The first explicand of a pack is its longest, so it fixes the width.
                room = budget.fits(lengths[i])
            last = min(len(integral), first + room)
            pack.append(_Piece(i, first, *integral.block(first, last)))
            room -= last - first
            first = last
    if pack:
        yield pack
