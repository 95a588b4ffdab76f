"""The three metrics under the corrected protocol, against a plain loop and against their definitions."""

from dataclasses import replace

import pytest
import torch

import udig_lab as ul
from udig_lab.model.protocol import AS_PUBLISHED, CORRECTED

TEXTS = ["a quiet , moving film", "dull", "it never finds a reason to exist , and neither did i", "not bad"]


@pytest.fixture(scope="module")
def explained(lab):
    return ul.explain(lab, TEXTS, n_steps=8)


def probability(lab, ids, target):
    with torch.no_grad():
        return lab.model(torch.tensor([ids])).logits.softmax(-1)[0, target]


def best(attribution, top):
    """Positions of the best tokens that are not special, by sorting."""
    inner = [i for i, fixed in enumerate(attribution.special) if not fixed]
    k = max(1, int(top * len(inner) + 0.5))
    return sorted(inner, key=lambda i: -attribution.scores[i])[:k]


@pytest.mark.parametrize("top", [0.2, 0.5, 1.0])
def test_metrics_equal_a_loop_over_texts(lab, explained, top):
    found = ul.metrics.evaluate(lab, explained, top=top, replacement="pad")
    for i, a in enumerate(explained):
        chosen, ids = best(a, top), list(a.input_ids)
        p = probability(lab, ids, a.target)
        gone = probability(lab, [t for j, t in enumerate(ids) if j not in chosen], a.target)
        only = probability(lab, [t for j, t in enumerate(ids) if j in chosen or a.special[j]], a.target)
        padded = probability(lab, [0 if j in chosen else t for j, t in enumerate(ids)], a.target)
        assert float(found["comprehensiveness"][i]) == pytest.approx(float(p - gone), abs=1e-5)
        assert float(found["sufficiency"][i]) == pytest.approx(float(p - only), abs=1e-5)
        assert float(found["log_odds"][i]) == pytest.approx(float(padded.log() - p.log()), abs=1e-5)


def test_keeping_everything_is_sufficient(lab, explained):
    assert ul.metrics.sufficiency(lab, explained, top=1.0).abs().max() < 1e-6


def test_the_best_tokens_matter_more_than_the_worst(lab):
    """Not true of every text: true on average over the mini corpus."""
    found = ul.explain(lab, ul.data.examples("sst2").text[:40].tolist(), n_steps=6)
    turned = [replace(a, scores=tuple(-s for s in a.scores)) for a in found]
    assert ul.metrics.comprehensiveness(lab, found).mean() > 0.2 + ul.metrics.comprehensiveness(lab, turned).mean()
    assert ul.metrics.log_odds(lab, found).mean() < ul.metrics.log_odds(lab, turned).mean()
    assert ul.metrics.sufficiency(lab, found).mean() < ul.metrics.sufficiency(lab, turned).mean()


def test_who_competes_and_how_many(explained):
    short = explained[1]  # [CLS] dull [SEP]
    assert ul.metrics.selected(short, 0.2, AS_PUBLISHED).sum() == 0
    assert ul.metrics.selected(short, 0.2, CORRECTED).tolist() == [False, True, False]
    against = replace(
        explained[0], scores=tuple(-1.0 - i if not s else 0.0 for i, s in enumerate(explained[0].special))
    )
    assert ul.metrics.selected(against, 0.2, AS_PUBLISHED)[0]  # [CLS] with score 0 beats every negative word
    assert not ul.metrics.selected(against, 0.2, CORRECTED)[0]


def test_published_sufficiency_of_short_texts_is_zero(lab, explained):
    assert float(ul.metrics.sufficiency(lab, explained[1:2], protocol="as_published")[0]) == 0.0


def test_embedding_twice_is_another_function(lab, explained):
    corrected = ul.metrics.comprehensiveness(lab, explained)
    assert not torch.allclose(
        ul.metrics.comprehensiveness(lab, explained, protocol="as_published"), corrected, atol=1e-3
    )


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"top": 0.0}, "top=0.0 is not a share"),
        ({"top": 20}, "top=20 is not a share"),
        ({"protocol": "mine"}, "unknown protocol"),
    ],
)
def test_bad_settings_are_named(lab, explained, keywords, message):
    with pytest.raises(ValueError, match=message):
        ul.metrics.comprehensiveness(lab, explained, **keywords)


def test_bad_replacements_and_empty_lists_are_named(lab, explained):
    with pytest.raises(ValueError, match="the replacement must be a token, not 'zero'"):
        ul.metrics.log_odds(lab, explained, replacement="zero")
    with pytest.raises(ValueError, match="there are no attributions to judge"):
        ul.metrics.sufficiency(lab, [])
