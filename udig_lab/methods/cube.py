"""Owen's integral over the share of tokens that are present: its two ends, and samples of what lies between."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from udig_lab.methods.coalitions import n_players, read_anew, reading, spread, values
from udig_lab.methods.settings import at_least_one
from udig_lab.methods.solution import Passes
from udig_lab.problem import Problem
from udig_lab.quadrature import segment_rule


def both_ends(problem: Problem, *, equal_surplus: bool = False) -> Passes:
    """Both ends: the mean of what a token takes away when it leaves the text, and brings when it comes alone.

    score_i = ½ [F(x) - F(x without i)] + ½ [F(x' with i) - F(x')]: Owen's integral by the trapezoid rule with two
    nodes, 2 T forward passes for T tokens. The first half is SIG. For redundant tokens it is blind, as the others
    stay; for tokens that act together the second half is. For two tokens the mean is the Shapley value, for three it
    is with equal surplus.

    Args:
        problem: texts and baseline.
        equal_surplus: whether what is missing to F(x) - F(x') is shared out equally, which makes the scores complete
            and changes no ranking, but pays tokens that do nothing.

    Source: the integral is Owen 1972, Management Science 18(5). The ends with equal surplus are two values of
    cooperative games, ENSC (Moulin 1985, Journal of Economic Theory 36) and CIS (Driessen & Funaki 1991, OR Spektrum
    13). Their mix, with tokens that do nothing kept at zero, is ESENSC_rev2 (Hiraki et al. 2026, arXiv 2603.00496).
    """

    def find() -> dict[str, Any]:
        coalitions = [_ends(n_players(problem, i)) for i in range(len(problem))]
        all_scores = []
        for i, f in enumerate(values(problem, coalitions)):
            t = len(f) // 2
            f_input, f_baseline = (v[i].cpu().double() for v in (problem.at_input, problem.at_baseline))
            gone, alone = f_input - f[:t], f[t:] - f_baseline
            scores = (gone + alone).movedim(0, -1) / 2  # (T,), or (C, T)
            if equal_surplus and t:
                missing = f_input - f_baseline - scores.sum(-1)
                scores = scores + missing[..., None] / t
            all_scores.append(spread(problem, i, scores))
        return {"scores": all_scores}

    part = reading(problem, lambda: _ends(n_players(problem, 0)))
    return Passes(find, lambda i: (0, read_anew(_ends(n_players(problem, i))) + 2), part)


def _ends(t: int) -> Tensor:
    """(2 T, T): all but one token, then one token alone."""
    one = torch.eye(t, dtype=torch.bool)
    return torch.cat([~one, one])


def owen(
    problem: Problem,
    *,
    rule: str = "gauss_legendre",
    n_steps: int = 2,
    n_samples: int = 1,
    paired: bool = True,
    seed: int = 0,
) -> Passes:
    """Owen sampling: the Shapley value as an integral over t, the probability with which a token is present.

    φ_i = ∫ E[F(S_t with i) - F(S_t without i)] dt. A rule takes nodes in t; at a node coalitions S_t are drawn, and
    each gives the effect of every token for T + 1 forward passes. At t = 0 and 1 there is nothing to draw. Where
    coalitions are paired, the one at 1 - t is the complement of that at t (for rules whose nodes lie symmetrically).

    Args:
        problem: texts and baseline.
        rule: "gauss_legendre", "left", "right" (t = 1 alone with one node: SIG), "midpoint" or "trapezoid" (with two
            nodes: both ends).
        n_steps: nodes in t.
        n_samples: coalitions at a node between 0 and 1.
        paired: whether coalitions are complements of each other.
        seed: of the draws; a text's draws depend on nothing but the seed and its number of tokens.

    Source: Owen 1972, Management Science 18(5); as a sampler Okhrati & Lipani 2021, arXiv 2010.12082.

    Raises:
        ValueError: no samples, an unknown rule, or too few nodes.
    """
    at_least_one(n_samples)
    nodes, weights = segment_rule(rule, n_steps)

    def find() -> dict[str, Any]:
        drawn = [_drawn(n_players(problem, i), nodes, n_samples, paired, seed) for i in range(len(problem))]
        counts = torch.tensor(_counts(nodes, n_samples))
        shares = (weights / counts).repeat_interleave(counts)  # (S,)
        all_scores = []
        for i, f in enumerate(values(problem, [_flipped(d) for d in drawn], again=True)):
            present = drawn[i]  # (S, T)
            s, t = present.shape
            f = f.view(s, t + 1, *f.shape[1:])
            change = f[:, :1] - f[:, 1:]  # (S, T) or (S, T, C): with the token as it is, less with it turned
            sign = torch.where(present, 1.0, -1.0).double()
            effects = (change.movedim(1, -1) * sign.view(s, *[1] * (change.ndim - 2), t)).movedim(0, -1)  # (…, T, S)
            all_scores.append(spread(problem, i, effects @ shares))
        return {"scores": all_scores}

    def cost(i: int) -> tuple[int, int]:
        return 0, sum(_counts(nodes, n_samples)) * (n_players(problem, i) + 1) + 2

    return Passes(find, cost)


def _counts(nodes: Tensor, n_samples: int) -> list[int]:
    """Coalitions at every node: where t is 0 or 1 there is only one."""
    return [1 if t in (0.0, 1.0) else n_samples for t in nodes.tolist()]


def _drawn(t: int, nodes: Tensor, n_samples: int, paired: bool, seed: int) -> Tensor:
    """(S, T) coalitions of all nodes, one node after the other."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + t)
    parts: list[Tensor] = []
    for k, (node, count) in enumerate(zip(nodes.tolist(), _counts(nodes, n_samples), strict=True)):
        partner = len(nodes) - 1 - k
        if paired and partner < k and abs(nodes[partner] + node - 1) < 1e-9:
            parts.append(~parts[partner])
        else:
            parts.append(torch.rand(count, t, generator=generator, dtype=torch.float64) < node)
    return torch.cat(parts)


def _flipped(present: Tensor) -> Tensor:
    """(S (T + 1), T): every coalition, and with each of its tokens turned."""
    s, t = present.shape
    one = torch.cat([torch.zeros(1, t, dtype=torch.bool), torch.eye(t, dtype=torch.bool)])
    return (present[:, None] ^ one).view(s * (t + 1), t)


def permutations(problem: Problem, *, n_samples: int = 2, antithetic: bool = True, seed: int = 0) -> Passes:
    """Shapley values by permutations: a token's mean effect when tokens enter in random orders.

    Each order is a path along the edges of the cube between x' and x, so its scores sum to F(x) - F(x') exactly, and
    so do their means. An order and its reverse give a token once early and once late, which cancels much of the
    noise. The spread over the orders is the standard error of each score.

    Args:
        problem: texts and baseline.
        n_samples: orders; with ``antithetic`` each is followed by its reverse as well.
        antithetic: whether reverses are taken too.
        seed: of the orders; a text's orders depend on nothing but the seed and its number of tokens.

    Source: Castro, Gomez & Tejada 2009, Computers & Operations Research 36(5); reverses: Mitchell et al. 2022, arXiv
    2104.12199. For explanations first Štrumbelj & Kononenko 2010, JMLR 11.

    Raises:
        ValueError: no samples.
    """
    at_least_one(n_samples)

    def find() -> dict[str, Any]:
        orders = [_orders(n_players(problem, i), n_samples, antithetic, seed) for i in range(len(problem))]
        all_scores, errors = [], []
        for i, f in enumerate(values(problem, [_entering(o) for o in orders])):
            r, t = orders[i].shape
            f = f.view(r, t + 1, *f.shape[1:]).movedim(1, -1)  # (R, T + 1), or (R, C, T + 1)
            step = f.diff(dim=-1)
            places = orders[i].view(r, *[1] * (f.ndim - 2), t).expand(step.shape)
            effects = torch.zeros_like(step).scatter(-1, places, step)
            all_scores.append(spread(problem, i, effects.mean(0)))
            errors.append(spread(problem, i, _error(effects, antithetic)))
        return {"scores": all_scores, "errors": errors}

    def cost(i: int) -> tuple[int, int]:
        return 0, read_anew(_entering(_orders(n_players(problem, i), n_samples, antithetic, seed))) + 2

    return Passes(find, cost)


def _orders(t: int, n_samples: int, antithetic: bool, seed: int) -> Tensor:
    """(R, T) orders in which T tokens enter; reverses stand after all the others."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + t)
    drawn = torch.stack([torch.randperm(t, generator=generator) for _ in range(n_samples)])
    return torch.cat([drawn, drawn.flip(1)]) if antithetic else drawn


def _entering(orders: Tensor) -> Tensor:
    """(R (T + 1), T): who has entered after 0, 1, …, T steps of every order."""
    r, t = orders.shape
    rank = orders.argsort(1)  # of every token
    return (rank[:, None] < torch.arange(t + 1)[None, :, None]).view(r * (t + 1), t)


def _error(effects: Tensor, antithetic: bool) -> Tensor:
    """Standard error of the mean over orders (R, …); an order and its reverse are one draw."""
    if antithetic:
        effects = (effects[: len(effects) // 2] + effects[len(effects) // 2 :]) / 2
    if len(effects) < 2:
        return torch.full_like(effects[0], float("nan"))
    error: Tensor = effects.std(0, correction=1) / len(effects) ** 0.5
    return error
