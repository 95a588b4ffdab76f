"""Memory does not grow with the steps: tensors that are alive at once, counted, so that every run gives the same."""

import pytest
import torch
from torch import nn
from wordlevel import word_tokenizer

import udig_lab as ul
from udig_lab.model.memory import MemoryMeter

FEW, MANY = 50, 1600
GROWTH = 1.2
WORDS = [f"w{i}" for i in range(200)]


class Deep(nn.Module):
    """Holds about as much of each token in a pass as a small encoder does, and works little."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(210, 512), nn.Linear(512, 2)

    def forward(self, input_ids):
        x = torch.tanh(self.words(input_ids))
        for _ in range(40):
            x = torch.relu(x)
        return self.head(x.mean(1))


@pytest.fixture(scope="module")
def model():
    return ul.TextModel(Deep(), word_tokenizer(" ".join(WORDS)))


METHODS = {
    "ig": {},
    "ig adaptive": {"rule": "adaptive", "tolerance": 1e-9},
    "idg": {},
    "gradient_shap": {"stdev": 0.1},
    "expected_gradients": {"baselines": ("pad", "mask")},
    "udig": {"n_neighbors": 4, "factor": 0},
    "dig": {"n_neighbors": 4},
    "sig": {"rule": "gauss_legendre"},
    "sequential_udig": {"n_neighbors": 4, "factor": 0},
    "sequential_dig": {"n_neighbors": 4},
    "ig2": {"step_size": 0.001},
}


ONE_AT_A_TIME = ("sig", "sequential_udig", "sequential_dig")


def peak(model, name, steps, rows):
    """Most bytes alive at once, and the explanation; 50 steps fill a pass."""
    method, settings = name.split()[0], dict(METHODS[name])
    settings["n_samples" if method in ("gradient_shap", "expected_gradients") else "n_steps"] = steps
    length, special, options = 48, [5], {"baseline": 0}
    if method in ONE_AT_A_TIME:  # two tokens move
        length, settings["n_steps"] = 96, steps // 2
        special = list(range(7, 5 + length))
    if method in ("expected_gradients", "ig2"):
        options = {}
    if method == "ig2":  # the text explains another class than that of the reference
        reference = " ".join(WORDS[50:54])
        settings["references"] = [reference]
        options = {"target": 1 - ul.explain(model, reference, baseline=0, n_steps=1).target}
    ids = torch.arange(5, 5 + length)
    model.vocabulary.searches.clear()
    with MemoryMeter() as meter:
        a = ul.explain(
            model, input_ids=ids, special_ids=special, method=method, internal_batch_size=rows, **options, **settings
        )
    return meter.peak, a


# The adaptive rule never asks for more than a few dozen points at once, so with the default it fills no pass.
# One point at a time, one path is enough here, and fewer steps are: its corners would soon weigh more than a pass.
CASES = [(name, 8 if name == "ig adaptive" else None, MANY) for name in METHODS]
CASES += [("udig", 1, 400)]


@pytest.mark.parametrize(("name", "rows", "steps"), CASES)
def test_memory_does_not_grow_with_the_steps(model, name, rows, steps):
    few, _ = peak(model, name, FEW, rows)
    many, a = peak(model, name, steps, rows)
    assert a.evaluations >= steps - 12
    assert many <= GROWTH * few, f"{many / few:.2f}"
