"""Parts of a prompt: found where they stand, moved as one, summed, shown and judged."""

import copy

import pytest
import torch
import transformers as tf
from small import BERT, DECODER, GPT2, PAIR, PLAIN, K, built, on_baseline, outputs
from wordlevel import SlowWords

import udig_lab as ul
from udig_lab.attribution import Attribution
from udig_lab.model.segments import Span, segments_of

PROMPT = "a dull movie . good what did the dog eat ?"
PARTS = {"examples": "a dull movie .", "question": "what did the dog eat ?"}
HOW = {"tokenizer": DECODER, "target": "the cake", "baseline": "unk"}
UNK = 4
PLAYED = ("sig", "both_ends", "permutations", "owen", "shapley_sampling", "kernel_shap", "lime")


@pytest.fixture(scope="module")
def model():
    return built(tf.LlamaForCausalLM, tf.LlamaConfig(**K, num_key_value_heads=2))


def read(model, ids, target):
    """Log p of the last ``len(target)`` ids of a sequence."""
    ids = [*ids, *target[-1:]]
    log = outputs(model, ids).logits[0].log_softmax(-1)
    return float(sum(log[len(ids) - len(target) + j - 1, w] for j, w in enumerate(target)))


def without(found, *names):
    """The ids with some segments at the baseline."""
    pairs = zip(found.input_ids, found.segment_of, found.special, strict=True)
    return [UNK if name in names and not fixed else i for i, name, fixed in pairs]


# Bad input: one sentence each


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ({"question": "what did the cat eat ?"}, "'question' does not stand in the text"),
        ({"question": "What did"}, "does not stand"),
        ({"end": "d"}, r"'end' stands \d times in the text"),
        ({"none": "  "}, "'none' of the text is empty"),
        ({"one": "a dull movie", "two": "movie . good"}, "'one' and 'two' of the text overlap"),
        ({"one": "dull mo", "two": "vie ."}, "'movie' is one token .* 'one' and 'two'"),
        ({}, "empty dictionary"),
        (["a dull movie"], "are 'a dull movie'"),
        ("a dull movie", "segments is a str"),
        ({"one": 3}, "both strings"),
        ({1: "a dull movie"}, "both strings"),
        ([PARTS, PARTS], "2 segments=… were given for 1 texts"),
    ],
)
def test_what_is_no_segment(model, segments, message):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        ul.explain(model, PROMPT, **HOW, segments=segments)
    assert "\n" not in str(error.value)


def test_segments_need_a_text_that_shows_its_tokens(model):
    with pytest.raises(ValueError, match="pass the prompt as text"):
        ul.explain(model, input_ids=[1, 9, 10], segments=PARTS, **HOW)
    classifier = built(tf.BertForSequenceClassification, tf.BertConfig(**K))
    with pytest.raises(ValueError, match="use a fast one"):
        ul.explain(classifier, "a dull movie", tokenizer=SlowWords(PROMPT), segments={"x": "dull"})
    with pytest.raises(ValueError, match="max_length cuts it off"):
        ul.explain(model, PROMPT, **HOW, segments=PARTS, max_length=5)


def test_what_moves_as_one_must_be_there(model):
    with pytest.raises(ValueError, match="the text has no segments"):
        ul.explain(model, PROMPT, **HOW, by="segment")
    with pytest.raises(ValueError, match="text 1 has no segments"):
        ul.explain(model, [PROMPT] * 2, **HOW, by="segment", segments=[PARTS, None])
    with pytest.raises(ValueError, match="choose token or segment"):
        ul.explain(model, PROMPT, **HOW, by="word")
    for method, settings in (("idg", {}), ("sequential_udig", {}), ("sig", {"rule": "midpoint"})):
        with pytest.raises(ValueError, match=r"read the sums of segments with segments\(\)"):
            ul.explain(model, PROMPT, **HOW, segments=PARTS, by="segment", method=method, **settings)
    with pytest.raises(ValueError, match="this text has no segments"):
        ul.explain(model, PROMPT, **HOW, n_steps=2).segments()


# Where they stand


def test_what_stands_in_no_segment_stays(model):
    found = ul.explain(model, PROMPT, **HOW, segments=PARTS, n_steps=64)
    words = dict(zip(found.tokens, found.segment_of, strict=True))
    assert words["movie"] == "examples"
    assert words["did"] == "question"
    assert words["good"] is None
    assert found.special[found.tokens.index("good")]
    assert found.f_baseline == pytest.approx(read(model, without(found, *PARTS), found.target), abs=1e-4)
    sums = found.segments()
    assert list(sums) == ["examples", "question"]
    assert sum(sums.values()) == pytest.approx(found.total)
    assert sums["examples"] == pytest.approx(sum(found.scores[1:5]))
    assert Attribution.from_json(found.to_json()) == found


def test_a_space_belongs_to_the_word_behind_it():
    text = "one two three"
    offsets = [(0, 3), (3, 7), (7, 13)]  # as byte-level tokenizers cut: the space in front
    spans = [Span("first", 0, 0, 3), Span("rest", 0, 4, 13)]
    assert segments_of(spans, offsets, [0, 0, 0], [text], "text 0") == ["first", "rest", "rest"]
    assert segments_of(spans[1:], [(0, 3), (3, 4), (3, 3)], [0, None, 0], [text], "text 0") == [None] * 3


def test_a_question_and_its_context():
    model = built(tf.RobertaForQuestionAnswering, tf.RobertaConfig(**K))
    parts = {"eaten": "the cake", "asked": "what did"}
    found = ul.explain(model, PAIR, tokenizer=PLAIN, segments=parts, method="sig")
    moving = {t for t, fixed in zip(found.tokens, found.special, strict=True) if not fixed}
    assert moving == {"the", "cake", "what", "did"}
    with pytest.raises(ValueError, match="'dog' stands 2 times"):
        ul.explain(model, PAIR, tokenizer=PLAIN, segments={"dog": "dog"})


def test_texts_with_segments_of_their_own(model):
    texts, segments = [PROMPT, "good what did the dog eat ?"], [PARTS, {"question": "the dog"}]
    together = ul.explain(model, texts, **HOW, segments=segments, method="both_ends", by="segment")
    for text, own, found in zip(texts, segments, together, strict=True):
        alone = ul.explain(model, text, **HOW, segments=own, method="both_ends", by="segment")
        assert found.segments() == pytest.approx(alone.segments(), abs=1e-5)
    shared = ul.explain(model, texts, **HOW, segments={"question": "the dog"}, n_steps=2)
    assert [list(a.segments()) for a in shared] == [["question"]] * 2
    mixed = ul.explain(model, texts, **HOW, segments=[PARTS, None], n_steps=2)
    assert mixed[1].segment_of is None


# What they are worth


def test_sig_moves_a_segment_as_one(model):
    found = ul.explain(model, PROMPT, **HOW, segments=PARTS, by="segment", method="sig")
    assert found.forwards == len(PARTS) + 1
    for name, score in found.segments().items():
        expected = found.f_input - read(model, without(found, name), found.target)
        assert score == pytest.approx(expected, abs=1e-4)
    assert len(set(found.scores[1:5])) == 1  # its tokens share it


def test_both_ends_move_a_segment_as_one(model):
    found = ul.explain(model, PROMPT, **HOW, segments=PARTS, by="segment", method="both_ends")
    one, other = (read(model, without(found, name), found.target) for name in PARTS)
    expected = (found.f_input - one + other - found.f_baseline) / 2
    assert found.segments()["examples"] == pytest.approx(expected, abs=1e-4)
    assert found.delta == pytest.approx(0, abs=1e-4)  # of two players the mean is the Shapley value
    assert found.forwards == 2 * len(PARTS) + 2


@pytest.mark.parametrize("method", ["permutations", "owen", "shapley_sampling", "kernel_shap"])
def test_shapley_values_of_two_segments(model, method):
    """With two players permutations and the trapezoid are exact; what is drawn comes near."""
    drawn = {name: {"n_samples": 400} for name in ("shapley_sampling", "kernel_shap")}
    settings = {"owen": {"rule": "trapezoid"}} | drawn
    how = HOW | {"segments": PARTS, "by": "segment"}
    expected = ul.explain(model, PROMPT, **how, method="both_ends").segments()
    found = ul.explain(model, PROMPT, **how, method=method, **settings.get(method, {}))
    tolerance = 0.1 * max(map(abs, expected.values())) if method in drawn else 1e-4
    assert found.segments() == pytest.approx(expected, abs=tolerance)
    assert found.by == "segment"


def test_three_segments_in_one_order_are_complete(model):
    parts = {"examples": "a dull movie .", "rating": "good", "question": "what did the dog eat ?"}
    how = HOW | {"segments": parts, "by": "segment", "method": "permutations"}
    found = ul.explain(model, PROMPT, **how, n_samples=1, antithetic=False)
    assert found.delta == pytest.approx(0, abs=1e-4)
    assert found.forwards == len(parts) + 1
    assert found.total == pytest.approx(found.f_input - read(model, on_baseline(found, UNK), found.target), abs=1e-4)


@pytest.mark.parametrize("method", ["ig", "udig", "deep_lift", "lime"])
def test_methods_that_move_all_tokens_at_once_sum_up(model, method):
    settings = {"ig": {"n_steps": 8}, "udig": {"n_steps": 4, "n_neighbors": 8}, "lime": {"n_samples": 20}}
    how = HOW | {"segments": PARTS, "method": method} | settings.get(method, {})
    by_segment, by_token = (ul.explain(model, PROMPT, **how, by=by) for by in ("segment", "token"))
    if method != "lime":
        assert by_segment.segments() == pytest.approx(by_token.segments(), abs=1e-5)
    assert list(by_segment.segments()) == list(PARTS)


@pytest.mark.parametrize("method", PLAYED)
def test_an_estimate_counts_segments(model, method):
    how = HOW | {"segments": PARTS, "by": "segment", "method": method}
    settings = {} if method not in ("kernel_shap", "lime", "shapley_sampling") else {"n_samples": 10}
    found = ul.explain(model, PROMPT, **how, **settings)
    expected = ul.estimate(model, PROMPT, **how, **settings)
    assert expected.forwards == found.forwards
    assert expected.gradients == 0


# Shown and judged


def test_segments_are_shown_by_their_names(model):
    parts = {"<b>examples</b>": "a dull movie .", "question": "what did the dog eat ?"}
    how = HOW | {"segments": parts, "method": "sig"}
    found = ul.explain(model, PROMPT, **how, by="segment")
    html = found._repr_html_()
    assert "<b>" not in html
    assert "<td>&lt;b&gt;examples&lt;/b&gt;</td>" in html
    assert ">a dull movie .</span>" in html
    assert str(found).count("(") - 1 == len(parts)
    assert list(found.to_dataframe().columns) == ["segment", "score", "shade"]
    assert found.plot().alt.startswith("Bars for 2 segments")
    words = ul.explain(model, PROMPT, **how)
    assert "movie</span>" in words._repr_html_()
    assert "<td>&lt;b&gt;examples&lt;/b&gt;</td>" in words._repr_html_()


def test_metrics_take_a_segment_for_a_word(model):
    how = HOW | {"segments": PARTS, "by": "segment", "method": "both_ends"}
    text_model = ul.TextModel(model, DECODER)
    found = ul.explain(model, PROMPT, **how)
    best = max(found.segments(), key=found.segments().get)
    left = {False: [i for i, s in zip(found.input_ids, found.segment_of, strict=True) if s != best]}
    left[True] = [
        i for i, s, f in zip(found.input_ids, found.segment_of, found.special, strict=True) if f or s == best
    ]
    before = torch.tensor(found.f_input).exp()
    for protocol in ("corrected", "eraser"):
        judged = ul.metrics.comprehensiveness(text_model, [found], protocol=protocol)
        expected = before - torch.tensor(read(model, left[False], found.target)).exp()
        assert float(judged[0]) == pytest.approx(float(expected), abs=1e-5)
        judged = ul.metrics.sufficiency(text_model, [found], protocol=protocol)
        expected = before - torch.tensor(read(model, left[True], found.target)).exp()
        assert float(judged[0]) == pytest.approx(float(expected), abs=1e-5)


def test_a_classifier_has_segments_too():
    model = built(tf.BertForSequenceClassification, tf.BertConfig(**K, num_labels=3))
    found = ul.explain(model, PROMPT, tokenizer=BERT, target="all", segments=PARTS, by="segment", method="sig")
    assert [a.target for a in found] == [0, 1, 2]
    owners = zip(found[0].input_ids, found[0].segment_of, strict=True)
    gone = outputs(model, [3 if s == "question" else i for i, s in owners])
    expected = outputs(model, found[0].input_ids).logits[0] - gone.logits[0]
    assert [a.segments()["question"] for a in found] == pytest.approx(expected.tolist(), abs=1e-4)


# Chats


TEMPLATE = (
    "[CLS]{% for m in messages %} {{ 'the dog' if m.role == 'user' else 'cake' }} {{ m.content | trim }} [SEP]"
    "{% endfor %}{% if add_generation_prompt %} cake{% endif %}"
)
CHAT = [
    {"role": "user", "content": "the dog ate \n"},
    {"role": "assistant", "content": "cake ?"},
    {"role": "user", "content": [{"type": "text", "text": "what did"}, {"type": "text", "text": "the dog eat"}]},
]


def templated(template):
    tokenizer = copy.deepcopy(DECODER)
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="module")
def speaker():
    return templated(TEMPLATE)


def test_the_words_of_a_template_stay(speaker):
    """They are words that the messages say as well."""
    model = built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2))
    how = {"tokenizer": speaker, "target": "good", "baseline": "unk"}
    found = ul.explain(model, CHAT[:2], **how, method="sig")
    moving = [t for t, fixed in zip(found.tokens, found.special, strict=True) if not fixed]
    assert moving == ["the", "dog", "ate", "cake", "?"]
    assert list(found.segments()) == ["user", "assistant"]
    at = [i for i, name in enumerate(found.segment_of) if name == "user"]
    assert found.tokens[at[0] - 2 : at[0]] == ("the", "dog")  # the template's own
    by_segment = ul.explain(model, CHAT[:2], **how, method="sig", by="segment")
    assert by_segment.forwards == 3
    own = ul.explain(model, CHAT[:2], **how, segments={"eaten": "ate"}, n_steps=2)
    assert list(own.segments()) == ["eaten"]


def test_a_role_that_speaks_twice_has_numbers(speaker):
    model = built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2))
    chat = [CHAT[0], CHAT[1], {"role": "user", "content": "what did"}]
    found = ul.explain(model, [chat, CHAT[:1]], tokenizer=speaker, target="good", baseline="unk", n_steps=2)
    assert [list(a.segments()) for a in found] == [["user 1", "assistant", "user 2"], ["user"]]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        ("{{ raise_exception('no system here') }}", "refuses these messages"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "changes what 'user' says"),
        ("{% for m in messages %}{{ m.content }} {{ m.content }}{% endfor %}", "changes what 'user' says"),
        ("{{ 'a dull movie' }}", "changes what 'user' says"),
        (
            "{% for m in messages %}{{ m.content }}{% endfor %}{{ ' cake' * (messages[0].content | length) }}",
            "something else around",
        ),
    ],
)
def test_templates_that_hide_what_was_said(template, message):
    model = built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2))
    with pytest.raises(ValueError, match=message) as error:
        ul.explain(model, CHAT[:1], tokenizer=templated(template), target="good", baseline="unk")
    assert "\n" not in str(error.value)


def test_a_chat_without_words(speaker):
    model = built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2))
    with pytest.raises(ValueError, match="empty"):
        ul.explain(model, [{"role": "user", "content": " "}], tokenizer=speaker, target="good", baseline="unk")


def test_a_message_of_several_texts():
    """Its texts are one segment."""
    model = built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2))
    template = "[CLS]{% for m in messages %}{% for c in m.content %} a {{ c.text }}{% endfor %}{% endfor %} ."
    how = {"tokenizer": templated(template), "target": "good", "baseline": "unk", "method": "sig"}
    found = ul.explain(model, CHAT[2:], **how)
    assert list(found.segments()) == ["user"]
    moving = [t for t, fixed in zip(found.tokens, found.special, strict=True) if not fixed]
    assert moving == ["what", "did", "the", "dog", "eat"]
