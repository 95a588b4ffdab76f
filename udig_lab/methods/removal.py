"""Methods that replace tokens by the baseline and look at F: SIG in closed form, Shapley value sampling."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from udig_lab.integrals import OneAtATime
from udig_lab.methods.coalitions import n_players, players, reading, spread, values
from udig_lab.methods.settings import at_least_one
from udig_lab.methods.solution import Passes, Paths
from udig_lab.paths import segments
from udig_lab.problem import Problem

EXACT = "exact"
DRAWS = threading.Lock()  # captum draws from the one generator that all threads share


def sig(problem: Problem, *, rule: str = EXACT, n_steps: int = 50) -> Paths | Passes:
    """Sequential IG: each token walks alone from its baseline to the input, the rest of the sentence in place.

    By the gradient theorem the integral over the one moving token, summed over its dimensions, is
    F(x) - F(x with that token at its baseline), whatever the path: L forward passes and no gradient. That is the
    default; a quadrature rule gives the same up to its error. The paper divides the scores by their norm, which
    changes no ranking; here they stay in units of F.

    Args:
        problem: texts and baseline.
        rule: "exact" for the closed form, or a rule of ``quadrature.SEGMENT_RULES``.
        n_steps: nodes a token; for the rules only.

    Source: Enguehard, Findings of ACL 2023, arXiv 2305.15853, eq. 5; 50 Gauss-Legendre nodes in its code.
    """
    if rule == EXACT:
        return _left_out(problem)
    problem.require_tokens(f"sig by the rule {rule!r}")

    def integral(i: int) -> OneAtATime:
        tokens = problem.explained(i).nonzero()[:, 0]
        return segments(*problem.ends(i), tokens, n_steps=n_steps, rule=rule)

    return Paths(integral)


def _left_out(problem: Problem) -> Passes:
    """F(x) - F(x with token i at its baseline) for every token that moves."""

    def find() -> dict[str, Any]:
        others = [_one_gone(n_players(problem, i)) for i in range(len(problem))]
        at_input = problem.at_input.cpu().double()
        left_out = values(problem, others, again=True)
        return {"scores": [spread(problem, i, (at_input[i] - f).movedim(0, -1)) for i, f in enumerate(left_out)]}

    part = reading(problem, lambda: _one_gone(n_players(problem, 0)))
    return Passes(find, lambda i: (0, n_players(problem, i) + 1), part)  # F(x) among them


def _one_gone(t: int) -> Tensor:
    """(T, T): all players but one."""
    return ~torch.eye(t, dtype=torch.bool)


def shapley_sampling(problem: Problem, *, n_samples: int = 25, seed: int = 0) -> Passes:
    """Shapley values by sampling: a token's mean effect when tokens enter the baseline in random orders.

    Args:
        problem: texts and baseline.
        n_samples: orders.
        seed: of the draws.

    Source: Castro, Gomez & Tejada 2009; Strumbelj & Kononenko 2010; computed by captum, whose default is 25 orders.

    Raises:
        ValueError: no samples.
        ImportError: captum is not installed.
    """
    at_least_one(n_samples)
    captum = captum_attr("shapley_sampling")

    def find() -> dict[str, Any]:
        return {"scores": [scores(i, n_samples) for i in range(len(problem))]}  # captum takes one text at a time

    def scores(i: int, orders: int) -> Tensor:
        explicand, baseline = problem.ends(i)
        owners = players(problem.encodings[i], problem.by).to(explicand.device)
        # One feature for each player; tokens that do not move share one.
        features = (owners + 1)[None, :, None].repeat(1, 1, explicand.shape[1])

        def value(points: Tensor) -> Tensor:
            return problem.values(lambda r: points[r], [i] * len(points))

        with DRAWS, torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            attributed = captum.ShapleyValueSampling(value).attribute(
                explicand[None],
                baselines=baseline[None],
                feature_mask=features,
                n_samples=orders,
                perturbations_per_eval=problem.budget.fits(len(explicand)),
            )
        value_of = attributed[0, :, 0].double()  # (L,): a feature's value is repeated over its tokens and dimensions
        first = [owners.tolist().index(p) for p in range(n_players(problem, i))]
        return spread(problem, i, value_of[first].cpu())

    def forwards(i: int, orders: int) -> int:
        return orders * (n_players(problem, i) + 1) + 1

    def one_order() -> int:
        scores(0, 1)
        return forwards(0, 1)

    return Passes(find, lambda i: (0, forwards(i, n_samples)), one_order)


def captum_attr(method: str) -> Any:
    """The module ``captum.attr``.

    Raises:
        ImportError: captum is not installed.
    """
    try:
        import captum.attr
    except ImportError as error:
        raise ImportError(
            f"{method} is computed by captum, which is not installed; run: pip install captum scikit-learn"
        ) from error
    return captum.attr
