"""Sentences about rows: every number is named, every outcome is the registered rule's."""

import pandas as pd
import pytest

from udig_lab.experiments.claims import rule
from udig_lab.experiments.docket import BETTER, EQUAL, OPEN, WORSE
from udig_lab.experiments.findings import Finding, compared, finding, path_matters, side
from udig_lab.experiments.forest import rivals
from udig_lab.experiments.tables import against
from udig_lab.faithfulness.statistics import Difference


def difference(mean, half=0.005, n=500, p=0.001):
    return Difference(mean, mean - half, mean + half, n, p, p)


def test_a_number_in_the_sentences_is_refused():
    with pytest.raises(ValueError, match="hold the number 1,821"):
        finding("On 1,821 sentences.")
    with pytest.raises(ValueError, match="hold the number 20"):
        finding("{n} texts.", "The best 20 % of them.", n=3)
    assert finding("SST-2, IG2 and {n:,} texts.", n=1821).text == "SST-2, IG2 and 1,821 texts."


def test_a_value_that_no_sentence_names_is_refused():
    with pytest.raises(ValueError, match="no sentence names m"):
        finding("{n} texts.", n=3, m=4)
    with pytest.raises(KeyError):
        finding("{n} texts.")


def test_points_become_a_list_and_differences_lose_their_star():
    made = finding("All {n}:", "first {d};", "second.", n=2, d=difference(0.1))
    assert made.text == "All 2:\n\n- first +0.100 [+0.095, +0.105];\n- second."
    assert made._repr_markdown_() == repr(made) == made.text
    assert made.numbers == ["2", "+0.100", "+0.095", "+0.105"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("SIG beats IG2 on SST-2", []),
        ("a fall of -0.5, 12 % or 1,066 texts.", ["-0.5", "12", "1,066"]),
        ("[+0.001, +0.020] (n = 8)", ["+0.001", "+0.020", "8"]),
    ],
)
def test_numbers_are_told_from_names(text, numbers):
    assert Finding(text).numbers == numbers


@pytest.mark.parametrize("metric", ["comprehensiveness_20", "log_odds_mask_20", "aopc_sufficiency"])
def test_a_side_is_that_of_the_rule_whichever_way_a_metric_is_read(metric):
    margin, sign = rule().margin(metric), 1 if metric.startswith("comp") else -1
    assert side(metric, difference(sign * 2 * margin)) == BETTER
    assert side(metric, difference(-sign * 2 * margin)) == WORSE
    assert side(metric, difference(margin / 4)) == EQUAL
    assert side(metric, difference(sign * 2 * margin, n=rule().examples - 1)) == OPEN
    assert side(metric, difference(sign * 2 * margin, p=0.2)) == OPEN
    assert side(metric, difference(sign * 2 * margin), margin=9) == EQUAL


def test_methods_are_listed_by_outcome():
    lines = {"udig_greedy": difference(0.1), "sig": difference(-0.1), "dig_greedy": difference(0.2)}
    said = compared("comprehensiveness_20", lines)
    assert said.startswith("better than IG: UDIG +0.100 [+0.095, +0.105] and DIG +0.200")
    assert said.endswith("worse than IG: SIG -0.100 [-0.105, -0.095] (n = 500)")
    assert "random scores" in compared("comprehensiveness_20", lines, "random")


def test_strategies_are_named_where_two_of_a_method_stand_together():
    said = compared("comprehensiveness_20", {"udig_greedy": difference(0.1), "udig_maxcount": difference(0.1, n=70)})
    assert "UDIG (greedy) +0.100 [+0.095, +0.105] (n = 500) and UDIG (maxcount)" in said
    assert said.endswith("(n = 70)")


@pytest.mark.parametrize(
    ("sides", "word"),
    [
        ({"deleting": [EQUAL], "masking": [EQUAL]}, "makes no difference that matters"),
        ({"deleting": [OPEN], "masking": [EQUAL]}, "do not decide"),
        ({"deleting": [BETTER, OPEN], "masking": [WORSE, OPEN]}, "deleting and masking disagree"),
        ({"deleting": [BETTER, OPEN], "masking": [EQUAL, OPEN]}, "are better than the straight line"),
        ({"deleting": [WORSE], "masking": [OPEN]}, "are worse than the straight line"),
        ({"deleting": [BETTER, WORSE], "masking": [OPEN, OPEN]}, "some are worse"),
    ],
)
def test_whether_the_path_matters_follows_from_outcomes(sides, word):
    assert word in path_matters(sides)
    assert ("from [MASK], deleting" in path_matters(sides, of="from [MASK]")) == ("disagree" in word)


def test_rivals_say_in_words_what_they_show():
    rows = pd.DataFrame({"variant": ["ig", "sig"] * 80, "baseline": "mask", "comprehensiveness_20": [0.5, 0.7] * 80})
    rows["id"] = [i // 2 for i in range(160)]
    picture = rivals(against(rows, ["comprehensiveness_20"]), ["comprehensiveness_20"], caption="c")
    assert "SIG, [MASK] +0.200 [+0.200, +0.200] *, better" in picture.alt
