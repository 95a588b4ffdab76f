"""Every protocol, replacement and kind of model, against a loop that changes token ids and calls the model itself."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification
from wordlevel import word_tokenizer

import udig_lab as ul
from udig_lab.model.protocol import AS_PUBLISHED, CORRECTED, ERASER, Protocol

# Words of several pieces, a long text, and one whose share rounds differently under every protocol.
TEXTS = [
    "an unputdownable , mesmerisingly daft film",
    "dull",
    "it never finds a reason to exist , and neither did i",
    "supercalifragilistic nonsense , really",
]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def explained(lab):
    found = ul.explain(lab, TEXTS, n_steps=4)
    assert any(len(set(a.word_ids)) < len(a) - 1 for a in found), "no word has several pieces"
    return found


@pytest.fixture(scope="module")
def qa():
    return ul.load("squad")


@pytest.fixture(scope="module")
def questions():
    rows = ul.data.examples("squad")
    short = rows[rows.context.str.len() + rows.question.str.len() < 400][:2]
    assert len(short) == 2
    return ul.data.texts(short)


def best(attribution, top, protocol):
    """Positions that a protocol takes out, by sorting."""
    scores, special = attribution.scores, attribution.special
    if protocol == "as_published":
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return order[: int(top * len(scores) + 1e-9)]
    inner = [i for i, fixed in enumerate(special) if not fixed]
    if protocol == "corrected":
        return sorted(inner, key=lambda i: -scores[i])[: max(1, int(top * len(inner) + 0.5))]
    words = sorted({attribution.word_ids[i] for i in inner})
    pieces = {w: [i for i in inner if attribution.word_ids[i] == w] for w in words}
    words.sort(key=lambda w: -sum(scores[i] for i in pieces[w]))
    k = next(n for n in range(1, len(words) + 1) if n >= top * len(words) - 1e-9)
    return [i for w in words[:k] for i in pieces[w]]


def changed(attribution, chosen, keep, row, protocol):
    """Token ids after a change, and which positions stayed."""
    n = len(attribution)
    if keep:
        stay = {i for i in range(n) if attribution.special[i]} if protocol != "as_published" else set()
        gone = set(range(n)) - set(chosen) - stay if chosen else set()
    else:
        gone = set(chosen)
    if row is None:
        places = [i for i in range(n) if i not in gone]
        return [attribution.input_ids[i] for i in places], places
    return [row if i in gone else t for i, t in enumerate(attribution.input_ids)], list(range(n))


@torch.no_grad()
def class_probability(lab, ids, target, protocol):
    if protocol == "as_published":
        rows = lab.model.base_model.embeddings(inputs_embeds=lab.table[torch.tensor([ids])])
        return lab.model(inputs_embeds=rows).logits.softmax(-1)[0, target]
    return lab.model(torch.tensor([ids])).logits.softmax(-1)[0, target]


SHARES = {
    "corrected": (0.05, 0.1, 0.2, 0.5),
    "as_published": (0.05, 0.1, 0.2, 0.5),
    "eraser": (0.01, 0.05, 0.1, 0.2, 0.5),
}


@pytest.mark.parametrize("protocol", SHARES)
def test_measure_equals_a_loop_over_texts_and_shares(lab, explained, protocol):
    table = ul.metrics.measure(lab, explained, protocol=protocol)
    rows = {"": None, "_mask": 103, "_pad": 0}
    columns = {
        (f"{m}_{round(100 * t):02d}", "", t) for m in ("comprehensiveness", "sufficiency") for t in SHARES[protocol]
    }
    columns |= {
        (f"{m}{r}_20", r, 0.2) for m in ("comprehensiveness", "sufficiency", "log_odds") for r in ("_mask", "_pad")
    }
    assert set(table) == {c for c, _, _ in columns} | {"aopc_comprehensiveness", "aopc_sufficiency"}
    for i, a in enumerate(explained):
        target = a.target
        if protocol == "as_published":  # what the model, read that way, predicts
            both = [class_probability(lab, list(a.input_ids), c, protocol) for c in (0, 1)]
            target = int(both[1] > both[0])
        p = class_probability(lab, list(a.input_ids), target, protocol)
        for name, token, top in columns:
            keep = name.startswith("sufficiency")
            ids, _ = changed(a, best(a, top, protocol), keep, rows[token], protocol)
            q = class_probability(lab, ids, target, protocol)
            expected = q.log() - p.log() if name.startswith("log_odds") else p - q
            assert table[name][i] == pytest.approx(float(expected), abs=TOLERANCE), name


@pytest.mark.parametrize("protocol", SHARES)
def test_measure_equals_single_calls(lab, explained, protocol):
    table = ul.metrics.measure(lab, explained, protocol=protocol)
    for token, top in [("mask", 0.2), ("pad", 0.2), *((None, top) for top in SHARES[protocol])]:
        for metric in ("comprehensiveness", "sufficiency", "log_odds"):
            if metric == "log_odds" and token is None:
                continue
            call = getattr(ul.metrics, metric)
            single = call(lab, explained, top=top, replacement=token, protocol=protocol)
            name = f"{metric}{'_' + token if token else ''}_{round(100 * top):02d}"
            torch.testing.assert_close(torch.tensor(table[name]), single, atol=TOLERANCE, rtol=0)
    for metric, values in ul.metrics.aopc(lab, explained, protocol=protocol).items():
        torch.testing.assert_close(torch.tensor(table[f"aopc_{metric}"]), values, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("protocol", SHARES)
def test_aopc_is_the_mean_over_the_protocols_shares(lab, explained, protocol):
    table = ul.metrics.measure(lab, explained, protocol=protocol)
    for metric, values in ul.metrics.aopc(lab, explained, protocol=protocol).items():
        several = [torch.tensor(table[f"{metric}_{round(100 * top):02d}"]) for top in SHARES[protocol]]
        torch.testing.assert_close(values, torch.stack(several).mean(0), atol=TOLERANCE, rtol=0)


def test_aopc_over_shares_of_ones_own(lab, explained):
    found = ul.metrics.aopc(lab, explained, tops=(0.3,), replacement="pad")
    for metric, values in found.items():
        single = getattr(ul.metrics, metric)(lab, explained, top=0.3, replacement="pad")
        torch.testing.assert_close(values, single, atol=TOLERANCE, rtol=0)


def test_eraser_takes_whole_words_by_their_sum(explained):
    """The best piece alone does not decide: 3 + 3 for two pieces of a word beat 5 for another word."""
    a = explained[0]
    words = {w: [i for i, v in enumerate(a.word_ids) if v == w] for w in set(a.word_ids) - {None}}
    long = next(places for places in words.values() if len(places) == 4)
    short = next(places for places in words.values() if len(places) == 1)
    scores = [0.0] * len(a)
    scores[short[0]] = 5.0
    for place in long[:2]:
        scores[place] = 3.0
    made = replace(a, scores=tuple(scores))
    assert torch.where(ul.metrics.selected(made, 0.01, ERASER))[0].tolist() == long
    assert torch.where(ul.metrics.selected(made, 0.01, CORRECTED))[0].tolist() == short


@pytest.mark.parametrize(
    ("rules", "counts"),
    [  # of 12 tokens that are not special (14 with them), each a word
        (CORRECTED, {0.05: 1, 0.1: 1, 0.2: 2, 0.3: 4, 0.5: 6, 1.0: 12}),
        (AS_PUBLISHED, {0.05: 0, 0.1: 1, 0.2: 2, 0.3: 4, 0.5: 7, 1.0: 14}),
        (ERASER, {0.01: 1, 0.05: 1, 0.1: 2, 0.2: 3, 0.3: 4, 0.5: 6, 1.0: 12}),
    ],
    ids=lambda v: v.name if isinstance(v, Protocol) else "",
)
def test_how_many_units_a_share_is(explained, rules, counts):
    a = explained[2]
    assert len(a) == 14
    for top, k in counts.items():
        assert int(ul.metrics.selected(a, top, rules).sum()) == k, top


@pytest.mark.parametrize("protocol", SHARES)
def test_a_batch_equals_a_loop(lab, explained, protocol):
    together = ul.metrics.measure(lab, explained, protocol=protocol)
    alone = [ul.metrics.measure(lab, [a], protocol=protocol) for a in explained]
    for i, one in enumerate(alone):
        assert (together.iloc[i] - one.iloc[0]).abs().max() < TOLERANCE


def test_any_token_or_id_can_stand_in(lab, explained):
    by_name = ul.metrics.comprehensiveness(lab, explained, replacement="the")
    by_id = ul.metrics.comprehensiveness(lab, explained, replacement=lab.tokenizer.convert_tokens_to_ids("the"))
    assert torch.equal(by_name, by_id)
    assert not torch.allclose(by_name, ul.metrics.comprehensiveness(lab, explained, replacement="mask"), atol=1e-3)
    deleted = ul.metrics.log_odds(lab, explained, replacement="delete")
    p = torch.tensor([a.probability for a in explained])
    drop = ul.metrics.comprehensiveness(lab, explained)
    torch.testing.assert_close(p * (1 - deleted.exp()), drop, atol=TOLERANCE, rtol=0)


@torch.no_grad()
def answer_probabilities(model, ids, types, target):
    """p of an answer's start, of its end and of both, with the model called on ids and token types."""
    out = model.model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types]))
    start = float(out.start_logits.softmax(-1)[0, target[0]])
    end = float(out.end_logits.softmax(-1)[0, target[1]])
    return {"start": start, "end": end, "joint": start * end}


def test_span_models_are_masked_in_place(qa, questions):
    outputs = ("start", "end", "joint")
    explained = {o: ul.explain(qa, questions, method="random", output=o) for o in outputs}
    tables = {o: ul.metrics.measure(qa, explained[o]) for o in outputs}
    columns = [("_20", 103, 0.2), ("_50", 103, 0.5), ("_mask_20", 103, 0.2), ("_pad_20", 0, 0.2)]
    for i, a in enumerate(explained["joint"]):
        before = answer_probabilities(qa, a.input_ids, a.token_types, a.target)
        for (column, row, top), keep in product(columns, (False, True)):
            ids, places = changed(a, best(a, top, "corrected"), keep, row, "corrected")
            assert len(places) == len(a)
            after = answer_probabilities(qa, ids, a.token_types, a.target)
            name = f"{'sufficiency' if keep else 'comprehensiveness'}{column}"
            for output, table in tables.items():
                assert table[name][i] == pytest.approx(before[output] - after[output], abs=TOLERANCE)


def test_the_answer_of_a_span_model_is_not_moved(qa, questions):
    explained = ul.explain(qa, questions[:1], method="random")
    sentence = "deleting tokens moves what a span model says of the text; pass replacement='mask' or 'pad'"
    for metric in (ul.metrics.comprehensiveness, ul.metrics.sufficiency, ul.metrics.log_odds, ul.metrics.aopc):
        with pytest.raises(ValueError, match=sentence):
            metric(qa, explained, replacement="delete")


def test_types_of_a_span_models_tokens_matter(qa, questions):
    """Otherwise the loop above could not tell whether they were passed on."""
    a = ul.explain(qa, questions[:1], method="random")[0]
    right = answer_probabilities(qa, a.input_ids, a.token_types, a.target)
    wrong = answer_probabilities(qa, a.input_ids, [0] * len(a), a.target)
    assert abs(right["joint"] - wrong["joint"]) > 1e-3


def test_types_of_pairs_follow_their_tokens():
    """A classifier of pairs: what is deleted takes its type with it."""
    torch.manual_seed(0)
    words = "is it good a film that never bores"
    tokenizer = word_tokenizer(words)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    net = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **sizes)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(5)
    model = ul.TextModel(net, tokenizer)
    pair = ("is it good", "a film that never bores")
    (a,) = ul.explain(model, [pair], method="random")

    @torch.no_grad()
    def p(ids, types):
        return net(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits.softmax(-1)[0, a.target]

    for top, keep in product((0.2, 0.5), (False, True)):
        ids, places = changed(a, best(a, top, "corrected"), keep, None, "corrected")
        types = [a.token_types[i] for i in places]
        expected = p(list(a.input_ids), list(a.token_types)) - p(ids, types)
        assert abs(float(p(ids, types) - p(ids, [0] * len(ids)))) > 1e-4, "types do not matter here"
        metric = ul.metrics.sufficiency if keep else ul.metrics.comprehensiveness
        assert float(metric(model, [a], top=top)[0]) == pytest.approx(float(expected), abs=TOLERANCE)


def test_nothing_left_to_read_is_named(lab, explained):
    with pytest.raises(ValueError, match="all 3 tokens of a text would be deleted, special ones included"):
        ul.metrics.comprehensiveness(lab, explained[1:2], top=1.0, protocol="as_published")
    with pytest.raises(ValueError, match="there is no share of the tokens to judge by"):
        ul.metrics.aopc(lab, explained, tops=())


def test_explanations_of_another_model_are_not_judged(lab, explained):
    decoder = replace(lab, task="causal")
    with pytest.raises(ValueError, match="is a causal model, and these explanations are of another kind of model"):
        ul.metrics.measure(decoder, explained)
