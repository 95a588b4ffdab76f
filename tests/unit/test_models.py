"""Every kind of model: encoders, decoders, span models and plain modules, tiny and random."""

import copy

import pytest
import torch
from conftest import QUICK
from torch import nn
from transformers import (
    AlbertConfig,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    RobertaConfig,
)
from wordlevel import word_tokenizer

import udig_lab as ul
from udig_lab.model.textmodel import left_as_found

COMMON = {"vocab_size": 60, "pad_token_id": 0}
SMALL = COMMON | {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
ENCODERS = {
    "bert": BertConfig(**SMALL, max_position_embeddings=40),
    "distilbert": DistilBertConfig(**COMMON, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=40),
    "roberta": RobertaConfig(**SMALL, max_position_embeddings=40),
    "electra": ElectraConfig(**SMALL, embedding_size=8, max_position_embeddings=40),
    "albert": AlbertConfig(**SMALL, embedding_size=8, max_position_embeddings=40),
    "deberta-v2": DebertaV2Config(
        **SMALL, max_position_embeddings=40, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8
    ),
    "modernbert": ModernBertConfig(
        **SMALL, max_position_embeddings=40, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2
    ),
}
DECODERS = {
    "gpt2": GPT2Config(**COMMON, n_embd=16, n_layer=2, n_head=2, n_positions=40, bos_token_id=1, eos_token_id=2),
    "llama": LlamaConfig(**SMALL, max_position_embeddings=40, bos_token_id=1, eos_token_id=2, num_key_value_heads=1),
}
ALL = ENCODERS | DECODERS
IDS = [[1, 30, 31, 32, 33, 2], [1, 40, 41, 2], [1, 50, 51, 52, 53, 54, 55, 2]]
KEYWORDS = {"input_ids": IDS, "special_ids": [0, 1, 2], "baseline": 3}


def built(auto, config):
    torch.manual_seed(0)
    model = auto.from_config(copy.deepcopy(config)).double()
    with torch.no_grad():
        for parameter in model.parameters():  # fresh heads are nearly zero: make F bend
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def logits(model, ids):
    with left_as_found(model), torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0]


@pytest.fixture(params=ALL)
def classifier(request):
    return built(AutoModelForSequenceClassification, ALL[request.param])


def test_f_is_the_models_own_logit(classifier):
    """Padding, positions and normalisation inside: a batch of embeddings gives what each text's ids give."""
    for ids, found in zip(IDS, ul.explain(classifier, **KEYWORDS, n_steps=1), strict=True):
        assert found.f_input == pytest.approx(float(logits(classifier, ids)[found.target]), abs=1e-9)
        assert found.f_baseline == pytest.approx(
            float(logits(classifier, [ids[0], *[3] * (len(ids) - 2), ids[-1]])[found.target]), abs=1e-9
        )


def test_a_decoder_that_cannot_read_batches():
    model = built(AutoModelForSequenceClassification, DECODERS["gpt2"])
    model.config.pad_token_id = None
    with pytest.raises(ValueError, match=r"has no padding token.*set model\.config\.pad_token_id"):
        ul.explain(model, **KEYWORDS)


def test_ig_is_complete_on_every_classifier(classifier):
    for found in ul.explain(classifier, **KEYWORDS, n_steps=200):
        assert abs(found.delta) < 2e-3 * abs(found.f_input - found.f_baseline) + 1e-6


@pytest.mark.parametrize("method", [m for m in QUICK if m not in ("ig2", "random")])
def test_every_method_on_every_classifier(classifier, method):
    before = copy.deepcopy(classifier.state_dict())
    settings = {k: v for k, v in QUICK[method].items() if k != "baselines"}
    more = {"baselines": (3, "zero")} if method == "expected_gradients" else {}
    together = ul.explain(classifier, **KEYWORDS, method=method, **settings, **more)
    last = ul.explain(classifier, **(KEYWORDS | {"input_ids": IDS[1]}), method=method, **settings, **more)
    assert together[1].scores == pytest.approx(last.scores, abs=1e-9)
    assert method == "lime" or any(abs(s) > 1e-9 for s in last.scores)  # whose lasso drops what is below its α
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())


def test_log_odds_are_the_log_of_the_odds(classifier):
    found = ul.explain(classifier, **KEYWORDS, output="log_odds", n_steps=1)
    for a in found:
        assert a.output == "log_odds"
        assert a.f_input == pytest.approx(
            torch.logit(torch.tensor(a.probability, dtype=torch.float64)).item(), abs=1e-6
        )


# A plain torch module


class KimCNN(nn.Module):
    """Convolutions of widths 2 to 4 over word embeddings, maxima over time, one linear layer."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(60, 12, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(12, 6, width) for width in (2, 3, 4))
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(18, 3)

    def forward(self, ids):
        x = self.embedding(ids).transpose(1, 2)
        features = [torch.tanh(convolution(x)).amax(-1) for convolution in self.convolutions]
        return self.fc(self.dropout(torch.cat(features, dim=1)))


@pytest.fixture
def cnn():
    torch.manual_seed(1)
    return KimCNN().double().train()


@pytest.mark.parametrize("method", [m for m in QUICK if m != "ig2"])
def test_a_plain_module_with_an_embedding_layer(cnn, method):
    more = {"baselines": (3, "zero")} if method == "expected_gradients" else {}
    keywords = KEYWORDS | {"method": method} | QUICK[method] | more
    for ids, found in zip(IDS, ul.explain(cnn, **keywords), strict=True):
        with left_as_found(cnn), torch.no_grad():
            assert found.f_input == pytest.approx(float(cnn(torch.tensor([ids]))[0, found.target]))
        assert found.scores == pytest.approx(ul.explain(cnn, **(keywords | {"input_ids": ids})).scores)


def test_a_module_with_two_embedding_layers(cnn):
    cnn.other = nn.Embedding(5, 2)
    with pytest.raises(
        TypeError, match=r"KimCNN has 2 embedding layers.*TextModel\(model, tokenizer, embedding=layer"
    ):
        ul.explain(cnn, **KEYWORDS)
    assert len(ul.explain(ul.TextModel(cnn, embedding=cnn.embedding), **KEYWORDS)) == 3


# Span models

QUESTION, CONTEXT = "who ate the cake", "the small dog ate the whole cake on sunday"


@pytest.fixture(params=["bert", "distilbert", "roberta", "electra", "albert", "deberta-v2"])
def spans(request):
    model = built(AutoModelForQuestionAnswering, ENCODERS[request.param])
    types = request.param not in ("distilbert", "roberta")
    return ul.TextModel(model, word_tokenizer(f"{QUESTION} {CONTEXT}", token_types=types))


@pytest.mark.parametrize("output", ["joint", "start", "end"])
def test_answers_are_explained(spans, output):
    found = ul.explain(spans, (QUESTION, CONTEXT), output=output, n_steps=60, baseline="mask")
    inputs = spans.tokenizer(QUESTION, CONTEXT, return_tensors="pt")
    with left_as_found(spans.model), torch.no_grad():
        expected = spans.model(**inputs)
    start, end = found.target
    parts = {"start": float(expected.start_logits[0, start]), "end": float(expected.end_logits[0, end])}
    assert found.f_input == pytest.approx(parts.get(output, sum(parts.values())), abs=1e-9)
    assert found.target_name in CONTEXT
    assert [word for word, _ in found.words()] == f"{QUESTION} {CONTEXT}".split()
    assert abs(found.delta) < 0.02 * abs(found.f_input - found.f_baseline) + 1e-6


def test_an_answer_can_be_named(spans):
    named = ul.explain(spans, (QUESTION, CONTEXT), target="whole cake", n_steps=1)
    assert named.target_name == "whole cake"
    again = ul.explain(spans, [(QUESTION, CONTEXT)], target=[named.target], n_steps=1)[0]
    assert again.scores == named.scores
    with pytest.raises(ValueError, match="the answer 'a cat' does not stand in the context of the text"):
        ul.explain(spans, (QUESTION, CONTEXT), target="a cat")
    with pytest.raises(ValueError, match="the answer 'a cat' does not stand in the context of text 1"):
        ul.explain(spans, [(QUESTION, CONTEXT)] * 2, target=["whole cake", "a cat"])
    with pytest.raises(ValueError, match=r"pass an answer that stands in the context.*token positions"):
        ul.explain(spans, (QUESTION, CONTEXT), target=(5, 99))


@pytest.mark.parametrize("method", [m for m in QUICK if m != "ig2"])
def test_every_method_on_questions(method):
    model = ul.TextModel(
        built(AutoModelForQuestionAnswering, ENCODERS["bert"]), word_tokenizer(f"{QUESTION} {CONTEXT}")
    )
    pairs = [(QUESTION, CONTEXT), ("who ate", "the dog ate on sunday")]
    more = {"baselines": ("mask", "zero")} if method == "expected_gradients" else {}
    more |= {"n_neighbors": 8} if "dig" in method else {}
    settings = QUICK[method] | more
    together = ul.explain(model, pairs, method=method, **settings)
    for pair, found in zip(pairs, together, strict=True):
        assert found.scores == pytest.approx(ul.explain(model, pair, method=method, **settings).scores, abs=1e-9)


def test_the_shipped_span_model_explains_its_answer():
    row = ul.data.examples("squad").iloc[0]
    found = ul.explain(ul.load("squad"), (row["question"], row["context"]))
    assert found.target_name in row["context"]
    assert found.delta_percent < 1


# Language models


@pytest.fixture(params=DECODERS)
def language_model(request):
    model = built(AutoModelForCausalLM, DECODERS[request.param])
    return ul.TextModel(model, word_tokenizer("the cat sat on a mat and ate it", decoder=True))


def log_prob(model, prompt, continuation):
    """Sum of log p of the continuation's tokens, from the ids."""
    ids = model.tokenizer(prompt)["input_ids"]
    more = model.tokenizer(continuation, add_special_tokens=False)["input_ids"]
    steps = logits(model.model, ids + more).log_softmax(-1)
    return sum(float(steps[len(ids) - 1 + k, token]) for k, token in enumerate(more))


def test_a_continuation_is_explained(language_model):
    prompts, continuations = ["the cat sat on", "the cat"], ["a mat", "ate it and sat"]
    found = ul.explain(language_model, prompts, target=continuations, n_steps=200)
    for prompt, continuation, a in zip(prompts, continuations, found, strict=True):
        expected = log_prob(language_model, prompt, continuation)
        assert a.f_input == pytest.approx(expected, abs=1e-9)
        assert a.probability == pytest.approx(torch.tensor(expected).exp().item(), rel=1e-4)
        assert [word for word, _ in a.words()] == prompt.split()
        assert a.target_name == continuation
        assert abs(a.delta) < 0.01 * abs(a.f_input - a.f_baseline) + 1e-4


def test_the_next_token_is_the_default_target(language_model):
    found = ul.explain(language_model, "the cat sat", output="logit", n_steps=4)
    last = logits(language_model.model, language_model.tokenizer("the cat sat")["input_ids"])[-1]
    assert found.target == (int(last.argmax()),)
    assert found.f_input == pytest.approx(float(last.max()), abs=1e-9)


@pytest.mark.parametrize("method", [m for m in QUICK if m != "ig2"])
def test_every_method_on_language_models(language_model, method):
    more = {"baselines": ("eos", "zero")} if method == "expected_gradients" else {}
    more = {"baselines": ("pad", "zero")} if more else {"n_neighbors": 8} if "dig" in method else {}
    texts = ["the cat sat on", "a mat"]
    together = ul.explain(language_model, texts, method=method, target="a mat", **(QUICK[method] | more))
    for text, found in zip(texts, together, strict=True):
        alone = ul.explain(language_model, text, method=method, target="a mat", **(QUICK[method] | more))
        assert found.scores == pytest.approx(alone.scores, abs=1e-9)


def test_ig2_on_questions_and_language_models(spans, language_model):
    keywords = {"method": "ig2", "n_steps": 3, "step_size": 0.1}
    for model, text, references in [
        (spans, (QUESTION, CONTEXT), [("who ate", "the dog ate on sunday")]),
        (language_model, "the cat sat on", ["it ate a mat"]),
    ]:
        found = ul.explain(model, text, references=references, **keywords)
        assert any(abs(s) > 0 for s in found.scores)
        with pytest.raises(ValueError, match="ig2 has no references of its own for this model"):
            ul.explain(model, text, **keywords)
