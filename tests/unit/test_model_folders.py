"""Folders of models that are not whole, do not fit together, or are hostile: one sentence each, and nothing is run."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file

import udig_lab as ul
from udig_lab.cli import main
from udig_lab.model.load import ASSETS, load


def edited(**fields):
    def change(folder):
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return change


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def removed(name):
    return lambda folder: (folder / name).unlink()


def halved(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


class _Evil:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def hostile(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"weights": _Evil(f"touch {folder}/run")}, folder / "pytorch_model.bin")


def no_pickle(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02garbage")


def with_code(folder):
    edited(auto_map={"AutoConfig": "theirs.Config"}, model_type="theirs")(folder)
    (folder / "theirs.py").write_text(f"open({str(folder / 'run')!r}, 'w')")


@pytest.fixture
def folder(tmp_path):
    """A copy of a model that ships, to be spoilt."""
    shutil.copytree(ASSETS / "lab-sentiment", tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (hostile, "a pickle that is damaged or holds more than weights"),
        (no_pickle, "a pickle that is damaged or holds more than weights"),
        (with_code, "no whole checkpoint"),
        (
            edited(id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2}),
            r"classifier\.bias of the shape \(2,\), its configuration wants \(3,\)",
        ),
        (
            edited(vocab_size=10),
            r"word_embeddings\.weight of the shape \(30522, \d+\), .* wants \(10, ",
        ),
        (edited(max_position_embeddings=3), r"position_embeddings.weight of the shape"),
        (edited(num_hidden_layers=-1), "its configuration has no place for .*layer.0"),
        (edited(num_hidden_layers=9), "holds no .*layer"),
        (edited(num_attention_heads=0), r"\(ZeroDivisionError: "),
        (edited(hidden_act="nothing"), r"\(KeyError: 'nothing'\)"),
        (edited(hidden_dropout_prob="a"), "do not fit together"),
        (edited(id2label="x"), "do not fit together"),
        (edited(pad_token_id=10**9), "do not fit together"),
        (edited(model_type="nothing"), "no whole checkpoint"),
        (written("config.json", b"{"), "no whole checkpoint"),
        (written("config.json", b"[]"), "no whole checkpoint"),
        (written("tokenizer.json", b"{}"), r"\(KeyError: 'added_tokens'\)"),
        (written("tokenizer.json", b"[]"), "do not fit together"),
        (written("tokenizer.json", b"\xff\xfe"), "no whole checkpoint"),
        (written("model.safetensors", b""), "no whole checkpoint"),
        (written("model.safetensors", b"\xff" * 100), "no whole checkpoint"),
        (halved, "no whole checkpoint"),
        (removed("model.safetensors"), "no whole checkpoint"),
        (removed("tokenizer.json"), "no whole checkpoint"),
        (removed("config.json"), "no whole checkpoint"),
    ],
)
def test_folders_that_cannot_be_loaded(folder, change, says, capfd):
    change(folder)
    with pytest.raises((OSError, ValueError), match=says) as told:
        load(str(folder))
    assert str(folder) in str(told.value)
    assert "\n" not in str(told.value)
    assert not (folder / "run").exists()
    assert main(["explain", "fine", "--model", str(folder)]) == 2
    printed = capfd.readouterr().err
    assert printed.startswith("udig-lab: ")
    assert printed.count("\n") == 1


def test_weights_in_a_pickle_are_read_safely(folder):
    expected = ul.explain(ul.load("sst2"), "a fine film").scores
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert ul.explain(load(str(folder)), "a fine film").scores == pytest.approx(expected, abs=1e-6)
