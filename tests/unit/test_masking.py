"""Metrics for a judge that knows masked texts: against a loop, against closed forms, and what must always hold."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import udig_lab as ul
from udig_lab.faithfulness import masking
from udig_lab.faithfulness.masking import Area
from udig_lab.faithfulness.soft import retained

TEXTS = ["a quiet , moving film", "dull", "it never finds a reason to exist , and neither did i", "not bad at all"]


@pytest.fixture(scope="module")
def judge():
    return ul.load("sst2", profile="masked")


@pytest.fixture(scope="module")
def explained(judge):
    return ul.explain(judge, TEXTS, method="sig")


@pytest.fixture(scope="module")
def draws(judge, explained):
    target = [a.target for a in explained]
    return [ul.explain(judge, TEXTS, method="random", seed=seed, target=target) for seed in range(3)]


def probability(model, ids, target):
    with torch.no_grad():
        return float(model.model(torch.tensor([ids])).logits.softmax(-1)[0, target])


def with_masks(model, a, gone):
    mask = model.tokenizer.mask_token_id
    return probability(model, [mask if i in gone else t for i, t in enumerate(a.input_ids)], a.target)


def by_score(a):
    return sorted((i for i, fixed in enumerate(a.special) if not fixed), key=lambda i: -a.scores[i])


def test_the_curve_equals_a_loop(judge, explained):
    curve = ul.metrics.masking_curve(judge, explained, shares=(0.3, 1.0))
    assert curve.shape == (3, len(TEXTS))
    for i, a in enumerate(explained):
        order = by_score(a)
        for row, share in enumerate((0.0, 0.3, 1.0)):
            n = max(1, int(share * len(order) + 0.5)) if share else 0
            assert float(curve[row, i]) == pytest.approx(with_masks(judge, a, order[:n]), abs=1e-5)


def test_the_area_is_a_sum_of_trapezoids(judge, explained, draws):
    shares = (0.5, 1.0)
    found = ul.metrics.area_against_random(judge, explained, draws, shares=shares)
    own = ul.metrics.masking_curve(judge, explained, shares=shares)
    floor = sum(ul.metrics.masking_curve(judge, draw, shares=shares) for draw in draws) / len(draws)
    gap = floor - own  # (3, N), zero at both ends
    torch.testing.assert_close(found.area, gap[1] * 0.5, atol=1e-5, rtol=1e-4)
    largest = (floor[0] - floor[2]) * 0.25 + (floor[1] - floor[2]) * 0.5
    torch.testing.assert_close(found.largest, largest, atol=1e-5, rtol=1e-4)


def test_the_relative_area_is_one_of_means():
    area = Area(torch.tensor([0.1, 0.3]), torch.tensor([0.9, 0.1]))
    assert area.relative == pytest.approx(0.4)
    assert math.isnan(Area(torch.tensor([0.1]), torch.tensor([-0.1])).relative)


def test_who_takes_everything_at_once_has_the_whole_area(judge, explained, draws, monkeypatch):
    """A curve that is at its end after the first share: the area is the largest, but for that share."""
    shares = (0.001, 0.5, 1.0)
    real = masking.masking_curve

    def curve(model, attributions, *, shares):
        found = real(model, attributions, shares=shares)
        return torch.cat([found[:1], found[-1:].expand(len(shares), -1)]) if attributions is explained else found

    monkeypatch.setattr(masking, "masking_curve", curve)
    found = ul.metrics.area_against_random(judge, explained, draws, shares=shares)
    torch.testing.assert_close(found.area, found.largest, atol=1e-3, rtol=0)


def test_random_is_nothing_better_than_itself_and_the_worst_order_is_below(judge, draws):
    assert ul.metrics.area_against_random(judge, draws[0], draws[:1]).area.abs().max() < 1e-6
    texts = ul.data.examples("sst2").text[:24].tolist()
    found = ul.explain(judge, texts, method="sig")
    random = [ul.explain(judge, texts, method="random", target=[a.target for a in found])]
    turned = [replace(a, scores=tuple(-s for s in a.scores)) for a in found]
    best, worst = (ul.metrics.area_against_random(judge, a, random).relative for a in (found, turned))
    assert worst < -0.2 < 0.2 < best


@pytest.mark.parametrize("metric", ["curve", "area", "fidelity", "soft"])
def test_a_batch_is_a_loop(judge, explained, draws, metric):
    def measured(chosen):
        some = [explained[i] for i in chosen]
        if metric == "curve":
            return ul.metrics.masking_curve(judge, some)
        if metric == "area":
            return ul.metrics.area_against_random(judge, some, [[d[i] for i in chosen] for d in draws]).area[None]
        if metric == "fidelity":
            return torch.stack(list(ul.metrics.f_fidelity(judge, some, n_samples=3, beta=0.5).values()))
        return torch.stack(list(ul.metrics.soft(judge, some, n_samples=3).values()))

    together = measured(range(len(TEXTS)))
    alone = torch.cat([measured([i]) for i in range(len(TEXTS))], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_fidelity_on_whole_sets_is_comprehensiveness_and_sufficiency(judge, explained):
    found = ul.metrics.f_fidelity(judge, explained, top=0.4, alpha=1.0, beta=1.0, n_samples=1)
    settings = {"top": 0.4, "replacement": "mask"}
    plus, minus = ul.metrics.comprehensiveness, ul.metrics.sufficiency
    some = [0, 2, 3]  # of the text of one token, the others are none
    torch.testing.assert_close(found["plus"], plus(judge, explained, **settings), atol=1e-5, rtol=1e-4)
    expected = minus(judge, explained, **settings)
    torch.testing.assert_close(found["minus"][some], expected[some], atol=1e-5, rtol=1e-4)
    assert found["minus"][1] == 0


def test_fidelity_masks_no_more_than_it_may(judge, explained, monkeypatch):
    seen = []

    def spy(attribution, chosen, *rest, erase=masking.erase):
        seen.append((int(chosen.sum()), sum(not fixed for fixed in attribution.special)))
        return erase(attribution, chosen, *rest)

    monkeypatch.setattr(masking, "erase", spy)
    ul.metrics.f_fidelity(judge, explained, top=0.5, alpha=0.9, beta=0.25, n_samples=2)
    assert all(gone <= max(1, 0.25 * n) for gone, n in seen)
    assert {gone for gone, n in seen if n > 8} == {3}


def retained_and_checked(scores, retain):
    """The mean is met exactly, and probabilities rise with the scores within their bounds."""
    kept = retained(scores, retain)
    assert float(kept.mean()) == pytest.approx(retain, abs=1e-9)
    assert kept.min() >= 0
    assert kept.max() <= 1
    assert (kept[scores.argsort()].diff() >= -1e-12).all()
    return kept


@pytest.mark.parametrize("retain", [0.01, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("scores", [[0.0, 1.0, 4.0], [-3.0, 0.0, 0.0, 0.0, 9.0], [2.0, 2.0], [1.0], list(range(40))])
def test_as_much_is_retained_whatever_the_scores(scores, retain):
    scores = torch.tensor(scores)
    kept = retained_and_checked(scores, retain)
    torch.testing.assert_close(retained(5 * scores - 2, retain), kept, atol=1e-6, rtol=0)


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=60),
    st.floats(1e-4, 1 - 1e-4),
)
def test_retention_is_exact_monotone_and_within_bounds(scores, retain):
    scores = torch.tensor(scores)
    kept = retained_and_checked(scores, retain)
    opposite = retained(-scores, 1 - retain)  # what fades in one metric is what stays in the other
    torch.testing.assert_close(opposite, 1 - kept, atol=1e-9, rtol=0)


def test_equal_scores_fade_equally():
    assert retained(torch.tensor([3.0, 3.0, 3.0]), 0.3).tolist() == pytest.approx([0.3] * 3)


def test_soft_metrics_of_all_or_nothing_are_erasure(judge, explained):
    """Two kinds of scores, and as much retained as there are of the one: every mask is then certain."""
    a = explained[0]
    words = [i for i, fixed in enumerate(a.special) if not fixed]
    best = words[:2]
    a = replace(a, scores=tuple(1.0 if i in best else 0.0 for i in range(len(a))))
    table = judge.table

    def with_zeros(gone):
        points = table[torch.tensor(a.input_ids)].clone()
        points[gone] = 0
        with torch.no_grad():
            return float(judge.model(inputs_embeds=points[None]).logits.softmax(-1)[0, a.target])

    others = [i for i in words if i not in best]
    before, share = with_zeros([]), len(best) / len(words)
    keep = ul.metrics.soft(judge, [a], retain=share, n_samples=1)
    assert float(keep["sufficiency"]) == pytest.approx(before - with_zeros(others), abs=1e-5)
    gone = ul.metrics.soft(judge, [a], retain=1 - share, n_samples=1)
    assert float(gone["comprehensiveness"]) == pytest.approx(before - with_zeros(best), abs=1e-5)


def test_soft_metrics_see_sizes_and_not_only_their_order(judge, explained):
    cubed = [replace(a, scores=tuple(s**3 for s in a.scores)) for a in explained]
    one, other = (ul.metrics.soft(judge, a, n_samples=3)["sufficiency"] for a in (explained, cubed))
    assert not torch.allclose(one, other, atol=1e-3)


def test_a_text_that_hardly_fades_stays(judge, explained):
    found = ul.metrics.soft(judge, explained, retain=1 - 1e-9, n_samples=2)
    assert max(float(values.abs().max()) for values in found.values()) < 1e-5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, a, d: ul.metrics.masking_curve(m, [], shares=(1.0,)), "there are no attributions to judge"),
        (lambda m, a, d: ul.metrics.masking_curve(m, a, shares=(0.0, 1.0)), "top=0.0 is not a share"),
        (lambda m, a, d: ul.metrics.area_against_random(m, a, d, shares=(0.5, 0.2, 1.0)), "must rise to 1"),
        (lambda m, a, d: ul.metrics.area_against_random(m, a, d, shares=(0.5,)), "must rise to 1"),
        (lambda m, a, d: ul.metrics.area_against_random(m, a, []), "no random scores to compare with"),
        (lambda m, a, d: ul.metrics.area_against_random(m, a, [d[0][:2]]), "of the same texts in the same order"),
        (
            lambda m, a, d: ul.metrics.area_against_random(m, a, [[replace(x, target=1 - x.target) for x in d[0]]]),
            "of the same target",
        ),
        (lambda m, a, d: ul.metrics.f_fidelity(m, a, beta=0.0), "is not a share"),
        (lambda m, a, d: ul.metrics.f_fidelity(m, a, n_samples=0), "n_samples=0 leaves nothing to average"),
        (lambda m, a, d: ul.metrics.soft(m, a, retain=1.0), "retain=1.0 is no part of a text"),
        (lambda m, a, d: ul.metrics.soft(m, a, n_samples=0), "n_samples=0 leaves nothing to average"),
        (lambda m, a, d: ul.metrics.soft(m, []), "there are no attributions to judge"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(judge, explained, draws, call, message):
    with pytest.raises(ValueError, match=message):
        call(judge, explained, draws)
