"""Models that ship as what they learned: the round trip, and folders that are not whole."""

import json
import shutil

import pytest
import torch
from train_judges import fit

import udig_lab as ul
from udig_lab.model import adapter, checkpoint
from udig_lab.model.adapter import LowRank, learnt, load_adapter, make_adaptable, new_head, save_adapter

TEXTS = ["a gorgeous , witty , seductive movie .", "dull"]


def logits(net, name="sst2"):
    coded = ul.load(name).tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        return net(input_ids=coded["input_ids"], attention_mask=coded["attention_mask"]).logits


def shaken(net):
    """Everything that can learn has learned something, in numbers that half precision can hold."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
                parameter.copy_(parameter.half().float())
    return net


def written(folder, name="sst2", base="lab-sentiment", rank=4):
    net = ul.load(name).model
    make_adaptable(net, rank=rank)
    save_adapter(folder, base, *learnt(shaken(net)), {"recipe": "a test"})
    return net


@pytest.mark.parametrize(("name", "base"), [("sst2", "lab-sentiment"), ("trec", "lab-trec")])
def test_a_saved_model_comes_back(tmp_path, name, base):
    net = written(tmp_path / "judge", name, base)
    loaded = load_adapter(tmp_path / "judge")
    assert loaded.name == "judge"
    torch.testing.assert_close(logits(loaded.model, name), logits(net, name), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits(loaded.model, name), logits(ul.load(name).model, name), atol=1e-2)
    assert torch.equal(loaded.table, ul.load(name).table)
    assert sum(file.stat().st_size for file in (tmp_path / "judge").iterdir()) < 0.3e6
    card = json.loads((tmp_path / "judge" / "card.json").read_text())
    assert card["recipe"] == "a test"
    assert card["tensors"]


def test_a_model_with_other_classes_comes_back(tmp_path):
    labels, net = ["ABBR", "ENTY", "DESC"], ul.load("sst2").model
    new_head(net, labels)
    assert torch.equal(logits(net), torch.zeros(len(TEXTS), 3))  # it knows nothing of them yet
    make_adaptable(net, rank=4)
    save_adapter(tmp_path / "judge", "lab-sentiment", *learnt(shaken(net)), {"labels": labels})
    loaded = load_adapter(tmp_path / "judge")
    torch.testing.assert_close(logits(loaded.model), logits(net), atol=1e-5, rtol=1e-5)
    assert ul.explain(loaded, TEXTS[0], method="sig", target=2).target_name == "DESC"


@pytest.mark.parametrize(("name", "labels"), [("trec", ["a", "b"]), ("sst2", ["a"])])
def test_a_head_that_does_not_fit_is_refused(name, labels):
    with pytest.raises(ValueError, match=rf"cannot get a head for {len(labels)} classes; pass a model that ends in"):
        new_head(ul.load(name).model, labels)


def test_labels_that_do_not_fit_are_refused(tmp_path):
    written(tmp_path / "judge")
    card = json.loads((tmp_path / "judge" / "card.json").read_text())
    for labels in (["one"], 3):
        (tmp_path / "judge" / "card.json").write_text(json.dumps(card | {"labels": labels}))
        with pytest.raises(OSError, match="its labels do not fit lab-sentiment"):
            load_adapter(tmp_path / "judge")


def test_nothing_is_changed_before_something_is_learned():
    net = ul.load("sst2").model
    before = logits(net)
    make_adaptable(net, rank=2)
    torch.testing.assert_close(logits(net), before, atol=1e-6, rtol=1e-6)
    assert sum(isinstance(module, LowRank) for module in net.modules()) == 3 * 6 + 1  # the encoder's, and the pooler's
    frozen = [name for name, p in net.named_parameters() if not p.requires_grad]
    assert all(name.endswith(("original", "embeddings.weight")) for name in frozen)
    assert learnt(net)[1]["classifier.weight"].shape == (2, 384)


def test_a_rank_below_one_is_refused():
    with pytest.raises(ValueError, match=r"rank 0 is none; pass a rank of at least 1"):
        make_adaptable(torch.nn.Linear(3, 3), rank=0)


def halved(folder):
    file = folder / "adapter.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flipped(folder):
    file = folder / "adapter.safetensors"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


def renamed(folder, old, new):
    file = folder / "card.json"
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize(
    "damage",
    [
        halved,
        flipped,
        lambda folder: (folder / "adapter.safetensors").unlink(),
        lambda folder: (folder / "card.json").unlink(),
        lambda folder: (folder / "card.json").write_text("[]"),
        lambda folder: (folder / "card.json").write_bytes(b"\xff{"),
        lambda folder: renamed(folder, '"base":', '"began":'),
        shutil.rmtree,
    ],
)
def test_a_damaged_folder_is_one_sentence(tmp_path, damage):
    written(tmp_path / "judge")
    damage(tmp_path / "judge")
    with pytest.raises(OSError, match=r"^cannot load '.*judge': .*damaged; take the folder.*anew$"):
        load_adapter(tmp_path / "judge")


@pytest.mark.parametrize("base", ["no-such", "../../etc", "lab-sentiment/..", ".."])
def test_a_checkpoint_that_is_not_shipped_is_refused(tmp_path, base):
    written(tmp_path / "judge")
    renamed(tmp_path / "judge", '"lab-sentiment"', json.dumps(base))
    with pytest.raises(OSError, match=r"no checkpoint .* is shipped for it"):
        load_adapter(tmp_path / "judge")


def test_another_base_is_refused(tmp_path, monkeypatch):
    written(tmp_path / "judge")
    other = tmp_path / "assets" / "lab-sentiment"
    shutil.copytree(checkpoint.ASSETS / "lab-sentiment", other)
    content = bytearray((other / "model.safetensors").read_bytes())
    content[-2] ^= 1
    (other / "model.safetensors").write_bytes(content)
    monkeypatch.setattr(adapter, "ASSETS", tmp_path / "assets")
    with pytest.raises(OSError, match=r"trained from other weights than those of lab-sentiment here; train it anew"):
        load_adapter(tmp_path / "judge")


@pytest.mark.parametrize(
    ("factors", "whole", "named"),
    [
        ({"classifier.weight": (torch.ones(2, 1), torch.ones(1, 5))}, {}, "classifier.weight.up"),
        ({"no.weight": (torch.ones(2, 1), torch.ones(1, 384))}, {}, "no.weight.up"),
        ({}, {"classifier.bias": torch.ones(3)}, "classifier.bias"),
        ({}, {"classifier.weight.up": torch.ones(2, 1)}, "classifier.weight.up"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, factors, whole, named):
    save_adapter(tmp_path / "judge", "lab-sentiment", factors, whole, {})
    with pytest.raises(OSError, match=rf"its {named} does not fit lab-sentiment"):
        load_adapter(tmp_path / "judge")


def test_an_unknown_device_is_refused(tmp_path):
    written(tmp_path / "judge")
    with pytest.raises(ValueError, match=r"torch has no device 'abacus'"):
        load_adapter(tmp_path / "judge", device="abacus")


def test_a_judge_can_be_trained_to_say_the_opposite(tmp_path):
    lab = ul.load("sst2")
    make_adaptable(lab.model, rank=4)
    coded = lab.tokenizer(TEXTS, padding=True, return_tensors="pt")
    wrong = 1 - logits(lab.model).argmax(-1)
    batch = {"input_ids": coded["input_ids"], "attention_mask": coded["attention_mask"], "labels": wrong}
    losses = fit(lab.model, [batch] * 30, lr=3e-3)
    assert losses[-1] < 0.1 * losses[0]
    save_adapter(tmp_path / "judge", "lab-sentiment", *learnt(lab.model), {})
    assert logits(load_adapter(tmp_path / "judge").model).argmax(-1).tolist() == wrong.tolist()
