"""The convolutional network for questions: its reading, its checkpoint, and the methods on it."""

import pytest
import torch
from conftest import QUICK

import udig_lab as ul
from udig_lab.model.kimcnn import KimCNN, KimCNNConfig
from udig_lab.model.textmodel import left_as_found

IDS = [[5], [7, 9], [12, 5, 5, 31], [8, 14, 3, 22, 40, 6, 17, 29, 11]]
QUESTIONS = ["who wrote it ?", "what is the capital of new zealand ?", "how many strings does a violin have ?"]


@pytest.fixture(scope="module")
def network():
    """Small and random, in double precision; its biases are positive, so padding that is read can win."""
    torch.manual_seed(0)
    model = KimCNN(KimCNNConfig(50, embedding_size=8, n_filters=4, num_labels=3)).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn_like(parameter))
            if name.endswith("bias"):
                parameter.abs_()
        model.embedding.weight[0] = 0
    return model


@pytest.fixture(scope="module")
def trec():
    """The shipped checkpoint."""
    return ul.load("trec")


@pytest.fixture(scope="module")
def trec64():
    """The same in double precision."""
    model = ul.load("trec")
    model.model.double()
    return model


# Reading


def logits(model, ids, mask=None):
    with torch.no_grad():
        return model(input_ids=torch.tensor(ids), attention_mask=None if mask is None else torch.tensor(mask)).logits


def by_hand(model, ids):
    """Window by window: every window of the text between zeros that holds a word of it."""
    features = []
    for convolution in model.convolutions:
        (width,) = convolution.kernel_size
        zero = torch.zeros(width - 1, model.config.embedding_size, dtype=torch.float64)
        rows = torch.cat([zero, model.embedding.weight.detach()[ids], zero])
        windows = [rows[a : a + width] for a in range(len(ids) + width - 1)]
        answers = [torch.einsum("fdw,wd->f", convolution.weight, w) + convolution.bias for w in windows]
        features.append(torch.stack(answers).max(0).values.clamp(min=0))
    return model.fc(torch.cat(features)).detach()


@pytest.mark.parametrize("ids", IDS)
def test_a_text_of_any_length_is_read_window_by_window(network, ids):
    torch.testing.assert_close(logits(network, [ids])[0], by_hand(network, ids), atol=1e-12, rtol=0)


@pytest.mark.parametrize("junk", [0, 13])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing_whatever_stands_in_it(network, junk, side):
    longest = max(map(len, IDS)) + 6

    def padded(row, value):
        more = [value] * (longest - len(row))
        return row + more if side == "right" else more + row

    batch, mask = [padded(ids, junk) for ids in IDS], [padded([1] * len(ids), 0) for ids in IDS]
    together, unmasked = logits(network, batch, mask), logits(network, batch)
    for ids, found in zip(IDS, together, strict=True):
        torch.testing.assert_close(found, logits(network, [ids])[0], atol=1e-12, rtol=0)
    assert float((unmasked - together).abs().max()) > 0.1  # it is the mask that does it


def test_padding_on_the_shipped_checkpoint(trec):
    coded = trec.tokenizer(QUESTIONS, padding=True, return_tensors="pt")
    with torch.no_grad():
        together = trec.model(**coded).logits
    for question, found in zip(QUESTIONS, together, strict=True):
        alone = logits(trec.model, [trec.tokenizer(question)["input_ids"]])[0]
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=0)


def test_embeddings_are_read_as_their_ids(network):
    ids = torch.tensor([IDS[3]])
    with torch.no_grad():
        found = network(inputs_embeds=network.embedding(ids)).logits
    torch.testing.assert_close(found, logits(network, ids.tolist()))


@pytest.mark.parametrize("both", [True, False])
def test_ids_or_embeddings_but_one_of_them(network, both):
    ids = torch.tensor([[3, 4]])
    given = {"input_ids": ids, "inputs_embeds": network.embedding(ids)} if both else {}
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        network(**given)


# The checkpoint


def test_the_checkpoint_knows_what_a_question_asks_for(trec):
    rows = ul.data.examples("trec")
    assert rows.label.value_counts().tolist() == [10] * 6
    found = ul.explain(trec, rows.text.tolist(), n_steps=1)
    assert [trec.class_name(label) for label in rows.label] == rows.label_name.tolist()
    right = [a.target == label for a, label in zip(found, rows.label, strict=True)]
    assert sum(right) >= 48  # 53 were measured


def test_words_are_tokens_and_none_is_special(trec):
    a = ul.explain(trec, "What's the Zorblax-capital ?", n_steps=1)
    assert a.tokens == ("what", "'", "s", "the", "[UNK]", "-", "capital", "?")
    assert a.pieces[:5] == ("What", "'", "s", "the", "Zorblax")
    assert not any(a.special)
    assert trec.limit is None
    assert [trec.tokenizer.convert_tokens_to_ids(t) for t in ("[PAD]", "[UNK]", "[MASK]")] == [0, 1, 2]


def test_pad_is_zero_and_mask_is_not(trec):
    pad, zero, mask = (ul.explain(trec, QUESTIONS[1], baseline=b, n_steps=4) for b in ("pad", "zero", "mask"))
    assert pad.scores == zero.scores != mask.scores
    assert float(trec.table[2].norm()) > 1  # trained: [MASK] stood in for words


# Methods


@pytest.mark.parametrize("method", QUICK)
def test_every_method_explains_questions_alone_and_together(trec64, method):
    more = {"references": ["who ate the cake ?", "why is it red ?", "when was it ?"]} if method == "ig2" else {}
    settings = QUICK[method] | more
    together = ul.explain(trec64, QUESTIONS, method=method, **settings)
    for question, found in zip(QUESTIONS, together, strict=True):
        assert any(abs(score) > 1e-6 for score in found.scores)
        alone = ul.explain(trec64, question, method=method, **settings)
        assert found.scores == pytest.approx(alone.scores, abs=1e-9)


def test_ig_is_complete(trec64):
    for a in ul.explain(trec64, QUESTIONS, method="ig", n_steps=300, baseline="zero"):
        assert a.f_input - a.f_baseline > 1
        assert a.delta_percent < 0.05


def test_sig_leaves_one_word_out(trec64):
    for a in ul.explain(trec64, QUESTIONS, method="sig", baseline="mask"):
        full = logits(trec64.model, [list(a.input_ids)])[0, a.target]
        for place, score in enumerate(a.scores):
            ids = list(a.input_ids)
            ids[place] = trec64.tokenizer.mask_token_id
            assert score == pytest.approx(float(full - logits(trec64.model, [ids])[0, a.target]), abs=1e-9)


def test_ig2_ends_in_the_references_class(trec):
    reference = "who invented the telephone ?"
    trace = ul.trace(trec, QUESTIONS[1], method="ig2", references=[reference], n_steps=300, step_size=0.02)
    wanted = int(logits(trec.model, [trec.tokenizer(reference)["input_ids"]]).argmax())
    with left_as_found(trec.model), torch.no_grad():
        end = trec.model(inputs_embeds=trace.baseline[None]).logits[0]
    assert (trace.attribution.target_name, trec.class_name(wanted)) == ("LOC", "HUM")
    assert int(end.argmax()) == wanted
    assert trace.attribution.delta_percent < 5


def test_ig2_walks_towards_what_enters_fc(trec):
    """Its default layer is the one of the paper: the maxima, 300 numbers."""
    keywords = {"method": "ig2", "references": ["who ate it ?"], "n_steps": 4}
    default = ul.explain(trec, QUESTIONS[1], **keywords)
    dropout = ul.explain(trec, QUESTIONS[1], layer="dropout", **keywords)  # its output enters fc
    assert default.scores == pytest.approx(dropout.scores, abs=1e-9)
    assert trec.model.fc.in_features == 300


def test_ig2_takes_its_references_from_questions(trec):
    """Not from the sentences about films: one of the default references is found among the questions."""
    question = QUESTIONS[2]
    pool = ul.data.examples("trec", limit=40).text.tolist()
    classes = [a.target for a in ul.explain(trec, pool, n_steps=1)]
    own = ul.explain(trec, question, n_steps=1).target
    first = [text for text, c in zip(pool, classes, strict=True) if c != own][:4]
    keywords = {"method": "ig2", "n_steps": 5}
    found, named = ul.explain(trec, question, **keywords), ul.explain(trec, question, references=first, **keywords)
    assert found.scores == pytest.approx(named.scores, abs=1e-9)


def test_the_published_protocol_needs_an_embedding_block(trec):
    with pytest.raises(TypeError, match=r"KimCNN has no embedding block.*corrected"):
        ul.explain(trec, QUESTIONS, protocol="as_published")


def test_the_metrics_read_what_is_left(trec):
    a = ul.explain(trec, QUESTIONS[0], method="sig", baseline="zero")
    best = max(range(4), key=lambda i: a.scores[i])  # a fifth of four words is one

    def p(ids):
        return float(logits(trec.model, [ids]).softmax(-1)[0, a.target])

    found = ul.metrics.evaluate(trec, [a])
    without = [i for place, i in enumerate(a.input_ids) if place != best]
    assert float(found["comprehensiveness"]) == pytest.approx(a.probability - p(without), abs=1e-5)
    assert float(found["sufficiency"]) == pytest.approx(a.probability - p([a.input_ids[best]]), abs=1e-5)
