"""Intervals, corrections and the book's tables against numbers worked out by hand; figures that say what they show."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from udig_lab.experiments import standings
from udig_lab.experiments.tables import (
    against,
    better,
    contrast,
    provenance,
    rank_correlations,
    ranks,
    shares,
    summary,
    verdicts,
)
from udig_lab.faithfulness.statistics import Difference, attained, holm, interval, paired, spearman

# Statistics


def test_an_interval_is_the_middle_of_resampled_means():
    draws = np.random.default_rng(1)
    values = draws.normal(3, 2, 400)
    found = interval(values)
    assert found.mean == pytest.approx(values.mean())
    assert found.n == 400
    half = 1.96 * values.std() / math.sqrt(400)  # what it tends to for many examples
    assert found.low == pytest.approx(found.mean - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.1 * half)
    narrow = interval(values, level=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    draws = np.random.default_rng(2)
    samples = draws.exponential(1.0, (200, 60))
    found = [interval(s, resamples=500) for s in samples]
    covered = np.mean([f.low <= 1 <= f.high for f in found])
    assert 0.88 <= covered <= 0.98


def test_constants_have_no_spread():
    found = interval([0.25] * 9)
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)
    assert str(found) == "0.250 [0.250, 0.250]"


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_an_interval_needs_finite_values(values):
    with pytest.raises(ValueError, match="an interval needs finite values"):
        interval(values)


def test_a_paired_difference_by_hand():
    found = paired([2.0, 4.0, 6.0, 8.0], [1.0, 2.0, 3.0, 4.0])  # 1, 2, 3, 4: mean 2.5, variance 5/3
    error = math.sqrt(5 / 3 / 4)  # t = 3.873; with 3 degrees of freedom a table of t says 3.182 for 95 %
    assert found.mean == 2.5
    assert (found.low, found.high) == (pytest.approx(2.5 - 3.182 * error, abs=1e-3), pytest.approx(4.554, abs=1e-3))
    assert found.p == pytest.approx(0.0305, abs=1e-4)
    assert found.p_holm == found.p


def test_pairing_takes_out_what_examples_share():
    draws = np.random.default_rng(3)
    hard = draws.normal(0, 1, 300)
    a, b = hard + draws.normal(0.1, 0.05, 300), hard + draws.normal(0, 0.05, 300)
    assert interval(a).low < interval(b).high  # alone, the two cannot be told apart
    assert paired(a, b).low > 0.08
    assert paired(b, a).mean == pytest.approx(-paired(a, b).mean)


@pytest.mark.parametrize(("n", "least"), [(8, 0.93), (16, 0.93), (63, 0.93), (64, 0.92)])
def test_intervals_cover_what_they_say(n, least):
    """1,000 samples of normal values: 95 % give or take 1.4; a percentile bootstrap of 8 covers 87."""
    samples = np.random.default_rng(n).normal(1, 1, (1000, n))
    found = [paired(sample, np.zeros(n)) for sample in samples]
    assert least < np.mean([d.low <= 1 <= d.high for d in found]) < 0.97
    false = [paired(sample, np.ones(n)).p < 0.05 for sample in samples]  # nothing is there to be shown
    assert 0.03 < np.mean(false) < 0.07


def test_one_example_has_no_interval():
    assert str(interval([3.0])) == "3.000 [-inf, inf]"
    assert paired([3.0], [1.0]).p == 1


def test_differences_without_spread():
    assert paired([1.0, 2.0], [1.0, 2.0]).p == 1  # no difference at all
    assert paired([2.0, 3.0], [1.0, 2.0]).p == 0  # always the same one
    with pytest.raises(ValueError, match="3 values cannot be paired with 2"):
        paired([1.0, 2.0, 3.0], [1.0, 2.0])


def difference(p, mean=1.0):
    return Difference(mean, mean, mean, 10, p, p)


def test_holm_by_hand():
    found = holm([difference(p) for p in (0.01, 0.04, 0.03, 0.005)])
    # 4 * .005; 3 * .01; 2 * .03; 1 * .04, which may not fall below the one before it
    assert [d.p_holm for d in found] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [d.p for d in found] == [0.01, 0.04, 0.03, 0.005]
    assert [d.shown for d in found] == [True, False, False, True]
    assert [d.p_holm for d in holm([difference(0.6), difference(0.7)])] == [1.0, 1.0]
    assert holm([]) == []
    assert str(found[0]).endswith("*")
    assert not str(found[1]).endswith("*")


def test_the_share_attained_by_hand():
    found = attained([0.3, 0.5], [0.0, 0.2], [0.8, 0.8])  # (.4 - .1) / (.8 - .1)
    assert found.mean == pytest.approx(3 / 7)
    assert (found.low, found.high) == (pytest.approx(0.375), pytest.approx(0.5))  # either example drawn twice
    half = attained([0.1, 0.5, 0.75], [0.0, 0.2, 0.5], [0.2, 0.8, 1.0])  # half the way in every example
    assert (half.mean, half.low, half.high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_share_has_no_scale_and_no_direction():
    draws = np.random.default_rng(4)
    value, zero, one = draws.random(50), draws.random(50) - 1, draws.random(50) + 1
    there = attained(value, zero, one)
    turned = attained(*(5 - 3 * x for x in (value, zero, one)))
    assert there.low < there.mean < there.high
    assert (turned.mean, turned.low, turned.high) == pytest.approx((there.mean, there.low, there.high))
    with pytest.raises(ValueError, match="2, 1, 2 values do not belong together"):
        attained([1, 2], [1], [1, 2])


def test_a_rank_correlation_by_hand():
    assert spearman([10, 20, 30, 40], [1, 2, 9, 3]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert spearman(np.arange(9.0), np.exp(np.arange(9.0))) == pytest.approx(1)
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, sums of squares 4.5 and 5.
    assert spearman([0, 1, 1, 2], [0, 1, 2, 3]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    for nothing in ([1, 1, 1], [2, 3, 4]), ([5], [6]), ([], []):
        assert math.isnan(spearman(*nothing))
    with pytest.raises(ValueError, match="3 numbers have no rank correlation with 1; pass as many of both"):
        spearman([1, 2, 3], [1])


# Tables


def rows(variant, baseline, values, ids=None, **columns):
    """Rows of one cell: comprehensiveness_20 as given, sufficiency_20 its opposite."""
    values = np.asarray(values, dtype=float)
    ids = range(len(values)) if ids is None else ids
    plain = {"id": list(ids), "variant": variant, "baseline": baseline, "cell": f"{variant}-{baseline}"}
    judged = {"comprehensiveness_20": values, "sufficiency_20": -values, "protocol": "corrected"}
    return pd.DataFrame(plain | judged | columns)


HARD = np.linspace(0, 1, 40)
WAVE = 0.01 * np.tile([1.0, -1.0], 20)  # so that differences have a spread
BOTH = ["comprehensiveness_20", "sufficiency_20"]


def test_which_way_is_better():
    assert {better(m) for m in ("comprehensiveness_20", "comprehensiveness_pad_20", "aopc_comprehensiveness")} == {1}
    lower = ("sufficiency_mask_20", "aopc_sufficiency", "log_odds_pad_20", "delta_percent", "wae")
    assert {better(m) for m in lower} == {-1}


def test_summary():
    table = pd.concat([rows("ig", "mask", [0.1, 0.3]), rows("sig", "mask", [0.2, math.nan, 0.4])])
    found = summary(table, BOTH)
    assert list(found.columns) == [*BOTH, "n"]
    assert list(found.index) == [("ig", "mask"), ("sig", "mask")]
    ig, sig = found.to_dict("records")
    assert ig["comprehensiveness_20"].mean == pytest.approx(0.2)
    assert (ig["n"], sig["n"]) == (2, 3)
    assert sig["comprehensiveness_20"] is None  # a hole is no mean
    assert summary(table[:0], BOTH).empty


def test_against_pairs_what_belongs_together():
    table = pd.concat(
        [
            rows("ig", "mask", HARD),
            rows("ig", "pad", HARD - 0.5),
            rows("dig", "mask", HARD + WAVE - 0.1),
            rows("dig", "pad", HARD + WAVE + 0.1),
            rows("random", "none", HARD + WAVE - 0.3),
            rows("oracle", "none", (HARD + WAVE + 0.2)[5:], range(5, 40), sufficiency_20=math.nan),
        ]
    )
    found = against(table, BOTH)
    assert list(found.index) == [("dig", "mask"), ("dig", "pad"), ("random", "none"), ("oracle", "none")]
    means = [d.mean for d in found["comprehensiveness_20"]]
    assert means[:3] == pytest.approx([-0.1, 0.6, -0.3])  # each from IG of its own baseline, or of mask
    assert means[3] == pytest.approx(0.2 + WAVE[5:].mean())
    assert list(found["n"]) == [40, 40, 40, 35]
    assert found["sufficiency_20"].iloc[3] is None
    chance = against(table, BOTH[:1], reference="random")
    assert [d.mean for d in chance["comprehensiveness_20"]][:4] == pytest.approx([0.3, -0.2, 0.2, 0.4], abs=1e-9)
    with pytest.raises(ValueError, match="no rows of 'sig' to compare with; there are dig, ig, oracle, random"):
        against(table, BOTH, reference="sig")


def test_against_corrects_for_the_whole_table():
    draws = np.random.default_rng(5)
    parts = [rows("ig", "mask", HARD), *(rows(f"m{i}", "mask", HARD + draws.normal(0, 1, 40)) for i in range(6))]
    found = against(pd.concat(parts), BOTH)
    asked = [d for m in BOTH for d in found[m]]
    again = holm([replace(d, p_holm=d.p) for d in asked])
    assert [d.p_holm for d in asked] == pytest.approx([d.p_holm for d in again])
    assert any(d.p_holm > d.p for d in asked)


def test_contrast_holds_everything_else_equal():
    table = pd.concat(
        [
            rows("ig", "mask", HARD),
            rows("ig", "pad", (HARD + WAVE - 0.2)[::-1], range(39, -1, -1)),  # order does not matter, ids do
            rows("dig", "mask", HARD),
            rows("sig", "pad", HARD),
        ]
    )
    found = contrast(table, BOTH, of="baseline", one="pad", other="mask")
    assert list(found.index) == ["ig"]  # the others have one baseline each
    assert found.loc["ig", "comprehensiveness_20"].mean == pytest.approx(-0.2)
    assert found.loc["ig", "n"] == 40
    nothing = contrast(table, BOTH, of="protocol", one="as_published", other="corrected", by=("variant", "baseline"))
    assert nothing.empty
    assert list(nothing.columns) == [*BOTH, "n"]


def test_verdicts():
    table = pd.concat(
        [
            rows("ig", "mask", HARD),
            rows("up", "mask", HARD + WAVE + 0.1),
            rows("down", "mask", HARD + WAVE - 0.1),
            rows("same", "mask", HARD + WAVE),
            rows("gone", "mask", HARD * math.nan),
        ]
    )
    found = verdicts(against(table, BOTH)).droplevel("baseline")
    # Sufficiency moves the other way here, so the two metrics agree.
    for metric in BOTH:
        assert found[metric].to_dict() == {"up": "better", "down": "worse", "same": "not shown", "gone": None}
    assert list(found["n"]) == [40] * 4


def test_shares():
    table = pd.concat(
        [
            rows("random", "none", HARD),
            rows("oracle", "none", HARD + 1, aopc=math.nan),
            rows("ig", "mask", HARD + 0.75),
            rows("sig", "mask", HARD[:10] - 0.5),
        ]
    ).assign(aopc=lambda t: t.get("aopc"))
    found = shares(table, [*BOTH, "aopc"]).droplevel("baseline")
    assert list(found.columns) == [*BOTH, "aopc", "n"]
    for metric in BOTH:
        assert [s.mean for s in found[metric]] == pytest.approx([0.75, -0.5])
    assert list(found["n"]) == [40, 10]
    assert list(found["aopc"]) == [None, None]  # the oracle was not searched for it
    with pytest.raises(ValueError, match="needs recorded rows of 'oracle'; run that method too"):
        shares(table[table["variant"] != "oracle"], BOTH)


def test_ranks():
    cells = {("a", "mask"): 3, ("b", "mask"): 2, ("c", "mask"): 1, ("a", "pad"): 1, ("b", "pad"): 3, ("c", "pad"): 2}
    table = pd.concat([*(rows(*k, HARD + v) for k, v in cells.items()), rows("d", "pad", HARD)])
    found = ranks(table, "comprehensiveness_20")
    assert found.to_dict() == {"mask": {"a": 1, "b": 2, "c": 3}, "pad": {"a": 3, "b": 1, "c": 2}}
    pd.testing.assert_frame_equal(ranks(table, "sufficiency_20"), found)  # lower is better, and all are turned
    short = pd.concat([table, rows("e", "mask", HARD[:9])])
    with pytest.raises(ValueError, match="can only be ranked on the same examples"):
        ranks(short, "comprehensiveness_20")


def test_rank_correlations():
    #       special tokens score 0 by all; the second text ranks 1 2 3 4 against 1 2 4 3
    scores = {
        "a": [[0, 1, 2, 3, 0], [0, 1, 2, 3, 4, 0], [0, 5, 6, 0]],
        "b": [[0, 9, 5, 1, 0], [0, 1, 2, 4, 3, 0], [0, 6, 5, 0]],
        "c": [[0, -3, -2, -1, 0], [0, 10, 20, 30, 40, 0], [0, 1, 0, 0]],
    }
    table = pd.concat([rows(v, "mask", [0, 0, 0], scores=list(map(np.array, s))) for v, s in scores.items()])
    table = pd.concat([table, rows("oracle", "none", [0, 0, 0], scores=None)])  # it has none
    found = rank_correlations(table)
    assert list(found.index) == [("a", "mask"), ("b", "mask"), ("c", "mask")]
    # The third text has two tokens and is not counted. a and b: (-1 + .8) / 2, where .8 = 1 - 6 * 2 / (4 * 15).
    assert found.to_numpy() == pytest.approx(np.array([[1, -0.1, 1], [-0.1, 1, -0.1], [1, -0.1, 1]]))
    assert found.attrs["n"] == 3
    assert list(rank_correlations(table, by=["variant"]).index) == ["a", "b", "c"]


def test_provenance():
    cell = {"dataset": "sst2", "method": "udig", "settings": {"strategy": "maxcount"}, "precision": "bfloat16"}
    card = {
        "name": "udig_maxcount-mask-corrected",
        "cell": cell,
        "n": 1821,
        "seconds": 12.5,
        "weights_sha256": "0123456789",
        "data_sha256": "abcdefghij",
        "versions": {"torch": ["2.13.0"], "numpy": ["2.3", "2.4"]},
        "machines": ["x86_64", "aarch64"],
    }
    found = provenance([card])
    assert found.loc["udig_maxcount-mask-corrected"].to_dict() == {
        "n": 1821,
        "seconds": 12.5,
        "precision": "bfloat16",
        "weights": "01234567",
        "data": "abcdefgh",
        "versions": "torch 2.13.0, numpy 2.3 and 2.4",
        "machine": "x86_64; aarch64",
    }


# Figures


@pytest.fixture(scope="module")
def drawn():
    level = {"ig": 0.5, "udig_greedy": 0.4, "random": 0.1, "oracle": 0.8}
    parts = []
    for variant, mean in level.items():
        values = HARD / 10 + mean
        curve = {f"comprehensiveness_{s}": values * f for s, f in (("05", 0.4), ("50", 1.4))}
        curve |= {f"sufficiency_{s}": 1 - values * f for s, f in (("05", 0.4), ("50", 1.4))}
        own = {"scores": None} if variant == "oracle" else {"scores": [np.array([0, mean, 1, -1, 0])] * 40}
        if variant == "oracle":
            curve |= dict.fromkeys(("comprehensiveness_50", "sufficiency_50"), math.nan)
        baseline = "none" if variant in ("random", "oracle") else "mask"
        parts.append(rows(variant, baseline, values, delta_percent=100 * mean, **curve, **own))
    return pd.concat(parts)


def test_standings_say_who_leads(drawn):
    alt = standings.standings(drawn, BOTH).alt
    assert "2 methods, n = 40." in alt
    short = standings.standings(drawn[(drawn["variant"] != "ig") | (drawn["id"] < 30)], BOTH).alt
    assert "2 methods, n = 40 or fewer." in short
    assert "Best comprehensiveness, 20 %: IG, baseline mask, 0.550 [" in alt
    assert "(random scores 0.150, oracle 0.850)" in alt
    assert "Best sufficiency, 20 %: IG" in alt


def test_curves_end_where_the_oracle_does(drawn):
    picture = standings.curves(drawn)
    assert "IG 0.22 at 5 %, 0.55 at 20 %, 0.77 at 50 %" in picture.alt
    assert "Oracle 0.34 at 5 %, 0.85 at 20 %; Random" in picture.alt


def test_curves_have_no_place_for_a_share_that_nothing_was_recorded_at(drawn):
    shares = {f"{m}_01": float("nan") for m in ("comprehensiveness", "sufficiency")}
    assert standings.curves(drawn.assign(**shares)).alt == standings.curves(drawn).alt


def test_gaps_and_agreement(drawn):
    methods = drawn[drawn["variant"].isin(["ig", "udig_greedy"])]
    assert "Medians: UDIG (greedy) 40, IG 50." in standings.gaps(methods).alt
    assert "3 methods over 40 texts, from 1.00" in standings.correlation_map(drawn).alt
