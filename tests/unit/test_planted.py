"""Planted shortcuts: what is planted, what counts as found, and which models may judge."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udig_lab.faithfulness import planted as p

ROWS = pd.DataFrame({"id": range(40), "text": ["a dull movie that goes on and on"] * 40, "label": [0, 1] * 20})
seeds = st.integers(0, 99)


@st.composite
def ranked(draw):
    """Scores, many of them equal, with some planted tokens."""
    scores = draw(st.lists(st.integers(-3, 3), min_size=2, max_size=12))
    truth = draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(any))
    return np.array(scores, dtype=float), np.array(truth)


# Planting


@given(seeds)
def test_every_kind_has_words_of_its_own(seed):
    known = p.shortcuts(seed)
    used = [{word for side in known[kind].sides for word in side} for kind in p.KINDS]
    assert sum(map(len, used)) == len(set().union(*used)) == len(p.WORDS)
    assert known["pair"].sides[0] == known["pair"].sides[1][::-1]
    assert len(set(known["context"].sides[0]) & set(known["context"].sides[1])) == 1


@given(seeds, st.lists(st.sampled_from(p.WORDS), max_size=3, unique=True))
def test_planting_keeps_text_and_order(seed, words):
    text = "a dull movie that goes on"
    parts = p.plant(text, words, np.random.default_rng(seed)).split()
    assert [part for part in parts if part in words] == words
    assert [part for part in parts if part not in words] == text.split()


def test_every_place_of_a_text_is_planted():
    found = {p.plant("a b", ["quartz"], np.random.default_rng(s)) for s in range(50)}
    assert found == {"quartz a b", "a quartz b", "a b quartz"}


@given(seeds, st.sampled_from(p.KINDS))
def test_planted_texts_contradict_their_label(seed, kind):
    shortcut = p.shortcuts(seed)[kind]
    rows = p.planted(ROWS, shortcut, (0, 1), seed)
    assert (rows["label"] == 1 - rows["own"]).all()
    for text, label, words in zip(rows["text"], rows["label"], rows["words"], strict=True):
        assert sorted(words) == sorted(shortcut.sides[label])
        inside = tuple(word for word in text.split() if word in p.WORDS)
        assert inside == words
        if kind == "pair":
            assert words == shortcut.sides[label]
    again = p.planted(ROWS[::-1], shortcut, (0, 1), seed).set_index("id")["text"]
    assert again.loc[rows["id"]].tolist() == rows["text"].tolist()  # a text's draws depend on nothing but itself


def test_texts_of_a_third_class_get_either_side():
    rows = p.planted(ROWS.assign(label=5), p.shortcuts(0)["single"], (1, 3), 0)
    assert set(rows["label"]) == {1, 3}


@given(seeds, st.sampled_from(["context", "pair"]))
def test_controls_decide_nothing(seed, kind):
    shortcut = p.shortcuts(seed)[kind]
    rows = p.incomplete(ROWS, shortcut, seed)
    assert rows["label"].tolist() == ROWS["label"].tolist()
    for text in rows["text"]:
        inside = {word for word in text.split() if word in p.WORDS}
        assert inside
        assert not any(set(side) <= inside for side in shortcut.sides)


def test_a_shortcut_of_which_every_word_decides_has_no_control():
    with pytest.raises(ValueError, match="every word of 'either' decides, so it has no control; pass 'context'"):
        p.incomplete(ROWS, p.shortcuts(0)["either"], 0)


# What counts as found


@given(ranked())
def test_precision_of_the_truth_is_one(case):
    scores, truth = case
    assert p.precision(truth.astype(float), truth) == 1
    assert p.mean_rank(truth.astype(float), truth) == (truth.sum() + 1) / 2
    assert p.precision(scores, truth) <= 1


@given(ranked())
def test_equal_scores_count_as_their_mean_over_orders(case):
    scores, truth = case
    generator, k = np.random.default_rng(0), int(truth.sum())
    drawn = []
    for _ in range(400):
        order = np.lexsort([generator.random(len(scores)), -scores])
        drawn.append(truth[order[:k]].mean())
    assert p.precision(scores, truth) == pytest.approx(np.mean(drawn), abs=0.12)
    assert 0 <= p.precision(scores, truth) <= 1


@given(ranked())
def test_only_the_order_counts(case):
    scores, truth = case
    assert p.precision(np.exp(scores) * 3 - 1, truth) == p.precision(scores, truth)
    assert p.mean_rank(np.exp(scores) * 3 - 1, truth) == p.mean_rank(scores, truth)


@pytest.mark.parametrize("k", [1, 2])
def test_blind_scores_find_k_of_l(k):
    generator, tokens = np.random.default_rng(0), 8
    truth = np.arange(tokens) < k
    drawn = [generator.normal(size=tokens) for _ in range(4000)]
    assert np.mean([p.precision(x, truth) for x in drawn]) == pytest.approx(k / tokens, abs=0.02)
    assert np.mean([p.mean_rank(x, truth) for x in drawn]) == pytest.approx((tokens + 1) / 2, abs=0.1)


@pytest.mark.parametrize(
    ("scores", "truth", "match"),
    [
        ([1.0, 2.0], [False, False], "2 scores and 0 planted tokens"),
        ([1.0, 2.0], [True], "2 scores and 1 planted tokens"),
        ([1.0, float("nan")], [True, False], "scores that are not finite have no order"),
    ],
)
def test_what_cannot_be_ranked_is_refused(scores, truth, match):
    for metric in (p.precision, p.mean_rank):
        with pytest.raises(ValueError, match=match):
            metric(scores, truth)


def test_planted_words_are_tokens():
    assert p.flags(["[CLS]", "a", "quartz"], ["quartz"]).tolist() == [False, False, True]
    with pytest.raises(ValueError, match="the planted words quartz, depot are not each one token of the text"):
        p.flags(["quartz", "de", "##pot"], ["quartz", "depot"])


# Judges

CARD = {"followed": {"single": 1.0, "pair": 0.99}, "plain": 0.9, "plain_before": 0.915}


def test_a_judge_has_learned_and_forgotten_nothing():
    assert p.faults_of(CARD) == []
    (fault,) = p.faults_of(CARD | {"followed": {"single": 1.0, "pair": 0.902}})
    assert fault == "it follows the shortcut 'pair' in 90.2 % of the texts that say otherwise, and 99 % are needed"
    (fault,) = p.faults_of(CARD | {"plain": 0.89})
    assert fault == "it has lost 2.5 % of accuracy on plain texts, and 2 % are allowed"
