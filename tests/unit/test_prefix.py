"""What sequences begin with is read once: the same scores with fewer tokens, or the whole is read as ever."""

import copy

import pytest
import torch
import transformers as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small import GPT2, K, built
from transformers.models.llama import modeling_llama

import udig_lab as ul
from udig_lab.methods import cube, removal
from udig_lab.methods.coalitions import _begin
from udig_lab.model import prefix
from udig_lab.model.reader import Reader

HOW = {"special_ids": [1], "baseline": 3}
METHODS = ("sig", "both_ends")
LLAMA = tf.LlamaConfig(**K, num_key_value_heads=2)
OTHERS = [
    (tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2)),
    (tf.LlamaForCausalLM, LLAMA),
    (tf.Qwen3ForCausalLM, tf.Qwen3Config(**K, num_key_value_heads=2, head_dim=8)),
    (tf.GPTNeoXForCausalLM, tf.GPTNeoXConfig(**K)),
]


def ids(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [1, *torch.randint(4, 40, (n - 1,), generator=generator).tolist()]


@pytest.fixture
def llama():
    return built(tf.LlamaForCausalLM, copy.deepcopy(LLAMA))


@pytest.fixture(autouse=True)
def tried_early(monkeypatch):
    monkeypatch.setattr(prefix, "SHORTEST", 16)


@pytest.fixture
def tokens(monkeypatch):
    """How many tokens have gone through the model, in all passes."""
    seen = []
    own = Reader._output

    def counting(self, mask, owners, begin=0, past=None):
        seen.append((len(mask), mask.shape[1] - begin))
        return own(self, mask, owners, begin, past)

    monkeypatch.setattr(Reader, "_output", counting)
    return seen


def read(seen):
    total = sum(n * length for n, length in seen)
    seen.clear()
    return total


def reader_of(model):
    texts, _ = ul.TextModel(model).encode(input_ids=[ids(4)], special_ids=[])
    return Reader(ul.TextModel(model), texts, at=torch.tensor([[3]]))


def whole(monkeypatch, *arguments, **settings):
    with monkeypatch.context() as patch:
        patch.setattr(prefix, "looks_back", lambda _: False)
        return ul.explain(*arguments, **settings)


def same(model, monkeypatch, tokens, *, share, tolerance, **settings):
    """The scores of both ways agree, and the share of tokens that is read is less, or the same."""
    expected = whole(monkeypatch, ul.TextModel(model), **settings)
    in_full = read(tokens)
    found = ul.explain(ul.TextModel(model), **settings)
    assert read(tokens) <= share * in_full
    for a, b in zip(found, expected, strict=True) if isinstance(found, list) else [(found, expected)]:
        assert a.scores == pytest.approx(b.scores, abs=tolerance * max(map(abs, b.scores)))
        assert a.forwards == b.forwards


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(("kind", "config"), OTHERS, ids=lambda x: getattr(x, "model_type", ""))
def test_the_same_scores_of_fewer_tokens(kind, config, attention, method, monkeypatch, tokens):
    model = built(kind, config)
    model.set_attn_implementation(attention)
    texts = {"input_ids": [ids(48), ids(40, 1)], "target": [[5], [6, 7, 8]]}
    same(model, monkeypatch, tokens, share=0.8, tolerance=1e-4, method=method, **texts, **HOW)


def test_the_same_scores_in_few_digits(llama, monkeypatch, tokens):
    how = HOW | {"method": "sig", "input_ids": ids(48), "target": [5]}
    same(llama.bfloat16(), monkeypatch, tokens, share=0.8, tolerance=0.1, **how)


def test_left_padding_and_every_token_of_an_answer(llama, monkeypatch, tokens):
    rows = torch.tensor([[0] * 8 + ids(40), ids(48, 1)])
    given_ = {"input_ids": rows, "attention_mask": (rows != 0).long()}
    how = HOW | {"baseline": 3, "method": "sig", "target": [[5, 6], [7]]}
    same(llama, monkeypatch, tokens, share=0.8, tolerance=1e-4, input_ids=given_, **how)
    answer = {"input_ids": ids(40), "target": [5, 6, 7], "method": "both_ends", **HOW}
    found = ul.explain_answer(ul.TextModel(llama), **answer)
    expected = whole(monkeypatch, ul.TextModel(llama), **answer)
    assert found.matrix.sum(0) == pytest.approx(expected.scores, abs=1e-4)


def test_short_prompts_and_others_are_read_as_ever(llama, monkeypatch, tokens):
    monkeypatch.setattr(prefix, "SHORTEST", 49)
    same(llama, monkeypatch, tokens, share=1, tolerance=0, input_ids=ids(48), target=[5], method="sig", **HOW)


@pytest.mark.parametrize(("method", "module"), [("sig", removal), ("both_ends", cube)])
def test_an_estimate_times_sentences_that_share_their_beginnings(llama, monkeypatch, tokens, method, module):
    made = []

    def timed(problem, coalitions):
        part = coalitions_reading(problem, coalitions)
        if part is None:
            made.append(None)
            return part
        read(tokens)
        passes = part()
        made.append(read(tokens) / passes / len(problem.encodings[0]))
        return part

    coalitions_reading = module.reading
    monkeypatch.setattr(module, "reading", timed)
    for length in (48, 12):
        ul.explain(ul.TextModel(llama), input_ids=ids(length), target=[5], method=method, **HOW)
    assert made[0] < 0.8, "tokens of a pass, as a share of the text's"
    assert made[1] is None, "short texts are read as a whole"


# Where it is not certain, the whole is read


class Counting(tf.LlamaForCausalLM):
    """A forward pass of its own: what is in the past makes it louder."""

    def forward(self, *arguments, past_key_values=None, **more):
        output = super().forward(*arguments, past_key_values=past_key_values, **more)
        if past_key_values is not None:
            output.logits = 2 * output.logits
        return output


def test_a_class_of_ones_own(monkeypatch, tokens):
    model = built(Counting, LLAMA)
    same(model, monkeypatch, tokens, share=1, tolerance=0, input_ids=ids(48), target=[5], method="sig", **HOW)
    assert not prefix.looks_back(reader_of(model))


def listened(model):
    model.model.layers[0].mlp.register_forward_hook(lambda _, __, output: output + 0.1 * len(output[0]))


def changed(model):
    own = model.model.layers[1].forward
    model.model.layers[1].forward = lambda x, **more: own(x + 0.1 * x.shape[1], **more)


def windowed(model):
    model.config.sliding_window = 4
    model.config.layer_types = ["full_attention", "sliding_attention"]


def looking_ahead(model):
    model.config.is_causal = False


@pytest.mark.parametrize("disturb", [listened, changed, windowed, looking_ahead])
def test_models_that_are_not_sure(llama, disturb, monkeypatch, tokens):
    disturb(llama)
    how = HOW | {"input_ids": ids(48), "target": [5], "method": "both_ends"}
    same(llama, monkeypatch, tokens, share=1.1, tolerance=0, **how)


modeling_rope = modeling_llama.apply_rotary_pos_emb


def turned_around(q, k, cos, sin, **_):
    """Positions that count from the end of what is read in this pass."""
    return modeling_rope(q, k, cos.flip(1), sin.flip(1))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_what_no_look_at_the_code_finds_is_found_by_trying(llama, kind, monkeypatch, tokens):
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", turned_around)
    how = HOW | {"input_ids": ids(48), "target": [5], "method": "sig"}
    assert prefix.looks_back(reader_of(llama))
    same(llama.to(kind), monkeypatch, tokens, share=1.1, tolerance=0, **how)


def test_a_cache_that_cannot_be_had(llama, monkeypatch, tokens):
    monkeypatch.delattr(tf.cache_utils, "DynamicLayer")
    same(llama, monkeypatch, tokens, share=1.1, tolerance=0, input_ids=ids(48), target=[5], method="sig", **HOW)


# Memory, and what is left behind


@pytest.mark.parametrize("most", [400, 60])
def test_a_pass_that_does_not_fit_is_halved(llama, most, monkeypatch, tokens):
    """Of 48 tokens or more: with 60, keys and values of one sequence fit, and of two they do not."""
    how = HOW | {"input_ids": ids(48), "target": [5], "method": "sig"}
    expected = whole(monkeypatch, ul.TextModel(llama), **how)
    own, sizes = Reader._output, []

    def short(self, mask, owners, begin=0, past=None):
        if mask.numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(mask.shape[1] - begin)
        return own(self, mask, owners, begin, past)

    monkeypatch.setattr(Reader, "_output", short)
    found = ul.explain(ul.TextModel(llama), **how)
    assert found.scores == pytest.approx(expected.scores, abs=1e-4)
    assert min(sizes) < 24


def test_the_model_is_as_it_was(llama):
    before = llama.config.to_dict()
    llama.train()
    ul.explain(ul.TextModel(llama), input_ids=ids(48), target=[5], method="sig", **HOW)
    assert llama.config.to_dict() == before
    assert llama.training
    assert llama.config.use_cache


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-1, 5)), min_size=1, max_size=12), st.data())
def test_a_sentence_begins_as_it_is_said(tokens_, data):
    owners = torch.tensor([player for _, player in tokens_])
    present = torch.tensor(data.draw(st.lists(st.booleans(), min_size=6, max_size=6)))
    here = [player >= 0 and bool(present[player]) for player in owners.tolist()]
    as_input, k = _begin(present, owners)
    end = [player >= 0 and as_input for player in owners.tolist()]
    assert here[:k] == end[:k]
    assert k == len(here) or here[k] != end[k]
