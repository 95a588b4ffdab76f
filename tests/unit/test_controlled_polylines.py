"""The controlled rule along polylines: closed forms piece by piece, and DIG's and UDIG's paths through words."""

from dataclasses import replace

import pytest
import torch
from test_controlled import IDS, TEXTS, Turning, largest, made

import udig_lab as ul
from udig_lab.calls.call import call_of
from udig_lab.experiments.cell import Cell
from udig_lab.integrals import Polyline
from udig_lab.methods import METHODS
from udig_lab.methods.controlled import controlled
from udig_lab.problem import posed

METHODS_THROUGH_WORDS = ("udig", "dig")


def along(model, corners, **asked):
    """The rule on a path through corners (P, L, D), from zero to the input."""
    call = call_of(model, None, input_ids=IDS, special_ids=[], baseline="zero", target=0)
    asked = {"budget": 200, "name": "budget", "tolerance": 1.0} | asked
    with posed(call.model, call.encodings, **call.posing) as problem:
        return controlled(problem, lambda i: Polyline(lambda a, b: corners[a:b], len(corners), "controlled"), **asked)


def corners_of(model, count, seed=0):
    """(P, L, D): from zero to the input, on a way that every token goes in its own steps, some of them back."""
    end = model.embedding(torch.tensor(IDS)).detach()
    draw = torch.Generator().manual_seed(seed)
    way = torch.cumsum(torch.rand(count - 1, *end.shape, generator=draw) - 0.2, 0)
    return torch.cat([torch.zeros(1, *end.shape), way / way[-1:] * end])


@torch.no_grad()
def piecewise(model, corners):
    """(L,) the integral: piece by piece, a sigmoid is shared out as its direction goes there."""
    corners = corners.double()
    steps = corners.diff(dim=0)  # (P - 1, L, D)
    far = torch.einsum("mld,pld->pm", model.directions.double(), corners) / model.way.double()  # (P, M)
    rise = torch.sigmoid(model.sharpness * (far - model.places)).diff(dim=0) * model.heights  # (P - 1, M)
    share = torch.einsum("mld,pld->pml", model.directions.double(), steps) / model.way.double()[:, None]
    share = share / share.sum(2, keepdim=True)
    return (model.linear.double() * corners[-1]).sum(1) + torch.einsum("pm,pml->l", rise, share)


@pytest.mark.parametrize("sharpness", [30.0, 300.0])
@pytest.mark.parametrize("pieces", [2, 7, 31])
def test_a_sharp_turn_on_a_polyline_is_shared_out_right(pieces, sharpness):
    model = Turning(0, 2, sharpness)
    corners = corners_of(model, pieces + 1)
    found, expected = along(model, corners, tolerance=0.5), piecewise(model, corners)
    wrong = (found.scores[0] - expected).abs().max()
    assert wrong < 0.01 * max(1, abs(expected.sum()))
    assert found.evaluations[0] < 200  # it stopped by itself
    assert float(found.scores[0].sum()) == pytest.approx(float(expected.sum()), abs=1e-4)
    assert (expected - model.scores()).abs().max() > 0.05  # the path matters: this is not the straight line's


def test_errors_cover_what_is_wrong_when_gradients_run_out():
    inside, told = [], []
    for seed in range(12):
        model = Turning(seed, 4, 120.0)
        corners = corners_of(model, 9, seed)
        for budget in (12, 25, 50):
            found = along(model, corners, budget=budget)
            wrong = (found.scores[0] - piecewise(model, corners)).abs()
            inside += (wrong <= 2 * found.errors[0] + 1e-5).tolist()
            told.append(float(found.errors[0].max()))
            assert found.evaluations[0] <= budget
    assert sum(inside) / len(inside) > 0.85
    assert sum(told) / len(told) < 5  # errors are no idle words


class Product(torch.nn.Module):
    """F = 2 x_1 x_2 of two tokens of one dimension: on a straight piece, slopes are linear and the cubic is exact."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(3, 1)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.tensor([[0.0], [2.0], [3.0]]))

    def forward(self, ids):
        x = self.embedding(ids)[:, :, 0]  # (n, 2)
        value = 2 * x[:, 0] * x[:, 1]
        return torch.stack([value, 0 * value], dim=1)


def test_a_product_goes_to_the_token_that_moves_last():
    call = call_of(Product(), None, input_ids=[1, 2], special_ids=[], baseline="zero", target=0)
    corners = torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]])[..., None]  # first token 1, then token 2
    with posed(call.model, call.encodings, **call.posing) as problem:
        path = Polyline(lambda a, b: corners[a:b], 3, "controlled")
        found = controlled(problem, lambda i: path, budget=3, name="budget", tolerance=1.0)
    assert found.scores[0].tolist() == pytest.approx([0.0, 12.0], abs=1e-6)
    assert found.evaluations == [3]  # a corner is looked at once, for both of its pieces


def test_one_piece_is_the_straight_line():
    model = Turning(3, 3, 200.0)
    ends = torch.stack([torch.zeros(5, 3), model.embedding(torch.tensor(IDS)).detach()])
    for budget in (3, 10, 17, 60):
        found, a = along(model, ends, budget=budget), made(model, rule="controlled", n_steps=budget)
        assert found.evaluations == [a.evaluations]
        assert found.scores[0].tolist() == pytest.approx(a.scores)
        assert found.errors[0].tolist() == pytest.approx(a.errors)


def test_collinear_corners_change_nothing_but_where_nodes_are():
    model = Turning(1, 2, 60.0)
    end = model.embedding(torch.tensor(IDS)).detach()
    found = along(model, torch.linspace(0, 1, 6)[:, None, None] * end, tolerance=0.3)
    assert (found.scores[0] - model.scores()).abs().max() < 0.01 * max(1, abs(model.scores().sum()))


@pytest.mark.parametrize("settings", [{"budget": 31}, {"budget": 0}, {"tolerance": 0.0}])
def test_a_budget_below_a_panel_for_every_piece_is_refused(settings):
    model = Turning(0, 1, 30.0)
    with pytest.raises(ValueError, match=r"positive tolerance and budget >= 32 \(one panel for each of 31 pieces\)"):
        along(model, corners_of(model, 32), **settings)


@pytest.mark.parametrize("name", METHODS_THROUGH_WORDS)
@pytest.mark.parametrize("strategy", ["greedy", "maxcount"])
def test_through_words_it_agrees_with_many_nodes(lab, name, strategy):
    path = {"method": name, "n_steps": 4, "strategy": strategy}
    found = ul.explain(lab, TEXTS[:2], rule="controlled", **path)
    for a, b in zip(found, ul.explain(lab, TEXTS[:2], rule="trapezoid", factor=6, **path), strict=True):
        assert a.converged
        assert a.evaluations < b.evaluations / 5
        assert a.anchors == b.anchors
        allowed = max(1, abs(a.f_input - a.f_baseline)) * 0.01
        assert max(abs(p - q) for p, q in zip(a.scores, b.scores, strict=True)) <= allowed
        assert abs(a.delta) < 1e-4
        assert all(s == e == 0 for s, e, fixed in zip(a.scores, a.errors, a.special, strict=True) if fixed)


@pytest.mark.parametrize("name", METHODS_THROUGH_WORDS)
def test_a_batch_through_words_equals_a_loop(lab, name):
    settings = {"method": name, "rule": "controlled", "n_steps": 6, "max_evaluations": 30, "tolerance": 0.1}
    for found, text in zip(ul.explain(lab, TEXTS, **settings), TEXTS, strict=True):
        alone = ul.explain(lab, text, **settings)
        assert found.evaluations == alone.evaluations <= 30
        assert found.scores == pytest.approx(alone.scores, abs=1e-4)
        assert found.errors == pytest.approx(alone.errors, abs=1e-4)


def test_half_precision_through_words_reads_f_apart(lab):
    settings = {"method": "udig", "rule": "controlled", "n_steps": 6, "max_evaluations": 30}
    a, b = (ul.explain(lab, TEXTS[1], precision=p, **settings) for p in ("float32", "bfloat16"))
    assert (a.forwards, b.forwards) == (0, b.evaluations)
    assert abs(b.delta) < 1e-4
    assert b.scores == pytest.approx(a.scores, abs=0.05)


def test_what_has_not_converged_through_words_says_so_wherever_it_is_shown(lab):
    a = ul.explain(lab, TEXTS[2], method="udig", rule="controlled", max_evaluations=32, tolerance=1e-4)
    assert a.converged is False
    says = f"not converged: errors up to {max(a.errors):.2f} after 32 gradients"
    assert says in str(a)
    assert says in a._repr_html_()
    assert says in a.plot().alt
    assert not a.to_dataframe()["converged"].any()
    assert ul.Attribution.from_json(a.to_json()).remark == a.remark == says


@pytest.mark.parametrize("name", METHODS_THROUGH_WORDS)
def test_what_a_path_through_words_needs_is_said(lab, name):
    with pytest.raises(ValueError, match=r"max_evaluations >= 32 \(one panel for each of 31 pieces\), not 1.0 and 31"):
        ul.explain(lab, "dull", method=name, rule="controlled", max_evaluations=31)
    with pytest.raises(ValueError, match='nothing to trace; pass rule="left"'):
        ul.trace(lab, "dull", method=name, rule="controlled")


@pytest.mark.parametrize("name", METHODS_THROUGH_WORDS)
def test_the_published_sum_is_as_it_was_and_keys_of_its_rows_too(name):
    entry, cell = METHODS[name], Cell("sst2", name)
    assert entry.defaults["rule"] == "left"
    rule = replace(cell, settings={"rule": "controlled"})
    keys = [c.fingerprint("a", judged=True) for c in (cell, rule, replace(rule, settings={"tolerance": 5.0}))]
    assert len(set(keys)) == 3
    assert keys[0] == replace(cell, settings={"tolerance": 1.0, "max_evaluations": 500}).fingerprint("a", judged=True)


def test_largest_is_of_the_closed_form():
    model = Turning(0, 2, 30.0)
    straight = torch.stack([torch.zeros(5, 3), model.embedding(torch.tensor(IDS)).detach()])
    assert (piecewise(model, straight) - model.scores()).abs().max() < 1e-5
    assert largest(made(model, rule="controlled", n_steps=60), piecewise(model, straight)) < 0.02
