"""What ships with the package: checkpoints, corpora, licences."""

import json
import re

import pandas as pd
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

import udig_lab as ul
from udig_lab.model.checkpoint import card_scores
from udig_lab.model.load import ASSETS

CHECKPOINTS = {
    "lab-sentiment": (AutoModelForSequenceClassification, "MiniLM"),
    "lab-squad": (AutoModelForQuestionAnswering, "MiniLM"),
    "lab-trec": (AutoModelForSequenceClassification, "Kim"),
}
SIZES = {"sst2": 120, "rotten_tomatoes": 60, "imdb": 24, "squad": 60, "trec": 60}
# At least so many of the written examples are right: well above chance, below what was measured.
RIGHT = {"sst2": 0.80, "rotten_tomatoes": 0.75, "imdb": 0.70, "trec": 0.70}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_are_ordinary_hub_folders(name):
    folder = ASSETS / name
    head, origin = CHECKPOINTS[name]
    model, info = head.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.dtype == torch.float32
    assert len(AutoTokenizer.from_pretrained(folder)("fine")["input_ids"]) == (1 if name == "lab-trec" else 3)
    assert sum(f.stat().st_size for f in folder.iterdir()) <= 40e6
    card = (folder / "README.md").read_text()
    for word in ("license", "leak", "retrain", origin):
        assert word in card


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_cards_state_scores(name):
    found = card_scores(name)
    assert len(found) >= 2
    assert all(re.match(r"\d+\.\d %", score) for score in found.values()), found
    with pytest.raises(OSError, match="no-such-checkpoint"):
        card_scores("no-such-checkpoint")


@pytest.mark.parametrize("name", SIZES)
def test_corpora_have_their_size(name):
    rows = ul.data.examples(name)
    assert len(rows) == SIZES[name]
    assert rows.id.is_unique
    if name != "squad":
        assert rows.label.value_counts().nunique() == 1  # as many of every class
        assert rows.text.is_unique


def test_reviews_are_as_long_as_reviews():
    lengths = ul.data.examples("imdb").text.str.split().str.len()
    assert lengths.between(80, 200).all()


def test_answers_are_where_they_are_said_to_be():
    rows = ul.data.examples("squad")
    assert rows.context.nunique() == 15
    for row in rows.itertuples():
        for answer, start in zip(row.answers, row.answer_starts, strict=True):
            assert row.context[start : start + len(answer)] == answer


@pytest.mark.parametrize("name", RIGHT)
def test_the_shipped_model_gets_most_of_them_right(name):
    rows = ul.data.examples(name)
    found = ul.explain(ul.load(name), rows.text.tolist(), n_steps=1, max_length=256)
    right = pd.Series([a.target for a in found]) == rows.label
    assert right.mean() >= RIGHT[name]


def test_the_span_model_finds_answers():
    model = ul.load("squad")
    rows = ul.data.examples("squad")
    hits = 0
    for row in rows.itertuples():
        coded = model.tokenizer(row.question, row.context, return_tensors="pt", return_offsets_mapping=True)
        offsets = coded.pop("offset_mapping")[0].tolist()
        with torch.no_grad():
            out = model.model(**coded)
        start, end = int(out.start_logits.argmax()), int(out.end_logits.argmax())
        guess = row.context[offsets[start][0] : offsets[end][1]].lower()
        hits += any(a.lower() in guess or (guess and guess in a.lower()) for a in row.answers)
    assert hits / len(rows) >= 0.5


def test_a_limit_draws_the_same_rows_in_order():
    some = ul.data.examples("sst2", limit=10)
    assert some.id.tolist() == ul.data.examples("sst2", limit=10).id.tolist()
    assert some.id.is_monotonic_increasing


def test_the_corpora_are_free():
    assert re.search(r"CC0", (ASSETS / "corpora" / "README.md").read_text())
    first = json.loads((ASSETS / "corpora" / "sst2.jsonl").read_text().splitlines()[0])
    assert {"id", "text", "label"} <= first.keys()
