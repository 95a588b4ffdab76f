"""Registered claims: never edited, asked as they stand, and decided with the same burden on both sides."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udig_lab.experiments import verdicts as court
from udig_lab.experiments.claims import CLAIM, HYPOTHESIS, claim, claims, judge, registered_claims, replaced, rule
from udig_lab.experiments.docket import docket, outcome, planted_docket
from udig_lab.experiments.forest import forest
from udig_lab.faithfulness.statistics import Difference
from udig_lab.methods import METHODS

# Entries of claims.toml by the beginning of their SHA-256. Lines are added here, never changed: see the file's head.
STANDS = {
    "both-ends-dig": "2e03d8dd63a6",
    "both-ends-ig": "ed964b9772cf",
    "both-ends-sig": "eb0f2926dabb",
    "both-ends-udig": "8c91517a2b2c",
    "dig-greedy-gradient-shap": "bc98dce06d0a",
    "dig-greedy-gradient-shap-own-words": "5d3c826b4333",
    "dig-greedy-gradient-x-input": "ff655b762893",
    "dig-greedy-gradient-x-input-own-words": "fd81ac580eae",
    "dig-greedy-ig": "3a321ee02042",
    "dig-greedy-ig-abstract": "ade2f760bb90",
    "dig-greedy-ig-published": "d8fdbb998d3e",
    "dig-greedy-ig-published-abstract": "0c8de4dab8eb",
    "dig-maxcount-ig": "da566476fc51",
    "dig-maxcount-ig-abstract": "838e28fd44d8",
    "dig-people-ig": "58c1f605f622",
    "idg-people-ig": "ceb57e6fe584",
    "ig2-ig": "7db34e0dd12f",
    "judge-in-distribution": "c65548c168df",
    "judge-in-place": "510afa337f33",
    "judge-truth": "a4d2d266ea63",
    "mask-pad-sig": "308def4978b0",
    "permutations-dig": "0be9d0cc9bc7",
    "permutations-ig": "d8f706128dcb",
    "permutations-sig": "f8ca48a553f6",
    "permutations-udig": "5a0d3b758966",
    "rule": "49ca53193f17",
    "sig-dig": "3e54788b0f01",
    "sig-few-steps-ig": "b05320b27323",
    "sig-gradient-shap": "b5a9401c85cc",
    "sig-ig": "ca1a125cd4da",
    "sig-ig-published": "0f7aaec14d68",
    "sig-robust": "0feb5cc2d74f",
    "udig-greedy-dig": "427b1e340a6f",
    "udig-greedy-dig-squad": "6879f9053bf8",
    "udig-greedy-ig": "cc10a274936b",
    "udig-greedy-ig-published": "fd4ac9e44343",
    "udig-greedy-ig-squad": "685084a09c00",
    "udig-greedy-sig": "b934c59b16bb",
    "udig-greedy-sig-squad": "9e02c6ca5f3c",
    "udig-maxcount-ig": "e54fcdf231d3",
}
OUTCOMES = (court.BETTER, court.WORSE, court.EQUAL, court.OPEN)
TURNED = {court.BETTER: court.WORSE, court.WORSE: court.BETTER}
TURNED |= {court.HOLDS: court.CONTRADICTED, court.CONTRADICTED: court.HOLDS}
votes = st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=8)


def test_what_was_registered_stands():
    found = {name: digest[:12] for name, digest in registered_claims().items()}
    assert found == STANDS


def test_every_claim_can_be_asked():
    for entry in claims().values():
        variants = entry.variants or (entry.one, entry.other)
        for variant in variants:
            assert variant.split("-")[0].removesuffix("_greedy").removesuffix("_maxcount") in METHODS
        for metric in entry.metrics:
            assert (entry.margins[metric] if entry.margins else rule().margin(metric)) > 0
        assert entry.expected in (court.BETTER, court.EQUAL)
        assert entry.words
        assert entry.source.startswith("https://" if entry.kind == CLAIM else "notebooks/")


def test_what_was_not_registered_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="no claim 'udig-wins' is registered, so nothing is decided on it; there are"):
        claim("udig-wins")
    with pytest.raises(ValueError, match="no margin is registered for 'seconds'"):
        rule().margin("seconds")
    with pytest.raises(ValueError, match="no judge 'jury' is registered; there are in-place, in-distribution, truth"):
        judge("jury")


# One question


def difference(low, high, p=0.001, n=500):
    return Difference((low + high) / 2, low, high, n, p, p)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (difference(0.03, 0.06), "better"),
        (difference(-0.06, -0.03), "worse"),
        (difference(0.001, 0.019), "no difference that matters"),  # shown, and too small to matter
        (difference(-0.03, 0.05, p=0.6), "not decided"),
        (difference(0.3, 0.6, n=63), "not decided"),
        (difference(0.3, 0.6, n=64), "better"),
    ],
)
def test_outcomes(asked, expected):
    assert outcome(asked, 0.02, 64) == expected


@given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 1), st.integers(2, 999))
def test_the_burden_is_the_same_on_both_sides(mean, half, p, n):
    one = Difference(mean, mean - half, mean + half, n, p, p)
    other = Difference(-mean, -mean - half, -mean + half, n, p, p)
    found = outcome(one, 0.02, 64)
    assert outcome(other, 0.02, 64) == (found if mean == 0 else TURNED.get(found, found))


# Many questions


@given(votes)
def test_turning_every_answer_turns_vote_and_verdict(answers):
    turned = [TURNED.get(answer, answer) for answer in answers]
    for decide in (court.together, court.verdict):
        assert decide(turned) == TURNED.get(decide(answers), decide(answers))


@given(votes)
def test_a_claim_that_holds_has_nothing_against_it(answers):
    if court.verdict(answers) == court.HOLDS:
        assert court.WORSE not in answers
        assert answers.count(court.BETTER) > len(answers) / 2
    if court.verdict(answers, court.EQUAL) == court.HOLDS:
        assert not {court.BETTER, court.WORSE} & set(answers)


def test_correlated_metrics_have_one_vote():
    assert court.together(["better", "better", "not decided"]) == "better"
    assert court.together(["better", "worse", "not decided"]) == "depends"
    assert court.together(["no difference that matters", "not decided"]) == "not decided"
    assert court.together([]) == "not decided"


# The docket


def rows(variant, baseline, values, protocol="corrected"):
    """Recorded rows of one cell, as far as questions need them."""
    metrics = dict.fromkeys(
        ("comprehensiveness_05", "comprehensiveness_20", "log_odds_mask_20", "log_odds_pad_20"), values
    )
    about = {"variant": variant, "method": variant, "baseline": baseline, "protocol": protocol, "output": None}
    frame = pd.DataFrame({"id": range(len(values)), "probability": 1.0, **metrics})
    return frame.assign(sufficiency_20=-np.asarray(values), cell=f"{variant}-{baseline}-{protocol}", **about)


@pytest.fixture
def small():
    noise = np.random.default_rng(0).normal(0.3, 0.02, 100)
    return pd.concat([rows("sig", "mask", noise + 0.1), rows("ig", "mask", noise), rows("ig", "pad", noise)])


def test_a_docket_asks_answers_and_says_what_is_missing(small):
    known = registered_claims()
    cards = [{"name": f"{v}-mask-corrected", "claims": known} for v in ("sig", "ig")]
    found = docket({"sst2": small}, {"sst2": cards})
    asked = found.query("claim == 'sig-ig' and dataset == 'sst2'")
    assert asked["n"].tolist() == [100] * 3
    assert not asked["before"].any()
    # Sufficiency falls as it should, log-odds rise as they should not.
    assert asked["outcome"].tolist() == ["better", "better", "worse"]
    assert asked["difference"].map(lambda d: round(d.mean, 6)).tolist() == [0.1, 0.1, -0.1]
    missing = found.query("claim == 'sig-ig' and dataset == 'imdb'")
    assert set(missing["why"]) == {"not recorded"}
    assert set(missing["outcome"]) == {"not decided"}
    summed = court.verdicts(found)
    assert summed.loc["sig-ig", "depends"] == 1
    assert summed.loc["sig-ig", "verdict"] == "depends"
    assert summed.loc["dig-greedy-ig-abstract", "verdict"] == "not decided"


def test_rows_that_are_older_than_their_claim_are_marked(small):
    found = docket({"sst2": small}, {"sst2": [{"name": "sig-mask-corrected"}]})
    assert found[found["n"] > 0]["before"].all()
    marked = court.verdicts(found)["before registration"]
    assert marked["sig-ig"]  # although two of its data sets have no rows yet
    assert not marked["ig2-ig"]  # nothing was recorded, so nothing is older


def test_a_newer_entry_that_asks_the_same_takes_the_older_ones_place():
    values = np.random.default_rng(0).normal(0.3, 0.02, 100)
    dig = pd.concat([rows("dig_greedy", "pad", values + 0.1), rows("ig", "pad", values)])
    old = {name: h for name, h in registered_claims().items() if name not in replaced().values()}
    cards = [{"name": f"{v}-pad-corrected", "claims": old} for v in ("dig_greedy", "ig")]
    found = docket({"sst2": dig}, {"sst2": cards})
    new = found.query("claim == 'dig-greedy-ig-abstract' and dataset == 'sst2'")
    assert "dig-greedy-ig" not in set(found["claim"])  # one question, one answer, one place in the correction
    assert new["n"].tolist() == [100] * 3
    assert new["before"].all()  # its words are younger than these rows
    with_it = [card | {"claims": registered_claims()} for card in cards]
    again = docket({"sst2": dig}, {"sst2": with_it})
    assert not again.query("claim == 'dig-greedy-ig-abstract' and dataset == 'sst2'")["before"].any()


def test_a_newer_entry_for_one_data_set_leaves_the_older_one_the_others(small):
    assert "udig-greedy-ig" not in replaced()
    assert {"udig-greedy-ig", "udig-greedy-ig-squad"} <= set(docket({"sst2": small}, {"sst2": []})["claim"])
    assert court.called(claim("udig-greedy-ig-squad")) == "UDIG (greedy) beats IG on SQuAD"
    assert court.called(claim("dig-greedy-ig-abstract")) == "DIG (greedy) beats IG"


def test_a_replaced_claim_asks_nothing_that_its_newer_entry_does_not():
    for old, new in replaced().items():
        assert set(claim(old).datasets) <= set(claim(new).datasets)
        assert claim(old).metrics == claim(new).metrics
        assert claim(old).registered <= claim(new).registered


def test_a_method_without_a_baseline_is_asked_at_every_baseline_of_its_claim(small):
    found = docket({"sst2": pd.concat([small, rows("ig2", "none", np.full(100, 0.2))])}, {"sst2": []})
    asked = found.query("claim == 'ig2-ig' and dataset == 'sst2'")
    assert asked["where"].unique().tolist() == ["[MASK]"]
    assert asked["n"].tolist() == [100] * 3
    assert asked["outcome"].tolist() == ["worse", "worse", "better"]


def test_settings_of_two_methods_are_compared_cell_by_cell(small):
    values = np.random.default_rng(0).normal(0.3, 0.02, 64)
    few = rows("sig", "mask", values + 0.1).assign(cell="sig-n_steps=2-rule=gauss_legendre-mask-corrected")
    many = rows("ig", "mask", values).assign(cell="ig-n_steps=100-mask-corrected")
    given_rows = pd.concat([small, few, many])
    found = docket({"sst2": given_rows}, {"sst2": []})
    own = found.query("claim == 'sig-few-steps-ig'")
    assert own["n"].tolist() == [64] * 3
    assert own["difference"].map(lambda d: round(d.mean, 6)).tolist() == [0.1, 0.1, -0.1]
    plain = docket({"sst2": small}, {"sst2": []})
    assert set(plain.query("claim == 'sig-few-steps-ig'")["why"]) == {"not recorded"}
    for one in (found, plain):  # no other claim sees these cells
        assert one.query("claim == 'sig-ig' and dataset == 'sst2'")["n"].tolist() == [100] * 3


def test_rows_of_another_registration_are_refused(small):
    card = {"name": "sig-mask-corrected", "claims": registered_claims() | {"sig-ig": "0" * 64}}
    with pytest.raises(ValueError, match=r"under another registration of sig-ig; put its entry in claims\.toml back"):
        docket({"sst2": small}, {"sst2": [card]})
    withdrawn = {"name": "sig-mask-corrected", "claims": {"a claim of a later version": "0" * 64}}
    assert len(docket({"sst2": small}, {"sst2": [withdrawn]}))


def test_few_texts_and_saturated_metrics_decide_nothing(small):
    few = small[small["id"] < 63]
    found = docket({"sst2": few}, {"sst2": []}).query("claim == 'sig-ig' and dataset == 'sst2'")
    assert set(found["why"]) == {"fewer than 64 texts"}
    assert set(found["outcome"]) == {"not decided"}
    sure = small.assign(comprehensiveness_20=0.99)
    found = docket({"sst2": sure}, {"sst2": []}).query("claim == 'sig-ig' and dataset == 'sst2'")
    assert found["why"].tolist() == ["saturated", "", ""]
    assert found["outcome"].iloc[0] == "not decided"


def test_hypotheses_of_the_book_are_a_family_of_their_own(small):
    ends = small[small["variant"] == "sig"].assign(variant="both_ends", cell="both_ends-mask-corrected")
    rows = {"sst2": pd.concat([small, ends.assign(comprehensiveness_20=ends["comprehensiveness_20"] + 0.1)])}
    of_papers, of_the_book = docket(rows, {"sst2": []}), docket(rows, {"sst2": []}, kind=HYPOTHESIS)
    assert not set(of_papers["claim"]) & set(of_the_book["claim"])
    assert {claim(name).paper for name in of_the_book["claim"]} == {"this book"}
    line = of_the_book.query("claim == 'both-ends-sig' and metric == 'comprehensiveness_20'").iloc[0]
    assert line["difference"].mean == pytest.approx(0.1)
    assert line["outcome"] == court.BETTER
    assert docket({"sst2": small}, {"sst2": []}).equals(of_papers)  # the book's own rows correct no claim


# Other judges


def test_another_judge_asks_for_its_own_metrics_and_may_turn_the_answer(small):
    in_place = judge("in-place")
    better = small["variant"] == "sig"
    turned = small.assign(
        comprehensiveness_mask_20=small["comprehensiveness_20"] - 0.2 * better,
        sufficiency_mask_20=small["sufficiency_20"],
    )
    known = registered_claims()
    cards = {"sst2": [{"name": f"{v}-mask-corrected", "claims": known} for v in ("sig", "ig")]}
    other = docket({"sst2": turned}, cards, in_place)
    asked = other.query("claim == 'sig-ig' and dataset == 'sst2'")
    assert asked["metric"].tolist() == ["comprehensiveness_mask_20", "sufficiency_mask_20"]  # no log-odds
    assert asked["outcome"].tolist() == ["worse", "better"]
    assert not set(other["claim"]) - set(claims())
    # Where deleting alone decides, and masking says the opposite, that is a flip.
    plain = turned.assign(log_odds_mask_20=turned["log_odds_mask_20"] * 0, sufficiency_mask_20=0.0, sufficiency_20=0.0)
    deleted, masked = docket({"sst2": plain}, cards), docket({"sst2": plain}, cards, in_place)
    turns = court.flips(deleted, masked)
    assert turns[["claim", "dataset", "where", "one", "other"]].to_numpy().tolist() == [
        ["sig-ig", "sst2", "[MASK]", "better", "worse"]
    ]
    assert turns.attrs["decided"] == 1
    both = set(court.votes(deleted).index) & set(court.votes(masked).index)
    assert turns.attrs["asked"] == sum(claim != "sig-robust" for claim, *_ in both)  # neither side of sameness
    table = court.bench(
        {"deleted": docket({"sst2": plain}, cards), "masked": docket({"sst2": plain}, cards, in_place)}
    )
    assert table.loc["sig-robust", "masked"] == "no rows"
    assert list(table.columns) == ["deleted", "masked"]


def test_a_judge_with_another_model_is_asked_only_what_was_recorded_with_it(small):
    wanted = {"comprehensiveness_mask_20": small["comprehensiveness_20"], "sufficiency_mask_20": 0.0}
    found = docket({"sst2": small.assign(**wanted)}, {"sst2": []}, judge("in-distribution"))
    assert set(found["dataset"]) == {"sst2"}
    assert not {"sig-ig-published", "udig-greedy-ig-published"} & set(found["claim"])


def test_planted_tokens_are_a_judge():
    draws = np.random.default_rng(1)
    found = {"ig": draws.random((5, 80)), "sig": np.ones((5, 80))}  # (seeds, texts) of precision
    lines = [
        {
            "dataset": "sst2",
            "kind": "ordered pair",
            "seed": s,
            "id": i,
            "variant": v,
            "precision": values[s, i],
            "cell": v,
        }
        for v, values in found.items()
        for s in range(5)
        for i in range(80)
    ]
    frame, known = pd.DataFrame(lines), registered_claims()
    cards = [{"cell": {"dataset": "sst2"}, "claims": known}, {"cell": {"dataset": "trec"}}]
    asked = planted_docket(pd.concat([frame, frame.assign(dataset="trec")]), cards, judge("truth"))
    assert asked[asked["n"] > 0].groupby("dataset")["before"].unique().map(list).to_dict() == {
        "sst2": [False],
        "trec": [True],  # its card knows of no claim
    }
    line = asked.query("claim == 'sig-ig'").iloc[0]
    assert (line["n"], line["outcome"], line["where"]) == (80, "better", "ordered pair")  # an example is a text
    assert line["difference"].mean == pytest.approx(1 - found["ig"].mean())
    assert not line["before"]
    assert "sig-ig-published" not in set(asked["claim"])
    fewer = planted_docket(frame[(frame["variant"] == "ig") | (frame["seed"] < 2)], cards, judge("truth"))
    line = fewer.query("claim == 'sig-ig'").iloc[0]
    assert line["difference"].mean == pytest.approx(1 - found["ig"][:2].mean()), "on the seeds that both have"
    missing = asked.query("claim == 'udig-greedy-ig'").iloc[0]
    assert (missing["why"], missing["outcome"]) == ("not recorded", "not decided")


def test_a_forest_says_in_words_what_it_shows(small):
    asked = docket({"sst2": small}, {"sst2": []})
    picture = forest(asked)
    alt = picture.alt
    narrow, wide = (int.from_bytes(png["light"][16:20], "big") for png in (picture.narrow, picture.images))  # of a PNG
    assert narrow < 4.6 * 110 < wide, "drawn for a phone as well"
    assert "SIG beats IG: depends." in alt
    assert alt.startswith(f"Forest plot of {int((asked['n'] > 0).sum())} questions")
    with pytest.raises(ValueError, match="none of these questions has recorded rows"):
        forest(asked[asked["n"] == 0])


def test_claims_have_names_that_say_what_they_claim():
    names = [court.called(c) for name, c in claims().items() if name not in replaced()]
    assert len(set(names)) == len(names)
    assert "SIG (2 nodes) beats IG (100 nodes)" in names
    assert "[MASK] beats [PAD]" in names
