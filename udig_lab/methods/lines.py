"""Methods on straight lines: gradient times input, IG, and averages over random points of lines."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from udig_lab.integrals import Integral, LineIntegral, Polyline
from udig_lab.methods.adaptive import adaptive
from udig_lab.methods.controlled import controlled_passes
from udig_lab.methods.settings import at_least_one
from udig_lab.methods.solution import Passes, Paths
from udig_lab.model.baseline import Baseline, as_baseline
from udig_lab.paths import scattered, straight
from udig_lab.problem import Problem


def gradient_x_input(problem: Problem) -> Paths:
    """Gradient x input: one gradient at the input, times the way from the baseline.

    With ``baseline="zero"`` this is the classic product with the input itself. It is the first-order Taylor estimate
    of F(x) - F(x').

    Source: Shrikumar et al. 2016, arXiv 1605.01713; Baehrens et al. 2010.
    """

    def integral(i: int) -> LineIntegral:
        explicand, baseline = problem.ends(i)
        return LineIntegral(explicand[None], (explicand - baseline)[None])

    return Paths(integral)


def ig(problem: Problem, *, n_steps: int = 50, rule: str = "gauss_legendre", tolerance: float = 1.0) -> Paths | Passes:
    """Integrated Gradients: the straight line from the baseline to the input.

    Args:
        problem: texts and baseline.
        n_steps: nodes of the quadrature rule; with "adaptive" and "controlled", the most a text may use.
        rule: "gauss_legendre", "left", "right", "midpoint", "trapezoid"; "adaptive", which adds nodes until the text's
            Δ% is at most ``tolerance``; or "controlled", for large models: it corrects every panel by what F changes
            there, adds nodes until no score's error is estimated above ``tolerance``, and returns the errors.
        tolerance: in percent; for these two only.

    Source: Sundararajan, Taly & Yan, ICML 2017, eq. 1. The defaults are those of the runs in Enguehard, Findings of
    ACL 2023.
    """
    if rule == "adaptive":
        # How many nodes a text needs is known when it has them.
        done = cache(lambda: adaptive(problem, n_steps=n_steps, tolerance=tolerance))
        return Passes(lambda: {"scores": done()[0]}, lambda i: (done()[1][i], done()[2][i]))
    if rule == "controlled":

        def line(i: int) -> Polyline:
            explicand, baseline = problem.ends(i)
            ends = torch.stack([baseline, explicand])  # (2, L, D)
            return Polyline(lambda first, last: ends[first:last], 2, rule)

        return controlled_passes(problem, line, budget=n_steps, name="n_steps", tolerance=tolerance)
    return Paths(lambda i: straight(*problem.ends(i), n_steps=n_steps, rule=rule))


def gradient_shap(problem: Problem, *, n_samples: int = 5, stdev: float = 0.0, seed: int = 0) -> Paths:
    """GradientSHAP: random points of the straight line to the input, which may be blurred with noise.

    Args:
        problem: texts and baseline.
        n_samples: points.
        stdev: standard deviation of the noise added to the input, in embedding units.
        seed: of the draws; a text's draws depend on nothing but the seed and the text.

    Source: Lundberg & Lee, NeurIPS 2017, as in captum's GradientShap; the defaults are captum's, with which the
    published comparisons were run (Enguehard 2023).
    """
    _at_least_one(n_samples)
    if stdev < 0:
        raise ValueError(f"stdev={stdev} is no standard deviation; pass at least 0")

    def integral(i: int) -> Integral:
        explicand, baseline = problem.ends(i)
        generator = _generator(problem, i, seed)
        nodes = torch.rand(n_samples, generator=generator).to(explicand)
        if not stdev:
            return scattered(explicand, baseline[None], nodes)
        drawn, moving = _drawn(generator, explicand.shape), problem.explained(i)[:, None]

        def noise(first: int, last: int) -> Tensor:
            return (stdev * drawn(first, last)).to(explicand) * moving

        return scattered(explicand, baseline[None], nodes, noise)

    return Paths(integral)


def expected_gradients(
    problem: Problem,
    *,
    baselines: Sequence[str | int | Tensor] = ("pad", "mask", "unk", "mean"),
    n_samples: int = 200,
    seed: int = 0,
) -> Paths:
    """Expected gradients: IG averaged over several baselines, each point on a random place of a random line.

    The problem's own baseline is not used; F(x') is the mean over ``baselines``.

    Args:
        problem: texts.
        baselines: anything ``explain`` takes as a baseline, at least one.
        n_samples: points; every baseline gets its share of them (as many each, up to one).
        seed: of the draws; a text's draws depend on nothing but the seed and the text.

    Source: Erion et al., Nature Machine Intelligence 2021, arXiv 1906.10670; 200 samples as in its text experiments'
    default.
    """
    _at_least_one(n_samples)
    if not baselines:
        raise ValueError("expected_gradients needs at least one baseline; pass baselines=('pad', 'mask')")
    chosen: list[Baseline] = [as_baseline(b, problem.model) for b in baselines]

    def integral(i: int) -> Integral:
        explicand = problem.explicand(i)
        nodes = torch.rand(n_samples, generator=_generator(problem, i, seed)).to(explicand)
        starts = torch.stack([b.embeddings(problem.encodings[i], problem.model.table) for b in chosen])  # (R, L, D)
        return replace(scattered(explicand, starts, nodes), baselines=starts)

    return Paths(integral, baseline=f"{len(chosen)} baselines")


def _generator(problem: Problem, i: int, seed: int) -> torch.Generator:
    """Random numbers of a text: the same in any batch and any order."""
    # Torch reads 32 bits of a seed, so seed and text are mixed before.
    return torch.Generator().manual_seed(zlib.crc32(problem.encodings[i].input_ids.numpy().tobytes(), seed))


def _drawn(generator: torch.Generator, shape: Sequence[int]) -> Callable[[int, int], Tensor]:
    """Normal numbers (last - first, *shape) of points ``first`` to ``last``: the same in whatever blocks."""
    states = {0: generator.get_state()}  # the generator before the first point, and after the newest

    def draw(first: int, last: int) -> Tensor:
        known = max(k for k in states if k <= first)
        generator.set_state(states[known])
        for _ in range(known, first):
            torch.randn(shape, generator=generator)
        rows = torch.stack([torch.randn(shape, generator=generator) for _ in range(first, last)])
        begin = states[0]
        states.clear()
        states.update({0: begin, last: generator.get_state()})
        return rows

    return draw


def _at_least_one(n_samples: int) -> None:
    at_least_one(n_samples)
