"""Metrics for a model that has seen masked texts: the masking curve against random, and fidelity on random subsets.

Tokens are masked in place. The model should be one for which that is ordinary (``load(…, profile="masked")``): of any
other the numbers can be computed, and mean what they mean for all erasure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.faithfulness.erasure import (
    chosen_tokens,
    erase,
    in_units,
    judged_by,
    replacement_row,
    require_judgeable,
    selected,
    units,
    values,
)
from udig_lab.model.protocol import CORRECTED
from udig_lab.model.textmodel import TextModel, as_text_model

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Area:
    """How much faster than in random order a prediction is lost as tokens are masked.

    Attributes:
        area: (N,) between the curves of random order and of the explanation's, in probability; higher is better.
        largest: (N,) the same down to the level of a text of masks, which random masking reaches last.
    """

    area: Tensor
    largest: Tensor

    @property
    def relative(self) -> float:
        """The area as a part of ``largest``, both of the mean curves: 0 is as good as random.

        1 is what an order gets whose first share takes all that masking everything takes. Signed scores can pass it:
        they mask what speaks for the answer first, and the answer then falls below that of a text of masks. NaN where
        random masking loses no more than masking everything.
        """
        largest = float(self.largest.mean())
        return float(self.area.mean()) / largest if largest > 0 else float("nan")


def masking_curve(model: Any, attributions: Sequence[Attribution], *, shares: Sequence[float] = SHARES) -> Tensor:
    """p(y | x) as the best tokens are masked, share by share.

    Args:
        model: the explained model.
        attributions: N explanations of it.
        shares: S shares of the tokens, rising.

    Returns:
        (1 + S, N); the first row is the text as it is.

    Raises:
        ValueError: no explanations, or a share outside (0, 1].
    """
    require_judgeable(attributions, shares)
    return _masked(model, attributions, [[selected(a, share, CORRECTED) for a in attributions] for share in shares])


def area_against_random(
    model: Any,
    attributions: Sequence[Attribution],
    random: Sequence[Sequence[Attribution]],
    *,
    shares: Sequence[float] = SHARES,
) -> Area:
    """The area between the masking curve of random scores and that of an explanation (ACU, and relative: RACU).

    >>> import udig_lab as ul
    >>> model = ul.load("sst2", profile="masked")
    >>> texts = ["a gorgeous , witty movie", "dull and far too long"]
    >>> random = [ul.explain(model, texts, method="random", seed=seed) for seed in range(4)]
    >>> area = area_against_random(model, ul.explain(model, texts, method="sig"), random)
    >>> tuple(area.area.shape), area.relative > 0
    ((2,), True)

    Args:
        model: the explained model.
        attributions: N explanations of it.
        random: explanations of the same texts by random scores, one or more draws; their curves are averaged.
        shares: shares of the tokens, rising; the last is 1, where all orders agree.

    Source: Madsen et al., ICML 2024, arXiv 2310.07819, and how their code computes it: trapezoids between the
    performance under random masking and under the explanation's, over that between random masking and masking
    everything. They measure the accuracy and explain anew after every share; here it is p(y | x), and one explanation
    orders all tokens.

    Raises:
        ValueError: explanations of different texts, no random draw, shares that do not rise to 1.
    """
    rising = all(a < b for a, b in pairwise(shares))
    if not shares or not rising or shares[-1] != 1:
        raise ValueError(f"shares={tuple(shares)} must rise to 1, where every token is masked")
    if not random:
        raise ValueError("there are no random scores to compare with; pass at least one draw, as a list of lists")
    for draw in random:
        if [a.input_ids for a in draw] != [a.input_ids for a in attributions]:
            raise ValueError("random scores must be of the same texts in the same order; explain those by 'random'")
        if [a.target for a in draw] != [a.target for a in attributions]:
            raise ValueError("random scores must be of the same target; pass target=[a.target for a in explained]")
    own = masking_curve(model, attributions, shares=shares)  # (1 + S, N)
    floor = torch.stack([masking_curve(model, draw, shares=shares) for draw in random]).mean(0)
    at = torch.tensor([0.0, *shares])
    return Area(torch.trapezoid(floor - own, at, dim=0), torch.trapezoid(floor - floor[-1], at, dim=0))


def f_fidelity(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    top: float = 0.2,
    alpha: float = 0.5,
    beta: float = 0.1,
    n_samples: int = 20,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Fidelity on random subsets that are never larger than what the model has seen masked.

    Of the best tokens (a share ``top``), or of all others, a share ``alpha`` is masked at random, but at most
    ``beta`` of the text, and at least one token. So both metrics mask about as much, wherever the best tokens are.

    Args:
        model: the explained model; fine-tuned with up to ``beta`` of a text masked.
        attributions: N explanations of it.
        top: share of the tokens that are the explanation.
        alpha: share of those, or of the others, that is masked.
        beta: the largest share of the text that is masked.
        n_samples: random subsets of each text.
        seed: of the subsets; they hang on it and on the text's tokens, not on the batch.

    Returns:
        "plus", (N,): mean p(y | x) - p(y | x without some of the best tokens), higher is better; "minus", (N,):
        without some of the others, lower is better.

    Source: after Zheng et al., ICLR 2025, arXiv 2410.02970 (FFid+ and FFid-), who count whether the prediction stays
    right in place of p(y | x). With ``alpha=1`` and ``beta=1``, "plus" is comprehensiveness and "minus" sufficiency,
    both by masking.

    Raises:
        ValueError: no explanations, no samples, or a share outside (0, 1].
    """
    require_judgeable(attributions, [top, alpha, beta], n_samples)
    best = [selected(a, top, CORRECTED) for a in attributions]
    fidelity = {}
    for name, keep in (("plus", False), ("minus", True)):
        drawn: list[list[Tensor]] = [[] for _ in range(n_samples)]
        for a, chosen in zip(attributions, best, strict=True):
            places = [place for (place,) in units(a, CORRECTED)]
            pool = [place for place in places if bool(chosen[place]) != keep]
            size = max(1, min(round(alpha * len(pool)), int(beta * len(places) + 1e-9))) if pool else 0
            generator = np.random.default_rng([seed, keep, *a.input_ids])
            for sample in drawn:
                sample.append(chosen_tokens(len(a), [generator.choice(pool, size, replace=False).tolist()]))
        read = _masked(model, attributions, drawn)  # (1 + n_samples, N)
        fidelity[name] = read[0] - read[1:].mean(0)
    return fidelity


def _masked(model: Any, attributions: Sequence[Attribution], gone: Sequence[Sequence[Tensor]]) -> Tensor:
    """(1 + M, N) p(y | x), or F: of the texts, and of the texts with M choices of tokens masked in place."""
    text_model: TextModel = as_text_model(model, None)
    row = replacement_row("mask", text_model)
    texts = [a.encoding for a in attributions]
    for choice in gone:
        texts += [erase(a, chosen, False, row, CORRECTED) for a, chosen in zip(attributions, choice, strict=True)]
    judged = judged_by(text_model, attributions, CORRECTED) * (1 + len(gone))
    read = values(text_model, texts, judged, CORRECTED).view(1 + len(gone), len(attributions))
    return in_units(text_model, attributions, read)
