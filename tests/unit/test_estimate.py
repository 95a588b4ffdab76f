"""What ``estimate`` says, against what ``explain`` then takes."""

import time

import pytest
import torch
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
