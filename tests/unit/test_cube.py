"""Owen's integral: its ends by hand, exact Shapley values by enumeration, what is drawn and what it costs."""

import math
from itertools import chain, combinations, permutations

import pytest
import torch

import udig_lab as ul
from udig_lab.methods import cube as room

TEXT = "not a bad film"
TEXTS = [TEXT, "dull but witty", "a charming and often affecting journey"]


@pytest.fixture(scope="module")
def game(lab64):
    """F of every set of the T words of TEXT, the others [MASK]: from the model's own output on ids, without us."""
    encoded = lab64.tokenizer(TEXT, return_tensors="pt")
    ids = encoded["input_ids"][0]
    target = int(lab64.model(**encoded).logits.argmax())
    players = range(1, len(ids) - 1)
    value = {}
    with torch.no_grad():
        for chosen in chain.from_iterable(combinations(players, k) for k in range(len(players) + 1)):
            holes = torch.tensor([i if p in (0, len(ids) - 1, *chosen) else 103 for p, i in enumerate(ids.tolist())])
            value[frozenset(chosen)] = float(lab64.model(input_ids=holes[None]).logits[0, target])
    return list(players), value


def shapley(players, value):
    """By its formula: 2^T values."""
    t, found = len(players), []
    for i in players:
        rest = [p for p in players if p != i]
        total = 0.0
        for k in range(t):
            weight = math.factorial(k) * math.factorial(t - k - 1) / math.factorial(t)
            total += sum(weight * (value[frozenset((*s, i))] - value[frozenset(s)]) for s in combinations(rest, k))
        found.append(total)
    return found


def scores(model, method, **settings):
    a = ul.explain(model, TEXT, method=method, **settings)
    assert a.scores[0] == a.scores[-1] == 0
    return list(a.scores[1:-1])


def test_both_ends_by_hand(lab64, game):
    players, value = game
    whole = frozenset(players)
    gone = [value[whole] - value[whole - {i}] for i in players]
    alone = [value[frozenset([i])] - value[frozenset()] for i in players]
    assert scores(lab64, "sig") == pytest.approx(gone, abs=1e-9)
    assert scores(lab64, "owen", rule="left", n_steps=1) == pytest.approx(alone, abs=1e-9)
    assert scores(lab64, "owen", rule="right", n_steps=1) == pytest.approx(gone, abs=1e-9)
    mean = [(g + a) / 2 for g, a in zip(gone, alone, strict=True)]
    assert scores(lab64, "both_ends") == pytest.approx(mean, abs=1e-9)
    assert scores(lab64, "owen", rule="trapezoid", n_steps=2) == pytest.approx(mean, abs=1e-9)


def test_equal_surplus_completes_and_changes_no_ranking(lab64):
    plain, whole = (ul.explain(lab64, TEXT, method="both_ends", equal_surplus=e) for e in (False, True))
    assert abs(plain.delta) > 1e-3
    assert whole.delta == pytest.approx(0, abs=1e-9)
    shift = {round(w - p, 9) for w, p, s in zip(whole.scores, plain.scores, whole.special, strict=True) if not s}
    assert len(shift) == 1


def test_all_orders_give_exact_shapley_values(lab64, game, monkeypatch):
    every = torch.tensor(list(permutations(range(len(game[0])))))
    monkeypatch.setattr(room, "_orders", lambda t, n_samples, antithetic, seed: every)
    found = scores(lab64, "permutations", antithetic=False)
    assert found == pytest.approx(shapley(*game), abs=1e-9)


def test_owens_integral_of_all_coalitions_gives_exact_shapley_values(lab64, game, monkeypatch):
    """The expectation is a polynomial of degree T - 1 = 3 in t, so two Gauss nodes integrate it exactly."""
    players, _ = game
    t = len(players)
    every = torch.tensor([[bool(n >> k & 1) for k in range(t)] for n in range(2**t)])
    expected = torch.zeros(t, dtype=torch.float64)
    nodes, weights = room.segment_rule("gauss_legendre", 2)
    for node, weight in zip(nodes, weights, strict=True):
        chance = torch.where(every, node, 1 - node).prod(1)
        for coalition, p in zip(every, chance, strict=True):
            monkeypatch.setattr(room, "_drawn", lambda *_, c=coalition: c[None].repeat(2, 1))
            expected += weight * p * torch.tensor(scores(lab64, "owen"), dtype=torch.float64)
    assert expected.tolist() == pytest.approx(shapley(*game), abs=1e-9)


@pytest.mark.parametrize(("method", "more"), [("permutations", {}), ("owen", {}), ("owen", {"paired": False})])
def test_draws_come_near_exact_values(lab64, game, method, more):
    exact = torch.tensor(shapley(*game))
    few, many = (
        (torch.tensor([scores(lab64, method, n_samples=n, seed=s, **more) for s in range(6)]) - exact) for n in (1, 16)
    )
    assert many.pow(2).mean().sqrt() < 0.6 * few.pow(2).mean().sqrt()  # 0.25 by the law of large numbers
    assert many.mean(0).abs().max() < 0.25 * exact.abs().max()  # no bias that can be seen


def test_orders_are_complete_and_know_their_error(lab64, game):
    exact = shapley(*game)
    a = ul.explain(lab64, TEXT, method="permutations", n_samples=40, antithetic=False)
    assert a.delta == pytest.approx(0, abs=1e-9)
    errors = a.errors[1:-1]
    assert a.errors[0] == 0
    assert all(abs(s - e) < 4 * error + 1e-9 for s, e, error in zip(a.scores[1:-1], exact, errors, strict=True))
    more = ul.explain(lab64, TEXT, method="permutations", n_samples=160, antithetic=False)
    assert sum(more.errors) == pytest.approx(sum(a.errors) / 2, rel=0.35)
    one = ul.explain(lab64, TEXT, method="permutations", n_samples=1)
    assert all(math.isnan(e) for e in one.errors[1:-1])
    assert ul.Attribution.from_json(a.to_json()) == a
    assert ul.explain(lab64, TEXT, method="sig").errors is None


@pytest.mark.parametrize("method", ["both_ends", "owen", "permutations"])
def test_batch_equals_loop_and_passes_are_counted(lab64, method):
    together = ul.explain(lab64, TEXTS, method=method)
    for text, a in zip(TEXTS, together, strict=True):
        alone = ul.explain(lab64, text, method=method)
        assert alone.scores == pytest.approx(a.scores, abs=1e-9)
        assert alone.forwards == a.forwards
        t = len(a) - 2
        most = {"both_ends": 2 * t + 2, "owen": 2 * (t + 1) + 2, "permutations": 4 * (t - 1) + 2}[method]
        assert 0 < a.forwards <= most
        assert a.evaluations == 0
    every = ul.explain(lab64, TEXT, method=method, target="all")
    for c, a in enumerate(every):
        assert a.scores == pytest.approx(ul.explain(lab64, TEXT, method=method, target=c).scores, abs=1e-9)


def test_kernel_shap_comes_near_exact_values_and_is_complete(lab64, game):
    exact = torch.tensor(shapley(*game))
    many = [ul.explain(lab64, TEXT, method="kernel_shap", n_samples=300, seed=seed) for seed in range(8)]
    assert all(abs(a.delta) < 1e-3 * abs(a.f_input - a.f_baseline) for a in many)
    assert {a.forwards for a in many} == {302}
    drawn = torch.tensor([a.scores[1:-1] for a in many])
    assert ((drawn.mean(0) - exact).abs() < 4 * drawn.std(0) / len(many) ** 0.5).all()
    assert drawn.std(0).max() < exact.abs().max()


def test_lime_ranks_as_the_values_do_and_shrinks(lab64, game):
    """A lasso: what matters little is exactly zero."""
    exact = torch.tensor(shapley(*game))
    a = torch.tensor(scores(lab64, "lime", n_samples=500))
    assert a.argmax() == exact.argmax()
    assert a.argmin() == exact.argmin()
    text = "an ordinary account of an ordinary affair in an ordinary town by an ordinary man"
    many = ul.explain(lab64, text, method="lime", n_samples=60).scores[1:-1]
    assert any(s == 0.0 for s in many)
    assert any(s != 0.0 for s in many)


def test_redundant_and_joint_words_are_what_the_ends_cannot_see():
    """F of two players: either suffices, or both are needed."""
    either, both = {0: 0.0, 1: 1.0, 2: 1.0}, {0: 0.0, 1: 0.0, 2: 1.0}
    for f, right, left in ((either, 0.0, 1.0), (both, 1.0, 0.0)):
        assert f[2] - f[1] == right
        assert f[1] - f[0] == left
        assert (right + left) / 2 == 0.5  # the Shapley value of either player


def test_what_cannot_be_drawn_is_refused(lab64):
    for method in ("owen", "permutations", "kernel_shap", "lime"):
        with pytest.raises(ValueError, match="n_samples must be at least 1, not 0"):
            ul.explain(lab64, TEXT, method=method, n_samples=0)
    with pytest.raises(ValueError, match="the trapezoid rule needs n_steps >= 2, not 1"):
        ul.explain(lab64, TEXT, method="owen", rule="trapezoid", n_steps=1)
    with pytest.raises(ValueError, match="unknown rule 'simpsons'"):
        ul.explain(lab64, TEXT, method="owen", rule="simpsons")


def test_a_text_of_one_word_and_one_of_none(lab64):
    for method in ("both_ends", "owen", "permutations", "kernel_shap", "lime"):
        a = ul.explain(lab64, "dull", method=method)
        assert a.scores[1] == pytest.approx(a.f_input - a.f_baseline, abs=1e-9)
