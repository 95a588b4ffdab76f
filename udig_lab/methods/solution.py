"""What a method hands back: paths for the engine to follow, or scores it found in another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from udig_lab.methods.trees import Group
from udig_lab.paths import Integral


@dataclass(frozen=True)
class Paths:
    """One line integral a text.

    Attributes:
        integral: text i -> its points and weights.
        anchors: text i -> for each token the words its path visits, input first; None for special tokens.
        starts: text i -> (R, L, D) where its paths begin, when that is not the problem's baseline; F(x') is then the
            mean of F over the R points. Asked for after the text's integral.
        start: what to call such a baseline.
        gradients: what a point costs: 1 for the gradient of F there, more when finding the point took some as well.
    """

    integral: Callable[[int], Integral]
    anchors: Callable[[int], tuple[tuple[str, ...] | None, ...]] | None = None
    starts: Callable[[int], Tensor] | None = None
    start: str = ""
    gradients: int = 1


@dataclass(frozen=True)
class Solution:
    """Scores of N texts.

    Attributes:
        scores: (L,) each.
        evaluations: gradients, a text.
        forwards: forward passes without gradient, a text.
        totals: what should equal F(x) - F(x'), where that is not the sum of the scores.
        groups: the groups of every text, for methods that score groups.
    """

    scores: Sequence[Tensor]
    evaluations: Sequence[int]
    forwards: Sequence[int] | None = None
    totals: Sequence[float] | None = None
    groups: Sequence[tuple[Group, ...]] | None = None
