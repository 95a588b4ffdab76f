"""What the chapter "Explain your own model" says of models, inputs and targets, on small random models."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
)
from wordlevel import word_tokenizer

import udig_lab as ul
from udig_lab.faithfulness.wae import word_approximation_error
from udig_lab.model.embedding import points_at

WORDS = "who ate the cake ? a small dog it was dull good bad movie"
TEXTS = ["a dull movie", "the dog ate the cake"]
PAIR = ("who ate the cake ?", "a small dog ate it")
BERT = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
GPT2 = {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40, "initializer_range": 0.3}


def own(kind, tokenizer=None, **more):
    """A random model with its tokenizer, in double precision."""
    torch.manual_seed(0)
    config = (
        GPT2Config(**GPT2, bos_token_id=1, eos_token_id=2) if kind is GPT2LMHeadModel else BertConfig(**BERT | more)
    )
    return ul.TextModel(
        kind(config).double().eval(), tokenizer or word_tokenizer(WORDS, decoder=kind is GPT2LMHeadModel)
    )


@pytest.fixture
def causal():
    return own(GPT2LMHeadModel)


@pytest.fixture
def span():
    return own(BertForQuestionAnswering)


# Contrasts


def difference(model, text, this, that, **keywords):
    """Scores, and F at the input, of one target minus those of another."""
    a, b = (ul.explain(model, text, target=t, **keywords) for t in (this, that))
    n = min(len(a), len(b))  # what continues the text stands behind it
    return np.subtract(a.scores[:n], b.scores[:n]), a.f_input - b.f_input


@pytest.mark.parametrize("that", ["bad movie", "bad", None])
def test_a_contrast_of_continuations_for_every_text(causal, that):
    contrasts = [("good", that), ("a good movie", "bad")]
    found = ul.explain(causal, TEXTS, target=contrasts, baseline="pad", n_steps=8)
    for text, (this, other), a in zip(TEXTS, contrasts, found, strict=True):
        scores, f = difference(causal, text, this, other, baseline="pad", n_steps=8)
        assert a.f_input == pytest.approx(f, abs=1e-9)
        assert a.scores == pytest.approx(scores[: len(a)].tolist(), abs=1e-9)
        assert [word for word, _ in a.words()] == text.split()


@pytest.mark.parametrize("contrast", [("dog", "a small"), (None, "ate"), ((9, 10), (8, 8))])
def test_a_contrast_of_answers(span, contrast):
    a = ul.explain(span, PAIR, target=contrast, n_steps=8)
    scores, f = difference(span, PAIR, *contrast, n_steps=8)
    assert a.f_input == pytest.approx(f, abs=1e-9)
    assert a.scores == pytest.approx(scores.tolist(), abs=1e-9)
    assert a.probability is None
    assert ul.Attribution.from_json(a.to_json()) == a
    with pytest.raises(ValueError, match="the contrast of two answers is that of their joint logits; pass no output"):
        ul.explain(span, PAIR, target=contrast, output="start")


def test_targets_of_finished_explanations_ask_the_same_again(causal, span, lab):
    """Two ids are a continuation, as three would be; what is contrasted is two of them."""
    for model, text, target in [
        (causal, TEXTS[0], "good movie"),
        (causal, TEXTS[0], ("good movie", "bad")),
        (span, PAIR, "small dog"),
        (span, PAIR, (None, "dog")),
        (lab, TEXTS[0], ("positive", "negative")),
    ]:
        keywords = {"n_steps": 4} | ({"baseline": "pad"} if model is causal else {})
        (a,) = ul.explain(model, [text], target=target, **keywords)
        for again in (
            ul.explain(model, text, target=a.target, **keywords),
            *ul.explain(model, [text], target=[a.target], **keywords),
        ):
            assert (again.target, again.target_name, again.output) == (a.target, a.target_name, a.output)
            assert again.scores == a.scores


def test_rather_than_the_other_class_of_two(lab):
    found = ul.explain(lab, TEXTS[0], target=(None, "positive"), n_steps=4)
    assert found.target_name == "negative − positive"


def test_contrasts_that_are_none(causal, span, lab):
    some = "some of the targets are contrasts"
    with pytest.raises(ValueError, match=some):
        ul.explain(causal, TEXTS, target=[("good", "bad"), "dull"])
    with pytest.raises(ValueError, match=some):
        ul.explain(lab, TEXTS, target=[(0, 1), 1])
    with pytest.raises(
        ValueError, match="a contrast explains the difference of two logits; pass no output, not 'log_odds'"
    ):
        ul.explain(lab, TEXTS, target=(0, 1), output="log_odds")
    for method in ("random", "idg"):
        with pytest.raises(ValueError, match="not linear in F, so it has no contrast"):
            ul.explain(span, PAIR, target=(None, "dog"), method=method)
    for model, text, contrast in ((causal, TEXTS[0], ("good", "bad")), (span, PAIR, (None, "dog"))):
        with pytest.raises(ValueError, match="made of two paths; trace each of them alone"):
            ul.trace(model, text, target=contrast)
        found = ul.explain(
            model, [text], target=contrast, n_steps=2, **({"baseline": "pad"} if model is causal else {})
        )
        with pytest.raises(ValueError, match="explain and judge each of them alone"):
            ul.metrics.comprehensiveness(model, found)


# One position of the text


@pytest.fixture(params=[BertForTokenClassification, BertForMaskedLM])
def positions(request):
    return own(request.param)


def test_a_trace_of_what_is_said_at_one_position(positions):
    """Its steps add up to the scores that ``explain`` gives."""
    trace = ul.trace(positions, TEXTS[0], at=2, n_steps=8)
    found = ul.explain(positions, TEXTS[0], at=2, n_steps=8)
    assert trace.attribution.at == found.at == 2
    assert trace.contributions.sum(0).tolist() == pytest.approx(found.scores, abs=1e-9)


def test_all_is_for_classes_and_not_for_words():
    with pytest.raises(ValueError, match=r"explains every class; .* masked model, which has none"):
        ul.explain(own(BertForMaskedLM), "a [MASK] movie", target="all")
    with pytest.raises(ValueError, match="a trace is one explanation; name a class"):
        ul.trace(own(BertForSequenceClassification), TEXTS[0], target="all")


@pytest.mark.parametrize(
    ("kind", "text", "keywords"),
    [
        (BertForTokenClassification, TEXTS[0], {"at": "dull"}),
        (BertForMaskedLM, "a [MASK] movie", {}),
        (BertForQuestionAnswering, PAIR, {"target": (None, "dog")}),
        (GPT2LMHeadModel, TEXTS[0], {"target": ("good", "bad")}),
        (GPT2LMHeadModel, TEXTS[0], {"target": "good movie"}),
    ],
)
def test_the_word_approximation_error_of_every_head(kind, text, keywords):
    """It is a property of the path, so that of the classifier with the same table."""
    model = own(kind)
    settings = {"method": "ig", "rule": "left", "n_steps": 4, "baseline": "pad"}
    (found,) = word_approximation_error(model, [ul.explain(model, text, **settings, **keywords)])
    twin = own(BertForSequenceClassification, model.tokenizer)
    twin.model.get_input_embeddings().weight.data = model.model.get_input_embeddings().weight.data
    (expected,) = word_approximation_error(twin, [ul.explain(twin, text, **settings)])
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


# What models return, and which layer is named


@pytest.mark.parametrize("kind", [BertForSequenceClassification, BertForQuestionAnswering, BertForTokenClassification])
def test_outputs_may_come_as_a_tuple(kind):
    """As they do after ``config.return_dict = False``."""
    model = own(kind)
    text = PAIR if kind is BertForQuestionAnswering else TEXTS[0]
    keywords = {"n_steps": 4} | ({"at": "dull"} if kind is BertForTokenClassification else {})
    expected = ul.explain(model, text, **keywords)
    model.model.config.return_dict = False
    found = ul.explain(model, text, **keywords)
    assert (found.f_input, found.scores) == (expected.f_input, expected.scores)


class Plain(nn.Module):
    """A mean of word vectors; ``wrap`` is what it hands its logits back in."""

    def __init__(self, wrap):
        super().__init__()
        self.words, self.places, self.wrap = nn.Embedding(40, 3), nn.Embedding(8, 3), wrap

    def forward(self, ids):
        return self.wrap(self.words(ids).mean(1).tanh())


def test_logits_may_stand_in_a_dictionary():
    torch.manual_seed(0)
    module = Plain(lambda logits: {"logits": logits, "loss": None})
    model = ul.TextModel(module, word_tokenizer(WORDS), embedding=module.words)
    found = ul.explain(model, TEXTS[0], target=1)
    assert found.f_input == pytest.approx(float(module(torch.tensor([found.input_ids]))["logits"][0, 1].detach()))
    for wrap in (lambda logits: (logits, logits), lambda logits: {"scores": logits}, lambda logits: logits[:, 0]):
        module.wrap = wrap
        with pytest.raises(TypeError, match=r"its output needs logits of shape \(texts, classes\)"):
            ul.explain(model, TEXTS[0])


def test_a_block_of_words_and_positions_is_no_layer_of_words():
    model = own(BertForSequenceClassification, max_position_embeddings=20)
    block = ul.TextModel(model.model, model.tokenizer, embedding=model.model.bert.embeddings)
    with pytest.raises(TypeError, match=r"BertEmbeddings does not turn any ids.*name the layer of the words alone"):
        ul.explain(block, TEXTS[0])


# Many classes


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that is made."""

    def __init__(self):
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        parts = made if isinstance(made, (tuple, list)) else (made,)
        self.size = max([self.size, *(part.numel() for part in parts if isinstance(part, torch.Tensor))])
        return made


@pytest.mark.parametrize("method", ["ig", "gradient_x_input", "udig"])
def test_memory_does_not_grow_with_the_classes(method):
    sizes = {}
    for classes in (2, 12):  # fewer than dimensions: what is summed is no larger than the points
        model = own(BertForSequenceClassification, num_labels=classes)
        settings = {"n_steps": 6, "n_neighbors": 8} if method == "udig" else {"n_steps": 24} if method == "ig" else {}
        with Largest() as largest:
            every = ul.explain(model, TEXTS[1], method=method, target="all", baseline="pad", **settings)
        assert len(every) == classes
        sizes[classes] = largest.size
        alone = ul.explain(model, TEXTS[1], method=method, target=1, baseline="pad", **settings)
        assert every[1].scores == pytest.approx(alone.scores, abs=1e-9)
    assert sizes[12] == sizes[2]


# Threads


class Halved(nn.Module):
    """Another module on the same weights."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, ids):
        return self.inner(input_ids=ids).logits / 2


def state(module):
    return [m.training for m in module.modules()], [p.requires_grad for p in module.parameters()]


def test_calls_at_once_do_not_disturb_each_other():
    """Two end while two others still work, on one model and on a module that holds it; their texts are the same."""
    model = own(BertForSequenceClassification)
    model.model.train()
    model.model.bert.pooler.eval()
    next(model.model.parameters()).requires_grad_(False)
    halved = ul.TextModel(Halved(model.model), model.tokenizer, embedding=model.embedding)
    before = state(halved.model)
    jobs = [(m, method, n) for n in (2, 60) for m in (model, halved) for method in ("ig", "gradient_x_input")]
    barrier = threading.Barrier(len(jobs))

    def work(job, wait=True):
        if wait:
            barrier.wait(60)
        explained, method, n = job
        settings = {"n_steps": n, "internal_batch_size": 2} if method == "ig" else {}
        return ul.explain(explained, TEXTS, method=method, target=1, **settings)

    expected = [work(job, wait=False) for job in jobs]
    for _ in range(2):
        with ThreadPoolExecutor(len(jobs)) as pool:
            found = list(pool.map(work, jobs))
        for one, other in zip(found, expected, strict=True):
            for a, b in zip(one, other, strict=True):
                assert a.scores == pytest.approx(b.scores, abs=1e-9)
        assert state(halved.model) == before
    assert not model.embedding._forward_hooks


def test_a_reading_of_the_model_between_is_its_own():
    """What another thread asks the model, while points stand in the place of the very same ids."""
    model = own(BertForSequenceClassification)
    ids = torch.tensor([model.tokenizer(TEXTS[0])["input_ids"]] * 2)  # as x and x' are read
    with torch.no_grad():
        expected = model.model(input_ids=ids).logits
    inside, done = threading.Event(), threading.Event()

    def pause(*_):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            done.wait(60)

    handle = model.model.bert.encoder.register_forward_hook(pause)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ul.explain, model, TEXTS[0], n_steps=2, check=False)
        try:
            assert inside.wait(60)
            with torch.no_grad():
                found = model.model(input_ids=ids).logits
        finally:
            done.set()
        call.result()
    handle.remove()
    torch.testing.assert_close(found, expected)


def test_a_hook_that_is_being_taken_off_says_nothing_to_another_thread():
    """PyTorch forgets that the hook wants keywords before another thread, which has it in hand already, calls it."""
    layer = nn.Embedding(9, 4)
    ids = torch.arange(6).reshape(2, 3)
    with points_at([layer], ids, torch.zeros(2, 3, 4)):
        assert float(layer(ids).abs().max()) == 0.0
        layer._forward_hooks_with_kwargs.clear()
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(layer, ids).result()
    assert torch.equal(found, layer.weight[ids])
