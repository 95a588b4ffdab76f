"""The controlled rule: against closed forms that turn sharply, and what it says where it has not converged."""

import math

import pytest
import torch
from torch import nn

import udig_lab as ul

IDS = [1, 2, 3, 4, 5]
TEXTS = ["dull", "a gorgeous , witty , seductive movie .", "the ending moved me more than i care to admit"]


class Turning(nn.Module):
    """Embeddings -> F = a linear function + sigmoids that switch, each along a direction of its own."""

    def __init__(self, seed, turns, sharpness):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.embedding = nn.Embedding(6, 3)
        self.linear = torch.randn(5, 3, generator=draw) / 4
        self.directions = torch.rand(turns, 5, 3, generator=draw) - 0.2
        self.heights = 4 * torch.randn(turns, generator=draw)
        self.places = 0.1 + 0.8 * torch.rand(turns, generator=draw)  # t at which each switches
        self.sharpness = sharpness
        with torch.no_grad():
            self.embedding.weight.copy_(torch.rand(6, 3, generator=draw) + 0.2)
            self.embedding.weight[0] = 0
            self.way = torch.einsum("mld,ld->m", self.directions, self.embedding(torch.tensor(IDS)))  # (M,)

    def forward(self, ids):
        x = self.embedding(ids)  # (n, L, D)
        along = torch.einsum("mld,nld->nm", self.directions, x) / self.way
        turned = torch.sigmoid(self.sharpness * (along - self.places))
        value = (x * self.linear).sum((1, 2)) + (turned * self.heights).sum(1)
        return torch.stack([value, torch.zeros_like(value)], dim=1)

    @torch.no_grad()
    def scores(self):
        """(L,) Integrated Gradients from the zero baseline: along a line, every sigmoid is shared out by direction."""
        x = self.embedding.weight[IDS].double()
        ends = self.sharpness * (torch.tensor([[1.0], [0.0]]).double() - self.places)
        rise = torch.sigmoid(ends).diff(dim=0)[0].neg() * self.heights
        shares = torch.einsum("mld,ld->ml", self.directions.double(), x) / self.way.double()[:, None]
        return (self.linear * x).sum(1) + (rise[:, None] * shares).sum(0)


def made(model, **settings):
    return ul.explain(model, input_ids=IDS, special_ids=[], baseline="zero", target=0, **settings)


def largest(a, expected):
    return float((torch.tensor(a.scores) - expected).abs().max())


@pytest.mark.parametrize("sharpness", [30.0, 300.0, 3000.0])
def test_one_sharp_turn_is_shared_out_right_however_narrow(sharpness):
    model = Turning(0, 1, sharpness)
    a = made(model, rule="controlled", n_steps=60)
    scale = max(1, abs(a.f_input - a.f_baseline))
    assert largest(a, model.scores()) < 0.01 * scale
    assert a.converged
    assert a.evaluations <= 60
    assert abs(model.scores()).max() > 0.1 * scale
    if sharpness > 1000:  # as many nodes of the plain rule see nothing of the turn, or far too much
        assert largest(made(model, n_steps=60), model.scores()) > 0.1 * scale


def test_errors_cover_what_is_wrong():
    inside, nearly, narrow = [], [], 0
    for seed in range(24):
        model = Turning(seed, 4, 120.0)
        for n_steps in (20, 35, 60):
            a = made(model, rule="controlled", n_steps=n_steps)
            wrong = (torch.tensor(a.scores) - model.scores()).abs()
            inside += (wrong <= torch.tensor(a.errors)).tolist()
            nearly += (wrong <= 2 * torch.tensor(a.errors)).tolist()
            narrow += max(a.errors) < 0.5 * sum(map(abs, a.scores))
    assert sum(inside) / len(inside) > 0.85
    assert sum(nearly) / len(nearly) > 0.9
    assert narrow > 36  # errors are no idle words: most are below the half of what they belong to


def test_more_gradients_bring_it_to_the_closed_form():
    model = Turning(3, 6, 400.0)
    a = made(model, rule="controlled", n_steps=1000, tolerance=0.5)
    assert a.converged
    assert largest(a, model.scores()) < 0.005 * max(1, abs(a.f_input - a.f_baseline))


def test_every_budget_sums_to_what_f_changes():
    model = Turning(1, 5, 200.0)
    for n_steps in (3, 10, 18, 40):
        a = made(model, rule="controlled", n_steps=n_steps)
        assert a.evaluations <= n_steps
        assert abs(a.delta) < 1e-5 * max(1, abs(a.f_input))


@pytest.mark.parametrize("tolerance", [1.0, 0.2])
def test_on_the_lab_model_it_agrees_with_many_nodes(lab, tolerance):
    found = ul.explain(lab, TEXTS, rule="controlled", n_steps=200, tolerance=tolerance)
    for a, b in zip(found, ul.explain(lab, TEXTS, n_steps=256), strict=True):
        allowed = max(1, abs(a.f_input - a.f_baseline)) * tolerance / 100
        assert a.converged
        assert max(abs(p - q) for p, q in zip(a.scores, b.scores, strict=True)) <= allowed
        assert all(e == 0 for e, special in zip(a.errors, a.special, strict=True) if special)


def test_a_batch_equals_a_loop(lab):
    settings = {"rule": "controlled", "n_steps": 40, "tolerance": 0.1}
    for found, text in zip(ul.explain(lab, TEXTS, **settings), TEXTS, strict=True):
        alone = ul.explain(lab, text, **settings)
        assert found.evaluations == alone.evaluations
        assert found.scores == pytest.approx(alone.scores, abs=1e-4)
        assert found.errors == pytest.approx(alone.errors, abs=1e-4)


def test_half_precision_reads_f_apart(lab):
    a, b = (ul.explain(lab, TEXTS[1], rule="controlled", n_steps=40, precision=p) for p in ("float32", "bfloat16"))
    assert (a.forwards, b.forwards) == (0, b.evaluations)
    assert abs(b.delta) < 1e-4
    assert b.scores == pytest.approx(a.scores, abs=0.05)


def test_what_has_not_converged_says_so_wherever_it_is_shown():
    a = made(Turning(2, 6, 300.0), rule="controlled", n_steps=17)
    assert a.converged is False
    says = f"not converged: errors up to {max(a.errors):.2f} after 17 gradients"
    assert says in str(a)
    assert says in a._repr_html_()
    assert says in a.plot().alt
    table = a.to_dataframe()
    assert not table["converged"].any()
    assert table["error"].tolist() == pytest.approx(a.errors)
    again = ul.Attribution.from_json(a.to_json())
    assert again.remark == a.remark == says


def test_what_has_converged_says_nothing(lab):
    a = ul.explain(lab, "dull", rule="controlled", n_steps=200)
    assert (a.converged, a.remark) == (True, "")
    assert "converged" not in str(a)
    plain = ul.explain(lab, "dull")
    assert (plain.converged, plain.remark) == (None, "")
    assert "error" not in plain.to_dataframe()


@pytest.mark.parametrize("settings", [{"n_steps": 2}, {"n_steps": 0}, {"tolerance": 0.0}, {"tolerance": -1.0}])
def test_a_budget_below_one_panel_is_refused(lab, settings):
    with pytest.raises(ValueError, match=r"needs a positive tolerance and n_steps >= 3 \(one panel with its middle\)"):
        ul.explain(lab, "dull", rule="controlled", **settings)


def test_it_explains_every_class_and_a_contrast(lab):
    one, other = ul.explain(lab, "dull", target="all", rule="controlled", n_steps=100)
    assert one.converged
    assert other.converged
    both = ul.explain(lab, "dull", target=(0, 1), rule="controlled", n_steps=100)
    assert both.f_input == pytest.approx(one.f_input - other.f_input, abs=1e-5)
    assert math.isfinite(sum(both.errors))
