"""Rules: exactness, order, and what their weights sum to."""

import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from udig_lab.quadrature import POLYLINE_RULES, SEGMENT_RULES, polyline_rule, segment_rule

# Highest degree of polynomials each rule integrates exactly with n nodes.
EXACT = {"left": lambda n: 0, "right": lambda n: 0, "midpoint": lambda n: 1, "trapezoid": lambda n: 1}


@pytest.mark.parametrize("rule", SEGMENT_RULES)
@pytest.mark.parametrize("n", [2, 3, 8, 50])
def test_segment_rules_integrate_polynomials_of_their_degree(rule, n):
    nodes, weights = segment_rule(rule, n)
    degree = EXACT.get(rule, lambda n: 2 * n - 1)(n)
    for power in range(min(degree, 12) + 1):
        assert float((weights * nodes**power).sum()) == pytest.approx(1 / (power + 1), abs=1e-12)
    assert float((weights * nodes ** (degree + 1)).sum()) != pytest.approx(1 / (degree + 2), abs=1e-18) or n > 8


@pytest.mark.parametrize("n", [101, 400])
def test_many_gauss_legendre_nodes_are_numpys(n):
    nodes, weights = segment_rule("gauss_legendre", n)
    expected, shares = np.polynomial.legendre.leggauss(n)
    np.testing.assert_allclose(2 * nodes - 1, expected, atol=1e-15)
    np.testing.assert_allclose(2 * weights, shares, rtol=1e-8)  # numpy is less exact near both ends


def test_many_gauss_legendre_nodes_take_memory_in_proportion():
    """A matrix of 5,000 x 5,000 numbers would be 200 MB; numpy says here what it holds."""
    tracemalloc.start()
    nodes, weights = segment_rule("gauss_legendre", 5_000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000 * 8 * 100
    assert float(weights.sum()) == pytest.approx(1, abs=1e-10)
    assert float((weights * nodes**9).sum()) == pytest.approx(0.1, abs=1e-10)


@pytest.mark.parametrize(("rule", "order"), [("left", 1), ("right", 1), ("midpoint", 2), ("trapezoid", 2)])
def test_segment_rules_converge_at_their_order(rule, order):
    def error(n):
        nodes, weights = segment_rule(rule, n)
        return abs(float((weights * nodes.exp()).sum()) - (math.e - 1))

    assert math.log2(error(64) / error(128)) == pytest.approx(order, abs=0.1)


@given(st.integers(2, 9), st.sampled_from(POLYLINE_RULES), st.integers(0, 2**31))
def test_polyline_weights_sum_to_the_displacement(corners, rule, seed):
    vertices = torch.randn(corners, 3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    points, weights = polyline_rule(rule, vertices)
    assert points.shape == weights.shape
    torch.testing.assert_close(weights.sum(0), vertices[-1] - vertices[0])


@pytest.mark.parametrize("rule", ["midpoint", "trapezoid"])
def test_polyline_rules_are_exact_for_quadratic_functions(rule):
    """F = |p|² has the gradient 2p, linear along each piece: second-order rules make no error."""
    vertices = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points, weights = polyline_rule(rule, vertices)
    change = vertices[-1].square().sum() - vertices[0].square().sum()
    torch.testing.assert_close((2 * points * weights).sum(), change)


def test_left_rule_is_not_exact_for_quadratic_functions():
    vertices = torch.tensor([[0.0], [1.0]])
    points, weights = polyline_rule("left", vertices)
    assert float((2 * points * weights).sum()) == 0.0  # where the change is 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: segment_rule("simpson", 4), "unknown rule 'simpson'; choose one of gauss_legendre"),
        (lambda: segment_rule("trapezoid", 1), "needs n_steps >= 2, not 1"),
        (lambda: segment_rule("left", 0), "needs n_steps >= 1, not 0"),
        (lambda: polyline_rule("gauss_legendre", torch.zeros(3, 2)), "unknown rule 'gauss_legendre' for a polyline"),
    ],
)
def test_bad_rules_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
