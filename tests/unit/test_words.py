"""Word pieces back to words, whatever the tokenizer: word ids, offsets, bytes, pairs."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from wordlevel import word_tokenizer

from udig_lab.attribution import Attribution
from udig_lab.model.inputs import encode


def attribution(encoding):
    """Every token scores one."""
    n = len(encoding)
    return Attribution(
        tokens=encoding.tokens,
        pieces=encoding.pieces,
        input_ids=tuple(encoding.input_ids.tolist()),
        word_ids=encoding.word_ids,
        scores=tuple(0.0 if s else 1.0 for s in encoding.special.tolist()),
        special=tuple(encoding.special.tolist()),
        target=0,
        target_name="",
        output="logit",
        probability=1.0,
        f_input=float(n),
        f_baseline=0.0,
        method="ig",
        baseline="mask",
    )


def words(tokenizer, text):
    (encoding,) = encode([text], tokenizer, limit=None, truncate=False)
    return attribution(encoding).words()


def byte_level():
    """Like GPT-2 and RoBERTa: bytes, a space belonging to the word behind it; no merges, so every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)


def metaspace_without_words():
    """Like Llama's: the normaliser writes spaces as a sign and nothing cuts the text into words."""
    pieces = ["\u2581", *"abcdefghijklmnopqrstuvwxyz.", "\u2581the", "\u2581mov", "ie"]
    merges = [("\u2581", "t"), ("\u2581t", "h"), ("\u2581th", "e")]
    vocabulary = {p: i for i, p in enumerate(dict.fromkeys([*pieces, "\u2581t", "\u2581th"]))}
    core = Tokenizer(models.BPE(vocabulary, merges))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    return PreTrainedTokenizerFast(tokenizer_object=core)


def test_bytes_become_words_again():
    assert [w for w, _ in words(byte_level(), "a café, naïve 🙂 film")] == ["a", "café", ",", "naïve", "🙂", "film"]
    scores = dict(words(byte_level(), "a café"))
    assert scores["café"] == 6  # space, c, a, f and two bytes


def test_words_are_found_by_white_space_where_the_tokenizer_knows_none():
    found = words(metaspace_without_words(), "the movie is dull.")
    assert [w for w, _ in found] == ["the", "movie", "is", "dull."]
    assert sum(s for _, s in found) == len(metaspace_without_words()("the movie is dull.")["input_ids"])


def test_the_same_word_twice_stays_two_words(lab):
    assert [w for w, _ in words(lab.tokenizer, "dull , dull")] == ["dull", ",", "dull"]


def test_question_and_context_do_not_run_together():
    tokenizer = word_tokenizer("why because")
    (encoding,) = encode([("why", "because")], tokenizer, limit=None, truncate=False)
    assert [w for w, _ in attribution(encoding).words()] == ["why", "because"]
    assert encoding.token_types.tolist() == [0, 0, 0, 1, 1]


def test_a_long_context_is_cut_and_the_question_kept():
    tokenizer = word_tokenizer("why it is so")
    (encoding,) = encode([("why", "it is so " * 5)], tokenizer, limit=8, truncate=True)
    assert len(encoding) == 8
    assert [p for p, s in zip(encoding.pieces, encoding.sequence_ids, strict=True) if s == 0] == ["why"]


@pytest.mark.parametrize("bad", [("a", ""), ("", "b"), ("a", "b", "c"), ("a", 3), 7])
def test_pairs_that_are_none(bad, lab):
    with pytest.raises((TypeError, ValueError), match="text 0 is"):
        encode([bad], lab.tokenizer, limit=None, truncate=False)
