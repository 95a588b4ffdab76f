"""How much any explanation could reach: the best tokens to take out or to keep, searched with the model in hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.faithfulness.erasure import (
    Judged,
    chosen_tokens,
    erase,
    how_many,
    in_units,
    is_probability,
    judged_by,
    replacement_row,
    require_judgeable,
    units,
    values,
)
from udig_lab.faithfulness.metrics import usual_replacement
from udig_lab.model.protocol import Protocol, as_protocol
from udig_lab.model.textmodel import TextModel, as_text_model

METRICS = ("comprehensiveness", "sufficiency", "log_odds")


def oracle(
    model: Any,
    attributions: Sequence[Attribution],
    *,
    metric: str = "comprehensiveness",
    tops: Sequence[float] = (0.2,),
    replacement: str | int | None = None,
    protocol: str | Protocol = "corrected",
    width: int = 3,
    shortlist: int = 16,
) -> Tensor:
    """What a metric would be if the best tokens were known: a beam search over sets of tokens.

    The search grows a set token by token (word by word under "eraser"), reads the model for every set it considers,
    and carries the best ``width`` on. A set may only grow by one of the ``shortlist`` tokens that did best alone, so
    that long texts stay affordable. What it finds is attained, so the true optimum is at least as good.

    >>> import udig_lab as ul
    >>> from udig_lab.faithfulness.metrics import comprehensiveness
    >>> model = ul.load("sst2")
    >>> explained = ul.explain(model, ["a gorgeous , witty movie"], method="random")
    >>> bool(oracle(model, explained)[0] >= comprehensiveness(model, explained) - 1e-6)
    True

    Args:
        model: the explained model.
        attributions: N explanations; only their texts and targets are used, not their scores.
        metric: one of ``METRICS``.
        tops: shares of the tokens, in any order.
        replacement: as for the metric of that name.
        protocol: as for the metric.
        width: sets that are carried on.
        shortlist: tokens that may join a set.

    Returns:
        (len(tops), N) values of the metric.

    Source: this project; Zhou & Shah, Findings of EACL 2023, arXiv 2205.08696, solve the same metrics by beam search.

    Raises:
        ValueError: an unknown metric, protocol or replacement, a share outside (0, 1], a width or shortlist below 1,
            or no attributions.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    if width < 1 or shortlist < 1:
        raise ValueError(f"the search needs width and shortlist of at least 1, not {width} and {shortlist}")
    require_judgeable(attributions, tops)
    text_model, protocol = as_text_model(model, None), as_protocol(protocol)
    if metric == "log_odds" and replacement is None:
        replacement = "mask"
    row = replacement_row(usual_replacement(text_model, replacement), text_model)
    keep = metric == "sufficiency"
    if metric == "log_odds" and not is_probability(text_model, attributions):
        raise ValueError("there are no log-odds of something without a probability; search for comprehensiveness")
    judged = judged_by(text_model, attributions, protocol)
    before = values(text_model, [a.encoding for a in attributions], judged, protocol)  # (N,)
    best = torch.empty(len(tops), len(attributions))
    for i, (attribution, own) in enumerate(zip(attributions, judged, strict=True)):
        search = _Search(text_model, attribution, own, keep, row, protocol)
        best[:, i] = search.run([how_many(top, len(search.units), protocol) for top in tops], width, shortlist)
    if metric == "log_odds":
        return best - before
    return in_units(text_model, attributions, before) - in_units(text_model, attributions, best)


class _Search:
    """Beam search over the sets of one text's units."""

    def __init__(
        self,
        model: TextModel,
        attribution: Attribution,
        judged: Judged,
        keep: bool,
        row: int | None,
        protocol: Protocol,
    ):
        self.units = units(attribution, protocol)
        self._model, self._attribution, self._judged = model, attribution, judged
        self._keep, self._row, self._protocol = keep, row, protocol

    def run(self, sizes: Sequence[int], width: int, shortlist: int) -> Tensor:
        """(len(sizes),) log p, or F, of the best set of every size."""
        sets: list[frozenset[int]] = [frozenset()]
        order = list(range(len(self.units)))
        best = {0: float(self._values(sets)[0])} if 0 in sizes else {}
        for size in range(1, max(sizes) + 1):  # a set grows from the one before it
            # One shortlist for all sizes: those in a set already make room for the next.
            allowed = order if size == 1 else order[: shortlist + size - 1]
            grown = list(dict.fromkeys(s | {u} for s in sets for u in allowed if u not in s))
            reached = self._values(grown)
            ranked = reached.argsort(descending=self._keep, stable=True).tolist()
            sets = [grown[r] for r in ranked[:width]]
            best[size] = float(reached[ranked[0]])
            if size == 1:
                order = [next(iter(grown[r])) for r in ranked]
        return torch.tensor([best[size] for size in sizes])

    def _values(self, sets: Sequence[frozenset[int]]) -> Tensor:
        a = self._attribution
        texts = []
        for chosen in sets:
            tokens = chosen_tokens(len(a), [self.units[u] for u in chosen])
            texts.append(erase(a, tokens, self._keep, self._row, self._protocol))
        return values(self._model, texts, [self._judged] * len(texts), self._protocol)
