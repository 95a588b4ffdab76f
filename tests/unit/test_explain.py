"""explain on real and random models: parity with captum, completeness, batching, and a model left alone."""

import copy
from dataclasses import replace

import captum.attr
import pytest
import torch
from conftest import QUICK, SENTENCE
from wordlevel import word_tokenizer

import udig_lab as ul
from udig_lab.attribution import Attribution
from udig_lab.model.inputs import encode
from udig_lab.saving.fields import text_fields

TEXTS = [SENTENCE, "not good", "the acting is wooden but the ending moved me", "dull , dull , dull"]


def captum_ig(model, text, *, baseline, target, n_steps):
    """Captum's IG over word embeddings, special tokens kept on the baseline."""
    ids = torch.tensor(model.tokenizer(text)["input_ids"])
    special = torch.tensor([i in model.tokenizer.all_special_ids for i in ids.tolist()])
    x = model.table[ids]
    x0 = torch.where(special[:, None], x, model.table[baseline])

    def forward(embeddings):
        return model.model(inputs_embeds=embeddings).logits[:, target]

    found = captum.attr.IntegratedGradients(forward).attribute(
        x[None], x0[None], n_steps=n_steps, method="gausslegendre"
    )
    return found.sum(-1)[0].detach()


@pytest.mark.parametrize("text", TEXTS[:3])
@pytest.mark.parametrize("baseline", ["pad", "mask"])
def test_ig_equals_captum_on_the_same_nodes(lab, text, baseline):
    found = ul.explain(lab, text, method="ig", baseline=baseline, n_steps=50)
    row = getattr(lab.tokenizer, f"{baseline}_token_id")
    expected = captum_ig(lab, text, baseline=row, target=found.target, n_steps=50)
    torch.testing.assert_close(torch.tensor(found.scores), expected, atol=1e-5, rtol=0, check_dtype=False)


# From [MASK] 64 nodes do. The other baselines put a sharper bend into F near the baseline: they need twice as many.
@pytest.mark.parametrize(
    ("baseline", "nodes"), [("mask", 64), ("pad", 128), ("zero", 128), ("mean", 128), ("unk", 128)]
)
def test_ig_is_complete_in_double_precision(lab64, baseline, nodes):
    for found in ul.explain(lab64, TEXTS, method="ig", baseline=baseline, n_steps=nodes):
        assert abs(found.delta) < 1e-6


@pytest.mark.parametrize("strategy", ["greedy", "maxcount"])
def test_udig_tends_to_completeness_as_the_path_is_refined(lab64, strategy):
    deltas = [
        abs(ul.explain(lab64, TEXTS[2], method="udig", strategy=strategy, rule="trapezoid", factor=f, n_steps=8).delta)
        for f in (0, 4)
    ]
    assert deltas[1] < 1e-3 < 0.1 * deltas[0] or deltas[1] < 0.02 * deltas[0]


@pytest.mark.parametrize("method", ul.methods.METHODS)
def test_a_batch_equals_a_loop(lab, method):
    settings = QUICK[method]
    loop = [ul.explain(lab, text, method=method, **settings) for text in TEXTS]
    for size in (None, 5):
        batch = ul.explain(lab, TEXTS, method=method, internal_batch_size=size, **settings)
        for alone, found in zip(loop, batch, strict=True):
            assert alone.tokens == found.tokens
            assert alone.anchors == found.anchors
            torch.testing.assert_close(torch.tensor(found.scores), torch.tensor(alone.scores), atol=1e-5, rtol=0)


def test_target_is_the_predicted_class_and_can_be_another(lab):
    found = ul.explain(lab, SENTENCE, n_steps=32)
    other = ul.explain(lab, SENTENCE, n_steps=32, target=1 - found.target)
    named = ul.explain(lab, [SENTENCE], n_steps=32, target=[other.target_name])[0]
    assert found.probability > 0.5 > other.probability
    assert named.scores == pytest.approx(other.scores)
    assert found.f_input > other.f_input


def test_special_tokens_score_zero_and_words_add_up(lab):
    found = ul.explain(lab, "unputdownable nonsense", method="udig")
    assert [s for s, fixed in zip(found.scores, found.special, strict=True) if fixed] == [0.0, 0.0]
    assert [word for word, _ in found.words()] == ["unputdownable", "nonsense"]
    assert sum(score for _, score in found.words()) == pytest.approx(sum(found.scores))
    assert found.anchors is not None
    assert found.anchors[0] is None
    assert len(found.anchors[1]) == found.settings["n_steps"] + 1
    assert found.anchors[1][0] == found.tokens[1]


def test_words_only_visits_words(lab):
    found = ul.explain(lab, "wooden", method="udig", candidates="words")
    kinds = dict(zip(lab.vocabulary.tokens, lab.vocabulary.kinds, strict=True))
    assert {kinds[word] for word in found.anchors[1]} <= {"word", "piece", "number"}


@pytest.mark.parametrize("shape", [(384,), (4, 384)])
def test_a_tensor_can_be_the_baseline(lab, shape):
    baseline = 0.1 * torch.ones(shape)
    found = ul.explain(lab, "quite dull", baseline=baseline, n_steps=40)
    assert found.baseline == "tensor"
    assert found.delta_percent < 5


def test_ids_without_a_tokenizer(random_bert):
    ids = [[1, 30, 31, 2], [1, 40, 2]]
    found = ul.explain(random_bert, input_ids=ids, special_ids=[0, 1, 2], baseline=0, method="udig", n_neighbors=20)
    assert [len(a) for a in found] == [4, 3]
    assert found[0].tokens == ("1", "30", "31", "2")
    tensor = ul.explain(random_bert, input_ids=torch.tensor(ids[0]), special_ids=[0, 1, 2], baseline="pad")
    assert isinstance(tensor, Attribution)


@pytest.mark.parametrize("method", ul.methods.METHODS)
@pytest.mark.parametrize("fail", [False, True])
def test_the_model_is_left_as_it_was_found(random_bert, method, fail):
    model = random_bert
    model.classifier.eval()
    model.bert.embeddings.word_embeddings.weight.requires_grad_(False)
    if fail:
        with torch.no_grad():
            model.classifier.weight.fill_(torch.nan)
    before = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]
    needs = [p.requires_grad for p in model.parameters()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    keywords = {"input_ids": [1, 30, 31, 2], "special_ids": [1, 2], "baseline": 0, "method": method} | QUICK[method]
    if fail:
        with pytest.raises(ValueError, match="not finite"):
            ul.explain(model, **keywords)
    elif method == "ig2":  # its references are texts
        with pytest.raises(ValueError, match="pass references"):
            ul.explain(model, **keywords)
    else:
        ul.explain(model, **keywords)
    assert [m.training for m in model.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert [p.requires_grad for p in model.parameters()] == needs
    assert all(p.grad is None for p in model.parameters())
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], equal_nan=True)


def test_a_changed_table_changes_the_anchors(lab):
    model = ul.load("sst2")
    before = ul.explain(model, "wooden", method="udig").anchors
    with torch.no_grad():
        model.model.get_input_embeddings().weight.mul_(torch.randn(384).sign())
        model.model.get_input_embeddings().weight[model.tokenizer("wooden")["input_ids"][1]] += 0.3
    assert ul.explain(model, "wooden", method="udig").anchors != before


def test_trace_keeps_every_step(lab):
    trace = ul.trace(lab, SENTENCE, method="udig", n_steps=6, factor=0)
    k, n = trace.contributions.shape
    assert (k, n) == (7, len(trace.attribution))
    assert trace.f.shape == (k,)
    assert trace.contributions.double().sum(0).tolist() == pytest.approx(list(trace.attribution.scores), abs=1e-6)
    assert float(trace.f[0]) == pytest.approx(trace.attribution.f_baseline, abs=1e-4)
    torch.testing.assert_close(trace.integral.weights.sum(0), trace.explicand - trace.baseline, atol=1e-5, rtol=0)


def test_as_published_explains_the_largest_logit(tiny):
    keywords = {"input_ids": [1, 326, 310, 47, 2], "special_ids": [0, 1, 2, 3], "baseline": 3}
    drifting = ul.explain(tiny, protocol="as_published", **keywords)
    fixed = ul.explain(tiny, **keywords)
    assert drifting.protocol == "as_published"
    assert drifting.f_input != pytest.approx(fixed.f_input, abs=1e-6)


def test_a_pair_stays_a_pair_without_token_types():
    """RoBERTa's tokenizers name no types; which part a token belongs to is kept all the same."""
    tokenizer = word_tokenizer("who wrote it she did", token_types=False)
    (encoding,) = encode([("who wrote it", "she did")], tokenizer, limit=None, truncate=False)
    scores = tuple(range(len(encoding)))
    kept = replace(ul.explain(ul.load("sst2"), "fine"), scores=scores, **text_fields(encoding))
    assert kept.encoding.sequence_ids == encoding.sequence_ids == (None, 0, 0, 0, None, 1, 1, None)
    assert ul.Attribution.from_json(kept.to_json()).encoding.sequence_ids == encoding.sequence_ids
