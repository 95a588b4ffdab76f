"""What ``test_device.py`` runs in a process of its own: the package on a device that is not the CPU.

Scores are compared with those of the same model on the CPU.
"""

import copy
import re
from pathlib import Path

import pytest
import torch
import transformers as tf
from conftest import PATHS, QUICK, SENTENCE
from pretend import NAME, PretendTensor, register
from small import BART, BERT, DECODER, GPT2, LONGER_PAIR, PAIR, PLAIN, T5, K, built

import udig_lab as ul
from udig_lab.faithfulness.bounds import oracle
from udig_lab.faithfulness.sanity import randomised
from udig_lab.faithfulness.wae import word_approximation_error

DEVICE = register()
PLAYED = ("sig", "both_ends", "owen", "permutations", "shapley_sampling", "kernel_shap", "lime")
TEXTS = [SENTENCE, "quite dull"]
QUESTIONS = ["who wrote it ?", "how many strings does a violin have ?"]


def moved(model):
    """A copy on the device."""
    there = copy.copy(model)
    there.model = copy.deepcopy(model.model).to(DEVICE)
    return ul.TextModel(there.model, model.tokenizer, model.name, model.task)


@pytest.fixture(scope="module", params=["sst2", "trec", "span"])
def pair(request):
    """A model on the CPU, the same on the device, and texts for both."""
    if request.param == "span":
        model = ul.TextModel(built(tf.BertForQuestionAnswering, tf.BertConfig(**K)), BERT, "span")
        return model, moved(model), [PAIR, LONGER_PAIR]
    model = ul.load(request.param)
    return model, moved(model), TEXTS if request.param == "sst2" else QUESTIONS


@pytest.fixture(scope="module")
def lab_there(lab):
    return moved(lab)


def same(found, expected, tolerance=1e-3):
    for a, b in zip(found, expected, strict=True):
        assert a.scores == pytest.approx(b.scores, abs=tolerance * max(map(abs, b.scores)))
        assert a.f_input == pytest.approx(b.f_input, abs=1e-3)
        assert a.f_baseline == pytest.approx(b.f_baseline, abs=1e-3)
        assert a.target == b.target
        assert a.anchors == b.anchors


# The device itself


def test_it_refuses_to_mix():
    here, there = torch.ones(3), torch.ones(3, device=DEVICE)
    for mix in (lambda: here + there, lambda: torch.stack([here, there]), lambda: torch.where(here > 0, there, there)):
        with pytest.raises(RuntimeError, match="same device"):
            mix()
    with pytest.raises(TypeError, match="cpu"):
        there.numpy()
    assert (there + torch.tensor(1.0)).cpu().tolist() == [2.0, 2.0, 2.0]
    assert there.device == DEVICE
    assert isinstance(torch.tensor([1], device=DEVICE), PretendTensor)


def test_it_lowers_precision():
    weight = torch.randn(3, 3).to(DEVICE).requires_grad_(True)
    with torch.autocast(NAME, torch.bfloat16):
        assert torch.nn.functional.linear(weight, weight).dtype == torch.bfloat16
        assert (weight + weight).dtype == torch.float32
    assert (weight @ weight).dtype == torch.float32


# The package on it


@pytest.mark.parametrize("method", QUICK)
def test_every_method(pair, method):
    here, there, texts = pair
    settings = dict(QUICK[method])
    if here.task == "span" and method == "ig2":
        settings["references"] = [("who ate", "the dog ate on sunday")]
    expected = ul.explain(here, texts, method=method, **settings)
    same(ul.explain(there, texts, method=method, **settings), expected)


@pytest.mark.parametrize("method", [m for m in PATHS if m != "ig2"])
def test_bfloat16_where_gradients_are_taken(lab, lab_there, method):
    exact = ul.explain(lab, SENTENCE, method=method, **QUICK[method])
    rough = ul.explain(lab_there, SENTENCE, method=method, precision="bfloat16", **QUICK[method])
    assert rough.f_input == pytest.approx(exact.f_input, abs=1e-4)
    assert rough.scores == pytest.approx(exact.scores, abs=0.1 * max(map(abs, exact.scores)))
    assert max(abs(a - b) for a, b in zip(rough.scores, exact.scores, strict=True)) > 1e-6


SETTINGS = [{"rule": "adaptive"}, {"baseline": "zero"}, {"baseline": "mean"}, {"internal_batch_size": 3}]
SETTINGS += [{"protocol": "as_published"}, {"output": "log_odds"}, {"target": "negative"}]


@pytest.mark.parametrize("keywords", SETTINGS, ids=str)
def test_settings(lab, lab_there, keywords):
    same(ul.explain(lab_there, TEXTS, **keywords), ul.explain(lab, TEXTS, **keywords))


def test_ids_baselines_and_targets_from_either_side(lab, lab_there):
    ids = torch.tensor(lab.tokenizer(SENTENCE)["input_ids"])
    expected = [ul.explain(lab, input_ids=ids)]
    same([ul.explain(lab_there, input_ids=ids)], expected)
    same([ul.explain(lab_there, input_ids=ids.to(DEVICE))], expected)
    row = lab.table[7]
    expected = [ul.explain(lab, SENTENCE, baseline=row)]
    same([ul.explain(lab_there, SENTENCE, baseline=row)], expected)
    same([ul.explain(lab_there, SENTENCE, baseline=row.to(DEVICE))], expected)


def test_traces(lab, lab_there):
    for method in ("ig", "udig", "sequential_dig"):
        a, b = (ul.trace(m, SENTENCE, method=method, **QUICK[method]) for m in (lab, lab_there))
        same([b.attribution], [a.attribution])
        assert a.visits(2) == b.visits(2)
        torch.testing.assert_close(b.contributions.cpu(), a.contributions, atol=1e-4, rtol=1e-3)


def test_metrics(pair):
    here, there, texts = pair
    found = ul.explain(here, texts, method="gradient_x_input")
    for protocol in ("corrected", "as_published", "eraser") if here.name == "lab-sentiment" else ("corrected",):
        for metric in (ul.metrics.evaluate, ul.metrics.aopc):
            expected, values = (metric(m, found, protocol=protocol) for m in (here, there))
            for name in expected:
                torch.testing.assert_close(values[name], expected[name], atol=1e-4, rtol=1e-3)


def test_bounds_distances_and_forgetting(lab, lab_there):
    found = ul.explain(lab, TEXTS, n_steps=6)
    for measure in (oracle, word_approximation_error, lambda m, f: ul.metrics.log_odds(m, f)):
        torch.testing.assert_close(measure(lab_there, found), measure(lab, found), atol=1e-4, rtol=1e-3)
    same(ul.explain(randomised(lab_there), TEXTS), ul.explain(randomised(lab), TEXTS))


@pytest.mark.parametrize("method", [*PLAYED, "ig"])
def test_segments(lab, lab_there, method):
    how = {"segments": {"praise": "a gorgeous , witty", "noun": "movie"}, "by": "segment", "method": method}
    how |= {} if method == "sig" else QUICK[method]  # a rule moves single tokens
    found = [ul.explain(m, SENTENCE, **how) for m in (lab_there, lab)]
    same(found[:1], found[1:])
    of_metric = [ul.metrics.comprehensiveness(m, [a]) for m, a in zip((lab_there, lab), found, strict=True)]
    torch.testing.assert_close(*of_metric, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", ["both_ends", "ig", "shapley_sampling"])
def test_answers_token_by_token(method):
    here = ul.TextModel(built(tf.LlamaForCausalLM, tf.LlamaConfig(**K)), DECODER)
    how = {"target": "the good cake", "baseline": "unk", "method": method} | QUICK[method]
    expected, found = (ul.explain_answer(m, ["a dull movie", "good"], **how) for m in (here, moved(here)))
    for a, b in zip(found, expected, strict=True):
        assert a.matrix == pytest.approx(b.matrix, abs=1e-3)
        same([a.whole], [b.whole])


CAUSAL = {
    "gpt2": (tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2)),
    "llama": (tf.LlamaForCausalLM, tf.LlamaConfig(**K)),
}


@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("method", ["ig", "udig", "sig", "sequential_udig"])
def test_decoders(kind, method):
    model = built(*CAUSAL[kind])
    here, there = ul.TextModel(model, DECODER), ul.TextModel(copy.deepcopy(model).to(DEVICE), DECODER)
    texts, keywords = ["a dull movie", "a dull movie that goes on and on"], {"method": method, "baseline": "unk"}
    for target in (None, "good cake"):
        expected = ul.explain(here, texts, target=target, **keywords, **QUICK[method])
        same(ul.explain(there, texts, target=target, **keywords, **QUICK[method]), expected)


def test_answers():
    model = built(tf.BertForQuestionAnswering, tf.BertConfig(**K))
    here, there = ul.TextModel(model, BERT), ul.TextModel(copy.deepcopy(model).to(DEVICE), BERT)
    for output in ("joint", "start", "end"):
        same(
            ul.explain(there, [PAIR, LONGER_PAIR], output=output), ul.explain(here, [PAIR, LONGER_PAIR], output=output)
        )


HEADS = {
    "bart": (tf.BartForConditionalGeneration, tf.BartConfig(**BART), PLAIN, {"target": "good cake"}),
    "t5": (tf.T5ForConditionalGeneration, tf.T5Config(**T5), PLAIN, {"target": "good cake"}),
    "tags": (tf.BertForTokenClassification, tf.BertConfig(**K), BERT, {"at": "movie", "target": 1}),
    "mask": (tf.BertForMaskedLM, tf.BertConfig(**K), BERT, {"target": "good"}),
    "contrast": (tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2), DECODER, {"target": ("good", "bad")}),
    "classes": (tf.BertForSequenceClassification, tf.BertConfig(**K, num_labels=3), BERT, {"target": "all"}),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(name):
    kind, config, tokenizer, keywords = HEADS[name]
    model = built(kind, config)
    text = "a [MASK] movie" if name == "mask" else "a dull movie"
    here, there = ul.TextModel(model, tokenizer), ul.TextModel(copy.deepcopy(model).to(DEVICE), tokenizer)
    found, expected = (ul.explain(m, text, baseline="unk", n_steps=8, **keywords) for m in (there, here))
    same(found if name == "classes" else [found], expected if name == "classes" else [expected])


# The pages


def test_the_readme(monkeypatch, capsys):
    load = ul.load
    monkeypatch.setattr(ul, "load", lambda *args, **keywords: moved(load(*args, **keywords)))
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf8")
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, {})
    assert "gorgeous" in capsys.readouterr().out
