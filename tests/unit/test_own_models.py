"""The number explained is the model's own: embedding layers that compute, models that read ids, batches, wrappers.

Every test compares F with what the model itself says of the token ids.
"""

import copy
import warnings

import pytest
import torch
import transformers as tf
from small import (
    BART,
    BERT,
    DECODER,
    GPT2,
    LONGER,
    LONGER_PAIR,
    PAIR,
    PLAIN,
    T5,
    TEXT,
    WORDS,
    XGLM,
    K,
    built,
    on_baseline,
    outputs,
    own_answer,
    own_class,
    own_continuation,
)
from torch import nn
from wordlevel import word_tokenizer

import udig_lab as ul

# A. The embedding layer does more than look a row up


CAUSAL = {
    "gemma3": (tf.Gemma3ForCausalLM, tf.Gemma3TextConfig(**K, num_key_value_heads=2, head_dim=8)),
    "gemma": (tf.GemmaForCausalLM, tf.GemmaConfig(**K, num_key_value_heads=2, head_dim=8)),
    "biogpt": (tf.BioGptForCausalLM, tf.BioGptConfig(**K)),
    "xglm": (tf.XGLMForCausalLM, tf.XGLMConfig(**XGLM)),
    "bart-scaled": (tf.BartForCausalLM, tf.BartConfig(**BART, scale_embedding=True)),
    "granite": (tf.GraniteForCausalLM, tf.GraniteConfig(**K, embedding_multiplier=12.0)),
}


@pytest.mark.parametrize("name", CAUSAL)
def test_a_scaled_embedding_layer(name):
    model = built(*CAUSAL[name])
    texts = [TEXT, LONGER]
    together = ul.explain(model, texts, tokenizer=DECODER, target="good cake", baseline="unk", n_steps=128)
    for text, found in zip(texts, together, strict=True):
        assert found.f_input == pytest.approx(own_continuation(model, DECODER, text, "good cake"), abs=1e-3)
        assert abs(found.delta) < 0.02 * abs(found.f_input - found.f_baseline) + 1e-3


class Lora(nn.Module):
    """A low-rank change of an embedding layer, as PEFT's ``lora.Embedding``: ``weight`` is the frozen table alone."""

    def __init__(self, base, rank=4):
        super().__init__()
        self.base_layer = base
        self.a = nn.Parameter(torch.randn(rank, base.num_embeddings))
        self.b = nn.Parameter(torch.randn(base.embedding_dim, rank))

    @property
    def weight(self):
        return self.base_layer.weight

    def forward(self, ids):
        return self.base_layer(ids) + nn.functional.embedding(ids, self.a.T) @ self.b.T


class Factorised(nn.Module):
    """A narrow table and a projection; it has no ``weight``."""

    def __init__(self, base):
        super().__init__()
        self.table = nn.Embedding(base.num_embeddings, 8)
        self.projection = nn.Linear(8, base.embedding_dim)

    def forward(self, ids):
        return self.projection(self.table(ids)).tanh()


def doubled(layer):
    layer.register_forward_hook(lambda _, __, output: 2 * output)
    return layer


def cut_short(layer):
    """PyTorch shortens long rows when they are looked up, and writes them back."""
    layer.max_norm = 0.5
    return layer


CHANGES = {"lora": Lora, "factorised": Factorised, "user's hook": doubled, "max_norm": cut_short}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("method", ["ig", "udig", "sig"])
def test_a_layer_that_was_replaced_or_hooked(change, method):
    torch.manual_seed(1)
    model = built(tf.BertForSequenceClassification, tf.BertConfig(**K, num_labels=3))
    model.set_input_embeddings(CHANGES[change](model.get_input_embeddings()))
    model.eval()
    settings = {"ig": {"n_steps": 64}, "udig": {"n_steps": 5, "n_neighbors": 8, "factor": 3}, "sig": {}}[method]
    found = ul.explain(model, TEXT, tokenizer=BERT, target=1, method=method, baseline="mask", **settings)
    expected = own_class(model, found)
    at_baseline = float(outputs(model, on_baseline(found, BERT.mask_token_id)).logits[0, 1])
    assert found.f_input == pytest.approx(expected, abs=1e-4)
    assert found.f_baseline == pytest.approx(at_baseline, abs=1e-4)
    assert any(abs(s) > 1e-4 for s in found.scores)
    if method == "ig":
        assert abs(found.delta) < 0.05 * abs(found.f_input - found.f_baseline) + 1e-3


def test_the_table_is_the_layers_output():
    """A mean baseline and the anchors are points of the space in which the path runs."""
    model = built(tf.Gemma3ForCausalLM, CAUSAL["gemma3"][1])
    layer = model.get_input_embeddings()
    with torch.no_grad():
        expected = layer(torch.arange(layer.num_embeddings))
    torch.testing.assert_close(ul.TextModel(model, DECODER).table, expected)


# B. The model reads ids for more than embeddings


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (tf.LlamaForSequenceClassification, tf.LlamaConfig(**K | {"pad_token_id": 2}, num_labels=3)),
        (tf.GPT2ForSequenceClassification, tf.GPT2Config(**GPT2 | {"pad_token_id": 2}, num_labels=3)),
        (
            tf.Qwen2ForSequenceClassification,
            tf.Qwen2Config(**K | {"pad_token_id": 2}, num_key_value_heads=2, num_labels=3),
        ),
        (tf.BartForSequenceClassification, tf.BartConfig(**BART, num_labels=3)),
        (tf.T5ForSequenceClassification, tf.T5Config(**T5, num_labels=3)),
        (tf.EsmForSequenceClassification, tf.EsmConfig(**K, mask_token_id=3, token_dropout=True, num_labels=3)),
    ],
    ids=["llama", "gpt2", "qwen2", "bart", "t5", "esm"],
)
def test_classifiers_that_look_at_ids(kind, config):
    """Their last token is the padding token, their heads stand on [EOS], or they count [MASK]."""
    model = built(kind, config)
    texts = [TEXT, LONGER, "a [MASK] movie"]
    for found in ul.explain(model, texts, tokenizer=PLAIN, target=1, baseline="unk", n_steps=8):
        assert found.f_input == pytest.approx(own_class(model, found), abs=1e-4)


def longformer(kind, **more):
    return built(kind, tf.LongformerConfig(**K | {"sep_token_id": 2}, attention_window=4, **more))


def test_global_attention():
    model = longformer(tf.LongformerForSequenceClassification, num_labels=3)
    for found in ul.explain(model, [TEXT, LONGER], tokenizer=PLAIN, target=1, n_steps=8):
        assert found.f_input == pytest.approx(own_class(model, found), abs=1e-4)
    double = word_tokenizer(WORDS, token_types=False, separators=2)
    answers = longformer(tf.LongformerForQuestionAnswering)
    for pair, found in zip(
        (PAIR, LONGER_PAIR), ul.explain(answers, [PAIR, LONGER_PAIR], tokenizer=double, n_steps=8), strict=True
    ):
        assert found.f_input == pytest.approx(own_answer(answers, double, pair, found.target), abs=1e-4)


def test_a_padding_token_inside_a_text():
    """RoBERTa numbers its positions by what is no padding token."""
    model = built(tf.RobertaForSequenceClassification, tf.RobertaConfig(**K | {"pad_token_id": 0}, num_labels=3))
    found = ul.explain(model, input_ids=[1, 10, 0, 11, 2], special_ids=[1, 2], baseline=4, target=1, n_steps=8)
    assert found.input_ids == (1, 10, 0, 11, 2)
    assert found.f_input == pytest.approx(own_class(model, found), abs=1e-4)


class Counts(nn.Module):
    """Word embeddings, and besides them a second table that is looked up by the same ids."""

    def __init__(self):
        super().__init__()
        self.words, self.bag = nn.Embedding(40, 8), nn.Embedding(40, 3)
        self.head = nn.Linear(8, 3)

    def forward(self, ids):
        return self.head(self.words(ids).mean(1)).tanh() + self.bag(ids).mean(1)


def test_a_plain_module_that_reads_its_ids_twice():
    torch.manual_seed(0)
    module = Counts()
    model = ul.TextModel(module, BERT, embedding=module.words)
    for found in ul.explain(model, [TEXT, LONGER], target=1, baseline="mask"):
        with torch.no_grad():
            assert found.f_input == pytest.approx(float(module(torch.tensor([found.input_ids]))[0, 1]), abs=1e-5)
        assert found.delta_percent < 1


class BothWays(nn.Module):
    """A recurrent network that looks its words up again from behind, and with an axis more than needed."""

    def __init__(self):
        super().__init__()
        self.words, self.forwards, self.backwards = nn.Embedding(40, 8), nn.GRU(8, 8), nn.GRU(8, 8)
        self.head = nn.Linear(16, 3)

    def forward(self, ids):
        ahead, behind = self.words(ids[None])[0], self.words(ids.flip(1))  # (n, L, 8) each
        last = [net(x.transpose(0, 1))[0][-1] for net, x in ((self.forwards, ahead), (self.backwards, behind))]
        return self.head(torch.cat(last, dim=1))


def test_a_layer_that_is_asked_in_other_shapes():
    """Both halves follow the path: F at the baseline is what the model says of the baseline's ids."""
    torch.manual_seed(0)
    module = BothWays()
    model = ul.TextModel(module, BERT, embedding=module.words)
    for found in ul.explain(model, [TEXT, LONGER], target=1, baseline="mask", n_steps=32):
        with torch.no_grad():
            own, at_baseline = (
                float(module(torch.tensor([list(ids)]))[0, 1])
                for ids in (found.input_ids, on_baseline(found, BERT.mask_token_id))
            )
        assert (found.f_input, found.f_baseline) == pytest.approx((own, at_baseline), abs=1e-5)
        assert found.delta_percent < 1


class Noisy(nn.Module):
    """It never says the same twice."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, ids):
        found = self.inner(ids)
        return found + torch.randn_like(found)


def test_another_number_than_the_models_own_is_an_error():
    torch.manual_seed(0)
    module = Counts()
    noisy = ul.TextModel(Noisy(module), BERT, embedding=module.words)
    with pytest.raises(ValueError, match=r"-?\d+\.\d+.* own .*-?\d+\.\d+") as caught:
        ul.explain(noisy, TEXT, target=1, baseline="mask")
    assert "\n" not in str(caught.value)
    assert len(ul.explain(noisy, TEXT, target=1, baseline="mask", check=False)) == 5


# D. Span models built on decoders, in a batch


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (tf.GPT2ForQuestionAnswering, tf.GPT2Config(**GPT2)),
        (tf.LlamaForQuestionAnswering, tf.LlamaConfig(**K)),
        (
            tf.OPTForQuestionAnswering,
            tf.OPTConfig(
                **{k: v for k, v in K.items() if k != "intermediate_size"}
                | {"ffn_dim": 64, "init_std": 0.3, "word_embed_proj_dim": 32}
            ),
        ),
        (
            tf.BloomForQuestionAnswering,
            tf.BloomConfig(vocab_size=40, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3),
        ),
        (tf.FalconForQuestionAnswering, tf.FalconConfig(**{k: v for k, v in K.items() if k != "intermediate_size"})),
        (tf.BartForQuestionAnswering, tf.BartConfig(**BART)),
    ],
    ids=["gpt2", "llama", "opt", "bloom", "falcon", "bart"],
)
def test_answers_of_decoders_in_a_batch(kind, config):
    model = built(kind, config)
    pairs = [PAIR, LONGER_PAIR]
    together = ul.explain(model, pairs, tokenizer=PLAIN, n_steps=8, baseline="unk")
    for pair, found in zip(pairs, together, strict=True):
        alone = ul.explain(model, pair, tokenizer=PLAIN, target=found.target, n_steps=8, baseline="unk")
        assert found.f_input == pytest.approx(own_answer(model, PLAIN, pair, found.target), abs=1e-4)
        assert found.scores == pytest.approx(alone.scores, abs=1e-3 * max(map(abs, alone.scores)))


# H. What a model does, not how it is called


class Renamed(tf.GPT2LMHeadModel):
    """A language model under a name that no list holds."""


class Judge(tf.BertForQuestionAnswering):
    """The same for a span model."""


@pytest.mark.parametrize(
    "wrap", [lambda m: torch.compile(m, backend="eager"), nn.DataParallel], ids=["compile", "parallel"]
)
def test_wrappers_are_looked_into(wrap):
    spans = built(tf.BertForQuestionAnswering, tf.BertConfig(**K))
    found = ul.explain(wrap(spans), PAIR, tokenizer=BERT, n_steps=8)
    assert found.f_input == pytest.approx(own_answer(spans, BERT, PAIR, found.target), abs=1e-4)
    causal = built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2))
    found = ul.explain(wrap(causal), TEXT, tokenizer=DECODER, target="good cake", n_steps=8)
    assert found.f_input == pytest.approx(own_continuation(causal, DECODER, TEXT, "good cake"), abs=1e-4)
    classes = built(tf.BertForSequenceClassification, tf.BertConfig(**K, num_labels=3))
    found = ul.explain(wrap(classes), TEXT, tokenizer=BERT, target=1, n_steps=8)
    assert found.f_input == pytest.approx(own_class(classes, found), abs=1e-4)


def test_subclasses_keep_their_task():
    causal, spans = built(Renamed, tf.GPT2Config(**GPT2)), built(Judge, tf.BertConfig(**K))
    assert ul.TextModel(causal, DECODER).task == "causal"
    assert ul.TextModel(spans, BERT).task == "span"
    found = ul.explain(causal, TEXT, tokenizer=DECODER, target="good cake", n_steps=8)
    assert found.f_input == pytest.approx(own_continuation(causal, DECODER, TEXT, "good cake"), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (tf.RobertaForCausalLM, tf.RobertaConfig(**K, is_decoder=True)),
        (tf.BertLMHeadModel, tf.BertConfig(**K, is_decoder=True)),
        (tf.ElectraForCausalLM, tf.ElectraConfig(**K, embedding_size=16, is_decoder=True)),
        (
            tf.OPTForCausalLM,
            tf.OPTConfig(
                vocab_size=40,
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                ffn_dim=64,
                word_embed_proj_dim=32,
                init_std=0.3,
                pad_token_id=0,
                max_position_embeddings=64,
            ),
        ),
        (tf.BartForCausalLM, tf.BartConfig(**BART)),
    ],
    ids=["roberta", "bert", "electra", "opt", "bart"],
)
def test_language_models_in_a_batch(kind, config):
    model = built(kind, config)
    texts = [TEXT, LONGER]
    together = ul.explain(model, texts, tokenizer=DECODER, target=["good cake", "bad"], baseline="unk", n_steps=8)
    for text, words, found in zip(texts, ["good cake", "bad"], together, strict=True):
        assert found.f_input == pytest.approx(own_continuation(model, DECODER, text, words), abs=1e-3)
        alone = ul.explain(model, text, tokenizer=DECODER, target=words, baseline="unk", n_steps=8)
        assert found.scores == pytest.approx(alone.scores, abs=1e-3 * max(map(abs, alone.scores)))


# I. `inputs_embeds` is one way among others


def test_encoder_decoders_generate():
    """The source is explained; what follows is read by the decoder, and stays as it is."""
    for kind, config in [
        (tf.T5ForConditionalGeneration, tf.T5Config(**T5)),
        (tf.BartForConditionalGeneration, tf.BartConfig(**BART)),
    ]:
        model = built(kind, config)
        words = PLAIN("good cake", add_special_tokens=False)["input_ids"]
        texts = [TEXT, LONGER]
        for text, found in zip(
            texts,
            ul.explain(model, texts, tokenizer=PLAIN, target="good cake", baseline="unk", n_steps=64),
            strict=True,
        ):
            inputs = PLAIN(text, return_tensors="pt")
            start = torch.tensor([[config.decoder_start_token_id, words[0]]])
            with torch.no_grad():
                steps = model(**inputs, decoder_input_ids=start).logits[0].log_softmax(-1)
            assert found.f_input == pytest.approx(float(steps[0, words[0]] + steps[1, words[1]]), abs=1e-3)
            assert [word for word, _ in found.words()] == text.split()
            assert abs(found.delta) < 0.05 * abs(found.f_input - found.f_baseline) + 1e-3


@pytest.mark.parametrize("kind", [tf.CTRLLMHeadModel, tf.CTRLForSequenceClassification])
def test_a_model_that_changes_its_embeddings_in_place(kind):
    """CTRL scales what its layer gave where it stands: the points are ours, and stay as they are."""
    config = {
        "vocab_size": 40,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "dff": 64,
        "n_positions": 64,
        "pad_token_id": 0,
    }
    model = built(kind, tf.CTRLConfig(**config, initializer_range=0.3))
    keywords = {"tokenizer": DECODER, "baseline": "unk", "n_steps": 256}
    if kind is tf.CTRLLMHeadModel:
        found = ul.explain(model, TEXT, target="good cake", **keywords)
        assert found.f_input == pytest.approx(own_continuation(model, DECODER, TEXT, "good cake"), abs=1e-3)
    else:
        found = ul.explain(model, TEXT, target=1, **keywords)
        assert found.f_input == pytest.approx(own_class(model, found), abs=1e-4)
    assert abs(found.delta) < 0.05 * abs(found.f_input - found.f_baseline) + 1e-3


class Aside(nn.Module):
    """It looks its rows up by itself: the layer that is named is never called."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(40, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, ids):
        return self.head(nn.functional.embedding(ids, self.words.weight).mean(1))


@pytest.mark.parametrize("method", ["ig", "sig", "random"])
def test_a_layer_that_is_never_called(method):
    module = Aside()
    with pytest.raises(ValueError, match=r"is not asked|never"):
        ul.explain(ul.TextModel(module, BERT, embedding=module.words), TEXT, method=method, baseline="mask")
    model = built(tf.BertForSequenceClassification, tf.BertConfig(**K))
    with pytest.raises(ValueError, match=r"is not asked|never"):
        ul.explain(ul.TextModel(model, BERT, embedding=nn.Embedding(40, 32)), TEXT, method=method, baseline="mask")


def test_a_model_without_an_embedding_layer():
    """CANINE hashes characters."""
    config = tf.CanineConfig(**K, num_hash_buckets=16, downsampling_rate=2, local_transformer_stride=4)
    model = built(tf.CanineForSequenceClassification, config)
    with pytest.raises((ValueError, TypeError), match="embedding"):
        ul.explain(model, TEXT, tokenizer=PLAIN)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (tf.BertLMHeadModel, tf.BertConfig(**K)),
        (tf.XLNetLMHeadModel, tf.XLNetConfig(vocab_size=40, d_model=32, n_layer=2, n_head=4, d_inner=64)),
    ],
    ids=["bert", "xlnet"],
)
@pytest.mark.filterwarnings("ignore")
def test_language_models_that_read_ahead(kind, config):
    """An encoder sees the words it should guess: their sum is no log-probability, but one word is right."""
    model = built(kind, config)
    keywords = {"tokenizer": DECODER, "baseline": "unk", "n_steps": 8}
    with pytest.raises(ValueError, match=r"reads ahead.*one token"):
        ul.explain(model, [TEXT, LONGER], target=["good", "good cake"], **keywords)
    found = ul.explain(model, TEXT, target="good", **keywords)
    assert found.f_input == pytest.approx(own_continuation(model, DECODER, TEXT, "good"), abs=1e-3)


def test_a_model_whose_gradient_is_taken_in_training_only():
    """Reformer recomputes its layers backwards, and asserts that it trains; what reads it forward works."""
    config = {"vocab_size": 40, "hidden_size": 32, "num_attention_heads": 4, "attention_head_size": 8}
    config |= {"feed_forward_size": 64, "attn_layers": ["local"], "axial_pos_embds": False, "pad_token_id": 0}
    config |= {"max_position_embeddings": 64, "local_attn_chunk_length": 8, "is_decoder": False}
    model = built(tf.ReformerForSequenceClassification, tf.ReformerConfig(**config))
    keywords = {"tokenizer": PLAIN, "target": 1, "baseline": "unk"}
    with pytest.raises(ValueError, match=r"training mode.*sig"):
        ul.explain(model, TEXT, **keywords)
    found = ul.explain(model, TEXT, method="sig", n_steps=4, **keywords)
    assert found.f_input == pytest.approx(own_class(model, found), abs=1e-4)


# Q. Weights without gradients, models that mix padding in


@pytest.mark.filterwarnings("ignore:quantized")
def test_int8_weights_allow_what_needs_no_gradient():
    model = built(tf.BertForSequenceClassification, tf.BertConfig(**K, num_labels=3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchao is to follow it, and is another package
        int8 = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)
    found = ul.explain(int8, TEXT, tokenizer=BERT, target=1, method="sig", baseline="mask")
    assert found.f_input == pytest.approx(own_class(int8, found), abs=1e-4)
    assert any(abs(s) > 1e-4 for s in found.scores)
    with pytest.raises((ValueError, TypeError), match=r"gradient.*sig"):
        ul.explain(int8, TEXT, tokenizer=BERT, target=1, method="ig", baseline="mask")


def test_models_that_mix_padding_in():
    """FNet's Fourier transform knows no mask: a text must not learn what it was padded with."""
    model = built(tf.FNetForSequenceClassification, tf.FNetConfig(**K, num_labels=3))
    together = ul.explain(model, [TEXT, LONGER], tokenizer=BERT, target=1, baseline="mask", n_steps=8)
    for text, found in zip((TEXT, LONGER), together, strict=True):
        alone = ul.explain(model, text, tokenizer=BERT, target=1, baseline="mask", n_steps=8)
        assert found.f_input == pytest.approx(own_class(model, found), abs=1e-4)
        assert found.scores == pytest.approx(alone.scores, abs=1e-3 * max(map(abs, alone.scores)))
