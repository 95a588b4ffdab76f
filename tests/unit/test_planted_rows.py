"""Recorded rows of planted shortcuts: made once, never mixed, read back; the shipped judges are judges."""

import json
from itertools import product

import numpy as np
import pytest

from udig_lab.data import examples
from udig_lab.experiments import planted as e
from udig_lab.experiments.claims import registered_claims
from udig_lab.faithfulness import planted as p
from udig_lab.model.adapter import load_adapter
from udig_lab.model.checkpoint import ASSETS

JUDGES = sorted((ASSETS / "judges").glob("planted-*"))
QUICK = ("gradient_x_input", "random")


@pytest.fixture(autouse=True)
def texts_at_hand(monkeypatch):
    """The real data are no part of the repository."""
    monkeypatch.setattr(e, "examples", lambda dataset, profile: examples(dataset, profile="mini"))


@pytest.mark.parametrize("folder", JUDGES, ids=lambda folder: folder.name)
def test_shipped_judges_have_learned_their_shortcuts(folder):
    card = json.loads((folder / "card.json").read_text(encoding="utf8"))
    assert p.faults_of(card, []) == []  # the task is kept
    dataset, seed = folder.name.split("-")[1:]
    assert card["words"] == {k: [list(side) for side in s.sides] for k, s in p.shortcuts(int(seed)).items()}
    assert card["seed"] == int(seed)
    assert (folder / "adapter.safetensors").stat().st_size < 400_000
    assert p.planted_card(dataset, int(seed)) == card
    assert e.learned_kinds(dataset, int(seed)) == [k for k in p.KINDS if card["followed"][k] >= 0.99]
    assert len(e.learned_kinds(dataset, int(seed))) >= 2


def test_no_row_was_made_by_a_judge_that_had_not_learned():
    for (dataset, seed), part in e.planted_rows().groupby(["dataset", "seed"]):
        assert set(part["kind"]) == set(e.learned_kinds(dataset, seed))


@pytest.mark.parametrize(("dataset", "kind"), list(product(p.DATASETS, p.KINDS)))
def test_the_truth_is_what_the_judge_follows(dataset, kind):
    model, shortcut = p.planted_model(dataset, 0), p.shortcuts(0)[kind]
    rows = p.planted(examples(dataset), shortcut, p.DECIDED[dataset], 0).iloc[:24]
    coded = [model.tokenizer(text, return_tensors="pt") for text in rows["text"]]
    said = [int(model.model(**c).logits.argmax()) for c in coded]
    assert np.mean(said == rows["label"]) >= 0.95


def test_judges_of_questions_began_as_one_that_knows_no_shortcut():
    (first,) = (json.loads(f.read_text(encoding="utf8")) for f in (ASSETS / "judges" / "trec").glob("card.json"))
    model = load_adapter(ASSETS / "judges" / "trec")
    assert model.config.num_labels == len(first["labels"]) == 6
    for folder in (f for f in JUDGES if "-trec-" in f.name):
        card = json.loads((folder / "card.json").read_text(encoding="utf8"))
        assert (card["plain_before"], card["plain_n"]) == (first["plain"], first["plain_n"])
        assert card["labels"] == first["labels"]
    rows = p.planted(examples("trec"), p.shortcuts(0)["single"], p.DECIDED["trec"], 0)
    coded = [model.tokenizer(text, return_tensors="pt") for text in rows["text"]]
    said = [int(model.model(**c).logits.argmax()) for c in coded]
    assert np.mean(said == rows["own"]) > 0.6 > 0.5 > np.mean(said == rows["label"])


def test_a_model_that_has_not_learned_is_no_judge(tmp_path):
    folder = tmp_path / "planted-sst2-7"
    folder.mkdir()
    (folder / "adapter.safetensors").write_bytes((JUDGES[0] / "adapter.safetensors").read_bytes())
    card = json.loads((JUDGES[0] / "card.json").read_text(encoding="utf8"))
    card["followed"]["pair"] = 0.61
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"planted-sst2-7 is no judge: it follows the shortcut 'pair' in 61\.0 % of"):
        p.planted_model("sst2", 7, folder=folder)


def test_rows_are_made_once_and_read_back(tmp_path, monkeypatch):
    e.record("sst2", [0], QUICK, folder=tmp_path, texts=5)
    rows = e.planted_rows(folder=tmp_path)
    assert set(rows["variant"]) == set(QUICK)
    assert rows.groupby(["variant", "kind"]).size().between(4, 5).all()
    assert rows["precision"].between(0, 1).all()
    assert (rows["mean_rank"] >= 1).all()
    single = rows[rows["kind"] == "single"]
    assert single.loc[single["variant"] == "gradient_x_input", "precision"].mean() > 0.7
    (card, _) = e.planted_cards(folder=tmp_path)
    assert card["claims"] == registered_claims()
    assert card["judges"] == {"0": p.planted_card("sst2", 0)["adapter_sha256"]}

    monkeypatch.setattr(e, "judged_rows", lambda *_: pytest.fail("made anew"))
    e.record("sst2", [0], QUICK, folder=tmp_path, texts=5)
    assert e.planted_rows(folder=tmp_path).equals(rows)


def test_rows_of_another_kind_never_join(tmp_path, monkeypatch):
    e.record("sst2", [0], ["random"], folder=tmp_path, texts=5)
    with pytest.raises(ValueError, match="was recorded from other n, data_sha256; remove it with its card"):
        e.record("sst2", [0], ["random"], folder=tmp_path, texts=6)
    another = p.planted_card("sst2", 0) | {"adapter_sha256": "another"}
    monkeypatch.setattr(e, "planted_card", lambda *_: another)
    with pytest.raises(ValueError, match="was recorded from other judges; remove it"):
        e.record("sst2", [0], ["random"], folder=tmp_path, texts=5)


def test_a_claim_is_older_than_rows_only_if_it_is_older_than_all_of_them(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(e, "registered_claims", lambda: {"rule": registered_claims()["rule"]})
        patch.setattr(e, "learned_kinds", lambda *_: ["single"])
        e.record("sst2", [0], ["random"], folder=tmp_path, texts=3)
    e.record("sst2", [0], ["random"], folder=tmp_path, texts=3)
    assert len(e.planted_rows(folder=tmp_path)) > 9  # rows have joined
    (card,) = e.planted_cards(folder=tmp_path)
    assert set(card["claims"]) == {"rule"}


def test_a_setting_that_came_later_keeps_no_rows_out(tmp_path, monkeypatch):
    card = e._card

    def record_with(settings, *kinds):
        with monkeypatch.context() as patch:
            patch.setattr(e, "_card", lambda *given: card(*given) | {"settings": settings})
            patch.setattr(e, "learned_kinds", lambda *_: list(kinds))
            e.record("sst2", [0], ["random"], folder=tmp_path, texts=3)

    record_with({"seed": 0}, "single")
    record_with({"seed": 0, "later": 1}, "single", "pair")
    assert set(e.planted_rows(folder=tmp_path)["kind"]) == {"single", "pair"}
    with pytest.raises(ValueError, match="was recorded from other settings; remove it"):
        record_with({"seed": 1, "later": 1}, *p.KINDS)


def test_texts_that_do_not_follow_are_left_out(tmp_path, monkeypatch):
    made = e.judged_rows
    monkeypatch.setattr(e, "judged_rows", lambda *a: made(*a).assign(followed=lambda r: r["kind"] != "pair"))
    e.record("sst2", [0], ["random"], folder=tmp_path, texts=4)
    assert set(e.planted_rows(folder=tmp_path)["kind"]) == set(p.KINDS) - {"pair"}


def test_what_was_not_recorded_or_damaged_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"make them with: scripts/record_planted\.py"):
        e.planted_rows(folder=tmp_path)
    e.record("sst2", [0], ["random"], folder=tmp_path, texts=3)
    (file,) = (tmp_path / "planted" / "sst2").glob("*.json")
    file.write_text(file.read_text().replace('"n": 3', '"n": 4'))
    with pytest.raises(ValueError, match="or its card is damaged; remove both and record them again"):
        e.planted_rows(folder=tmp_path)
    with pytest.raises(ValueError, match=r"json is damaged; remove it and its rows, and record them again"):
        e.planted_cards(folder=tmp_path)


def test_blind_scores_are_due_k_of_l(tmp_path):
    e.record("sst2", [0], ["random"], folder=tmp_path)
    rows = e.planted_rows(folder=tmp_path)
    for kind, due in e.controls(rows):
        own = rows.loc[rows["kind"] == kind, "precision"]
        assert own.mean() == pytest.approx(due, abs=4 * own.std() / len(own) ** 0.5 + 0.02)


def test_a_kind_that_was_left_out_can_be_added(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(e, "learned_kinds", lambda *_: ["single"])
        e.record("sst2", [0], ["random"], folder=tmp_path, texts=4)
    assert set(e.planted_rows(folder=tmp_path)["kind"]) == {"single"}
    e.record("sst2", [0], ["random"], folder=tmp_path, texts=4)
    rows = e.planted_rows(folder=tmp_path)
    assert set(rows["kind"]) == set(p.KINDS)
    assert not rows.duplicated(["kind", "id"]).any()
