"""What several tests need: the golden files, the shipped model, small random models."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
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
    "gradient_shap": {},
    "expected_gradients": {"n_samples": 12, "baselines": ("pad", "zero", "mean")},
    "deep_lift": {},
    "shapley_sampling": {"n_samples": 3},
    "random": {},
}
PATHS = [name for name in QUICK if name not in ("idg", "deep_lift", "shapley_sampling", "random")]


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


def word_tokenizer(text, *, token_types=True, decoder=False):
    """A tokenizer that knows the words of a text: [CLS] a [SEP] b [SEP], or <s> a for a decoder."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"]
    names = {word: number for number, word in enumerate([*special, *sorted(set(text.split()))])}
    core = Tokenizer(models.WordLevel(names, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    ids = [("[CLS]", 1), ("[SEP]", 2)]
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A" if decoder else "[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * token_types * (not decoder)
    given = {"pad_token": "[PAD]", "unk_token": "[UNK]", "model_input_names": names}
    given |= (
        {"eos_token": "[SEP]"} if decoder else {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, **given)
