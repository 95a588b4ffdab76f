"""The erasure explorer: the model's probability as a text loses the words that a method scores highest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import udig_lab as ul
from explorers.common import WAYS, Json, Lab, rounded
from udig_lab.attribution import Attribution
from udig_lab.faithfulness.bounds import oracle
from udig_lab.faithfulness.erasure import Judged, chosen_tokens, erase, replacement_row, units, values
from udig_lab.model.protocol import CORRECTED
from udig_lab.model.textmodel import TextModel

TEXTS = ("sst2-002", "sst2-009", "sst2-008", "sst2-030", "sst2-010", "sst2-014", "sst2-015", "sst2-070")
METHODS = ("ig", "udig", "sig", "gradient_x_input", "random")
REPLACEMENTS = ("delete", "mask")
DRAWS = 24  # random orders


def build(lab: Lab) -> Json:
    """p(y | x without the k best tokens) for every k, by method, at random, and for the best tokens there are."""
    texts = []
    for name in TEXTS:
        text = lab.rows[name]["text"]
        found = {way: lab.explain(text, way, "mask") for way in METHODS}
        drawn = [ul.explain(lab.model, text, method="random", seed=seed) for seed in range(1, DRAWS + 1)]
        any_ = found["ig"]
        texts.append(
            {
                "text": text,
                "target": any_.target_name,
                "pieces": spaced(any_),
                "orders": {way: ranked_units(a) for way, a in found.items()},
                "p": {r: erased(lab.model, found, drawn, r) for r in REPLACEMENTS},
            }
        )
    return {
        "texts": texts,
        "methods": {way: WAYS[way].title for way in METHODS},
        "draws": DRAWS,
        "table": _erasure_table(texts[0]),
    }


def spaced(a: Attribution) -> list[str]:
    """Pieces of a text, a space before each that begins a word."""
    places = [i for i, fixed in enumerate(a.special) if not fixed]
    last = [None, *(a.word_ids[i] for i in places)]
    return [(" " if a.word_ids[i] != w else "") + a.pieces[i].strip() for i, w in zip(places, last, strict=False)]


def ranked_units(a: Attribution) -> list[int]:
    """Units of a text, best first, as ``metrics.selected`` takes them."""
    groups = units(a, CORRECTED)
    scores = torch.tensor([sum(a.scores[i] for i in group) for group in groups])
    return scores.topk(len(groups)).indices.tolist()


def erased(model: TextModel, found: dict[str, Attribution], drawn: Sequence[Attribution], replacement: str) -> Json:
    every = curves(model, [*found.values(), *drawn], replacement)  # (methods + draws, n + 1)
    any_ = found["ig"]
    n = every.shape[1] - 1
    tops = [k / n for k in range(1, n + 1)]
    drop = oracle(model, [any_], metric="comprehensiveness", tops=tops, replacement=replacement)[:, 0].double()
    random = every[len(found) :]
    low, high = random.quantile(torch.tensor([0.1, 0.9], dtype=torch.float64), dim=0)
    best = torch.cat([every[0, :1], every[0, 0] - drop])
    return {
        **{way: rounded(curve) for way, curve in zip(found, every.tolist(), strict=False)},
        "oracle": rounded(best.tolist()),
        "mean": rounded(random.mean(0).tolist()),
        "low": rounded(low.tolist()),
        "high": rounded(high.tolist()),
    }


def curves(model: TextModel, attributions: Sequence[Attribution], replacement: str) -> Tensor:
    """(A, n + 1) probabilities without the k best units, k = 0 … n, of explanations of one text."""
    row = replacement_row(replacement, model)
    groups = units(attributions[0], CORRECTED)
    changed = []
    for a in attributions:
        ranked = ranked_units(a)
        for k in range(len(groups) + 1):
            chosen = chosen_tokens(len(a), [groups[u] for u in ranked[:k]])
            changed.append(erase(a, chosen, False, row, CORRECTED))
    judged = Judged(attributions[0].target, attributions[0].output)
    log_p = values(model, changed, [judged] * len(changed), CORRECTED)
    return log_p.double().exp().view(len(attributions), -1)


def _erasure_table(text: Json) -> Json:
    p = text["p"]["delete"]
    some = range(min(7, len(text["pieces"]) + 1))
    names = {way: WAYS[way].title for way in METHODS if way != "random"}
    names |= {"mean": f"Random, mean of {DRAWS}", "oracle": "Oracle"}
    return {
        "caption": f"“{text['text']}”: probability of “{text['target']}” after the k best tokens are deleted.",
        "head": ["Order", *(f"k = {k}" for k in some)],
        "rows": [[title, *(f"{p[way][k]:.3f}" for k in some)] for way, title in names.items()],
    }
