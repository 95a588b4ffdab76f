"""Sentences with holes: F where some players are at the input and the others at the baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from udig_lab.model.inputs import Encoding
from udig_lab.model.prefix import may_share
from udig_lab.model.segments import TOKEN, places_of
from udig_lab.problem import Problem


def players(encoding: Encoding, by: str = TOKEN) -> Tensor:
    """(L,) the player that each token is, or is part of: numbers from 0 to T - 1, and -1 for tokens that stay.

    A player is a token that moves, or all of those of a segment.
    """
    moves = ~encoding.special
    if by == TOKEN or encoding.segment_of is None:
        return torch.where(moves, moves.cumsum(0) - 1, -1)
    owners = torch.full_like(encoding.input_ids, -1, device="cpu")
    for number, places in enumerate(places_of(encoding.segment_of, encoding.special.tolist()).values()):
        owners[places] = number
    return owners


def n_players(problem: Problem, i: int) -> int:
    """T, the number of players of text i."""
    return int(players(problem.encodings[i], problem.by).max()) + 1


def values(problem: Problem, coalitions: Sequence[Tensor], *, again: bool = False) -> list[Tensor]:
    """F of coalitions; all texts' sentences share their forward passes.

    A row that is everybody is x and costs nothing, nor does one that is nobody, x': both have been read.

    Args:
        problem: N texts.
        coalitions: for each text (S, T) bool: which of its T players are at the input; the others are at the
            baseline. Tokens that are nobody's stay where they are.
        again: whether such rows are read all the same, so that the number of passes does not depend on the draws.

    Returns:
        (S,) each, float64 on the CPU; (S, C) where every class is explained.
    """
    ends = [problem.ends(i) for i in range(len(problem))]
    owners = [players(encoding, problem.by) for encoding in problem.encodings]
    read: list[Tensor] = []
    rows: list[tuple[int, int]] = []
    for i, present in enumerate(coalitions):
        f_input, f_baseline = (f[i].cpu().double() for f in (problem.at_input, problem.at_baseline))
        full, none = present.all(1), ~present.any(1)
        read.append(torch.where(full.view(-1, *[1] * f_input.ndim), f_input, f_baseline))
        wanted = torch.ones_like(full) if again else ~(full | none)
        rows += [(i, s) for s in wanted.nonzero()[:, 0].tolist()]

    def embed(r: int) -> Tensor:
        i, s = rows[r]
        explicand, baseline = ends[i]
        here = _of_tokens(coalitions[i][s], owners[i])
        points = baseline.clone()
        points[here] = explicand[here]
        return points

    if rows:
        begins = None
        if problem.model.task == "causal":  # what it has read of a beginning it need not read again
            begins = [((i, side), k) for i, s in rows for side, k in [_begin(coalitions[i][s], owners[i])]]
        made = problem.values(embed, [i for i, _ in rows], begins).cpu().double()
        for (i, s), value in zip(rows, made, strict=True):
            read[i][s] = value
    return read


def reading(problem: Problem, coalitions: Callable[[], Tensor]) -> Callable[[], int] | None:
    """What an estimate times where sentences that begin alike may share a beginning: a pass is not a pass then.

    Args:
        problem: of which the first text is looked at.
        coalitions: gives those of the first text (S, T).

    Returns:
        reads some of them, evenly spread, and says how many; None where every sentence is read as a whole.
    """
    length = len(problem.encodings[0])
    if not may_share(problem.reader, length):
        return None

    def some() -> int:
        every = coalitions()
        chosen = every[:: max(1, len(every) // (2 * problem.budget.fits(length)))]
        others = [torch.zeros(0, n_players(problem, i), dtype=torch.bool) for i in range(1, len(problem))]
        values(problem, [chosen, *others], again=True)
        return len(chosen)

    return some


def _begin(present: Tensor, owners: Tensor) -> tuple[bool, int]:
    """Whether a sentence begins as x does or as x', whichever it does for longer, and for how many tokens."""
    here = _of_tokens(present, owners)  # (L,)
    as_input, as_baseline = (_first(differs) for differs in ((owners >= 0) & ~here, here))
    return as_input > as_baseline, max(as_input, as_baseline)


def _first(places: Tensor) -> int:
    """The first of the places (L,) that is marked; L where none is."""
    return int(places.int().argmax()) if bool(places.any()) else len(places)


def read_anew(coalitions: Tensor) -> int:
    """Forward passes that a text's coalitions (S, T) take, beside those at x and x'."""
    return int((coalitions.any(1) & ~coalitions.all(1)).sum())


def spread(problem: Problem, i: int, scores: Tensor) -> Tensor:
    """Scores (..., T) of the players at their places among all tokens: (..., L), zero elsewhere.

    The score of a segment is shared equally by its tokens, so that their sum is the segment's.
    """
    owners = players(problem.encodings[i], problem.by)
    shares = scores / owners[owners >= 0].bincount().to(scores)
    return _of_tokens(shares, owners)


def _of_tokens(values: Tensor, owners: Tensor) -> Tensor:
    """Values (..., T) of players, as those of the tokens (..., L) that are theirs; zero for tokens of nobody."""
    return torch.cat([values, torch.zeros_like(values[..., :1])], dim=-1)[..., owners]
