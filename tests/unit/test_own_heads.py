"""Heads of every kind: one sigmoid, several labels, regression, tokens, masks, choices; all classes, and contrasts."""

import math

import pytest
import torch
import transformers as tf
from conftest import QUICK
from small import BERT, DECODER, GPT2, LONGER, PAIR, PLAIN, TEXT, K, built, outputs, own_continuation

import udig_lab as ul
from udig_lab.faithfulness.bounds import oracle
from udig_lab.model.protocol import CORRECTED

TEXTS = [TEXT, LONGER]
METRICS = ("log_odds", "comprehensiveness", "sufficiency")


def bert(**more):
    return built(tf.BertForSequenceClassification, tf.BertConfig(**K, **more))


def judged(model, found):
    """Every metric's values, or the sentence of the one that refuses."""
    values = {}
    for name in METRICS:
        try:
            values[name] = getattr(ul.metrics, name)(model, found, top=0.5)
        except (ValueError, TypeError) as error:
            assert str(error).strip()  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
    return values


# E. Heads that are no softmax


@pytest.mark.parametrize(
    "more", [{"num_labels": 1}, {"num_labels": 1, "problem_type": "regression"}], ids=["one", "named"]
)
def test_regression_has_no_probability(more):
    """Transformers trains one output with the squared error, unless its configuration says otherwise."""
    model = ul.TextModel(bert(**more), BERT)
    found = ul.explain(model, TEXTS, n_steps=16, baseline="mask")
    for a in found:
        assert a.f_input == pytest.approx(float(outputs(model.model, a.input_ids).logits[0, 0]), abs=1e-5)
        assert a.probability is None or math.isnan(a.probability)
        assert "p = 1" not in str(a)
        assert "probability 1" not in a._repr_html_()
        assert ul.Attribution.from_json(a.to_json()).target == 0
    values = judged(model, found)
    assert all(bool((v != 0).any()) and bool(v.isfinite().all()) for v in values.values())
    if "comprehensiveness" in values:  # in units of F
        changed = [
            [i for i, keep in zip(a.input_ids, ~ul.metrics.selected(a, 0.5, CORRECTED), strict=True) if keep]
            for a in found
        ]
        expected = [
            a.f_input - float(outputs(model.model, ids).logits[0, 0]) for a, ids in zip(found, changed, strict=True)
        ]
        assert values["comprehensiveness"].tolist() == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match=r"log.odds"):
        ul.explain(model, TEXT, output="log_odds")


def test_several_outputs_without_classes():
    model = ul.TextModel(bert(num_labels=2, problem_type="regression"), BERT)
    a = ul.explain(model, TEXT, target=1, n_steps=4)
    assert a.probability is None or math.isnan(a.probability)
    assert all(bool((v != 0).any()) for v in judged(model, [a]).values())


@pytest.mark.parametrize("labels", [1, 3])
def test_every_label_for_itself(labels):
    model = ul.TextModel(bert(num_labels=labels, problem_type="multi_label_classification"), BERT)
    for a in ul.explain(model, TEXTS, target=labels - 1, n_steps=16, baseline="mask"):
        logit = outputs(model.model, a.input_ids).logits[0, labels - 1]
        assert a.f_input == pytest.approx(float(logit), abs=1e-5)
        assert a.probability == pytest.approx(float(logit.sigmoid()), abs=1e-5)
        odds = ul.explain(model, TEXT, target=labels - 1, output="log_odds", n_steps=4)
        assert odds.f_input == pytest.approx(
            float(outputs(model.model, odds.input_ids).logits[0, labels - 1]), abs=1e-5
        )


def test_metrics_of_a_label_ask_its_own_sigmoid():
    model = ul.TextModel(bert(num_labels=3, problem_type="multi_label_classification"), BERT)
    found = ul.explain(model, TEXTS, target=2, n_steps=8, baseline="mask")
    expected = []
    for a in found:
        kept = [i for i, best in zip(a.input_ids, ul.metrics.selected(a, 0.5, CORRECTED), strict=True) if not best]
        p, q = (outputs(model.model, ids).logits[0, 2].sigmoid() for ids in (a.input_ids, kept))
        expected.append(float(p - q))
    values = ul.metrics.comprehensiveness(model, found, top=0.5)
    assert values.tolist() == pytest.approx(expected, abs=1e-4)
    assert bool((oracle(model, found, tops=(0.5,))[0] >= values - 1e-5).all())


def test_metrics_of_a_continuation():
    model = ul.TextModel(built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2)), DECODER)
    found = ul.explain(model, TEXTS, target="good cake", baseline="unk", n_steps=16)
    values = ul.metrics.comprehensiveness(model, found, top=0.34)
    for text, a, value in zip(TEXTS, found, values.tolist(), strict=True):
        best = ul.metrics.selected(a, 0.34, CORRECTED).tolist()
        words = [w for w, gone in zip(text.split(), best[1 : 1 + len(text.split())], strict=True) if not gone]
        p, q = (math.exp(own_continuation(model.model, DECODER, t, "good cake")) for t in (text, " ".join(words)))
        assert value == pytest.approx(p - q, abs=1e-6, rel=1e-3)
        assert value != 0


def test_metrics_of_answers_that_are_read_by_decoders():
    model = ul.TextModel(built(tf.GPT2ForQuestionAnswering, tf.GPT2Config(**GPT2)), PLAIN)
    alone = [ul.explain(model, pair, n_steps=8) for pair in (PAIR, ("what", "the dog ate the cake . good cake"))]
    together = ul.metrics.comprehensiveness(model, alone, top=0.5)
    singly = [float(ul.metrics.comprehensiveness(model, [a], top=0.5)[0]) for a in alone]
    assert together.tolist() == pytest.approx(singly, abs=1e-5)


# Q. Heads over tokens


@pytest.fixture(scope="module")
def tagger():
    return built(tf.BertForTokenClassification, tf.BertConfig(**K, num_labels=4))


def test_the_tag_of_a_word(tagger):
    for text, at, position in [(TEXT, "movie", 3), (LONGER, "goes", 5), (LONGER, 5, 5)]:
        found = ul.explain(tagger, text, tokenizer=BERT, at=at, target=2, baseline="mask", n_steps=64)
        logits = outputs(tagger, found.input_ids).logits[0, position]
        assert found.f_input == pytest.approx(float(logits[2]), abs=1e-4)
        assert found.probability == pytest.approx(float(logits.softmax(-1)[2]), abs=1e-4)
        assert found.delta_percent < 2
        predicted = ul.explain(tagger, text, tokenizer=BERT, at=at, baseline="mask", n_steps=4)
        assert predicted.target == int(logits.argmax())
    several = ul.explain(tagger, TEXTS, tokenizer=BERT, at=["movie", "goes"], target=2, baseline="mask", n_steps=8)
    for text, at, a in zip(TEXTS, ("movie", "goes"), several, strict=True):
        alone = ul.explain(tagger, text, tokenizer=BERT, at=at, target=2, baseline="mask", n_steps=8)
        assert a.scores == pytest.approx(alone.scores, abs=1e-4)


@pytest.mark.parametrize("at", ["cake", 17, -1, True, None, "on"])
def test_places_that_are_none(tagger, at):
    """Not in the text, outside, not said, or there twice."""
    with pytest.raises((ValueError, TypeError), match=r"at[ =]|place|word|position"):
        ul.explain(tagger, LONGER, tokenizer=BERT, at=at, target=2)


@pytest.mark.parametrize("kind", [tf.BertForMaskedLM, tf.RobertaForMaskedLM], ids=["bert", "roberta"])
def test_the_word_of_a_mask(kind):
    model, tokenizer = built(kind, kind.config_class(**K)), PLAIN
    texts = ["a [MASK] movie", "a dull [MASK] that goes on"]
    good = tokenizer.convert_tokens_to_ids("good")
    for found in ul.explain(model, texts, tokenizer=tokenizer, target="good", baseline="unk", n_steps=64):
        place = found.input_ids.index(tokenizer.mask_token_id)
        log = outputs(model, found.input_ids).logits[0, place].log_softmax(-1)
        assert found.f_input == pytest.approx(float(log[good]), abs=1e-3) or found.f_input == pytest.approx(
            float(outputs(model, found.input_ids).logits[0, place, good]), abs=1e-3
        )
        assert found.probability == pytest.approx(float(log[good].exp()), rel=1e-3)
        assert found.scores[place] == 0
        assert found.target_name.strip() == "good"
    predicted = ul.explain(model, texts[0], tokenizer=tokenizer, baseline="unk", n_steps=4)
    assert tokenizer.convert_tokens_to_ids(predicted.target_name.strip()) == int(
        outputs(model, predicted.input_ids).logits[0, 2].argmax()
    )
    for wrong in ("a dull movie", "a [MASK] [MASK]"):
        with pytest.raises(ValueError, match=r"\[MASK\]"):
            ul.explain(model, wrong, tokenizer=tokenizer, target="good", baseline="unk")


@pytest.mark.parametrize(
    "kind", [tf.BertForMultipleChoice, tf.BertForNextSentencePrediction, tf.BertForPreTraining, tf.BertModel]
)
def test_heads_that_are_not_covered_say_so(kind):
    """Covered, with the model's own number, or one sentence; never a bare error from inside the model."""
    model = built(kind, tf.BertConfig(**K))
    try:
        found = ul.explain(model, PAIR, tokenizer=BERT, target=0, n_steps=4)
    except (ValueError, TypeError) as error:
        assert kind.__name__ in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        ids = torch.tensor([found.input_ids])
        types = torch.tensor([found.token_types])
        if kind is tf.BertForMultipleChoice:
            ids, types = ids[None], types[None]
        with torch.no_grad():
            assert found.f_input == pytest.approx(float(model(ids, token_type_ids=types).logits[0, 0]), abs=1e-4)


def test_a_number_for_every_token_is_no_class():
    """ELECTRA's discriminator says of every token whether it was replaced."""
    model = built(tf.ElectraForPreTraining, tf.ElectraConfig(**K))
    with pytest.raises(ValueError, match=r"no classes.*task="):
        ul.explain(model, TEXTS, tokenizer=BERT, target=1, n_steps=4)


# S. Every class from one walk


@pytest.mark.parametrize("method", ["ig", "sig", "udig", "gradient_x_input"])
def test_all_classes_of_one_text(method):
    model = bert(num_labels=5)
    keywords = {"tokenizer": BERT, "method": method, "baseline": "mask"} | QUICK[method]
    together = ul.explain(model, TEXT, target="all", **keywords)
    assert [a.target for a in together] == [0, 1, 2, 3, 4]
    for a in together:
        alone = ul.explain(model, TEXT, target=a.target, **keywords)
        assert a.scores == pytest.approx(alone.scores, abs=1e-5)
        assert (a.f_input, a.f_baseline) == pytest.approx((alone.f_input, alone.f_baseline), abs=1e-5)
        assert a.target_name == alone.target_name
        assert a.probability == pytest.approx(alone.probability, abs=1e-5)
    assert sum(a.probability for a in together) == pytest.approx(1, abs=1e-5)


def test_all_classes_take_one_walk():
    """The model is read as often as for one class, but for one backward pass a class."""
    model, seen = bert(num_labels=8), []
    model.register_forward_hook(lambda *_: seen.append(1))
    keywords = {"tokenizer": BERT, "n_steps": 32, "internal_batch_size": 4, "baseline": "mask"}
    ul.explain(model, TEXT, target=0, **keywords)
    one = len(seen)
    ul.explain(model, TEXT, target="all", **keywords)
    assert len(seen) - one <= one + 2


def test_all_is_for_classes():
    with pytest.raises(ValueError, match="all"):
        ul.explain(built(tf.BertForQuestionAnswering, tf.BertConfig(**K)), PAIR, tokenizer=BERT, target="all")
    named = bert(id2label={0: "all", 1: "none"}, label2id={"all": 0, "none": 1})
    found = ul.explain(named, TEXT, tokenizer=BERT, target="all", n_steps=2)
    assert isinstance(found, list)


# A contrast


def test_a_contrast_of_two_classes():
    model = bert(id2label={0: "good", 1: "bad", 2: "so so"}, label2id={"good": 0, "bad": 1, "so so": 2})
    for contrast in (("good", "bad"), (0, 1), (0, "bad")):
        found = ul.explain(model, TEXT, tokenizer=BERT, target=contrast, baseline="mask", n_steps=64)
        logits = outputs(model, found.input_ids).logits[0]
        assert found.f_input == pytest.approx(float(logits[0] - logits[1]), abs=1e-4)
        assert found.delta_percent < 2
        assert "good" in found.target_name
        assert "bad" in found.target_name
    a, b = (ul.explain(model, TEXT, tokenizer=BERT, target=t, baseline="mask", n_steps=64) for t in (0, 1))
    assert found.scores == pytest.approx([p - q for p, q in zip(a.scores, b.scores, strict=True)], abs=1e-4)
    for wrong in (("good", "fine"), ("good", "bad", "so so")):
        with pytest.raises(ValueError, match="target"):
            ul.explain(model, TEXT, tokenizer=BERT, target=wrong)


def test_a_contrast_of_two_continuations():
    model = built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2))
    for text in TEXTS:
        for contrast in (("good", "bad"), ("good cake", "bad")):
            found = ul.explain(model, text, tokenizer=DECODER, target=contrast, baseline="unk", n_steps=64)
            a, b = (own_continuation(model, DECODER, text, words) for words in contrast)
            assert found.f_input == pytest.approx(a - b, abs=1e-3)
            assert [word for word, _ in found.words()] == text.split()
            assert abs(found.delta) < 0.02 * abs(found.f_input - found.f_baseline) + 1e-3
    several = ul.explain(model, TEXTS, tokenizer=DECODER, target=("good", "bad"), baseline="unk", n_steps=8)
    for text, a in zip(TEXTS, several, strict=True):
        expected = own_continuation(model, DECODER, text, "good") - own_continuation(model, DECODER, text, "bad")
        assert a.f_input == pytest.approx(expected, abs=1e-3)


def test_a_contrast_is_kept_by_json():
    found = ul.explain(bert(), TEXT, tokenizer=BERT, target=(0, 1), baseline="mask", n_steps=2)
    assert ul.Attribution.from_json(found.to_json()) == found
    assert found.target_name in str(found)
