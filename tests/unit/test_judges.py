"""The judge for whom masked texts are ordinary: what ships, how it was trained, where it can be asked for."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import train_judges

import udig_lab as ul
from udig_lab.experiments import Cell, recorded, run
from udig_lab.model.checkpoint import ASSETS

ROOT = Path(__file__).parents[2]
FOLDER = ASSETS / "judges" / "masked"


@pytest.fixture(scope="module")
def judge():
    return ul.load("sst2", profile="masked")


def test_it_is_small_and_says_what_it_was_made_from():
    card = json.loads((FOLDER / "card.json").read_text())
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 4e6
    assert card["base"] == "lab-sentiment"
    assert {"recipe", "seed", "steps", "learning_rate", "date"} <= card.keys()
    for name in ("sst2", "rotten_tomatoes", "imdb"):
        scores = card["scores"][f"{name} test"]
        assert scores["after"]["accuracy"] > scores["before"]["accuracy"] - 0.02
        assert scores["after"]["masked_spread"] < scores["before"]["masked_spread"] / 3


@pytest.mark.parametrize(("name", "least"), [("sst2", 0.80), ("rotten_tomatoes", 0.75), ("imdb", 0.70)])
def test_it_reads_every_sentiment_data_set(judge, name, least):
    found = ul.load(name, profile="masked")
    assert found.name == "masked"
    assert torch.equal(found.table, ul.load("sst2").table)
    rows = ul.data.examples(name)
    said = train_judges.scores(judge.model, judge.tokenizer, rows)
    before = train_judges.scores(ul.load(name).model, judge.tokenizer, rows)
    assert said["accuracy"] >= least
    assert said["masked_spread"] < before["masked_spread"] / 2


@pytest.mark.parametrize("name", ["squad", "trec"])
def test_others_have_none(name):
    with pytest.raises(ValueError, match=f"no model for {name} was trained on masked texts; use profile='lab'"):
        ul.load(name, profile="masked")
    with pytest.raises(ValueError, match="was trained on masked texts"):
        Cell(name, "random", profile="masked")


def test_it_is_asked_about_the_data_of_lab(tmp_path, monkeypatch):
    (tmp_path / "sst2").mkdir()
    columns = {"id": [3, 4], "text": ["a warm film", "a film that goes nowhere"], "label": [1, 0]}
    pd.DataFrame(columns).to_parquet(tmp_path / "sst2" / "test.parquet")
    monkeypatch.setenv("UDIG_LAB_DATA", str(tmp_path))
    pd.testing.assert_frame_equal(ul.data.examples("sst2", profile="masked"), ul.data.examples("sst2", profile="lab"))
    cells = [Cell("sst2", "ig", settings={"n_steps": 4}, profile=profile) for profile in ("lab", "masked")]
    assert "--profile masked" in cells[1].command
    files = run(cells, tmp_path / "results", workers=0, progress=False)
    assert [file.parent.name for file in files] == ["lab", "masked"]
    one, other = (recorded("sst2", profile=p, folder=tmp_path / "results") for p in ("lab", "masked"))
    assert one.id.tolist() == other.id.tolist()
    assert not np.allclose(one.probability, other.probability, atol=1e-4)


def notebook_cells(*ids):
    """What some cells of the chapter on the checkpoints define."""
    chapter = ROOT / "notebooks" / "appendix" / "train-lab-checkpoints.ipynb"
    sources = {c["id"]: "".join(c["source"]) for c in json.loads(chapter.read_text(encoding="utf8"))["cells"]}
    room = {"re": re, "np": np, "pd": pd, "tokenizer": ul.load("sst2").tokenizer}
    for name in ids:
        exec(compile(sources[name], name, "exec"), room)
    return room


def test_leaks_are_those_of_the_chapter():
    chapter = notebook_cells("train-018", "train-019", "train-020", "train-021")["leaks"]
    held_out = pd.Series(["It does n't care , and neither did I , at all .", "a very fine film"])
    texts = ["doesn't care, AND neither did", "neither did i at all", "very fine film", "care and neither did she"]
    texts = pd.Series([*texts, "at all a very fine film", "it does n't care , and neither did i , at all ."])
    found = train_judges.leaks(texts, held_out).tolist()
    assert found == chapter(texts, held_out).tolist() == [True, True, False, False, False, True]


def test_rows_of_a_test_set_are_left_out(tmp_path):
    def write(name, texts):
        file = tmp_path / f"{name}.parquet"
        file.parent.mkdir(exist_ok=True)
        pd.DataFrame({"text": texts, "label": [n % 2 for n in range(len(texts))]}).to_parquet(file)

    write("sst2/train_phrases", ["a leaking phrase of five words", "a phrase that nobody has heard"])
    write("rotten_tomatoes/train", ["this one leaks into rotten tomatoes", "another that is quite new here"])
    write("imdb/train", ["a review<br />of some length", "a review of the test set"])
    write("sst2/dev", ["nothing of this kind at all"])
    write("sst2/test", ["so it is A leaking phrase , of five words !"])
    write("rotten_tomatoes/test", ["this one leaks into rotten tomatoes"])
    write("imdb/test", ["a review of the test set"])
    new = ["a phrase that nobody has heard", "another that is quite new here"]
    assert train_judges.sentiment_rows(tmp_path)["text"].tolist() == [*new, *new, "a review of some length"]


def test_every_second_row_is_masked_at_a_rate_of_its_own():
    ids = torch.arange(10, 60).repeat(400, 1)
    fixed = torch.zeros_like(ids, dtype=torch.bool)
    fixed[:, :5] = True
    found = train_judges.masked(ids, fixed, 3, torch.Generator().manual_seed(0))
    hole = found == 3
    assert torch.equal(found[1::2], ids[1::2])
    assert not hole[:, :5].any()
    assert torch.equal(found[~hole], ids[~hole])
    rates = hole[::2, 5:].double().mean(1)
    assert 0.45 < rates.mean() < 0.55
    assert abs(float((rates < 0.25).double().mean()) - 0.25) < 0.08  # uniform, not all near one half
    assert abs(float((rates > 0.75).double().mean()) - 0.25) < 0.08


def test_batches_hold_every_row_once():
    texts = [f"{'word ' * (1 + n % 9)}{n}" for n in range(640)]
    rows = pd.DataFrame({"text": texts, "label": [n % 2 for n in range(640)]})
    tokenizer = ul.load("sst2").tokenizer
    found = list(train_judges.batches(rows, tokenizer, steps=10, seed=0))
    assert [len(batch["labels"]) for batch in found] == [train_judges.SIZE] * 10
    read = [tokenizer.decode(ids, skip_special_tokens=True) for batch in found for ids in batch["input_ids"]]
    assert sorted(read) == sorted(texts)
    padding = sum(int((batch["attention_mask"] == 0).sum()) for batch in found)
    assert padding < 0.2 * sum(batch["attention_mask"].numel() for batch in found)
    again = train_judges.batches(rows, tokenizer, steps=10, seed=0)
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(found, again, strict=True))


def test_reviews_come_in_smaller_batches():
    rows = pd.DataFrame({"text": ["a long review " * 40] * 64, "label": [0, 1] * 32})
    (batch,) = train_judges.batches(rows, ul.load("sst2").tokenizer, steps=1, seed=0)
    assert len(batch["labels"]) == train_judges.SIZE // 4
    assert batch["input_ids"].shape[1] == 122


def test_the_chapter_masks_as_the_script_does():
    with_masks = notebook_cells("judges-01")["with_masks"]
    tokenizer = ul.load("sst2").tokenizer
    features = [{"input_ids": tokenizer("word " * 40)["input_ids"], "labels": 1} for _ in range(200)]
    found = with_masks(features)
    assert found[::2] == features[::2]
    rates = np.array([f["input_ids"].count(tokenizer.mask_token_id) / 40 for f in found[1::2]])
    assert 0.4 < rates.mean() < 0.6
    assert rates.min() < 0.1
    assert rates.max() > 0.9
    assert all(f["input_ids"][0] == 101 and f["input_ids"][-1] == 102 and f["labels"] == 1 for f in found)
