"""A whole answer, token by token: rows that add up, each the explanation of one token behind those before it."""

import io

import numpy as np
import pytest
import transformers as tf
from rich.console import Console
from small import BART, BERT, DECODER, LONGER, TEXT, K, built, outputs

import udig_lab as ul
from udig_lab.drawing.heatgrid import grid_html, grid_to_terminal, shares
from udig_lab.methods import METHODS

ANSWER = "the good cake"
HOW = {"tokenizer": DECODER, "baseline": "unk", "target": ANSWER}
SETTINGS = {
    "ig": {"n_steps": 12},
    "udig": {"n_steps": 4, "n_neighbors": 8},
    "sequential_udig": {"n_steps": 4, "n_neighbors": 8},
    "dig": {"n_steps": 4, "n_neighbors": 8},
    "sequential_dig": {"n_steps": 4, "n_neighbors": 8},
    "expected_gradients": {"n_samples": 6, "baselines": ("pad", "zero")},
    "shapley_sampling": {"n_samples": 3},
}
LINEAR = [name for name, entry in METHODS.items() if entry.linear]


@pytest.fixture(scope="module")
def model():
    return built(tf.LlamaForCausalLM, tf.LlamaConfig(**K, num_key_value_heads=2))


@pytest.mark.parametrize("method", LINEAR)
def test_rows_add_up_to_the_whole(model, method):
    how = HOW | {"method": method} | SETTINGS.get(method, {})
    found, whole = ul.explain_answer(model, LONGER, **how), ul.explain(model, LONGER, **how)
    assert found.answer == ("the", "good", "cake")
    assert found.matrix.shape == (3, len(whole))
    np.testing.assert_allclose(found.matrix.sum(0), whole.scores, atol=1e-4)
    assert found.whole.target == whole.target
    assert found.whole.f_input == pytest.approx(whole.f_input, abs=1e-4)
    assert found.whole.f_baseline == pytest.approx(whole.f_baseline, abs=1e-4)
    assert found.whole.probability == pytest.approx(whole.probability, rel=1e-4)
    assert found.whole.delta == pytest.approx(whole.delta, abs=1e-4)


@pytest.mark.parametrize("method", ["ig", "sig", "permutations", "deep_lift"])
def test_a_row_explains_its_token_behind_those_before_it(model, method):
    """The same as to write these into the prompt, and to hold them still."""
    how = {"method": method, "tokenizer": DECODER, "baseline": "unk"} | SETTINGS.get(method, {})
    found = ul.explain_answer(model, LONGER, target=ANSWER, **how)
    prompt, ids = DECODER(LONGER)["input_ids"], DECODER(ANSWER, add_special_tokens=False)["input_ids"]
    for j, token in enumerate(ids):
        said = [*prompt, *ids[:j]]
        expected = float(outputs(model, said).logits[0, -1].log_softmax(-1)[token])
        assert found.f_input[j] == pytest.approx(expected, abs=1e-4)
        assert found.probabilities[j] == pytest.approx(np.exp(expected), rel=1e-3)
    first = ul.explain(model, LONGER, target=found.answer[0], **how)
    np.testing.assert_allclose(found.matrix[0, : len(prompt)], first.scores, atol=1e-4)
    assert not found.matrix[:, len(prompt) :].any()


def test_methods_that_read_forward_take_the_passes_of_the_whole(model):
    for method in ("sig", "both_ends", "permutations"):
        found = ul.explain_answer(model, LONGER, **HOW, method=method)
        assert found.whole.forwards == ul.explain(model, LONGER, **HOW, method=method).forwards
    assert ul.explain_answer(model, LONGER, **HOW, n_steps=5).whole.evaluations == 3 * 5


@pytest.mark.parametrize("rule", ["adaptive", "controlled"])
def test_rules_that_look_for_nodes_do_so_for_each_token(model, rule):
    how = HOW | {"rule": rule, "tolerance": 2.0}
    found, whole = ul.explain_answer(model, TEXT, **how), ul.explain(model, TEXT, **HOW, n_steps=400)
    np.testing.assert_allclose(found.matrix.sum(0), whole.scores, atol=0.1)
    assert (found.whole.errors is not None) == (rule == "controlled")


def test_a_batch_equals_a_loop(model):
    texts, answers = [TEXT, LONGER, TEXT], [ANSWER, "cake", [5, 6]]
    together = ul.explain_answer(model, texts, **HOW | {"target": answers}, n_steps=6)
    for text, answer, found in zip(texts, answers, together, strict=True):
        alone = ul.explain_answer(model, text, **HOW | {"target": answer}, n_steps=6)
        assert found.answer == alone.answer
        np.testing.assert_allclose(found.matrix, alone.matrix, atol=1e-4)
        np.testing.assert_allclose(found.f_baseline, alone.f_baseline, atol=1e-4)
    deep = ul.explain_answer(model, texts, **HOW | {"target": answers}, method="deep_lift")
    assert [len(a) for a in deep] == [3, 1, 2]


def test_an_encoder_decoder():
    model = built(tf.BartForConditionalGeneration, tf.BartConfig(**BART))
    how = HOW | {"tokenizer": BERT, "method": "both_ends"}
    found, whole = ul.explain_answer(model, TEXT, **how), ul.explain(model, TEXT, **how)
    np.testing.assert_allclose(found.matrix.sum(0), whole.scores, atol=1e-4)
    assert found.matrix.shape == (3, len(BERT(TEXT)["input_ids"]))


def test_the_most_probable_next_token(model):
    found = ul.explain_answer(model, TEXT, **HOW | {"target": None}, method="sig")
    assert found.whole.target == ul.explain(model, TEXT, **HOW | {"target": None}, method="sig").target
    logits = ul.explain_answer(model, TEXT, **HOW, output="logit", method="sig")
    np.testing.assert_allclose(
        logits.matrix.sum(0), ul.explain(model, TEXT, **HOW, output="logit", method="sig").scores, atol=1e-4
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"target": ("good", "bad")}, "contrast of two answers"),
        ({"target": ""}, "has no tokens"),
        ({"method": "idgi"}, "not linear in F"),
        ({"at": 1}, "does not go with a causal model"),
    ],
)
def test_what_is_no_answer(model, more, message):
    with pytest.raises(ValueError, match=message) as error:
        ul.explain_answer(model, TEXT, **HOW | more)
    assert "\n" not in str(error.value)


def test_a_classifier_writes_nothing(lab):
    with pytest.raises(ValueError, match="writes no answer"):
        ul.explain_answer(lab, "fine")


# How it looks


def test_it_shows_itself(model):
    parts = {"<i>first</i>": "a dull", "second": "goes on and on"}
    found = ul.explain_answer(model, LONGER, **HOW, method="sig", segments=parts, by="segment")
    html = found._repr_html_()
    assert "<i>" not in html
    assert html.count('<th scope="row"') == 2
    assert html.count('<th scope="col"') == 1 + 3 + 1
    assert list(found.to_dataframe().index) == list(found.answer)
    assert found.to_dataframe().sum().tolist() == pytest.approx(list(found.whole.segments().values()))
    assert len(str(found).splitlines()) == 1 + 3
    words = ul.explain_answer(model, LONGER, **HOW, method="sig")
    assert list(words.to_dataframe().columns) == LONGER.split()


HOSTILE = (["<script>", "\x1b[2J"], ["[red]", "b&"] * 7, [[1.0, -2.0] * 7, [0.0, 0.5] * 7])


def test_a_grid_is_escaped_and_says_its_signs():
    html = grid_html(*HOSTILE, "<b>")
    assert "<script>" not in html
    assert "<b>" not in html
    assert ">+1.00</td>" in html
    assert ">−2.00</td>" in html
    assert html.count("<tr>") == 3
    assert shares([[0.0]]) == [[0.0]]


def test_a_grid_fits_a_terminal():
    stream = io.StringIO()
    Console(file=stream, width=80).print(grid_to_terminal(*HOSTILE))
    shown = stream.getvalue()
    assert "\x1b[2J" not in shown
    assert r"\x1b[2J" in shown
    assert "[red]" in shown
    assert shown.count("-2.00") == 7  # columns that have no room stand below
    assert max(map(len, shown.splitlines())) <= 80
