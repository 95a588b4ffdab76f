"""Word approximation error: how far the points of a path are from words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.methods import method
from udig_lab.model.heads import ONE_CLASS
from udig_lab.model.protocol import CORRECTED
from udig_lab.model.target import CONTRAST
from udig_lab.model.textmodel import as_text_model
from udig_lab.problem import posed

# On these paths a token's points depend on the token and the baseline alone.
TOKENWISE = ("ig", "dig", "udig")


def word_approximation_error(
    model: Any, attributions: Sequence[Attribution], *, known: dict[tuple[Any, ...], float] | None = None
) -> Tensor:
    """Mean distance of a path's points to the nearest row of the embedding table, tokens and points alike.

    All points count the same, whatever their weights. So the number depends on the rule as well as on the path: the
    nodes of IG's default rule crowd near both ends, which are words, and have a smaller error than evenly spaced ones.
    Beside DIG and UDIG, explain by IG with ``rule="left"`` and as many points.

    >>> import udig_lab as ul
    >>> model = ul.load("sst2")
    >>> ends = ul.explain(model, ["gorgeous"], rule="trapezoid", n_steps=2)  # both are words
    >>> between = ul.explain(model, ["gorgeous"], rule="midpoint", n_steps=2)
    >>> bool(word_approximation_error(model, ends) < word_approximation_error(model, between))
    True

    Args:
        model: the explained model.
        attributions: N explanations by one method of ``TOKENWISE``; their paths are built again.
        known: errors of tokens found so far with this model, kept between calls; a data set repeats its words.

    Returns:
        (N,) Euclidean distances, special tokens left out.

    Source: Sanyal & Ren 2021 (arXiv 2108.13654), §4; ``eval_wae`` of its code.

    Raises:
        ValueError: a method whose paths are not of this kind, settings that follow no path, or a baseline that the
            explanation does not name (a tensor, or a token id).
    """
    text_model = as_text_model(model, None)
    known = {} if known is None else known
    errors = torch.zeros(len(attributions))
    for number, a in enumerate(attributions):
        if a.method not in TOKENWISE:
            raise ValueError(f"{a.method} moves tokens together; the error is defined for {', '.join(TOKENWISE)}")
        if a.baseline == "tensor" or a.baseline.isdigit():
            raise ValueError(
                f"an explanation from baseline {a.baseline!r} does not say which row that was; "
                "explain from a token by its name, such as 'mask'"
            )
        made_by = (a.method, a.baseline, *sorted(map(str, a.settings.items())))
        places = [i for i, fixed in enumerate(a.special) if not fixed]
        new = {a.input_ids[i]: i for i in places if (*made_by, a.input_ids[i]) not in known}
        if new:
            distances = _distances(text_model, a, list(new.values()))
            known.update({(*made_by, row): float(d) for row, d in zip(new, distances, strict=True)})
        errors[number] = sum(known[*made_by, a.input_ids[i]] for i in places) / len(places)
    return errors


def _distances(model: Any, attribution: Attribution, places: Sequence[int]) -> Tensor:
    """(len(places),) mean distance along the paths of some tokens."""
    a = attribution
    # Where a path leads does not depend on what is read there: of a contrast of two, one will do.
    target = a.target
    if isinstance(target, tuple) and a.output == CONTRAST and model.task not in ONE_CLASS:
        target = target[0]
    posing: dict[str, Any] = {"baseline": a.baseline, "target": [target], "at": a.at, "protocol": CORRECTED}
    with posed(model, [a.encoding], **posing) as problem:
        integral = method(a.method).paths(a.method, problem, a.settings).integral(0)
    points = integral.points[:, list(places)].transpose(0, 1)  # (T, K, D)
    flat: Tensor = points.flatten(0, 1)  # (T K, D)
    nearest = model.table[model.vocabulary.nearest(flat, 1)[:, 0]]
    distances: Tensor = (flat - nearest).norm(dim=-1)
    return distances.view(len(places), -1).mean(1)
