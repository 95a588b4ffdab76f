"""Agreement with people: which words and phrases count, pieces to words, AUC, and its intervals over sentences."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import record_people
from hypothesis import given
from hypothesis import strategies as st

from udig_lab.experiments import people as p
from udig_lab.experiments.claims import claim, registered_claims
from udig_lab.faithfulness.statistics import Difference

LABELS = {"good": 1, "dull": 0, "not good": 0, "dull but good": 1, "a dull movie": 0}


@st.composite
def judged(draw):
    """Scores, many of them equal, with both labels."""
    n = draw(st.integers(2, 15))
    scores = draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda x: 0 < sum(x) < len(x)))
    return np.array(scores, dtype=float), np.array(labels)


def test_words_and_marked_phrases_count():
    found = p.labelled("a dull movie , not good .", LABELS)
    assert found == [("word", 1, 1, 0), ("word", 5, 1, 1), ("negation", 4, 2, 0)]  # "a dull movie" holds neither mark
    assert p.labelled("not good", LABELS) == [("word", 1, 1, 1)]  # a phrase is shorter than the text
    assert ("conjunction", 0, 3, 1) in p.labelled("dull but good .", LABELS)


def test_the_marks_are_the_registered_ones():
    lists = re.findall(r"\(([^)]*)\)", claim("idg-people-ig").question)
    assert [set(re.split(r",\s+", marks)) for marks in lists] == list(p._MARKS.values())


@given(st.lists(st.text("abc'", min_size=1, max_size=5), min_size=1, max_size=5), st.data())
def test_pieces_are_summed_over_words(words, data):
    text = " ".join(words)
    offsets, owners = [(0, 0)], [None]
    begin = 0
    for number, word in enumerate(words):  # every word falls into pieces anywhere
        cuts = sorted({0, len(word), *data.draw(st.lists(st.integers(0, len(word)), max_size=2))})
        for a, b in pairwise(cuts):
            offsets.append((begin + a, begin + b))
            owners.append(number)
        begin += len(word) + 1
    scores = np.arange(len(offsets)) + 1.0
    due = [sum(s for s, o in zip(scores, owners, strict=True) if o == number) for number in range(len(words))]
    assert p.per_word(text, offsets, scores).tolist() == due


@given(judged())
def test_auc_counts_pairs(case):
    scores, labels = case
    pairs = [(a > b) + (a == b) / 2 for a in scores[labels == 1] for b in scores[labels == 0]]
    assert p.auc(scores, labels) == pytest.approx(np.mean(pairs))
    assert p.auc(-scores, labels) == pytest.approx(1 - p.auc(scores, labels))
    assert p.auc(scores, 1 - labels) == pytest.approx(1 - p.auc(scores, labels))
    assert p.auc(labels, labels) == 1


@given(judged(), st.data())
def test_weights_stand_for_repeated_rows(case, data):
    scores, labels = case
    n = len(scores)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    rows = np.repeat(np.arange(n), weights)
    (found,) = p._aucs(scores, labels, weights[None].astype(float))
    if 0 < labels[rows].sum() < len(rows):
        assert found == pytest.approx(p.auc(scores[rows], labels[rows]))
    else:
        assert np.isnan(found)


@pytest.mark.parametrize(("scores", "labels"), [([1.0, 2.0], [1, 1]), ([1.0, 2.0], [0, 0]), ([1.0, np.nan], [0, 1])])
def test_what_has_no_auc_is_refused(scores, labels):
    with pytest.raises(ValueError, match="an AUC needs finite scores and both labels"):
        p.auc(scores, labels)


def sample(sentences=120, words=4, seed=0):
    """Occurrences in sentences: ``good`` follows the labels, ``blind`` does not."""
    generator = np.random.default_rng(seed)
    n = sentences * words
    label = generator.integers(2, size=n)
    rows = {"id": np.repeat(np.arange(sentences), words), "kind": "word", "label": label}
    rows["good"] = label + generator.normal(size=n)
    rows["blind"] = generator.normal(size=n)
    return pd.DataFrame(rows)


def test_agreement_is_told_with_intervals_over_sentences():
    rows = sample()
    good, blind, difference = p.people_auc(rows, "good", "blind")
    assert (good.n, blind.n) == (120, 120)
    assert good.mean == p.auc(rows["good"], rows["label"])
    assert good.low < good.mean < good.high
    assert blind.low < 0.5 < blind.high
    assert isinstance(difference, Difference)
    assert difference.shown
    assert difference.mean == pytest.approx(good.mean - blind.mean)
    (alone,) = p.people_auc(rows, "good")
    assert alone == good
    same = p.people_auc(rows.assign(again=rows["good"]), "good", "again")[-1]
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_repeating_every_word_of_a_sentence_adds_no_evidence():
    rows = sample()
    twice = pd.concat([rows, rows])
    one, other = (p.people_auc(part, "good")[0] for part in (rows, twice))
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_only_shared_occurrences_count():
    rows = sample()
    rows.loc[rows["id"] >= 100, "blind"] = np.nan
    assert p.people_auc(rows, "good", "blind")[0].n == 100


def test_claims_about_people_are_asked_and_decided():
    rows = sample().rename(columns={"good": "dig_greedy-mask-corrected", "blind": "ig-mask-corrected"})
    asked = p.people_questions(rows).set_index(["claim", "baseline", "metric"])
    assert set(asked.index.get_level_values(0)) == {name for name in registered_claims() if "-people-" in name}
    line = asked.loc["dig-people-ig", "mask", "word_auc"]
    assert (line["outcome"], line["n"], line["occurrences"]) == ("better", 120, 480)
    assert asked.loc["dig-people-ig", "pad", "word_auc"]["why"] == "not recorded"
    swapped = {"dig_greedy-mask-corrected": "ig-mask-corrected", "ig-mask-corrected": "dig_greedy-mask-corrected"}
    turned = p.people_questions(rows.rename(columns=swapped)).set_index(["claim", "baseline"])
    assert turned.loc[("dig-people-ig", "mask"), "outcome"] == "worse"
    few = rows[rows["id"] < 60]
    assert set(p.people_questions(few)["outcome"]) == {"not decided"}


# What is recorded


def test_a_column_is_of_the_longest_run_whatever_its_precision(monkeypatch):
    def cell(name, n):
        about = {"cell": name, "method": name.split("-")[0], "protocol": name.rsplit("-", 1)[1]}
        return pd.DataFrame({"id": range(n)}).assign(**about)

    own = [
        cell("ig-bfloat16-pad-corrected", 9),
        cell("ig-n_steps=2-pad-corrected", 9),
        cell("sig-pad-as_published", 9),
    ]
    ablations = [cell("ig-pad-corrected", 3), cell("udig_greedy-pad-corrected", 3)]
    monkeypatch.setattr(
        record_people, "recorded", lambda _, folder: pd.concat(ablations if folder.name == "ablations" else own)
    )
    found = {column: (name, len(part)) for column, (name, part) in record_people.runs().items()}
    assert found == {
        "ig-pad-corrected": ("ig-bfloat16-pad-corrected", 9),
        "udig_greedy-pad-corrected": ("udig_greedy-pad-corrected", 3),
    }


def test_recorded_rows_are_whole_and_hold_no_text():
    rows = p.people_rows()
    assert rows.groupby("kind").size().index.tolist() == sorted(p.KINDS)
    assert rows["label"].isin([0, 1]).all()
    assert not any(pd.api.types.is_string_dtype(rows[c]) and c != "kind" for c in rows)
    words = rows[rows["kind"] == "word"]
    assert (words["words"] == 1).all()
    assert len(words) > 5000
    assert (
        p.people_auc(words, "ig-mask-corrected")[0].low > 0.8 > 0.6 > p.people_auc(words, "random-corrected")[0].high
    )


def test_what_was_not_recorded_or_damaged_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"record it with: scripts/record_people\.py"):
        p.people_rows(folder=tmp_path)
    place = tmp_path / "people" / "sst2"
    place.mkdir(parents=True)
    (place / "agreement.parquet").write_bytes(b"PAR1")
    (place / "agreement.json").write_text("{}")
    with pytest.raises(ValueError, match="or its card is damaged; record it again"):
        p.people_rows(folder=tmp_path)
