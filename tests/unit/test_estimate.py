"""What ``estimate`` says, against what ``explain`` then takes."""

import time

import pytest
import torch
import transformers as tf
from small import BART, BERT, DECODER, LONGER, TEXT, K, built
from torch import nn

import udig_lab as ul
from udig_lab import estimate
from udig_lab.methods import METHODS
from udig_lab.model.memory import MemoryMeter

TEXTS = ["quite dull", "a gorgeous , witty , seductive movie .", "a film that asks for patience and rewards it"]
SMALL = {"n_steps": 5, "n_neighbors": 9}
SETTINGS = {
    "dig": SMALL,
    "udig": SMALL | {"factor": 2, "rule": "trapezoid"},
    "sequential_dig": SMALL,
    "sequential_udig": SMALL,
    "ig2": {"n_steps": 4},
    "idg": {"n_steps": 6},
    "idgi": {"n_steps": 6},
    "guided_ig": {"n_steps": 5},
    "shapley_sampling": {"n_samples": 2},
    "kernel_shap": {"n_samples": 9},
    "lime": {"n_samples": 9},
    "expected_gradients": {"n_samples": 8},
}


@pytest.fixture(scope="module")
def lab():
    return ul.load("sst2")


def passes(found):
    flat = [a for row in found for a in (row if isinstance(row, list) else [row])]
    return sum(a.evaluations for a in flat), sum(a.forwards for a in flat)


@pytest.mark.parametrize("method", METHODS)
def test_passes_are_those_that_are_made(lab, method):
    settings = SETTINGS.get(method, {})
    said = estimate(lab, TEXTS, method=method, **settings)
    assert (said.gradients, said.forwards) == passes(ul.explain(lab, TEXTS, method=method, **settings))
    assert said.texts == 3
    assert f"{said.gradients:,} gradients" in str(said)


def test_passes_for_every_class_are_those_that_are_made(lab):
    said = estimate(lab, TEXTS, target="all", n_steps=4)
    assert (said.gradients, said.forwards) == passes(ul.explain(lab, TEXTS, target="all", n_steps=4))


# An answer, token by token

PROMPTS, ANSWERS = [TEXT, LONGER, "a movie and a cake"], ["the good cake", "ate", "cake . good bad dog"]
LINEAR = [name for name, entry in METHODS.items() if entry.linear]


@pytest.fixture(scope="module")
def writer():
    return ul.TextModel(built(tf.LlamaForCausalLM, tf.LlamaConfig(**K, num_key_value_heads=2)), DECODER)


def passes_of_answers(found):
    return passes([a.whole for a in (found if isinstance(found, list) else [found])])


@pytest.mark.parametrize("method", LINEAR)
@pytest.mark.parametrize(("texts", "target"), [(LONGER, "the good cake"), (PROMPTS, ANSWERS), (PROMPTS, None)])
def test_passes_of_an_answer_are_those_that_are_made(writer, method, texts, target):
    own = (
        {"n_samples": 6, "baselines": ("pad", "zero")} if method == "expected_gradients" else SETTINGS.get(method, {})
    )
    how = {"method": method, "baseline": "unk", "target": target} | own
    said = estimate(writer, texts, answer=True, **how)
    assert (said.gradients, said.forwards) == passes_of_answers(ul.explain_answer(writer, texts, **how))


@pytest.mark.parametrize("rule", ["adaptive", "controlled"])
def test_passes_of_an_answer_that_are_known_when_they_are_made(writer, rule):
    how = {"rule": rule, "tolerance": 2.0, "baseline": "unk", "target": ANSWERS[:2]}
    said = estimate(writer, PROMPTS[:2], answer=True, **how)
    made = passes_of_answers(ul.explain_answer(writer, PROMPTS[:2], **how))
    assert (said.gradients, said.forwards) == made
    assert made[0] > 0


def test_passes_of_an_answer_of_an_encoder_decoder():
    model = ul.TextModel(built(tf.BartForConditionalGeneration, tf.BartConfig(**BART)), BERT)
    for method in ("sig", "ig"):
        how = {"method": method, "target": ANSWERS}
        said = estimate(model, PROMPTS, answer=True, **how)
        assert (said.gradients, said.forwards) == passes_of_answers(ul.explain_answer(model, PROMPTS, **how))


def test_memory_of_an_answer(writer):
    how = {"target": "the good cake", "baseline": "unk", "n_steps": 400}
    long = " ".join([LONGER] * 6)
    said = estimate(writer, long, answer=True, **how)
    with MemoryMeter() as meter:
        ul.explain_answer(writer, long, **how)
    assert meter.peak / 2 < said.memory < 2 * (2 * meter.peak + 10e6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"target": ("good", "bad")}, "contrast of two answers"),
        ({"target": ""}, "has no tokens"),
        ({"target": "good", "method": "idgi"}, "not linear in F"),
        ({"target": "good", "at": 1}, "does not go with a causal model"),
    ],
)
def test_what_is_no_answer_takes_nothing(writer, more, message):
    told = []
    for ask in (lambda: estimate(writer, TEXT, answer=True, **more), lambda: ul.explain_answer(writer, TEXT, **more)):
        with pytest.raises(ValueError, match=message) as error:
            ask()
        told.append(str(error.value))
    assert told[0] == told[1]


def test_a_classifier_writes_nothing(lab):
    with pytest.raises(ValueError, match="writes no answer"):
        estimate(lab, TEXTS, answer=True)


# Seconds and memory


def test_memory_is_that_of_full_passes(lab):
    long = " ".join(TEXTS * 4)
    said = estimate(lab, long, n_steps=100)
    with MemoryMeter() as meter:
        ul.explain(lab, long, n_steps=100)
    assert meter.peak / 2 < said.memory < 2 * (2 * meter.peak + 10e6)


class Slow(nn.Module):
    """A millisecond for every row."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(40, 8), nn.Linear(8, 2)

    def forward(self, input_ids):
        time.sleep(0.001 * len(input_ids))
        return self.head(self.words(input_ids).tanh().mean(1))


class SlowWriter(nn.Module):
    """A millisecond for every row, forward and backward; says what follows from the words so far."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(40, 8), nn.Linear(8, 40)

    def forward(self, input_ids):
        seen = self.words(input_ids).tanh().cumsum(1)
        time.sleep(0.001 * len(input_ids))
        if seen.requires_grad:
            seen.register_hook(lambda gradient: time.sleep(0.001 * len(gradient)))
        return self.head(seen)


@pytest.mark.parametrize(
    ("method", "settings", "answers"),
    [
        ("ig", {"n_steps": 150}, [[7, 8, 9, 10]]),
        ("ig", {"n_steps": 100}, [[7, 8, 9, 10], [11]]),
        ("sig", {}, [[7, 8, 9, 10]]),
        ("shapley_sampling", {"n_samples": 9}, [[7, 8, 9]]),
    ],
)
def test_seconds_of_an_answer(method, settings, answers):
    model = ul.TextModel(SlowWriter(), task="causal")
    ids = [[1, *range(3, 36 if method == "sig" else 9)]] * 2
    how = {"input_ids": ids[: len(answers)], "special_ids": [1], "baseline": 0, "method": method, "target": answers}
    said = estimate(model, answer=True, **how, **settings)
    begin = time.perf_counter()
    ul.explain_answer(model, **how, **settings)
    assert 0.5 < said.seconds / (time.perf_counter() - begin) < 2


@pytest.mark.parametrize(("method", "settings"), [("ig", {"n_steps": 400}), ("sig", {"rule": "left", "n_steps": 80})])
def test_seconds_are_those_of_the_model(method, settings):
    model = ul.TextModel(Slow())
    how = {"input_ids": [1, 2, 3, 4, 5, 6], "special_ids": [1], "baseline": 0, "method": method} | settings
    said = estimate(model, **how)
    begin = time.perf_counter()
    ul.explain(model, **how)
    assert 0.5 < said.seconds / (time.perf_counter() - begin) < 2


def test_what_explain_refuses_is_refused(lab):
    with pytest.raises(ValueError, match="unknown method"):
        estimate(lab, TEXTS, method="shap")
    with pytest.raises(TypeError, match="has no setting"):
        estimate(lab, TEXTS, n_samples=3)
    assert not lab.model.training


def test_a_text_keeps_its_number_when_it_is_looked_at_alone():
    """The longest one is read by itself; with a broken head its F is not finite."""
    model = built(tf.LlamaForCausalLM, tf.LlamaConfig(**K, num_key_value_heads=2))
    model.lm_head.weight.data[DECODER.convert_tokens_to_ids("cake")] = torch.nan
    how = {"tokenizer": DECODER, "baseline": "unk", "method": "sig", "output": "logit", "check": False}
    for ask in (estimate, ul.explain):
        with pytest.raises(ValueError, match="F of text 1 is not finite"):
            ask(model, [TEXT, LONGER], target=["good", "cake"], **how)
