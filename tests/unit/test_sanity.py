"""Checks of explanations: random weights, rank_correlations, paraphrases."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import udig_lab as ul
from udig_lab.faithfulness.sanity import (
    layer_names,
    paraphrases,
    randomised,
    rank_correlation,
    rank_correlations,
    stability,
)

BERT = ["classifier", "bert.pooler", *(f"bert.encoder.layer.{n}" for n in (2, 1, 0)), "bert.embeddings"]


@pytest.fixture(scope="module")
def texts():
    return ul.data.examples("sst2").text[:16].tolist()


@pytest.fixture(scope="module")
def explained(lab, texts):
    return ul.explain(lab, texts, n_steps=5)


def scored(attribution, scores):
    """The same explanation with other scores for the tokens that are not special."""
    scores = iter(scores)
    return replace(attribution, scores=tuple(0.0 if fixed else float(next(scores)) for fixed in attribution.special))


def changed_layers(before, after):
    """Names of the layers in which two models differ."""
    a, b = dict(before.model.named_parameters()), dict(after.model.named_parameters())
    assert a.keys() == b.keys()
    return {layer for layer in BERT for name in a if name.startswith(layer) and not torch.equal(a[name], b[name])}


# Random weights


def test_layers_from_the_output_down(lab):
    assert layer_names(lab) == BERT
    assert set(BERT) == {next(layer for layer in BERT if n.startswith(layer)) for n, _ in lab.model.named_parameters()}


@pytest.mark.parametrize("layers", [1, 3, 6])
def test_a_cascade_draws_the_upper_layers_anew(lab, layers):
    copy = randomised(lab, layers=layers)
    assert changed_layers(lab, copy) == set(BERT[:layers])
    assert copy.name == f"{lab.name} ({layers} of 6 layers drawn anew)"
    deeper = randomised(lab, layers=min(layers + 1, 6))
    assert changed_layers(copy, deeper) == set(BERT[layers : layers + 1])


def test_all_layers_are_the_default_and_seeds_differ(lab):
    everything = randomised(lab)
    assert changed_layers(everything, randomised(lab, layers=6)) == set()
    assert changed_layers(everything, randomised(lab, seed=1)) == set(BERT)


def test_sizes_stay_about_the_same(lab):
    before, after = lab.table, randomised(lab).table
    assert float(after.std()) == pytest.approx(float(before.std()), rel=0.01)
    assert float(after.mean()) == pytest.approx(float(before.mean()), abs=1e-3)
    assert abs(float(torch.corrcoef(torch.stack([before.flatten(), after.flatten()]))[0, 1])) < 0.01


def test_the_callers_model_is_not_touched(lab, texts):
    before = {name: tensor.clone() for name, tensor in lab.model.state_dict().items()}
    copy = randomised(lab)
    with torch.no_grad():
        for parameter in copy.model.parameters():
            parameter.zero_()
    for name, tensor in lab.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert copy.tokenizer is lab.tokenizer
    assert copy.vocabulary.table.data_ptr() == copy.table.data_ptr() != lab.table.data_ptr()


def test_random_weights_change_ig_and_not_the_control(lab, texts, explained):
    """The check can tell a method that looks at the model from one that does not."""
    same = {"target": [a.target for a in explained]}
    control = ul.explain(lab, texts, method="random", **same)
    seeds = []
    for seed in range(3):
        copy = randomised(lab, seed=seed)
        found = ul.explain(copy, texts, n_steps=5, **same)
        seeds.append(rank_correlations({"before": explained, "after": found}).loc["before", "after"])
        again = ul.explain(copy, texts, method="random", **same)
        assert [a.scores for a in again] == [a.scores for a in control]
    assert abs(sum(seeds) / 3) < 0.2
    assert max(map(abs, seeds)) < 0.4
    repeated = ul.explain(lab, texts, n_steps=5, **same)
    assert rank_correlations({"before": explained, "after": repeated}).loc["before", "after"] > 0.999


def test_tied_weights_stay_tied():
    net = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=8, n_layer=2, n_head=2, n_positions=16))
    model = ul.TextModel(net)
    assert layer_names(model) == [
        "transformer.ln_f",
        "transformer.h.1",
        "transformer.h.0",
        "transformer.wpe",
        "transformer.wte",
    ]
    copy = randomised(model, layers=5)
    assert copy.model.lm_head.weight is copy.model.transformer.wte.weight
    assert not torch.equal(copy.model.lm_head.weight, net.lm_head.weight)


class Bag(nn.Module):
    """A plain module with two embedding layers, one of which is explained."""

    def __init__(self):
        super().__init__()
        self.words, self.other = nn.Embedding(20, 4), nn.Embedding(20, 4)
        self.hidden = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        self.head = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, ids):
        mixed = self.words(ids).mean(1) + self.other(ids).mean(1)
        return self.head(self.hidden(mixed).tanh()) * self.scale


def test_a_plain_module_and_what_it_never_learned():
    net = Bag()
    model = ul.TextModel(net, embedding=net.words)
    assert layer_names(model) == ["head", "hidden.2", "hidden.0", "other", "words", "scale"]
    copy = randomised(model, layers=6)
    assert copy.embedding is copy.model.words
    assert torch.equal(copy.model.scale, net.scale)  # all ones
    assert not torch.equal(copy.model.words.weight, net.words.weight)
    found = ul.explain(copy, input_ids=[3, 4, 5], special_ids=[], baseline=0)
    assert found.f_input == pytest.approx(float(copy.model(torch.tensor([[3, 4, 5]]))[0, found.target].detach()))


@pytest.mark.parametrize("layers", [0, 7, -1])
def test_layers_that_do_not_exist_are_named(lab, layers):
    with pytest.raises(ValueError, match=rf"has 6 layers, not {layers}; pass 1 to 6, or None"):
        randomised(lab, layers=layers)


# Agreement


def test_rank_correlation_by_its_formula(explained):
    """Without ties: 1 - 6 sum d^2 / (n (n^2 - 1))."""
    a = explained[0]
    n = len(a) - 2
    ranks = torch.randperm(n, generator=torch.Generator().manual_seed(0)).tolist()
    d = sum((i - r) ** 2 for i, r in enumerate(ranks))
    found = rank_correlation(scored(a, range(n)), scored(a, [math.exp(r) for r in ranks]))
    assert found == pytest.approx(1 - 6 * d / (n * (n * n - 1)))


def test_ties_share_the_mean_of_their_ranks(lab):
    """Ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): Pearson's correlation of these is 4.5 / sqrt(4.5 * 5)."""
    a = ul.explain(lab, "one two three four", method="random")
    found = rank_correlation(scored(a, [0, 5, 5, 9]), scored(a, [1, 2, 3, 4]))
    assert found == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_special_tokens_do_not_count(explained):
    a = explained[0]
    other = replace(a, scores=tuple(9.0 if fixed else s for fixed, s in zip(a.special, a.scores, strict=True)))
    assert rank_correlation(a, other) == pytest.approx(1)


def test_agreement_is_a_mean_of_rank_correlations(lab, texts, explained):
    methods = {"ig": explained} | {m: ul.explain(lab, texts, method=m) for m in ("gradient_x_input", "random")}
    methods["opposite"] = [
        scored(a, [-s for s, f in zip(a.scores, a.special, strict=True) if not f]) for a in explained
    ]
    table = rank_correlations(methods)
    assert list(table) == list(table.index) == list(methods)
    assert (table - table.T).abs().max().max() < 1e-12
    for name in methods:
        assert table.loc[name, name] == pytest.approx(1)
    assert table.loc["ig", "opposite"] == pytest.approx(-1)
    pairs = zip(methods["ig"], methods["random"], strict=True)
    expected = sum(rank_correlation(a, b) for a, b in pairs) / len(texts)
    assert table.loc["ig", "random"] == pytest.approx(expected)
    assert abs(expected) < 0.3


def test_what_cannot_be_ranked_is_left_out(lab, explained):
    """Constant scores, and texts of one token."""
    a, b = explained[:2]
    flat = scored(a, [2.0] * len(a))
    assert math.isnan(rank_correlation(a, flat))
    one = ul.explain(lab, "dull", n_steps=2)
    assert math.isnan(rank_correlation(one, one))
    opposite = scored(b, [-s for s, f in zip(b.scores, b.special, strict=True) if not f])
    table = rank_correlations(
        {"some": [a, b, one], "others": [flat, opposite, one], "flat": [flat, scored(b, [1] * len(b)), one]}
    )
    assert table.loc["some", "others"] == pytest.approx(-1)  # of the second text alone
    assert table.loc["others", "others"] == pytest.approx(1)
    assert math.isnan(table.loc["some", "flat"])
    assert math.isnan(table.loc["flat", "flat"])


def test_different_texts_are_named(explained):
    with pytest.raises(ValueError, match="can be compared only where they are of the same tokens"):
        rank_correlation(explained[0], explained[1])
    for wrong in ({"a": explained[:2], "b": explained[:1]}, {"a": []}, {}):
        with pytest.raises(ValueError, match="methods can be compared only on the same texts"):
            rank_correlations(wrong)


# Paraphrases


def test_a_text_is_its_own_paraphrase(lab, texts):
    table = stability(lab, [(text, text) for text in texts[:4]], n_steps=3)
    assert table.rank_correlation.tolist() == pytest.approx([1] * 4)
    assert table.same_top.all()
    assert (table.top == table.top_paraphrase).all()
    assert table.probability.tolist() == pytest.approx(table.probability_paraphrase.tolist())
    assert table.shared.tolist() == [len(a.words()) for a in ul.explain(lab, texts[:4], method="random")]


def test_shared_words_are_matched_in_their_order(lab):
    text, other = "so dull and so long", "long , unputdownable and so very dull"
    (row,) = stability(lab, [(text, other)], method="sig").itertuples()
    a = ul.explain(lab, text, method="sig")
    b = ul.explain(lab, other, method="sig", target=a.target)
    ours, theirs = [s for _, s in a.words()], dict(b.words())
    matched = [ours[0], ours[1], ours[2], ours[4]], [theirs[w] for w in ("so", "dull", "and", "long")]
    four = ul.explain(lab, "one two three four", method="random")
    assert row.shared == 4
    assert row.rank_correlation == pytest.approx(rank_correlation(*(scored(four, m) for m in matched)))
    assert row.top == max(a.words(), key=lambda w: w[1])[0]
    assert row.top_paraphrase == max(b.words(), key=lambda w: w[1])[0]


def test_both_are_explained_for_the_class_of_the_text(lab):
    (row,) = stability(lab, [("a lovely film", "an awful film")], method="sig").itertuples()
    assert row.probability > 0.9
    assert row.probability_paraphrase < 0.1
    assert row.shared == 1
    assert math.isnan(row.rank_correlation)
    assert row.top == "lovely"
    assert not row.same_top
    (turned,) = stability(lab, [("a lovely film", "an awful film")], method="sig", target=0).itertuples()
    assert turned.probability == pytest.approx(1 - row.probability, abs=1e-5)


def test_random_scores_do_not_survive_a_paraphrase(lab):
    """The control: on average nothing is left of them, while words keep the scores of leave-one-out."""
    pairs = list(zip(paraphrases().text, paraphrases().paraphrase, strict=True))[::2]
    random = stability(lab, pairs, method="random").rank_correlation.mean()
    sig = stability(lab, pairs, method="sig").rank_correlation.mean()
    assert abs(random) < 0.2
    assert sig > 0.5


def test_what_has_no_paraphrases_is_named(lab):
    with pytest.raises(ValueError, match="there are no pairs to compare"):
        stability(lab, [])
    with pytest.raises(TypeError, match="is no classifier; a paraphrase keeps a class"):
        stability(replace(lab, task="span"), [("a", "b")])


def test_paraphrases_are_those_of_the_corpora(lab):
    rows = paraphrases()
    assert len(rows) == 40
    assert rows.label.mean() == 0.5
    corpora = {r.id: r for name in ("sst2", "rotten_tomatoes") for r in ul.data.examples(name).itertuples()}
    for row in rows.itertuples():
        assert row.text == corpora[row.id].text
        assert row.label == corpora[row.id].label
        assert row.paraphrase != row.text
    assert rows.id.is_unique
    assert rows.paraphrase.is_unique
    before, after = (ul.explain(lab, list(rows[c]), method="random") for c in ("text", "paraphrase"))
    assert [a.target for a in before] == [a.target for a in after] == rows.label.tolist()
