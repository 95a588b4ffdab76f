"""The in-distribution test: uniform for what the model knows, small for what it does not, the same in any batch."""

import pytest
import torch

import udig_lab as ul
from udig_lab.faithfulness.familiarity import _largest, _strangeness, in_distribution, masked_at_random

TEXTS = ul.data.examples("sst2").text.tolist()


def test_p_values_of_known_inputs_are_uniform():
    """Exchangeable states, whatever their distribution: the share of p-values below a level is at most that level."""
    generator = torch.Generator().manual_seed(0)
    below = torch.zeros(3)
    for _ in range(200):
        states = torch.randn(60, 2, 5, generator=generator).exp().cumsum(-1)  # skewed, and its dimensions correlated
        strangeness = _strangeness(states[:20], states[20:])
        known, asked = strangeness[:-1], strangeness[-1]
        p = (1 + (known >= asked).sum()) / (1 + len(known))
        below += torch.tensor([p <= 0.05, p <= 0.25, p <= 0.5])
    assert (below / 200 <= torch.tensor([0.05, 0.25, 0.5]) + 0.08).all()
    assert (below / 200 >= torch.tensor([0.005, 0.12, 0.36])).all()


def test_one_strange_dimension_is_seen():
    generator = torch.Generator().manual_seed(0)
    fitted, known = torch.randn(2, 200, 1, 10, generator=generator)
    odd = known.clone()
    odd[:, 0, 3] = 9.0
    assert _strangeness(fitted, odd).median() > _strangeness(fitted, known).quantile(0.8)


def test_strangeness_is_what_its_definition_says():
    """One layer, one dimension, four known values: p is twice the share as extreme, itself counted."""
    fitted = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None]
    asked = torch.tensor([0.0, 2.5, 4.5])[:, None, None]
    p = torch.tensor([2 * 1 / 5, 1.0, 2 * 1 / 5])
    torch.testing.assert_close(_strangeness(fitted, asked), -2 * p.log())


def test_masks_are_strange_to_the_lab_model_and_not_to_the_masked_one():
    shares = {}
    for profile, rate in (("lab", 0.0), ("masked", None)):
        model = ul.load("sst2", profile=profile)
        known = masked_at_random(model, TEXTS[:80], rate=rate)
        asked = masked_at_random(model, TEXTS[80:], rate=0.9, seed=1)
        shares[profile] = float((in_distribution(model, known, asked) <= 0.05).double().mean())
    assert shares["masked"] < 0.3 < 0.6 < shares["lab"]


def test_a_batch_is_a_loop(lab):
    known, asked = masked_at_random(lab, TEXTS[:40], rate=0.0), masked_at_random(lab, TEXTS[40:46], rate=0.3)
    together = in_distribution(lab, known, asked)
    alone = torch.cat([in_distribution(lab, known, [ids]) for ids in asked])
    torch.testing.assert_close(together, alone)
    assert ((together > 0) & (together <= 1)).all()


def test_masks_are_drawn_as_asked(lab):
    mask, special = lab.tokenizer.mask_token_id, set(lab.tokenizer.all_special_ids)
    plain = masked_at_random(lab, TEXTS, rate=0.0)
    assert plain == [a.input_ids.tolist() for a in lab.encode(TEXTS)[0]]
    every = masked_at_random(lab, TEXTS, rate=1.0)
    for before, after in zip(plain, every, strict=True):
        assert all(b == mask if a not in special else b == a for a, b in zip(before, after, strict=True))
    some = masked_at_random(lab, TEXTS)
    assert some[::2] == plain[::2]
    rates = torch.tensor([ids.count(mask) / (len(ids) - 2) for ids in some[1::2]])
    assert 0.4 < rates.mean() < 0.6
    assert rates.min() < 0.15
    assert rates.max() > 0.85
    assert masked_at_random(lab, TEXTS) == some
    assert masked_at_random(lab, TEXTS, seed=1) != some


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: in_distribution(m, [[101, 102]] * 19, [[101, 102]]), "19 reference inputs say too little"),
        (lambda m: in_distribution(m, [[101, 102]] * 20, []), "no inputs to test"),
        (lambda m: in_distribution(m, [[101, 102]] * 20, [[]]), "an input has no tokens"),
        (lambda m: masked_at_random(m, TEXTS, rate=1.2), "rate=1.2 is no probability"),
    ],
)
def test_what_cannot_be_tested_is_one_sentence(lab, call, message):
    with pytest.raises(ValueError, match=message):
        call(lab)


def test_states_are_those_that_transformers_gives(lab):
    rows = [[101, 2307, 3185, 102], [101, 102]]
    with torch.no_grad():
        for ids, found in zip(rows, _largest(lab, rows), strict=True):
            states = ul.load("sst2").model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            torch.testing.assert_close(found, torch.stack([s[0].amax(0) for s in states]), atol=1e-5, rtol=1e-5)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lab.model.modules())


def test_models_without_such_layers_are_named():
    with pytest.raises(TypeError, match="KimCNN has no layers that give a row for every token"):
        in_distribution(ul.load("trec"), [[3, 4]] * 20, [[3, 4]])
