"""KernelSHAP and LIME: a linear model that stands for F on sentences with holes, fitted by captum."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from udig_lab.methods.coalitions import n_players, players, spread
from udig_lab.methods.removal import DRAWS, captum_attr
from udig_lab.methods.settings import at_least_one
from udig_lab.methods.solution import Passes
from udig_lab.problem import Problem


def kernel_shap(problem: Problem, *, n_samples: int = 200, seed: int = 0) -> Passes:
    """KernelSHAP: Shapley values as the weights of a linear model, fitted to F of drawn coalitions.

    The sizes of the coalitions are drawn so that the regression needs no weights; x and x' weigh so much that the
    scores are complete, but for rounding. Fewer coalitions than tokens leave the fit undetermined.

    Args:
        problem: texts and baseline.
        n_samples: coalitions, x and x' among them.
        seed: of the draws.

    Source: Lundberg & Lee, NeurIPS 2017, arXiv 1705.07874; computed by captum, on scikit-learn.

    Raises:
        ValueError: no samples.
        ImportError: captum or scikit-learn is not installed.
    """
    captum = captum_attr("kernel_shap")
    return _fitted(problem, captum.KernelShap, n_samples, seed)


def lime(problem: Problem, *, n_samples: int = 200, seed: int = 0) -> Passes:
    """LIME: the weights of a sparse linear model, fitted to F of coalitions in which half of the tokens are present.

    Captum's defaults: a lasso with α = 0.01, coalitions weighed by the cosine between their embeddings and the text's
    with a kernel of width 1. α is in units of F: where F hardly moves, every score is zero. They sum to nothing in
    particular.

    Args:
        problem: texts and baseline.
        n_samples: coalitions.
        seed: of the draws.

    Source: Ribeiro, Singh & Guestrin, KDD 2016, arXiv 1602.04938; computed by captum, on scikit-learn.

    Raises:
        ValueError: no samples.
        ImportError: captum or scikit-learn is not installed.
    """
    captum = captum_attr("lime")
    return _fitted(problem, captum.Lime, n_samples, seed)


def _fitted(problem: Problem, method: Callable[..., Any], n_samples: int, seed: int) -> Passes:
    """Captum takes one text at a time. Only the tokens that move are shown to it, those of a player as one feature."""
    at_least_one(n_samples)

    def find() -> dict[str, Any]:
        return {"scores": [scores(i) for i in range(len(problem))]}

    def scores(i: int) -> Tensor:
        explicand, baseline = problem.ends(i)
        owners = players(problem.encodings[i], problem.by).to(explicand.device)
        here = (owners >= 0).nonzero()[:, 0]
        t, size = n_players(problem, i), explicand.shape[1]
        if t < 2:  # no coalition but x and x'
            alone = (problem.at_input[i] - problem.at_baseline[i]).cpu().double()
            return spread(problem, i, alone.expand(t))

        def value(points: Tensor) -> Tensor:  # (S, moving tokens, D)
            whole = baseline.repeat(len(points), 1, 1)
            whole[:, here] = points
            return problem.values(lambda r: whole[r], [i] * len(points))

        with DRAWS, torch.random.fork_rng(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a fit that is not determined: the docstring says so
            torch.manual_seed(seed)
            attributed = method(value).attribute(
                explicand[here][None],
                baselines=baseline[here][None],
                feature_mask=owners[here][None, :, None].repeat(1, 1, size),
                n_samples=n_samples,
                perturbations_per_eval=min(n_samples, problem.budget.fits(len(explicand))),
                return_input_shape=False,
            )
        return spread(problem, i, attributed[0].cpu().double())

    return Passes(find, lambda i: (0, (n_samples if n_players(problem, i) > 1 else 0) + 2))
