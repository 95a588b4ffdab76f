"""Faithfulness of scores: what happens to the prediction when the best tokens go, or when only they stay.

All metrics compare p(y | x), the probability of what was explained, with its value on a changed input, and return one
number a text. Of a span model, y is the answer's start, end or both, whichever was explained; of a language model, the
whole continuation, whose own tokens stay where they are. Where a head has no probability (a regression, or the
contrast of two classes), F takes its place, and there are no log-odds. Texts with segments that moved as one lose
whole segments.
Definitions: DeYoung et al. 2020 (comprehensiveness, sufficiency, AOPC), Shrikumar et al. 2017 (log-odds); as used by
Sanyal & Ren 2021, whose code sets the protocol "as_published".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.faithfulness.erasure import (
    DELETE,
    KEEP_POSITIONS,
    Erasure,
    erase,
    in_units,
    is_probability,
    judged_by,
    replacement_row,
    require_judgeable,
    selected,
    values,
)
from udig_lab.faithfulness.familiarity import in_distribution, masked_at_random
from udig_lab.faithfulness.masking import area_against_random, f_fidelity, masking_curve
from udig_lab.faithfulness.soft import soft
from udig_lab.model.baseline import special_row
from udig_lab.model.protocol import Protocol, as_protocol
from udig_lab.model.textmodel import as_text_model

__all__ = [
    "aopc",
    "area_against_random",
    "comprehensiveness",
    "evaluate",
    "f_fidelity",
    "in_distribution",
    "log_odds",
    "masked_at_random",
    "masking_curve",
    "measure",
    "selected",
    "soft",
    "sufficiency",
]

_BEST = 0.2  # the share that the papers report


def log_odds(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    top: float = _BEST,
    replacement: str | int | None = None,
    protocol: str | Protocol = "corrected",
) -> Tensor:
    """Log p(y | x with the best tokens replaced) - log p(y | x); lower is better.

    Args:
        model: the explained model, as for ``explain``.
        attributions: N explanations of it.
        top: share of tokens that are replaced.
        replacement: "mask", "pad", or any token or token id: length and positions stay. "delete" takes them out. None
            is the mask; where there is none, as in most decoders, padding or the end of a text.
        protocol: "corrected", "as_published" or "eraser".

    Returns:
        (N,) in nats.

    Raises:
        ValueError: a share outside (0, 1], an unknown protocol or replacement, or no attributions.
    """
    _, log_p = _read(model, attributions, [Erasure(top, False, replacement)], protocol)
    if log_p is None:
        raise ValueError(
            "these explanations are of something without a probability (a regression, or a contrast), so there are no "
            "log-odds; judge them by comprehensiveness and sufficiency, which are then in units of F"
        )
    return log_p[1] - log_p[0]


def comprehensiveness(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    top: float = _BEST,
    replacement: str | int | None = None,
    protocol: str | Protocol = "corrected",
) -> Tensor:
    """p(y | x) - p(y | x without the best tokens); higher is better. Arguments as for ``log_odds``; returns (N,).

    The best tokens are deleted; of a span model's text, which must keep its positions, they are masked.

    >>> import udig_lab as ul
    >>> model = ul.load("sst2")
    >>> explained = ul.explain(model, ["a gorgeous , witty movie"], method="sig")
    >>> bool(comprehensiveness(model, explained, top=0.5)[0] > 0)  # without its best words it is less likely
    True
    """
    erasure = Erasure(top, False, usual_replacement(model, replacement))
    read, _ = _read(model, attributions, [erasure], protocol)
    return read[0] - read[1]


def sufficiency(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    top: float = _BEST,
    replacement: str | int | None = None,
    protocol: str | Protocol = "corrected",
) -> Tensor:
    """p(y | x) - p(y | only the best tokens of x); lower is better. Arguments as for ``comprehensiveness``.

    "corrected" keeps the special tokens as well; "as_published" drops them unless they are among the best, and
    counts texts with k = 0 as 0.
    """
    erasure = Erasure(top, True, usual_replacement(model, replacement))
    read, _ = _read(model, attributions, [erasure], protocol)
    return read[0] - read[1]


def aopc(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    tops: Sequence[float] | None = None,
    replacement: str | int | None = None,
    protocol: str | Protocol = "corrected",
) -> dict[str, Tensor]:
    """Area over the perturbation curve: the means of comprehensiveness and of sufficiency over several shares.

    ``tops`` are 5, 10, 20 and 50 % where none are given; under "eraser" also 1 %. The share 0 does not count, as in
    ERASER's code. Other arguments as before.

    Source: DeYoung et al., ACL 2020, arXiv 1911.03429, §5.1.

    Returns:
        "comprehensiveness" and "sufficiency", (N,) each.
    """
    usual = usual_replacement(model, replacement)
    tops = as_protocol(protocol).shares if tops is None else tops
    erasures = [Erasure(top, keep, usual) for keep in (False, True) for top in tops]
    read, _ = _read(model, attributions, erasures, protocol)
    drops = read[0] - read[1:]  # (2 S, N)
    return {"comprehensiveness": drops[: len(tops)].mean(0), "sufficiency": drops[len(tops) :].mean(0)}


def evaluate(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    top: float = _BEST,
    replacement: str | int | None = None,
    protocol: str | Protocol = "corrected",
) -> dict[str, Tensor]:
    """The three metrics as the papers report them, each (N,); ``replacement`` is that of log-odds.

    >>> import udig_lab as ul
    >>> model = ul.load("sst2")
    >>> explained = ul.explain(model, ["a gorgeous , witty movie", "dull and far too long"], method="sig")
    >>> {name: tuple(values.shape) for name, values in evaluate(model, explained, top=0.5).items()}
    {'log_odds': (2,), 'comprehensiveness': (2,), 'sufficiency': (2,)}
    """
    usual = usual_replacement(model, None)
    erasures = [Erasure(top, False, replacement), Erasure(top, False, usual), Erasure(top, True, usual)]
    (before, _, without, only), log_p = _read(model, attributions, erasures, protocol)
    log_odds = {} if log_p is None else {"log_odds": log_p[1] - log_p[0]}
    return log_odds | {"comprehensiveness": before - without, "sufficiency": before - only}


def measure(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    protocol: str | Protocol = "corrected",
) -> pd.DataFrame:
    """Every metric at once, for every share of the protocol: what recorded runs hold.

    Returns:
        one row a text. ``comprehensiveness_20`` deletes the best 20 %, ``comprehensiveness_mask_20`` masks them (a
        span model's text is masked in both), and so on for sufficiency and for "pad"; ``log_odds_mask_20``,
        ``log_odds_pad_20``, where the model has these tokens; ``aopc_comprehensiveness`` and ``aopc_sufficiency`` are
        means over the shares.
    """
    usual, tops = usual_replacement(model, None), as_protocol(protocol).shares
    columns = {("", top, keep): Erasure(top, keep, usual) for keep in (False, True) for top in tops}
    for token in ("mask", "pad"):
        if special_row(token, as_text_model(model, None)) is None:
            continue
        columns |= {(f"_{token}", _BEST, keep): Erasure(_BEST, keep, token) for keep in (False, True)}
    different = list(dict.fromkeys(columns.values()))  # what a span model's text shares is read once
    read, log_p = _read(model, attributions, different, protocol)
    place = {erasure: row for row, erasure in enumerate(different, 1)}
    measured: dict[str, Tensor] = {}
    for (token, top, keep), erasure in columns.items():
        name = f"{'sufficiency' if keep else 'comprehensiveness'}{token}_{round(100 * top):02d}"
        measured[name] = read[0] - read[place[erasure]]
        if token and not keep and log_p is not None:
            measured[f"log_odds{token}_{round(100 * top):02d}"] = log_p[place[erasure]] - log_p[0]
    for name in ("comprehensiveness", "sufficiency"):
        measured[f"aopc_{name}"] = torch.stack([measured[f"{name}_{round(100 * top):02d}"] for top in tops]).mean(0)
    return pd.DataFrame({name: values.float().numpy() for name, values in measured.items()})


def usual_replacement(model: Any, replacement: str | int | None) -> str | int:
    """Deletion, where the positions of the answer allow it."""
    if replacement is not None:
        return replacement
    return "mask" if as_text_model(model, None).task in KEEP_POSITIONS else DELETE


def _read(
    model: Any, attributions: Sequence[Attribution], erasures: Sequence[Erasure], protocol: str | Protocol
) -> tuple[Tensor, Tensor | None]:
    """P(y) before and after every erasure, (1 + E, N), and its logarithm; F, and None, where it has no probability."""
    require_judgeable(attributions, [e.share for e in erasures])
    text_model, protocol = as_text_model(model, None), as_protocol(protocol)
    chosen = {top: [selected(a, top, protocol) for a in attributions] for top in {e.share for e in erasures}}
    texts = [a.encoding for a in attributions]
    for e in erasures:
        row = replacement_row(e.replacement, text_model)
        texts += [erase(a, c, e.keep, row, protocol) for a, c in zip(attributions, chosen[e.share], strict=True)]
    judged = judged_by(text_model, attributions, protocol) * (1 + len(erasures))
    read = values(text_model, texts, judged, protocol).view(1 + len(erasures), len(attributions))
    return in_units(text_model, attributions, read), read if is_probability(text_model, attributions) else None
