"""The integration meter: slopes of F along the straight line, for readers to add up."""

from __future__ import annotations

from typing import Any

import torch
from numpy.polynomial import Chebyshev
from torch import Tensor

from explorers.common import BASELINES, Json, Lab, rounded
from udig_lab.model.protocol import CORRECTED
from udig_lab.model.textmodel import TextModel
from udig_lab.paths import LineIntegral
from udig_lab.problem import posed
from udig_lab.quadrature import segment_rule

TEXTS = ("a gorgeous , witty , seductive movie .", "the acting is wooden but the ending moved me", "sst2-070")
STEPS = 64
DEGREE = 160  # 127 is already as exact as a float32 gradient; 63 is not
RULES = ("left", "right", "midpoint", "trapezoid", "gauss_legendre")


def build(lab: Lab) -> Json:
    """The slope of F along the straight line at every node that a rule with up to ``STEPS`` nodes asks for.

    Left, right and trapezoid rule share their nodes j / n, which are kept once as ``uniform``. The page multiplies
    slopes by weights and adds up; that is all that Integrated Gradients is.
    """
    needed = {
        "uniform": [torch.arange(n + 1, dtype=torch.float64) / n for n in range(1, STEPS + 1)],
        "midpoint": [segment_rule("midpoint", n)[0] for n in range(1, STEPS + 1)],
        "gauss_legendre": [segment_rule("gauss_legendre", n)[0] for n in range(1, STEPS + 1)],
    }
    cases = []
    for text in TEXTS:
        text = lab.rows[text]["text"] if text in lab.rows else text
        for baseline in BASELINES:
            cases.append(slopes(lab.model, text, baseline, needed))
    gauss = [segment_rule("gauss_legendre", n) for n in range(1, STEPS + 1)]
    return {
        "cases": cases,
        "gauss": {
            "nodes": [rounded(nodes.tolist(), 5) for nodes, _ in gauss],
            "weights": [rounded(weights.tolist(), 6) for _, weights in gauss],
        },
        "table": _meter_table(cases[0]),
    }


def slopes(model: TextModel, text: str, baseline: str, needed: dict[str, list[Tensor]]) -> Json:
    """Slopes dF / dt at the nodes, by the engine: the gradient at a point, times the whole way x - x'.

    The thousands of nodes are read from the Chebyshev series through ``DEGREE`` + 1 of them: the slope is a smooth
    function of t alone, and the series' last terms show that no more are needed.
    """
    encodings, _ = model.encode(text)
    with posed(model, encodings, baseline=baseline, protocol=CORRECTED) as problem:
        explicand, start = problem.ends(0)
        way = explicand - start  # (L, D)

        def slope(nodes: Any) -> Any:  # (K,) to (K,)
            points = start + torch.as_tensor(nodes).to(way)[:, None, None] * way  # (K, L, D)
            integral = LineIntegral(points, way.expand(len(nodes), -1, -1))
            (parts,) = problem.integrate(lambda _: integral, "points")  # (K, L)
            return parts.double().sum(1).numpy()

        series = Chebyshev.interpolate(slope, DEGREE, domain=[0, 1])
    assert abs(series.coef[-8:]).max() < 1e-4, "the slope of F has more detail than the series shows"
    asked = torch.cat([nodes for lists in needed.values() for nodes in lists])
    values = torch.as_tensor(series(asked.numpy()))
    sizes = [len(n) for lists in needed.values() for n in lists]
    pieces = iter(values.split(sizes))  # type: ignore[no-untyped-call]
    return {
        "text": text,
        "baseline": baseline,
        "target": problem.target.names[0],
        "start": round(float(problem.at_baseline[0]), 5),
        "end": round(float(problem.at_input[0]), 5),
        "slopes": {kind: [rounded(next(pieces).tolist()) for _ in lists] for kind, lists in needed.items()},
    }


def sums(case: Json, rule: str, n: int) -> list[float]:
    """What each of n nodes adds to the sum: slope times weight. The page does the same in JavaScript."""
    if rule in ("left", "right"):
        found = case["slopes"]["uniform"][n - 1][1 if rule == "right" else 0 :][:n]
    elif rule == "trapezoid":
        found = case["slopes"]["uniform"][n - 2]
    else:
        found = case["slopes"][rule][n - 1]
    return [s * w for s, w in zip(found, segment_rule(rule, n)[1].tolist(), strict=True)]


def _meter_table(case: Json) -> Json:
    goal = case["end"] - case["start"]
    some = (2, 4, 8, 16, 32, 64)
    rows = [
        [rule.replace("gauss_legendre", "Gauss–Legendre"), *(f"{sum(sums(case, rule, n)) - goal:+.3f}" for n in some)]
        for rule in RULES
    ]
    return {
        "caption": "The gap: the sum of n steps, each times the slope where its rule takes it, "
        f"minus F(x) − F(x′), here {goal:.3f}. "
        f"The sentence is “{case['text']}”, the baseline [{case['baseline'].upper()}].",
        "head": ["Rule", *(f"n = {n}" for n in some)],
        "rows": rows,
    }
