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

from udig_lab.integrals import Integral
from udig_lab.model.batching import Budget, mask_of

# F: embeddings (n, L, D), attention mask (n, L), number of the explicand of every row (n,) -> one scalar a row (n,);
# or C of them (n, C), each of which is integrated along the same path
ScalarFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
APART = ("points", "valued", "squares")  # what is kept for every point


@dataclass
class _Piece:
    """Some consecutive points of one explicand: (k, L, D) each."""

    owner: int
    first: int
    of: int  # points of its owner in all
    points: Tensor
    weights: Tensor


def integrate(
    scalar: ScalarFunction,
    build: Callable[[int], Integral],
    lengths: Sequence[int],
    *,
    names: Sequence[str] | None = None,
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
        names: what messages call each of them; None counts.
        collect: what is kept apart: "tokens" gives (L_i,) float64 scores, summed over points and embedding
            dimensions; "points" (K_i, L_i), summed over dimensions; "valued" (K_i, 1 + L_i), the same behind F at the
            point, or (K_i, 1 + L_i W) of W weights at each, (K_i, L_i, W, D); "dimensions" (L_i, D) float64, summed
            over points; "squares" (K_i, L_i), the squared length of every token's gradient, whatever the weights.
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
        for piece, part in zip(pack, _evaluated(scalar, pack, collect, budget, names), strict=True):
            results[piece.owner] = _added(results[piece.owner], part, piece, collect)
            bar.update(int(piece.first == 0))
        pack.clear()  # before the next is made: there are never two
        del piece
    bar.close()
    return [f for f in results if f is not None]


def _evaluated(
    scalar: ScalarFunction, pack: Sequence[_Piece], collect: str, budget: Budget, names: Sequence[str] | None
) -> list[Tensor]:
    """What every piece adds to its owner's scores."""
    points, weights, mask, owners = _stacked(pack)

    def work(rows: slice) -> Tensor:
        leaf = points[rows].requires_grad_(True)
        return _weighted(scalar(leaf, mask[rows], owners[rows]), leaf, weights[rows], collect)

    rows = budget.run(work, len(points))  # (n, L) or (n, C, L); for "dimensions" (n, L, D) or (n, C, L, D)
    behind = int(collect == "valued")  # one column more, in front
    parts = []
    start = 0
    for piece in pack:
        k, length = piece.points.shape[:2]
        own = rows[start : start + k]
        columns = length * (weights.shape[2] if weights.ndim == 4 else 1) + behind
        part = _collected(own[..., :length, :] if collect == "dimensions" else own[..., :columns], collect)
        start += k
        if not bool(part.isfinite().all()):
            name = f"text {piece.owner}" if names is None else names[piece.owner]
            raise ValueError(
                f"the gradient for {name} is not finite (NaN or infinity): "
                "check the model's weights, or use a wider number type"
            )
        parts.append(part)
    return parts


def _added(result: Tensor | None, part: Tensor, piece: _Piece, collect: str) -> Tensor:
    """What is known of a text, with a piece more; in one place, since many small tensors between large ones cost."""
    if collect not in APART:
        return part if result is None else result.add_(part)
    if result is None:
        result = part.new_empty(*part.shape[:-2], piece.of, part.shape[-1])  # (K, L), or (C, K, L)
    result[..., piece.first : piece.first + part.shape[-2], :] = part
    return result


def _weighted(values: Tensor, points: Tensor, weights: Tensor, collect: str) -> Tensor:
    """Gradients of values (n,) at points (n, L, D) times weights (n, L, D), or squared, summed over dimensions or not.

    Weights may be (n, L, W, D), several at each point; a token's W products then stand together.

    Of values (n, C), every column is summed before the next is taken: all gradients at once would be C times a batch.

    Returns:
        (n, L) or (n, L, D), for "valued" (n, 1 + L); of (n, C) values, C is the second axis.

    Raises:
        ValueError: no gradient comes back to the points.
    """
    columns = values.sum(0).reshape(-1).unbind() if values.requires_grad else ()
    own = values.detach().reshape(len(values), -1)  # (n, C)
    parts: list[Tensor] = []
    for number, column in enumerate(columns, 1):  # one pass forward, and one backward for each
        more = number < len(columns)
        try:
            gradient: Tensor | None = torch.autograd.grad(column, points, retain_graph=more, allow_unused=True)[0]
        except AssertionError as error:  # Reformer's own
            raise ValueError(
                "this model takes gradients in training mode only, where it is random; use a method that only reads "
                'it forward, such as method="sig"'
            ) from error
        if gradient is None:
            break
        factor = gradient if collect == "squares" else weights
        if factor.ndim == 4:
            part = torch.linalg.vecdot(gradient[:, :, None], factor).flatten(1)  # (n, L W)
        else:
            part = gradient * factor if collect == "dimensions" else torch.linalg.vecdot(gradient, factor)
        parts.append(torch.cat([own[:, number - 1 : number], part], dim=1) if collect == "valued" else part)
    if not parts or len(parts) < len(columns):
        raise ValueError(
            "no gradient comes back from this model (it is quantised, or cuts its output off); use a method that only "
            'reads it forward, such as method="sig"'
        )
    return parts[0] if values.ndim == 1 else torch.stack(parts, dim=1)


def _collected(part: Tensor, collect: str) -> Tensor:
    """Weighted gradients of a piece, (k, …) as ``_weighted`` returns them: summed over points, or with C in front."""
    if collect in APART:
        return part if part.ndim == 2 else part.transpose(0, 1)  # (k, L), or (C, k, L)
    return part.double().sum(0)


def _stacked(pack: Sequence[_Piece]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points and weights of all pieces (n, L, D), zeros behind the end, with mask (n, L) and owners (n,)."""
    counts = torch.tensor([len(piece.points) for piece in pack])
    points, weights = (_joined(parts) for parts in zip(*((p.points, p.weights) for p in pack), strict=True))
    lengths = torch.tensor([piece.points.shape[1] for piece in pack]).repeat_interleave(counts)
    owners = torch.tensor([piece.owner for piece in pack]).repeat_interleave(counts)
    return points, weights, mask_of(lengths).to(points.device), owners.to(points.device)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Tensors (k_i, L_i, …) one below the other (n, L, …), zeros behind the end."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.shape[1] for part in parts)
    joined = parts[0].new_zeros(sum(map(len, parts)), width, *parts[0].shape[2:])
    start = 0
    for part in parts:
        joined[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return joined


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
            pack.append(_Piece(i, first, len(integral), *integral.block(first, last)))
            room -= last - first
            first = last
    if pack:
        yield pack
