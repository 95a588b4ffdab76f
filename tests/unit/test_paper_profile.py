"""The papers' checkpoints and data, without the hub: tiny random ones under the very names, in the hub's own cache."""

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch
from fakehub import PAIRS, REVISION, TEXTS, fill
from huggingface_hub import constants

import udig_lab as ul
from udig_lab.model.load import DATASETS, PAPER_CHECKPOINTS, PROFILES
from udig_lab.model.textmodel import left_as_found

SPECIAL = {  # first, last, padding, mask
    "bert": ("[CLS]", "[SEP]", "[PAD]", "[MASK]"),
    "roberta": ("<s>", "</s>", "<pad>", "<mask>"),
}


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """What HF_HOME names: the papers' checkpoints and data, only that the weights are random and small."""
    home = tmp_path_factory.mktemp("hf-home")
    fill(home)
    return home


@pytest.fixture
def hub(home, monkeypatch):
    """The cache, and no way to the hub. The library reads the environment when it is imported, so set what it read."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.delenv("UDIG_LAB_DATA", raising=False)
    return home / "hub"


@pytest.fixture
def paper(request, hub):
    """One of the papers' models, with texts for it."""
    dataset, architecture = request.param
    model = ul.load(dataset, profile="paper", architecture=architecture, device="cpu")
    return model, PAIRS if dataset == "squad" else TEXTS


EVERY = pytest.mark.parametrize("paper", PAPER_CHECKPOINTS, indirect=True, ids="-".join)
ONE_OF_A_KIND = pytest.mark.parametrize(
    "paper", [k for k in PAPER_CHECKPOINTS if k[0] in ("sst2", "squad")], indirect=True, ids="-".join
)


@pytest.mark.parametrize(("dataset", "architecture"), PAPER_CHECKPOINTS)
def test_every_checkpoint_loads_by_its_own_name(hub, dataset, architecture):
    model = ul.load(dataset, profile="paper", architecture=architecture, device="cpu")
    assert model.name == PAPER_CHECKPOINTS[dataset, architecture]
    assert model.task == ("span" if dataset == "squad" else "classification")
    assert model.model.config.model_type == architecture
    assert (model.table.dtype, model.table.device.type) == (torch.float32, "cpu")
    assert model.limit == 64
    first, last, pad, mask = SPECIAL["roberta" if architecture == "roberta" else "bert"]
    assert (model.tokenizer.pad_token, model.tokenizer.mask_token) == (pad, mask)
    tokens = model.tokenizer.convert_ids_to_tokens(model.tokenizer("Bad .")["input_ids"])
    assert (tokens[0], tokens[-1]) == (first, last)
    assert ("B" in "".join(tokens[1:-1])) == (dataset == "squad" or architecture == "roberta")


def test_every_checkpoint_has_its_own_weights(hub):
    tables = [ul.load(d, profile="paper", architecture=a).table.sum().item() for d, a in PAPER_CHECKPOINTS]
    assert len(set(tables)) == len(PAPER_CHECKPOINTS)


def corrected(model, text):
    """Logits (n, C, or 2, L) of the model as its makers read it, from ids."""
    parts = text if isinstance(text, tuple) else (text,)
    with left_as_found(model.model), torch.no_grad():
        return outputs(model.model(**model.tokenizer(*parts, return_tensors="pt")))


def published(model, text):
    """The same by the forward function of the published code: word embeddings through the embedding block first.

    Its DistilBERT runs used versions of transformers that left ``inputs_embeds`` as they were, so there the block is
    applied once. Positions are counted from 0, for RoBERTa too; and of a question's types, which begin with the first
    [SEP], the model itself is not told.
    """
    if model.model.config.model_type == "distilbert":
        return corrected(model, text)
    parts = text if isinstance(text, tuple) else (text,)
    ids = model.tokenizer(*parts, return_tensors="pt")["input_ids"]
    types = torch.zeros_like(ids)
    if len(parts) == 2:
        types[0, 1 + len(model.tokenizer(parts[0], add_special_tokens=False)["input_ids"]) :] = 1
    block = model.model.base_model.embeddings
    with left_as_found(model.model), torch.no_grad():
        embeddings = block.word_embeddings(ids) + block.position_embeddings(torch.arange(ids.shape[1]))
        embeddings = block.LayerNorm(embeddings + block.token_type_embeddings(types))
        return outputs(model.model(inputs_embeds=embeddings))


def outputs(found):
    return found.logits[0] if "logits" in found else torch.stack([found.start_logits[0], found.end_logits[0]])


@EVERY
@pytest.mark.parametrize("protocol", ["corrected", "as_published"])
def test_f_is_what_the_protocol_says(paper, protocol):
    model, texts = paper
    read = published if protocol == "as_published" else corrected
    for text, found in zip(texts, ul.explain(model, texts, protocol=protocol, n_steps=1), strict=True):
        logits = read(model, text)
        if model.task == "classification":
            assert found.target == int(logits.argmax())
            expected = float(logits.max())
        else:
            start, end = found.target
            fixed = float(logits[0, start] + logits[1, end])
            expected = float(logits.amax(-1).sum()) if protocol == "as_published" else fixed
        assert found.f_input == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("paper", [("sst2", "bert"), ("sst2", "roberta")], indirect=True, ids="-".join)
def test_embedding_twice_is_not_embedding_once(paper):
    model, texts = paper
    for text in texts:
        assert (published(model, text) - corrected(model, text)).abs().max() > 1e-3


@ONE_OF_A_KIND
@pytest.mark.parametrize("protocol", ["corrected", "as_published"])
@pytest.mark.parametrize("method", ["ig", "udig", "sig"])
def test_methods_explain_the_papers_models(paper, method, protocol):
    model, texts = paper
    settings = {"ig": {"n_steps": 80}, "udig": {"n_steps": 5, "n_neighbors": 10, "factor": 6}, "sig": {}}[method]
    together = ul.explain(model, texts, method=method, protocol=protocol, **settings)
    for text, found in zip(texts, together, strict=True):
        assert [word for word, _ in found.words()]
        assert any(abs(s) > 1e-4 for s in found.scores)
        assert all(s == 0 for s, fixed in zip(found.scores, found.special, strict=True) if fixed)
        alone = ul.explain(model, text, method=method, protocol=protocol, **settings)
        assert found.scores == pytest.approx(alone.scores, abs=1e-4)
        if method != "sig":
            assert abs(found.delta) < 0.05 * abs(found.f_input - found.f_baseline) + 5e-3


def test_a_checkpoint_that_is_not_there(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match=r"cannot load 'textattack/bert-base-uncased-SST-2': .*HF_HOME") as caught:
        ul.load("sst2", profile="paper")
    assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match=r"cannot load 'nobody/nothing'"):
        ul.load("nobody/nothing")


@pytest.mark.parametrize("lost", ["config.json", "pytorch_model.bin", "vocab.txt"])
def test_half_a_checkpoint(hub, monkeypatch, tmp_path, lost):
    name = "models--textattack--bert-base-uncased-SST-2"
    shutil.copytree(hub / name, tmp_path / name)
    (tmp_path / name / "snapshots" / REVISION / lost).unlink()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match=r"cannot load 'textattack/bert-base-uncased-SST-2'"):
        ul.load("sst2", profile="paper")


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_a_damaged_checkpoint(hub, monkeypatch, tmp_path, architecture):
    checkpoint = PAPER_CHECKPOINTS["sst2", architecture]
    name = f"models--{checkpoint.replace('/', '--')}"
    shutil.copytree(hub / name, tmp_path / name)
    (weights,) = [f for f in (tmp_path / name).rglob("*model*") if f.is_file()]
    weights.write_bytes(weights.read_bytes()[:5000])
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match=f"cannot load '{checkpoint}': no whole checkpoint"):
        ul.load("sst2", profile="paper", architecture=architecture)


def test_models_from_the_hub_by_name(hub):
    model = ul.load("textattack/roberta-base-imdb")
    assert (model.name, model.task) == ("textattack/roberta-base-imdb", "classification")
    assert torch.equal(model.table, ul.load("imdb", profile="paper", architecture="roberta", device="cpu").table)


def test_the_network_of_ig2_was_not_published(hub):
    with pytest.raises(ValueError, match=r"trec were never published; use profile='lab'"):
        ul.load("trec", profile="paper")


# Devices


def test_a_model_is_moved_where_it_is_asked_to():
    assert ul.load("sst2").table.device.type == "cpu"
    moved = ul.load("sst2", device="meta")  # the one other device that every machine has
    assert {p.device.type for p in moved.model.parameters()} == {"meta"}
    with pytest.raises(ValueError, match=r"torch has no device 'gpu' here; pass device='cpu'"):
        ul.load("sst2", device="gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("profile", PROFILES)
def test_only_the_papers_models_look_for_a_gpu(hub, monkeypatch, profile):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    if profile == "paper":
        with pytest.raises(ValueError, match="torch has no device 'cuda' here"):
            ul.load("sst2", profile=profile)
    else:
        assert ul.load("sst2", profile=profile).table.device.type == "cpu"


# Data


@pytest.mark.parametrize("profile", ["lab", "paper"])
@pytest.mark.parametrize("name", DATASETS)
def test_data_come_from_the_hubs_cache(hub, name, profile):
    rows = ul.data.examples(name, profile=profile)
    if name == "squad":
        assert list(rows.columns) == ["id", "question", "context", "answers", "answer_starts"]
        assert rows.id.tolist() == ["a", "b", "c"]
        assert rows.answers.tolist() == [["the whole cake"], ["On Sunday", "On Sunday"], ["cake"]]
        assert rows.answer_starts.tolist() == [[18], [0, 0], [12]]
        assert ul.data.texts(rows) == PAIRS
        return
    assert list(rows.columns) == ["id", "text", "label"]
    assert rows.id.tolist() == [0, 1, 2]
    assert rows.label.tolist() == {"sst2": [-1, -1, -1], "trec": [0, 5, 3]}.get(name, [1, 0, 0])
    assert ul.data.texts(rows) == (["so  good", *TEXTS[1:]] if name == "imdb" else TEXTS)


@pytest.mark.parametrize("name", DATASETS)
def test_a_folder_comes_before_the_hub(hub, monkeypatch, tmp_path, name):
    other = ul.data.examples(name, profile="paper").iloc[::-1]
    (tmp_path / name).mkdir()
    other.to_parquet(tmp_path / name / ("dev.parquet" if name == "squad" else "test.parquet"))
    monkeypatch.setenv("UDIG_LAB_DATA", str(tmp_path))
    rows = ul.data.examples(name, profile="paper")
    pd.testing.assert_frame_equal(rows, other.reset_index(drop=True), check_dtype=False)


# The way a reader goes


def test_in_a_fresh_process(home, hub):
    code = """
import json, udig_lab as ul
model = ul.load("sst2", profile="paper", architecture="distilbert", device="cpu")
rows = ul.data.examples("sst2", profile="paper", limit=2)
print(json.dumps([[a.scores, a.f_input] for a in ul.explain(model, ul.data.texts(rows), n_steps=5)]))
"""
    surroundings = {k: v for k, v in os.environ.items() if k != "UDIG_LAB_DATA" and not k.startswith(("HF_", "TRANS"))}
    surroundings |= {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    told = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, text=True, check=True)
    model = ul.load("sst2", profile="paper", architecture="distilbert", device="cpu")
    texts = ul.data.texts(ul.data.examples("sst2", profile="paper", limit=2))
    for (scores, f), a in zip(json.loads(told.stdout), ul.explain(model, texts, n_steps=5), strict=True):
        assert scores == pytest.approx(a.scores, abs=1e-5)
        assert f == pytest.approx(a.f_input, abs=1e-5)
