"""Soft comprehensiveness and sufficiency: every token loses a part of its embedding, by its score.

The numbers of a token's embedding are kept or set to zero independently, with one probability for the token: for
sufficiency the larger its score the more is kept, for comprehensiveness the less. Nothing is cut at a share of the
tokens, so that the sizes of the scores count and not only their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.faithfulness.erasure import in_units, judged_by, require_judgeable, values
from udig_lab.model.protocol import CORRECTED
from udig_lab.model.textmodel import as_text_model


def retained(scores: Tensor, retain: float) -> Tensor:
    """Probabilities of being kept that rise with the scores and have a given mean.

    Scores are brought to [0, 1] (the smallest to 0, the largest to 1; equal ones to 1/2), then shifted together, and
    cut at 0 and 1, until their mean is ``retain``. Multiplying the scores by a positive number, or adding one, changes
    nothing.

    >>> retained(torch.tensor([0.0, 1.0, 4.0]), 0.75).tolist()
    [0.5, 0.75, 1.0]

    Args:
        scores: (n,).
        retain: in (0, 1).

    Returns:
        (n,) float64.
    """
    scores = scores.double()
    span = float(scores.max() - scores.min())
    unit = (scores - scores.min()) / span if span > 0 else torch.full_like(scores, 0.5)
    # The mean is piecewise linear in the shift, with corners where a probability reaches 0 or 1.
    corners = torch.cat([-unit, 1 - unit]).sort().values  # (2 n,)
    means = (unit + corners[:, None]).clamp(0, 1).mean(1)  # (2 n,), rising from 0 to 1
    after = int(torch.searchsorted(means, retain).clamp(1, len(means) - 1))
    low, high = means[after - 1], means[after]
    part = (retain - low) / (high - low) if high > low else torch.zeros_like(low)
    shift = corners[after - 1] + part * (corners[after] - corners[after - 1])
    return (unit + shift).clamp(0, 1)


def soft(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    retain: float = 0.5,
    n_samples: int = 20,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Soft comprehensiveness and soft sufficiency, with as much of every text retained for every method.

    >>> import udig_lab as ul
    >>> model = ul.load("sst2")
    >>> explained = ul.explain(model, ["a gorgeous , witty movie", "dull and far too long"], method="sig")
    >>> {name: tuple(values.shape) for name, values in soft(model, explained, n_samples=4).items()}
    {'comprehensiveness': (2,), 'sufficiency': (2,)}

    Args:
        model: the explained model.
        attributions: N explanations of it.
        retain: the mean probability of being kept over the tokens of a text that are not special (those are kept).
        n_samples: random masks of each text.
        seed: of the masks; they hang on it and on the text's tokens, not on the batch.

    Returns:
        "comprehensiveness", (N,): mean p(y | x) - p(y | x with the tokens of large scores faded), higher is better;
        "sufficiency", (N,): with those of small scores faded, lower is better.

    Source: Zhao & Aletras, ACL 2023, arXiv 2305.10496 (the soft criterion; they cut differences at 0 and divide by
    that of an empty text, which is left out here as for the other metrics). Huang & Chan 2026, arXiv 2601.03089: at
    the same expected retention, else methods with larger scores keep more of the text. The shift that brings the
    probabilities there (``retained``) is this project's.

    Raises:
        ValueError: no explanations, no samples, or ``retain`` outside (0, 1).
    """
    require_judgeable(attributions, [1.0], n_samples)
    if not 0 < retain < 1:
        raise ValueError(f"retain={retain} is no part of a text; pass a number between 0 and 1, such as 0.5")
    text_model = as_text_model(model, None)
    n, table = len(attributions), text_model.table
    kept = [(_kept(a, -1, retain), _kept(a, 1, retain)) for a in attributions]

    def points(r: int) -> Tensor:
        """Text r % n: as it is, then its masks for comprehensiveness, then those for sufficiency."""
        kind, i = divmod(r, n)
        embeddings = attributions[i].encoding.embeddings(table)  # (L, D)
        if kind == 0:
            return embeddings
        sample, keep = divmod(kind - 1, 2)
        draws = np.random.default_rng([seed, sample, *attributions[i].input_ids]).random(embeddings.shape)
        stays = torch.from_numpy(draws) < kept[i][keep][:, None]  # (L, D); the same numbers for both metrics
        return embeddings * stays.to(embeddings)

    texts = [a.encoding for a in attributions] * (1 + 2 * n_samples)
    judged = judged_by(text_model, attributions, CORRECTED) * (1 + 2 * n_samples)
    read = in_units(text_model, attributions, values(text_model, texts, judged, CORRECTED, points).view(-1, n))
    without, only = read[1:].view(n_samples, 2, n).mean(0)
    return {"comprehensiveness": read[0] - without, "sufficiency": read[0] - only}


def _kept(attribution: Attribution, sign: int, retain: float) -> Tensor:
    """(L,) float64, the probability with which the numbers of each token are kept; special tokens are."""
    words = ~torch.tensor(attribution.special)
    kept = torch.ones(len(words), dtype=torch.float64)
    kept[words] = retained(sign * torch.tensor(attribution.scores)[words], retain)
    return kept
