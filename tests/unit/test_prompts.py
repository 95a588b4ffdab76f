"""Prompts as people write them: whole answers, long prompts, and what is wrong with some, one sentence each."""

from dataclasses import replace

import pytest
import torch
import transformers as tf
from small import DECODER, GPT2, LONGER, TEXT, K, built
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import udig_lab as ul
from udig_lab.faithfulness.erasure import erase, selected
from udig_lab.model.memory import MemoryMeter
from udig_lab.model.protocol import AS_PUBLISHED

HOW = {"tokenizer": DECODER, "baseline": "unk"}


@pytest.fixture(scope="module")
def model():
    return built(tf.LlamaForCausalLM, tf.LlamaConfig(**K, num_key_value_heads=2))


def letters_only():
    """A tokenizer of bytes that knows the letters of one text, and leaves all others out without a word."""
    names = {token: number for number, token in enumerate(["<s>", *sorted(set("Ġ" + TEXT.replace(" ", "")))])}
    core = Tokenizer(models.BPE(names, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="<s>")


def said(error):
    """One sentence, without a line break."""
    sentence = str(error.value)
    assert "\n" not in sentence
    assert ". " not in sentence
    return sentence


@pytest.mark.parametrize("explain", [ul.explain, ul.estimate])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "the continuation '' has no tokens"),
        ([""], "the continuation '' has no tokens"),
        (" ", "the continuation ' ' has no tokens"),
        ("the zebra", r"cannot write the continuation 'the zebra', of which it makes 'the \[UNK\]'"),
    ],
)
def test_answers_that_are_none(model, explain, target, message):
    with pytest.raises(ValueError, match=message) as error:
        explain(model, TEXT, **HOW, target=target)
    said(error)


def test_what_a_tokenizer_leaves_out_is_missed():
    model = built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2))
    how = {"tokenizer": letters_only(), "baseline": "zero", "method": "sig"}
    assert ul.explain(model, TEXT, **how, target=" mud").target_name == " mud"
    with pytest.raises(ValueError, match="' mad%', of which it makes ' mad'") as error:
        ul.explain(model, TEXT, **how, target=" mad%")
    said(error)
    unknown = ul.explain(model, TEXT, tokenizer=DECODER, baseline="zero", method="sig", target="[UNK]")
    assert unknown.target == (DECODER.unk_token_id,)  # asked for by its name


def test_a_prompt_that_is_too_long(model):
    longest = K["max_position_embeddings"]
    with pytest.raises(ValueError, match=f"reads at most {longest}; shorten it or pass max_length") as error:
        ul.explain(model, "good " * longest, **HOW, target="cake")
    said(error)
    prompt = "good " * (longest - 1)  # and <s>
    assert len(ul.explain(model, prompt, **HOW, target="cake", method="gradient_x_input")) == longest
    with pytest.raises(
        ValueError, match=rf"with its continuation has {longest + 1} tokens .* at most {longest}"
    ) as error:
        ul.explain(model, prompt, **HOW, target="the cake")
    said(error)


# Metrics of continuations


def log_p(model, ids, target):
    """Log p of a continuation behind ids, by the model itself."""
    ids = [*ids, *target]
    with torch.no_grad():
        log = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return float(sum(log[len(ids) - len(target) + j - 1, w] for j, w in enumerate(target)))


@pytest.mark.parametrize("replacement", ["delete", "pad"])
@pytest.mark.parametrize("protocol", ["corrected", "eraser"])
def test_a_continuation_is_judged_whole(model, protocol, replacement):
    found = ul.explain(model, LONGER, **HOW, target="the good cake", method="sig")
    n = len(found) - 2  # the last of three is not read
    order = sorted(range(1, n), key=lambda i: -found.scores[i])[:2]  # a fifth of eight words is two, rounded up or not
    ids = list(found.input_ids[:n])

    def changed(gone):
        left = [i for place, i in enumerate(ids) if place not in gone]
        padded = [K["pad_token_id"] if place in gone else i for place, i in enumerate(ids)]
        return left if replacement == "delete" else padded

    how = {"replacement": replacement, "protocol": protocol}
    judge, before = ul.TextModel(model, DECODER), torch.tensor(found.f_input).exp()
    for metric, gone in (("comprehensiveness", order), ("sufficiency", set(range(1, n)) - set(order))):
        after = torch.tensor(log_p(model, changed(gone), found.target)).exp()
        judged = getattr(ul.metrics, metric)(judge, [found], **how)
        assert float(judged[0]) == pytest.approx(float(before - after), abs=1e-6)
    if replacement == "pad":
        log_odds = ul.metrics.log_odds(judge, [found], protocol=protocol)  # a decoder has no mask: padding it is
        assert float(log_odds[0]) == pytest.approx(
            log_p(model, changed(order), found.target) - found.f_input, abs=1e-4
        )


def test_every_metric_of_a_model_without_a_mask(model):
    found = ul.explain(model, [TEXT, LONGER], **HOW, target="the good cake", method="sig")
    judge = ul.TextModel(model, DECODER)
    table = ul.metrics.measure(judge, found)
    assert "log_odds_pad_20" in table
    assert not [name for name in table if "mask" in name]
    assert set(ul.metrics.evaluate(judge, found)) == {"log_odds", "comprehensiveness", "sufficiency"}
    with pytest.raises(ValueError, match="no token for replacement='mask'") as error:
        ul.metrics.log_odds(judge, found, replacement="mask")
    said(error)


def test_an_answer_is_never_taken_out():
    """As published special tokens compete; those of the answer are what is asked for."""
    model = built(tf.BertLMHeadModel, tf.BertConfig(**K | {"is_decoder": True}))
    judge = ul.TextModel(model, DECODER)
    found = ul.explain(judge, TEXT, target="the good cake", baseline="unk", protocol="as_published", n_steps=4)
    found = replace(found, scores=(0.5, -1.0, -2.0, -3.0, 0.0, 0.0))
    best = selected(found, 0.25, AS_PUBLISHED)
    assert best.tolist() == [True] + [False] * 5  # of the prompt's four, by their scores; the answer's score 0 is less
    changed = erase(found, best, False, None, AS_PUBLISHED)
    assert changed.input_ids.tolist() == [*found.input_ids[1:4], *found.target[:2]]
    kept = erase(found, best, True, None, AS_PUBLISHED)
    assert kept.input_ids.tolist() == [found.input_ids[0], *found.target[:2]]
    worth = ul.metrics.comprehensiveness(judge, [found], protocol="as_published", top=0.01)
    assert float(worth[0]) == 0  # nothing is taken out, and the answer is the one that was explained


# Long prompts in bounded memory

LONG, VOCABULARY = 1000, 20_000


@pytest.fixture(scope="module")
def large():
    """A decoder with more words than fit into memory a thousand times."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = tf.LlamaConfig(**K | sizes | {"vocab_size": VOCABULARY, "max_position_embeddings": 2048})
    return built(tf.LlamaForCausalLM, config)


@pytest.mark.parametrize("method", ["sig", "ig"])
def test_a_long_prompt_is_explained_in_bounded_memory(large, method):
    """All rows of logits at once would be 240 MB, all points of a path 32 MB and their attention 4 GB."""
    prompt = "good " * (LONG - 1)
    how = HOW | {"target": "the dull cake", "method": method}
    if method == "ig":
        how["n_steps"] = 1000
    expected = ul.estimate(large, prompt, **how)
    with MemoryMeter() as meter:
        found = ul.explain(large, prompt, **how)
    assert len(found) == LONG + 2
    assert (expected.gradients, expected.forwards) == (found.evaluations, found.forwards)
    assert meter.peak < 80e6
    assert meter.peak < expected.memory < 10 * meter.peak


def test_metrics_keep_no_logits(large):
    prompt = ["good " * 8] * 200
    how = HOW | {"target": "the dull cake", "method": "random"}
    found = ul.explain(large, prompt, **how)
    with MemoryMeter() as meter:
        ul.metrics.measure(ul.TextModel(large, DECODER), found)
    assert meter.peak < 200 * 13 * 3 * VOCABULARY * 4 / 2  # of 13 changed texts each; a pass takes some copies
