"""Inputs as people have them: encodings, chats, ids, long texts, scripts without spaces, slow tokenizers."""

import copy

import numpy as np
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
    K,
    built,
    outputs,
    own_answer,
    own_class,
    own_continuation,
)
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import BatchEncoding, PreTrainedTokenizerFast
from wordlevel import SlowWords

import udig_lab as ul
from udig_lab.model.protocol import ERASER


@pytest.fixture(scope="module")
def classifier():
    return built(tf.BertForSequenceClassification, tf.BertConfig(**K, num_labels=3))


@pytest.fixture(scope="module")
def language_model():
    return built(tf.GPT2LMHeadModel, tf.GPT2Config(**GPT2))


# C. Ids keep their mask, their types and their words

FORMS = {
    "batch encoding": lambda e: e,
    "dictionary": dict,
    "lists": lambda e: {name: value.tolist() for name, value in e.items()},
    "arrays": lambda e: {name: value.numpy() for name, value in e.items()},
}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("form", FORMS)
def test_a_padded_batch(classifier, form, side):
    tokenizer = copy.deepcopy(BERT)
    tokenizer.padding_side = side
    batch = FORMS[form](tokenizer([TEXT, LONGER], padding=True, return_tensors="pt"))
    for text, found in zip((TEXT, LONGER), ul.explain(classifier, batch, tokenizer=tokenizer, target=1), strict=True):
        assert found.input_ids == tuple(BERT(text)["input_ids"])
        assert found.f_input == pytest.approx(own_class(classifier, found), abs=1e-4)
        assert [word for word, _ in found.words()] == text.split()
        expected = ul.explain(classifier, text, tokenizer=BERT, target=1)
        assert found.scores == pytest.approx(expected.scores, abs=1e-5)


def test_one_encoding_is_one_text(classifier):
    found = ul.explain(classifier, BERT(TEXT), tokenizer=BERT, target=1)
    assert found.scores == ul.explain(classifier, TEXT, tokenizer=BERT, target=1).scores


def test_padded_ids_are_not_read_as_text(classifier):
    """Without a mask the padding behind a text is told by its id; or there is an error that asks for the mask."""
    batch = BERT([TEXT, LONGER], padding=True, return_tensors="pt")
    try:
        found = ul.explain(classifier, input_ids=batch["input_ids"], tokenizer=BERT, target=1)
    except ValueError as error:
        assert "attention_mask" in str(error)  # noqa: PT017
    else:
        assert [a.input_ids for a in found] == [tuple(BERT(text)["input_ids"]) for text in (TEXT, LONGER)]


def test_pairs_keep_their_types(classifier):
    batch = BERT([PAIR[0], LONGER_PAIR[0]], [PAIR[1], LONGER_PAIR[1]], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = classifier(**batch).logits[:, 1]
    found = ul.explain(classifier, batch, tokenizer=BERT, target=1)
    assert [a.f_input for a in found] == pytest.approx(expected.tolist(), abs=1e-4)
    assert any(found[0].token_types)


@pytest.mark.parametrize("tokenizer", [BERT, PLAIN], ids=["types", "no types"])
def test_answers_stand_in_the_context_of_an_encoded_pair(tokenizer):
    kind, config = (
        (tf.BertForQuestionAnswering, tf.BertConfig(**K))
        if tokenizer is BERT
        else (
            tf.RobertaForQuestionAnswering,
            tf.RobertaConfig(**K),
        )
    )
    model = built(kind, config)
    found = ul.explain(model, tokenizer(*PAIR), tokenizer=tokenizer)
    assert found.f_input == pytest.approx(own_answer(model, tokenizer, PAIR, found.target), abs=1e-4)
    assert found.target == ul.explain(model, PAIR, tokenizer=tokenizer).target
    assert found.input_ids.index(tokenizer.sep_token_id) < found.target[0]


def test_ids_come_back_as_words(lab):
    text = "an unputdownable, seductive movie"
    ids = lab.tokenizer(text)["input_ids"]
    for given in (ids, tuple(ids), np.array(ids), torch.tensor(ids), np.array(ids, dtype=np.uint16)):
        found = ul.explain(lab, input_ids=given, n_steps=4)
        assert [word for word, _ in found.words()] == [word for word, _ in ul.explain(lab, text, n_steps=4).words()]
    several = ul.explain(lab, input_ids=np.array([ids, ids]), n_steps=4)
    assert [a.input_ids for a in several] == [tuple(ids)] * 2


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"attention_mask": [[1, 1]]}, r"input_ids|column"),
        ({"input_ids": [[1, 10, 2]], "attention_mask": [[1, 1]]}, "attention_mask"),
        ({"input_ids": [[1, 10, 2]], "attention_mask": [[0, 0, 0]]}, "no token"),
        ({"input_ids": [[1.5, 10, 2]]}, "integer|whole"),
        ({"input_ids": [[[1, 10, 2]]]}, r"input_ids|token id"),
    ],
)
def test_encodings_that_are_none(classifier, batch, message):
    for given in (batch, BatchEncoding(batch)):
        with pytest.raises((ValueError, TypeError), match=message):
            ul.explain(classifier, given, tokenizer=BERT)


CHAT = [{"role": "user", "content": "what did the dog eat ?"}]
LONGER_CHAT = [*CHAT, {"role": "assistant", "content": "the cake ."}, {"role": "user", "content": "good ?"}]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[USER] {{ m['content'] }} [SEP] {% endfor %}"
    "{% if add_generation_prompt %}[ANSWER] {% endif %}"
)


@pytest.fixture
def chat():
    tokenizer = copy.deepcopy(DECODER)
    tokenizer.add_special_tokens({"bos_token": "[CLS]"})
    tokenizer.add_tokens(
        [AddedToken("[USER]", special=True), AddedToken("[ANSWER]", special=True)], special_tokens=True
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def test_a_chat_goes_through_its_template(language_model, chat):
    chats = [CHAT, LONGER_CHAT]
    for messages, found in zip(chats, ul.explain(language_model, chats, tokenizer=chat, target="cake"), strict=True):
        ids = chat.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert found.input_ids == tuple(ids)
        assert found.input_ids.count(chat.bos_token_id) == 1
        expected = outputs(language_model, ids).logits[0, -1].log_softmax(-1)[chat.convert_tokens_to_ids("cake")]
        assert found.f_input == pytest.approx(float(expected), abs=1e-4)
        assert [word for word, _ in found.words()] == " ".join(m["content"] for m in messages).split()
    alone = ul.explain(language_model, CHAT, tokenizer=chat, target="cake")
    assert alone.target_name.strip() == "cake"


def test_a_template_that_was_applied_before(language_model, chat):
    """As text its special tokens are already there, and must not be written again."""
    text = chat.apply_chat_template(CHAT, add_generation_prompt=True, tokenize=False)
    found = ul.explain(language_model, text, tokenizer=chat, target="cake")
    assert found.input_ids.count(chat.bos_token_id) == 1
    batch = chat.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=True)
    assert ul.explain(language_model, batch, tokenizer=chat, target="cake").input_ids == found.input_ids


def test_chats_that_cannot_be_read(language_model, chat):
    for messages in ([{"role": "user"}], [{"text": "good"}], [{"role": "user", "content": 3}]):
        with pytest.raises((ValueError, TypeError), match=r"message|content|role"):
            ul.explain(language_model, messages, tokenizer=chat, target="cake")
    with pytest.raises(ValueError, match="template"):
        ul.explain(language_model, CHAT, tokenizer=DECODER, target="cake")


def test_a_continuation_as_ids(language_model):
    ids = DECODER("good cake", add_special_tokens=False)["input_ids"]
    expected = own_continuation(language_model, DECODER, TEXT, "good cake")
    for target in (ids, tuple(ids), np.array(ids), torch.tensor(ids)):
        found = ul.explain(language_model, TEXT, tokenizer=DECODER, target=target, baseline="unk", n_steps=4)
        assert found.target == tuple(ids)
        assert found.target_name == "good cake"
        assert found.f_input == pytest.approx(expected, abs=1e-4)
    several = ul.explain(language_model, [TEXT, LONGER], tokenizer=DECODER, target=[ids, ids[:1]], n_steps=4)
    assert [a.target for a in several] == [tuple(ids), tuple(ids[:1])]
    with pytest.raises(ValueError, match="outside the vocabulary"):
        ul.explain(language_model, TEXT, tokenizer=DECODER, target=[400])


# J. Lengths


def test_a_question_that_leaves_no_room():
    model = built(tf.BertForQuestionAnswering, tf.BertConfig(**K))
    with pytest.raises(ValueError, match=r"the text .*20"):
        ul.explain(model, ("dog " * 40, "the cake"), tokenizer=BERT, max_length=20)


def test_max_length_beyond_what_the_model_reads(lab):
    with pytest.raises(ValueError, match="512"):
        ul.explain(lab, "on " * 600, max_length=600)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="max_length"):
            ul.explain(lab, "on and on", max_length=wrong)


SMALL = {name: value for name, value in K.items() if name != "intermediate_size"}
LENGTHS = {
    "bert": (tf.BertForSequenceClassification, tf.BertConfig(**K)),
    "roberta": (tf.RobertaForSequenceClassification, tf.RobertaConfig(**K)),
    "xlm-roberta": (tf.XLMRobertaForSequenceClassification, tf.XLMRobertaConfig(**K)),
    "longformer": (tf.LongformerForSequenceClassification, tf.LongformerConfig(**K, attention_window=4)),
    "data2vec-text": (tf.Data2VecTextForSequenceClassification, tf.Data2VecTextConfig(**K)),
    "xlm-roberta-xl": (tf.XLMRobertaXLForSequenceClassification, tf.XLMRobertaXLConfig(**K)),
    "esm": (tf.EsmForSequenceClassification, tf.EsmConfig(**K, mask_token_id=3)),
    "gpt2": (tf.GPT2ForSequenceClassification, tf.GPT2Config(**GPT2)),
    "openai-gpt": (tf.OpenAIGPTForSequenceClassification, tf.OpenAIGPTConfig(**GPT2)),
    "opt": (tf.OPTForSequenceClassification, tf.OPTConfig(**SMALL, ffn_dim=64, word_embed_proj_dim=32)),
    "bart": (tf.BartForSequenceClassification, tf.BartConfig(**BART)),
    "flaubert": (
        tf.FlaubertForSequenceClassification,
        tf.FlaubertConfig(vocab_size=40, emb_dim=32, n_layers=1, n_heads=4, max_position_embeddings=64, pad_index=0),
    ),
}


def reads(model, n):
    """Whether a model reads n tokens: the only way to know is to try."""
    try:
        outputs(model, [1, *[10] * (n - 2), 2])
    except (IndexError, RuntimeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("name", LENGTHS)
def test_the_limit_is_what_the_model_can_read(name):
    model = built(*LENGTHS[name])
    longest = max(n for n in range(58, 68) if reads(model, n))
    assert longest < 67
    keywords = {"tokenizer": PLAIN, "target": 1, "baseline": "unk", "method": "gradient_x_input"}
    found = ul.explain(model, "on " * (longest - 2), **keywords)
    assert len(found) == longest
    assert found.f_input == pytest.approx(own_class(model, found), abs=1e-4)
    with pytest.raises(ValueError, match=rf"{longest + 1} tokens .* at most {longest}"):
        ul.explain(model, "on " * (longest - 1), **keywords)
    assert len(ul.explain(model, "on " * 100, max_length=longest, **keywords)) == longest


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (
            tf.BloomForSequenceClassification,
            tf.BloomConfig(vocab_size=40, hidden_size=32, n_layer=1, n_head=4, pad_token_id=0),
        ),
        (tf.T5ForSequenceClassification, tf.T5Config(**T5)),
        (
            tf.XLNetForSequenceClassification,
            tf.XLNetConfig(vocab_size=40, d_model=32, n_layer=1, n_head=4, d_inner=64),
        ),
        (tf.MambaForCausalLM, tf.MambaConfig(vocab_size=40, hidden_size=32, num_hidden_layers=1, state_size=4)),
    ],
    ids=["bloom", "t5", "xlnet", "mamba"],
)
def test_models_that_read_on_and_on(kind, config):
    """A limit of -1, none at all, or positions that are computed: 150 tokens are read where 64 were trained."""
    causal = kind is tf.MambaForCausalLM
    model, tokenizer = built(kind, config), DECODER if causal else PLAIN
    keywords = {"target": "good" if causal else 1, "baseline": "unk", "method": "gradient_x_input"}
    found = ul.explain(model, "on " * 150, tokenizer=tokenizer, **keywords)
    assert len(found.words()) == 150


# K. Scripts without spaces


def unigram(pieces):
    """Like XLM-R's and Gemma's: spaces are a sign, and nothing else cuts a text into words."""
    vocabulary = [("[PAD]", 0.0), ("[CLS]", 0.0), ("[SEP]", 0.0), ("[MASK]", 0.0), ("[UNK]", 0.0), ("\u2581", -9.0)]
    core = Tokenizer(models.Unigram([*vocabulary, *((piece, -5.0) for piece in pieces)], unk_id=4))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    names = dict(
        zip(
            ("pad_token", "cls_token", "sep_token", "mask_token", "unk_token"),
            (v for v, _ in vocabulary),
            strict=False,
        )
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


SCRIPTS = {
    "chinese": ("这部电影很好看。", ["这部", "电影", "很", "好看", "。"]),
    "japanese": ("この映画はとても面白い", ["この", "映画", "は", "とても", "面白い"]),
    "thai": ("หนังเรื่องนี้สนุกมาก", ["หนัง", "เรื่อง", "นี้", "สนุก", "มาก"]),
    "khmer": ("ខ្ញុំស្រឡាញ់ភាពយន្ត", ["ខ្ញុំ", "ស្រឡាញ់", "ភាពយន្ត"]),
    "mixed": ("这部 movie 很好看", ["这部", "movie", "很", "好看"]),
    "korean": ("영화는 재미있다", ["영화는", "재미있다"]),
    "english": ("a movie", ["a", "movie"]),
}
PIECES = {"korean": ["\u2581영화", "는", "\u2581재미", "있다"], "english": ["\u2581a", "\u2581mov", "ie"]}
PIECES["mixed"] = ["\u2581这部", "\u2581mov", "ie", "\u2581", "很", "好看"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_where_there_are_no_spaces_tokens_are_the_words(script):
    text, words = SCRIPTS[script]
    pieces = PIECES.get(script, [f"\u2581{words[0]}", *words])
    tokenizer = unigram(dict.fromkeys(pieces))
    model = built(tf.XLMRobertaForSequenceClassification, tf.XLMRobertaConfig(**K | {"vocab_size": len(tokenizer)}))
    found = ul.explain(model, text, tokenizer=tokenizer, target=1, baseline="mask", n_steps=8)
    assert "[UNK]" not in found.tokens
    assert [word for word, _ in found.words() if word] == words
    assert sum(score for _, score in found.words()) == pytest.approx(sum(found.scores), abs=1e-5)
    assert found.to_dataframe()["word"].tolist()[-1] == words[-1]
    if script not in PIECES:  # under ERASER a word goes as a whole: here, one token
        assert int(ul.metrics.selected(found, 0.01, ERASER).sum()) == 1


# L. Slow tokenizers and pairs


@pytest.mark.parametrize("types", [True, False])
def test_a_slow_tokenizer_tells_question_from_context(types):
    kind, config = (
        (tf.BertForQuestionAnswering, tf.BertConfig(**K))
        if types
        else (
            tf.RobertaForQuestionAnswering,
            tf.RobertaConfig(**K),
        )
    )
    model, tokenizer = built(kind, config), SlowWords(WORDS, token_types=types)
    for pair in (PAIR, LONGER_PAIR):
        found = ul.explain(model, pair, tokenizer=tokenizer, baseline="mask")
        assert found.f_input == pytest.approx(own_answer(model, tokenizer, pair, found.target), abs=1e-4)
        context = found.input_ids.index(tokenizer.sep_token_id) + 1
        assert context <= found.target[0] <= found.target[1] < len(found) - 1
        assert [word for word, _ in found.words()] == " ".join(pair).split()
    named = ul.explain(
        model, ("what did the dog eat ?", "the dog ate"), tokenizer=tokenizer, target="dog", baseline="mask"
    )
    assert named.target == (9, 9)


# O. Integers and baselines of every kind


@pytest.mark.parametrize(
    "target",
    [
        1,
        np.argmax([0.0, 1.0]),
        np.int32(1),
        np.uint8(1),
        torch.tensor(1),
        torch.tensor([1]),
        np.array(1),
        np.array([1]),
        [1],
    ],
    ids=lambda t: f"{type(t).__name__}{getattr(t, 'shape', '')}",
)
def test_integers_of_every_kind(classifier, target):
    found = ul.explain(classifier, TEXT, tokenizer=BERT, target=target, n_steps=2)
    assert (found.target, type(found.target), found.target_name) == (1, int, "LABEL_1")
    assert ul.Attribution.from_json(found.to_json()) == found


def test_integers_for_several_texts(classifier):
    for targets in ([1, 2], np.array([1, 2]), torch.tensor([1, 2]), [np.int64(1), 2]):
        found = ul.explain(classifier, [TEXT, LONGER], tokenizer=BERT, target=targets, n_steps=2)
        assert [a.target for a in found] == [1, 2]
    named = ul.explain(classifier, TEXT, tokenizer=BERT, target="LABEL_2", n_steps=2)
    assert named.target == 2
    spans = built(tf.BertForQuestionAnswering, tf.BertConfig(**K))
    for span in ((9, 11), np.array([9, 11]), torch.tensor([9, 11])):
        assert ul.explain(spans, PAIR, tokenizer=BERT, target=span, n_steps=2).target == (9, 11)


@pytest.mark.parametrize("target", [True, np.bool_(True), 1.0, np.float32(1), torch.tensor(1.0), torch.tensor(True)])
def test_no_integers(classifier, target):
    with pytest.raises((ValueError, TypeError), match=r"target"):
        ul.explain(classifier, TEXT, tokenizer=BERT, target=target)


def test_baselines_of_every_kind(classifier):
    def scores(baseline):
        return ul.explain(classifier, TEXT, tokenizer=BERT, target=1, baseline=baseline, n_steps=4).scores

    row = classifier.get_input_embeddings().weight.detach()[3]  # (D,)
    expected = scores("mask")
    for same in (3, np.int64(3), torch.tensor(3), row, row.tolist(), row.numpy(), row.double().numpy()):
        assert scores(same) == pytest.approx(expected, abs=1e-6)
    each = row.expand(5, -1)
    for same in (each, each.tolist(), each.numpy()):
        assert scores(same) == pytest.approx(expected, abs=1e-6)
    for wrong in (True, 1.5, [[1.0], [1.0, 2.0]], ["mask"]):
        with pytest.raises((ValueError, TypeError), match="baseline"):
            scores(wrong)
