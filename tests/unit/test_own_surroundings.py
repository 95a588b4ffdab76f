"""What surrounds a call: half precision, gradients off, fonts, rows without a token, threads."""

import copy
import math
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import transformers as tf
from conftest import QUICK, SENTENCE
from fontfile import small_font
from matplotlib import font_manager
from small import BERT, DECODER, GPT2, LONGER, TEXT, K, built, outputs
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import udig_lab as ul

# F. Half precision

HALF = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("method", ["dig", "udig"])
def test_anchors_do_not_depend_on_the_weights_number_type(lab, method):
    """The same table, rounded: its neighbours are searched in float32 either way."""
    half = copy.deepcopy(lab.model).bfloat16()
    exact = copy.deepcopy(half).float()
    texts = [SENTENCE, "quite dull"]
    a, b = (
        ul.explain(m, texts, tokenizer=lab.tokenizer, target=1, method=method, **QUICK[method]) for m in (half, exact)
    )
    assert [x.anchors for x in a] == [x.anchors for x in b]


@pytest.mark.parametrize("dtype", HALF)
def test_a_long_continuation_is_summed_in_float32(dtype):
    model = built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2)).to(dtype)
    words = "goes on and on . good cake bad cake what did the dog eat ? a dull movie"
    found = ul.explain(model, TEXT, tokenizer=DECODER, target=words, baseline="unk", n_steps=2)
    logits = outputs(model, found.input_ids).logits[0].float()
    log = logits[-len(found.target) :].log_softmax(-1)
    expected = sum(float(log[k, i]) for k, i in enumerate(found.target))
    assert found.f_input == pytest.approx(expected, abs=1e-3)
    assert found.probability == pytest.approx(math.exp(expected), abs=1e-30)


def test_classifiers_in_half_precision(lab):
    half = copy.deepcopy(lab.model).bfloat16()
    found = ul.explain(half, [SENTENCE, "quite dull"], tokenizer=lab.tokenizer, target=1, n_steps=16)
    for a in found:
        assert a.f_input == pytest.approx(float(outputs(half, a.input_ids).logits[0, 1].float()), abs=0.05)
        assert a.delta_percent < 20
    again = ul.explain(half, SENTENCE, tokenizer=lab.tokenizer, target=1, n_steps=16)
    assert again.scores == pytest.approx(found[0].scores, abs=0.02 * max(map(abs, again.scores)))
    assert all(p.dtype == torch.bfloat16 for p in half.parameters())


# G. Gradients off around the call


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)])
@pytest.mark.parametrize("method", ["ig", "udig", "ig2", "deep_lift"])
def test_gradients_that_were_switched_off(off, method):
    model = ul.load("sst2")
    expected = ul.explain(model, SENTENCE, method=method, **QUICK[method]).scores
    fresh = ul.load("sst2")
    with off():
        inside = ul.explain(fresh, SENTENCE, method=method, **QUICK[method]).scores
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    # What was remembered inside, such as anchors, serves outside too.
    outside = ul.explain(fresh, SENTENCE, method=method, **QUICK[method]).scores
    assert inside == pytest.approx(expected, abs=1e-5)
    assert outside == pytest.approx(expected, abs=1e-5)


def test_weights_that_were_made_in_inference_mode():
    with torch.inference_mode():
        model = built(tf.BertForSequenceClassification, tf.BertConfig(**K))
    expected = built(tf.BertForSequenceClassification, tf.BertConfig(**K))
    try:
        found = ul.explain(model, TEXT, tokenizer=BERT, target=1, n_steps=8)
    except (ValueError, TypeError) as error:
        assert "inference" in str(error)  # noqa: PT017
    else:
        assert found.scores == pytest.approx(
            ul.explain(expected, TEXT, tokenizer=BERT, target=1, n_steps=8).scores, abs=1e-5
        )


def test_autocast_around_the_call(lab):
    """It changes what the model says, and so what is explained."""
    expected = ul.explain(lab, SENTENCE, n_steps=8)
    with torch.autocast("cpu", torch.bfloat16):
        own = float(outputs(lab.model, expected.input_ids).logits[0, expected.target])
        found = ul.explain(lab, SENTENCE, n_steps=8)
    assert found.f_input == pytest.approx(own, abs=0.05)
    assert found.scores == pytest.approx(expected.scores, abs=0.05 * max(map(abs, expected.scores)))


# M. Fonts


SCRIPTS = {"own": "فيلم جميل", "chinese": "这 中 国 人", "thai": "หนัง สนุก", "mixed": "a 🙂 movie とても"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_letters_of_every_script_are_drawn_or_one_sentence_says_which_are_not(lab, script):
    found = ul.explain(lab, SCRIPTS[script], n_steps=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        picture = found.plot()
    assert set(picture.images) == {"light", "dark"}
    assert len(picture.images["light"]) > 1000
    assert len(caught) <= (script != "own"), [str(w.message) for w in caught]
    assert all("no font of this machine" in str(w.message) for w in caught)


def test_an_installed_font_takes_over_where_the_books_own_has_no_letter(lab, tmp_path, monkeypatch):
    """A font with nothing but one Chinese letter: the figure needs no warning any more."""
    font = small_font(tmp_path / "one.ttf", "Only One Letter", "中")
    found = ul.explain(lab, "中", n_steps=2)
    fonts = font_manager.fontManager.ttflist
    with monkeypatch.context() as bare:
        bare.setattr(font_manager.fontManager, "ttflist", [f for f in fonts if f.name == "DejaVu Sans"])
        with pytest.warns(UserWarning, match="no font of this machine holds U.4E2D"):
            boxes = found.plot()
        font_manager.fontManager.addfont(font)
        picture = found.plot()
    assert picture.images["light"] != boxes.images["light"]


# P. Rows without a token never compete


def widened(model, rows):
    """A copy with a table padded to a round number, and what the padding holds is near to everything."""
    wide = copy.deepcopy(model.model)
    table = wide.get_input_embeddings().weight.detach()
    torch.manual_seed(0)
    wide.resize_token_embeddings(len(table) + rows, mean_resizing=False)
    with torch.no_grad():
        mean = table.mean(0)
        wide.get_input_embeddings().weight[len(table) :] = mean + 1e-3 * torch.randn(rows, table.shape[1])
    return wide


@pytest.mark.parametrize("method", ["dig", "udig", "sequential_udig"])
def test_rows_without_a_token_are_no_anchors(lab, method):
    wide = ul.TextModel(widened(lab, 64), lab.tokenizer)
    known = set(lab.tokenizer.get_vocab())
    found = ul.explain(wide, SENTENCE, method=method, baseline="mask", **QUICK[method])
    expected = ul.explain(lab, SENTENCE, method=method, baseline="mask", **QUICK[method])
    anchors = [word for words in found.anchors if words for word in words]
    assert set(anchors) <= known
    assert found.anchors == expected.anchors


def test_special_and_added_rows_are_no_anchors(lab):
    """Rows of [CLS], and of markup that was added later, compete only when they are asked for."""
    tokenizer = copy.deepcopy(lab.tokenizer)
    markup = [f"<m{n}>" for n in range(64)]
    tokenizer.add_special_tokens({"additional_special_tokens": markup})
    wide = ul.TextModel(widened(lab, 64), tokenizer)
    for method in ("dig", "udig"):
        found = ul.explain(wide, SENTENCE, method=method, baseline="mask", **QUICK[method])
        anchors = {word for words in found.anchors if words for word in words}
        assert not anchors & (set(markup) | set(tokenizer.all_special_tokens) - {"[MASK]"})


@pytest.mark.parametrize("method", ["dig", "udig"])
def test_special_rows_are_no_anchors_even_where_they_are_near(method):
    model = ul.TextModel(built(tf.BertForSequenceClassification, tf.BertConfig(**K)), BERT)
    found = ul.explain(model, LONGER, method=method, baseline="mask", n_steps=5, n_neighbors=8)
    anchors = {word for words in found.anchors if words for word in words}
    assert not anchors & set(BERT.all_special_tokens)


def test_special_rows_compete_where_the_protocol_lets_them(lab):
    for protocol, present in (("corrected", False), ("as_published", True)):
        found = ul.explain(lab, SENTENCE, method="udig", baseline="pad", protocol=protocol)
        assert any("[MASK]" in words for words in found.anchors if words) == present


# R. Surroundings


def test_two_threads_on_one_model():
    """Right scores in both, and the model as it was found."""
    model = built(tf.BertForSequenceClassification, tf.BertConfig(**K)).train()
    model.bert.pooler.eval()
    next(model.parameters()).requires_grad_(False)
    modes = {name: m.training for name, m in model.named_modules()}
    needs = {name: p.requires_grad for name, p in model.named_parameters()}
    texts = [TEXT, LONGER] * 6
    expected = [ul.explain(model, t, tokenizer=BERT, target=1, baseline="mask", n_steps=32).scores for t in texts]
    barrier = threading.Barrier(4)

    def work(text):
        barrier.wait(60)
        return ul.explain(model, text, tokenizer=BERT, target=1, baseline="mask", n_steps=32).scores

    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(work, texts))
        for a, b in zip(found, expected, strict=True):
            assert a == pytest.approx(b, abs=1e-5)
        assert {name: m.training for name, m in model.named_modules()} == modes
        assert {name: p.requires_grad for name, p in model.named_parameters()} == needs
    assert not model.get_input_embeddings()._forward_hooks
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_an_error_inside_the_model_leaves_it_as_found():
    model = built(tf.BertForSequenceClassification, tf.BertConfig(**K)).train()
    seen = 0

    def fail(*_):
        nonlocal seen
        seen += 1
        if seen == 3:
            raise RuntimeError("no more")

    handle = model.bert.encoder.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="no more"):
        ul.explain(model, TEXT, tokenizer=BERT, target=1, n_steps=32, internal_batch_size=4)
    handle.remove()
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not model.get_input_embeddings()._forward_hooks


def byte_level():
    """Like GPT-2's: a space belongs to the word behind it, and some words are one token only with it."""
    words = [" good", " movie", "good", " dull", "a", " bad"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges, pieces = [], []
    for word in words:
        symbols = [c if c != " " else "Ġ" for c in word]
        while len(symbols) > 1:
            merges.append((symbols[0], symbols[1]))
            symbols[:2] = ["".join(symbols[:2])]
            pieces.append(symbols[0])
    vocabulary = {token: n for n, token in enumerate(dict.fromkeys(["<eos>", *alphabet, *pieces]))}
    core = Tokenizer(models.BPE(vocabulary, list(dict.fromkeys(merges))))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<eos>")


def metaspace():
    """Like Llama's: the first word of any text gets a space before it."""
    vocabulary = [("<pad>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(f"\u2581{w}", -2.0) for w in ("a", "dull", "movie", "good", "bad")]
    vocabulary += [(c, -6.0) for c in "\u2581abdegilmouv"]
    core = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


SPACED = [(byte_level, " good"), (byte_level, " good movie"), (metaspace, "good"), (metaspace, " good movie")]


@pytest.mark.parametrize(("make", "words"), SPACED)
def test_prompt_and_continuation_are_tokenised_together(make, words):
    """The model is asked for the tokens that it would have read, had the text gone on like this."""
    tokenizer = make()
    model = built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2 | {"vocab_size": len(tokenizer)}))
    found = ul.explain(model, "a dull", tokenizer=tokenizer, target=words, baseline=0, n_steps=4)
    whole = tokenizer(f"a dull {words.strip()}")["input_ids"]
    assert [*found.input_ids, found.target[-1]] == whole
    steps = outputs(model, whole).logits[0].log_softmax(-1)
    start = len(whole) - len(found.target)
    expected = sum(float(steps[k - 1, whole[k]]) for k in range(start, len(whole)))
    assert found.f_input == pytest.approx(expected, abs=1e-4)
    assert [word for word, _ in found.words()] == ["a", "dull"]
