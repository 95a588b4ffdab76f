"""Closed forms on linear and quadratic F, and independence of how points are packed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udig_lab.engine import integrate
from udig_lab.model.batching import Budget
from udig_lab.paths import LineIntegral, polyline, straight

WIDTH = 4


def ends(seed, lengths):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, n, WIDTH, generator=generator, dtype=torch.float64) for n in lengths]


def scores(f, pairs, build, **keywords):
    parts = integrate(f, lambda i: build(*pairs[i]), [len(p[0]) for p in pairs], collect="points", **keywords)
    return [part.sum(0) for part in parts]


def linear(points, mask, owners):
    slope = torch.arange(1, WIDTH + 1, dtype=points.dtype)
    return (points @ slope * mask).sum(1)


def quadratic(points, mask, owners):
    return (points.square().sum(-1) * mask).sum(1)


def coupled(points, mask, owners):
    """Depends on the explicand and on all tokens at once."""
    return torch.tanh((points.sum(-1) * mask).sum(1)) * (owners + 1)


@given(seed=st.integers(0, 2**31), rule=st.sampled_from(["left", "right", "midpoint", "trapezoid", "gauss_legendre"]))
@settings(deadline=None, max_examples=30)
def test_linear_functions_are_explained_exactly_by_every_rule(seed, rule):
    pairs = ends(seed, [3, 5])
    found = scores(linear, pairs, lambda b, x: straight(x, b, n_steps=3, rule=rule))
    for (b, x), s in zip(pairs, found, strict=True):
        torch.testing.assert_close(s, (x - b) @ torch.arange(1.0, WIDTH + 1, dtype=torch.float64))


@given(seed=st.integers(0, 2**31), rule=st.sampled_from(["midpoint", "trapezoid", "gauss_legendre"]))
@settings(deadline=None, max_examples=30)
def test_quadratic_functions_are_explained_exactly_by_second_order_rules(seed, rule):
    pairs = ends(seed, [4])
    (found,) = scores(quadratic, pairs, lambda b, x: straight(x, b, n_steps=3, rule=rule))
    b, x = pairs[0]
    torch.testing.assert_close(found, (x.square() - b.square()).sum(-1))


def test_left_rule_on_a_quadratic_function_has_its_known_error():
    """With n equal steps the left sum of 2p misses |x - x'|² / n."""
    b, x = ends(0, [4])[0]
    (found,) = scores(quadratic, [(b, x)], lambda b, x: straight(x, b, n_steps=8, rule="left"))
    torch.testing.assert_close((x.square() - b.square()).sum() - found.sum(), (x - b).square().sum() / 8)


@pytest.mark.parametrize(
    "keywords", [{"budget": Budget(1)}, {"budget": Budget(13)}, {"budget": Budget(rows=3)}, {"mixed": False}, {}]
)
def test_packing_changes_nothing(keywords):
    pairs = ends(1, [2, 7, 3, 7, 1])

    def build(b, x):
        return straight(x, b, n_steps=6, rule="gauss_legendre")

    together = scores(coupled, pairs, build, **keywords)
    for i, pair in enumerate(pairs):
        alone = integrate(lambda p, m, o, i=i: coupled(p, m, o + i), lambda _, pair=pair: build(*pair), [len(pair[0])])
        torch.testing.assert_close(together[i], alone[0])


def test_integrals_are_built_once_longest_first():
    pairs, built = ends(2, [2, 9, 4]), []

    def build(i):
        built.append(i)
        return polyline(pairs[i], rule="left")

    integrate(linear, build, [2, 9, 4], budget=Budget(5))
    assert built == [1, 2, 0]


def test_shape_is_points_by_tokens():
    (part,) = integrate(
        linear, lambda i: LineIntegral(torch.zeros(7, 3, WIDTH), torch.ones(7, 3, WIDTH)), [3], collect="points"
    )
    assert part.shape == (7, 3)


def test_gradients_that_are_not_numbers_are_reported():
    def broken(points, mask, owners):
        return points.sum((1, 2)) * torch.nan

    with pytest.raises(ValueError, match="gradient for text 0 is not finite"):
        scores(broken, ends(3, [2]), lambda b, x: straight(x, b, n_steps=2, rule="left"))
