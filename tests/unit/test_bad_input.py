"""Every mistake gets one sentence that names what was wrong and what would work."""

import json
import math

import pytest
import torch
from transformers import AutoModel

import udig_lab as ul
from udig_lab.attribution import Attribution
from udig_lab.experiments import Cell, recorded, run

IDS = {"input_ids": [1, 30, 2], "special_ids": [1, 2]}


@pytest.mark.parametrize(
    ("text", "keywords", "message"),
    [
        ("", {}, "the text is empty; pass at least one word"),
        (["fine", "  "], {}, "text 1 is empty"),
        (["  "], {}, "text 0 is empty"),
        ("[CLS] [SEP]", {}, "the text has no token to explain"),
        ([], {}, "the list of texts is empty"),
        (["fine", 3], {}, "text 1 is a int; pass strings"),
        ("word " * 600, {}, "the text has 602 tokens but the model reads at most 512; .* max_length=512"),
        ("fine", {"method": "shap"}, "unknown method 'shap'; choose one of gradient_x_input, ig, dig"),
        ("fine", {"protocol": "mine"}, "unknown protocol 'mine'; choose one of corrected, as_published"),
        ("fine", {"target": 2}, r"unknown target 2; this model has the classes negative, positive \(0 to 1\)"),
        ("fine", {"target": "good"}, "unknown target 'good'"),
        ("fine", {"target": [0, 1]}, "2 targets were given for 1 texts"),
        ("fine", {"n_steps": 1.5}, r"n_steps=1.5 is not a whole number; pass one such as 50"),
        ("fine", {"n_steps": True}, "n_steps=True is not a whole number"),
        ("fine", {"n_steps": "many"}, "n_steps='many' is not a whole number"),
        ("fine", {"n_steps": None}, "n_steps=None is not a whole number"),
        ("fine", {"n_steps": 0}, "the gauss_legendre rule needs n_steps >= 1, not 0"),
        ("fine", {"n_steps": 10**7}, "n_steps=10000000 is more work than can end; pass at most 100000"),
        (
            "fine",
            {"rule": "adaptive", "tolerance": math.nan},
            "tolerance=nan is not finite; pass a number",
        ),
        ("fine", {"tolerance": "small"}, "tolerance='small' is not a number"),
        ("fine", {"method": "udig", "factor": 30}, "factor=30 halves 31 pieces to more than 100000 .* at most 11"),
        ("fine", {"method": "udig", "factor": -1}, "factor=-1 halves nothing; pass at least 0"),
        ("fine", {"method": "udig", "n_neighbors": 0}, "n_steps and n_neighbors must be at least 1, not 30 and 0"),
        ("fine", {"method": "shapley_sampling", "n_samples": 0}, "n_samples must be at least 1, not 0"),
        ("fine", {"method": "shapley_sampling", "n_samples": 10**6}, "n_samples=1000000 is more work than can end"),
        ("fine", {"method": "gradient_shap", "stdev": math.inf}, "stdev=inf is not finite"),
        ("fine", {"method": "gradient_shap", "stdev": -0.1}, "stdev=-0.1 is no standard deviation; pass at least 0"),
        ("fine", {"method": "idg", "dimensions": 1}, "dimensions=1 is not True or False"),
        ("fine", {"steps": 5}, "ig has no setting steps; it has n_steps, rule"),
        ("fine", {"rule": "simpson"}, "unknown rule 'simpson'"),
        ("fine", {"baseline": "padding"}, "unknown baseline 'padding'"),
        ("fine", {"baseline": 40000}, "token id 40000 is outside the vocabulary of 30522 rows"),
        ("fine", {"baseline": torch.zeros(7)}, r"must be \(384,\) or \(tokens, 384\), not \(7,\)"),
        ("fine", {"baseline": torch.zeros(9, 384)}, "the baseline has 9 rows but the text has 3 tokens"),
        ("fine", {"method": "udig", "baseline": torch.zeros(3, 384)}, "paths through words need one baseline row"),
        ("fine", {"method": "udig", "n_neighbors": 40000}, "40000 neighbours were asked for"),
        ("fine", {"input_ids": [1, 2]}, "pass either texts or input_ids"),
        (None, {}, "pass either texts or input_ids"),
        (None, {"input_ids": []}, "input_ids is empty"),
        (None, {"input_ids": [101, 102]}, "the sequence has no token to explain"),
        (None, {"input_ids": [[101, 102]]}, "sequence 0 has no token to explain"),
        (None, {"input_ids": [101, 40000, 102]}, "token id 40000 is outside the vocabulary of 30522 rows"),
    ],
)
def test_explain(lab, text, keywords, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ul.explain(lab, text, **keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"texts": "fine"}, "texts need a tokenizer"),
        ({"input_ids": [1, 30, 2]}, "a model without a tokenizer needs special_ids"),
        (IDS | {"baseline": "mask"}, "unknown baseline 'mask': without a tokenizer"),
    ],
)
def test_a_bare_model(random_bert, keywords, message):
    with pytest.raises(ValueError, match=message):
        ul.explain(random_bert, **keywords)


def test_a_model_that_is_no_classifier(lab):
    base = AutoModel.from_config(lab.model.config)
    with pytest.raises(TypeError, match="BertModel is not a sequence classifier"):
        ul.explain(base, "fine", tokenizer=lab.tokenizer)
    with pytest.raises(TypeError, match="model is a str"):
        ul.explain("bert-base-uncased", "fine", tokenizer=lab.tokenizer)
    with pytest.raises(TypeError, match="Linear has no embedding layers"):
        ul.explain(torch.nn.Linear(2, 2), "fine", tokenizer=lab.tokenizer)
    decoder = ul.TextModel(lab.model, lab.tokenizer, "gpt", "causal")
    with pytest.raises(ValueError, match="gpt is a causal model, and these explanations are of another kind of model"):
        ul.metrics.evaluate(decoder, [ul.explain(lab, "fine", n_steps=1)])


def test_a_model_with_broken_weights(random_bert):
    with torch.no_grad():
        random_bert.classifier.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="F of the sequence is not finite"):
        ul.explain(random_bert, **IDS, baseline=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ul.load("sst3"), "unknown model 'sst3'; choose one of sst2"),
        (lambda: ul.load("sst2", profile="big"), "unknown profile 'big'"),
        (lambda: ul.load("sst2", task="masked"), "unknown task 'masked'; choose one of classification, span"),
        (
            lambda: ul.load("sst2", profile="paper", architecture="gpt2"),
            "no published checkpoint .* choose distilbert, bert",
        ),
        (lambda: ul.data.examples("mnli"), "unknown data set 'mnli'"),
        (lambda: ul.data.examples("sst2", profile="all"), "unknown profile 'all'"),
        (lambda: run(Cell("sst2", "shap"), None), "unknown method 'shap'; choose one of gradient_x_input, ig"),
    ],
)
def test_names(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_checkpoint_without_a_head(lab, tmp_path):
    lab.model.bert.save_pretrained(tmp_path / "base")
    lab.tokenizer.save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match=r"is not a classification checkpoint: it holds no classifier"):
        ul.load(str(tmp_path / "base"))


def test_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(OSError, match="save_pretrained"):
        ul.load(str(tmp_path))


def test_data_without_a_column(monkeypatch, tmp_path):
    (tmp_path / "sst2").mkdir()
    ul.data.examples("sst2").drop(columns="label").to_parquet(tmp_path / "sst2" / "test.parquet")
    monkeypatch.setenv("UDIG_LAB_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="data of sst2 lack the columns label"):
        ul.data.examples("sst2", profile="lab")


def test_records_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="make one with: udig-lab run --dataset sst2"):
        recorded("sst2", folder=tmp_path)


@pytest.mark.parametrize("number", [-5, 10**30])
def test_ids_of_no_vocabulary(lab, number):
    with pytest.raises(ValueError, match=rf"token id {number} is in no vocabulary"):
        ul.explain(lab, input_ids=[1, number, 2], special_ids=[1, 2])


@pytest.mark.parametrize("number", [-1, 0, 1.5, True])
def test_lengths_that_are_none(lab, number):
    with pytest.raises(ValueError, match=rf"max_length={number} leaves nothing of a text"):
        ul.explain(lab, "fine", max_length=number)


@pytest.mark.parametrize("number", [-1, 0, 1.5])
def test_batches_that_are_none(lab, number):
    with pytest.raises(ValueError, match=rf"internal_batch_size={number} leaves nothing to read"):
        ul.explain(lab, "fine", internal_batch_size=number)


@pytest.mark.parametrize("length", [600, 1000])
def test_no_length_goes_beyond_the_models(lab, length):
    with pytest.raises(ValueError, match="but the model reads at most 512; shorten it or pass max_length=512"):
        ul.explain(lab, "fine " * 700, max_length=length)
    with pytest.raises(ValueError, match=rf"has {length} ids but the model reads at most 512"):
        ul.explain(lab, input_ids=[30] * length, special_ids=[])


SAVED = Attribution(("a",), ("a",), (1,), (0,), (0.5,), (False,), 0, "", "logit", 1.0, 2.0, 2.0, "ig", "pad").to_json()


def changed(**fields):
    return json.dumps(json.loads(SAVED) | fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Expecting property name"),
        ("", "Expecting value"),
        ("[]", "it is a list"),
        (json.dumps({"tokens": ["a"]}), "missing 1[0-9] required"),
        ("[" * 100_000, "nested too deeply"),
        ('{"tokens": ' * 50_000, "nested too deeply"),
        (SAVED.replace("0.5", "NaN"), "NaN is no JSON"),
        (changed(scores=["NaN"]), "scores: a finite number is wanted, not 'NaN'"),
        (changed(scores=[1e999]), "Infinity is no JSON"),
        (SAVED.replace("0.5", "1e999"), "scores: a finite number is wanted|a number is wanted"),
        (changed(scores=["0.5"]), "scores: a number is wanted, not '0.5'"),
        (changed(scores=[0.5, 0.5]), "its lists have 1 and 2 entries"),
        (changed(tokens=[]), "its lists have 0 and 1 entries"),
        (changed(tokens="a"), "tokens: a list is wanted, not 'a'"),
        (changed(tokens=[None]), "tokens: a text is wanted, not None"),
        (changed(special=[0]), "special: true or false is wanted, not 0"),
        (changed(input_ids=[10**30]), "input_ids: a whole number is wanted, not 1000"),
        (changed(input_ids=[True]), "input_ids: a whole number is wanted, not True"),
        (changed(target={"a": 1}), "target: a whole number is wanted"),
        (changed(settings=[]), r"settings: an object is wanted, not \[\]"),
        (changed(groups=[{"start": 0}]), "groups: .*missing 5 required"),
        (changed(groups=[{"begin": 0}]), "groups: .*unexpected keyword"),
        (changed(evil=1), "nothing is called 'evil'"),
        (changed(version=2), "version 2 is of another release; this one reads up to 1"),
        (changed(version="1"), "version '1' is of another release"),
    ],
)
def test_json_that_is_no_attribution(text, says):
    with pytest.raises(ValueError, match=rf"not a saved attribution \(.*({says})"):
        ul.Attribution.from_json(text)


def test_json_of_former_versions_is_read():
    fields = json.loads(changed(total=0.25))
    del fields["version"], fields["integrated"]
    assert ul.Attribution.from_json(json.dumps(fields)).total == 0.25
