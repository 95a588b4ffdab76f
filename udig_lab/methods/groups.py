"""IDG: how important is a group of words? Directional gradients over a family of groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from udig_lab.integrals import Integral
from udig_lab.methods.solution import Passes
from udig_lab.methods.trees import Group, spans
from udig_lab.paths import straight
from udig_lab.problem import Problem


def idg(
    problem: Problem,
    *,
    tree: Any = None,
    n_steps: int = 250,
    rule: str = "gauss_legendre",
    dimensions: bool = True,
) -> Passes:
    """Integrated Directional Gradients: IG's gradients in the direction of whole groups, shared out over a tree.

    IDG(S) integrates the gradient in the direction of z_S = x - x' on the tokens of S and zero elsewhere, so
    IDG(S) = (sum of IG over S) / |z_S|. A group's dividend is its share of all |IDG|; its value adds the dividends of
    all groups inside it, so that values lie between 0 and 1 and grow with the group. A token's score is its value
    with the sign of its IDG; ``delta`` belongs to the IG beneath.

    Args:
        problem: texts and baseline.
        tree: the groups. A bracketed parse, nested lists of words, or None: the whole text, its clauses between
            punctuation marks, and every two or three neighbouring words of a clause. For several texts a list with
            one tree each.
        n_steps: nodes of the quadrature rule.
        rule: as for ``ig``, without "adaptive".
        dimensions: count every single embedding dimension as a group too, as the paper does.

    Source: Sikdar, Bhattacharya & Heese, ACL 2021, pp. 865-878; 250 nodes in its code.

    Raises:
        ValueError: a tree whose words are not the text's.
    """
    problem.require_tokens("idg")

    def integral(i: int) -> Integral:
        return straight(*problem.ends(i), n_steps=n_steps, rule=rule)

    def find() -> dict[str, Any]:
        trees = [tree] if len(problem) == 1 else [None] * len(problem) if tree is None else list(tree)
        if len(trees) != len(problem):
            raise ValueError(f"{len(trees)} trees were given for {len(problem)} texts; pass one for each")
        families = [spans(t, e) for t, e in zip(trees, problem.encodings, strict=True)]
        groups, scores, totals = [], [], []
        for i, attribution in enumerate(problem.integrate(integral, collect="dimensions")):  # (L, D)
            explicand, baseline = problem.ends(i)
            scored = shared_out(attribution, (explicand - baseline).double(), families[i], dimensions=dimensions)
            groups.append(scored)
            scores.append(_token_scores(scored, problem.explained(i)))
            totals.append(float(attribution.sum()))
        return {"scores": scores, "totals": totals, "groups": groups}

    return Passes(find, lambda i: (len(integral(i)), 0))


def directional(attribution: Tensor, difference: Tensor, start: int, end: int) -> float:
    """IDG of the tokens from ``start`` to ``end``: attribution (L, D) summed over them, divided by |z_S|.

    Zero for a group that does not differ from its baseline.
    """
    length = float(difference[start:end].norm())
    return float(attribution[start:end].sum()) / length if length else 0.0


def shared_out(
    attribution: Tensor, difference: Tensor, family: Sequence[tuple[int, int, str]], *, dimensions: bool
) -> tuple[Group, ...]:
    """Dividends and values of a family of groups.

    Args:
        attribution: (L, D) integrated gradients, not yet summed over dimensions.
        difference: (L, D) x - x'.
        family: (start, end, label) of every group.
        dimensions: count single dimensions as groups.
    """
    idg = [directional(attribution, difference, start, end) for start, end, _ in family]
    # A single dimension's direction is its sign: |IDG| is the absolute mean gradient.
    single = (attribution / difference.abs()).nan_to_num(posinf=0, neginf=0).abs()  # (L, D)
    single = single.sum(1) if dimensions else single.new_zeros(len(single))  # (L,)
    total = sum(abs(value) for value in idg) + float(single.sum())
    share = 1 / total if total else 0.0
    scored = []
    for (start, end, label), own in zip(family, idg, strict=True):
        inside = sum(
            abs(value) for (a, b, _), value in zip(family, idg, strict=True) if start <= a and b <= end
        )  # its own included
        value = (inside + float(single[start:end].sum())) * share
        scored.append(Group(start, end, label, own, abs(own) * share, value))
    return tuple(scored)


def _token_scores(groups: Sequence[Group], explained: Tensor) -> Tensor:
    """(L,) the value of every token with the sign of its IDG."""
    scores = torch.zeros(len(explained), dtype=torch.float64, device=explained.device)
    for group in groups:
        if group.label == "token":
            scores[group.start] = group.value if group.idg >= 0 else -group.value
    return scores
