"""What several tests need: the golden files, the shipped model, small random models."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
)

import udig_lab as ul
from udig_lab.model.vocabulary import Vocabulary

GOLDEN = Path(__file__).parents[1] / "golden"
SENTENCE = "a gorgeous , witty , seductive movie ."

# Settings with which every method is quick. "dig" looks at few neighbours, "ig2" walks a short way.
_WORDS = {"n_steps": 6, "n_neighbors": 12}
QUICK = {
    "gradient_x_input": {},
    "ig": {"n_steps": 10},
    "dig": _WORDS,
    "udig": _WORDS,
    "sig": {"rule": "gauss_legendre", "n_steps": 6},
    "sequential_dig": _WORDS,
    "sequential_udig": _WORDS,
    "ig2": {"n_steps": 5, "step_size": 0.2},
    "idg": {"n_steps": 10},
    "idgi": {"n_steps": 10},
    "guided_ig": {"n_steps": 8, "max_dist": 0.1},
    "gradient_shap": {},
    "expected_gradients": {"n_samples": 12, "baselines": ("pad", "zero", "mean")},
    "deep_lift": {},
    "both_ends": {},
    "owen": {},
    "permutations": {"n_samples": 2},
    "shapley_sampling": {"n_samples": 3},
    "kernel_shap": {"n_samples": 24},
    "lime": {"n_samples": 24},
    "random": {},
}
PASSES = ("idgi", "guided_ig", "both_ends", "owen", "permutations", "shapley_sampling", "kernel_shap", "lime")
# Of these nothing can be traced.
PATHS = [name for name in QUICK if name not in ("idg", "deep_lift", "random", *PASSES)]


@pytest.fixture(scope="session")
def lab():
    """The shipped sentiment model."""
    return ul.load("sst2")


@pytest.fixture(scope="session")
def lab64():
    """The same in double precision."""
    model = ul.load("sst2")
    model.model.double()
    return model


@pytest.fixture
def tiny():
    """The golden random classifier; a fresh one for every test."""
    return AutoModelForSequenceClassification.from_pretrained(GOLDEN / "tiny-bert")


@pytest.fixture
def random_bert():
    """An untrained classifier of three classes with dropout, in training mode."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=200,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        num_labels=3,
    )
    return BertForSequenceClassification(config).train()


@pytest.fixture(scope="session")
def golden_paths():
    """Arrays, special ids and cases of the published path search."""
    described = json.loads((GOLDEN / "paths.json").read_text())
    return np.load(GOLDEN / "paths.npz"), described["special"], described["cases"]


@pytest.fixture(scope="session")
def vocabulary(golden_paths):
    """The golden table (600, 24)."""
    return Vocabulary(torch.tensor(golden_paths[0]["table"]))
