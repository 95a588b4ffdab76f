"""The ledger: published numbers, our counterparts, and verdicts that code passes."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from udig_lab.cli import main
from udig_lab.experiments import Cell, grid, recorded
from udig_lab.experiments.cell import FORMAT
from udig_lab.experiments.ledger import (
    EQUAL,
    NONE,
    OPEN,
    OTHER,
    PUBLISHED_CHOICES,
    PUBLISHED_METHODS,
    SAME,
    VALUE,
    _value,
    beside,
    distinct,
    ledger,
    order_kept,
    published,
)
from udig_lab.experiments.records import write_record
from udig_lab.faithfulness.statistics import Interval

N = 200


@pytest.fixture
def store(tmp_path):
    """Write a made-up cell: comprehensiveness with a given mean, the same noise for all."""
    noise = np.random.default_rng(0).normal(0, 0.05, size=N)

    def put(method, mean, *, wobble=0.0, dataset="sst2", **keywords):
        cell = Cell(dataset, method, protocol=keywords.pop("protocol", "as_published"), **keywords)
        values = mean + noise + wobble * np.random.default_rng(1).normal(size=N)
        rows = pd.DataFrame({"id": range(N), "comprehensiveness_20": values, "comprehensiveness_50": values})
        rows = rows.assign(sufficiency_20=-values, log_odds_pad_20=-values, log_odds_mask_20=-values, delta=values)
        file = tmp_path / dataset / cell.profile / f"{cell.name}.parquet"
        write_record(file, rows, {"format": FORMAT, "cell": asdict(cell), "key": "made up", "n": N})
        return values

    return tmp_path, put


def entry(entries, method, metric="comprehensiveness", model="distilbert", baseline="mask"):
    pick = entries[(entries.method == method) & (entries.metric == metric) & (entries.model == model)]
    pick = pick[(pick.baseline == baseline) & (pick.dataset == "sst2")]
    return pick.iloc[0]


def test_published_numbers_are_at_hand():
    table = published()
    row = table.query(
        "source=='SIG-csv' and dataset=='sst2' and model=='distilbert' and method=='ig' and baseline=='pad'"
    )
    assert row.set_index("metric").value["comprehensiveness"] == pytest.approx(0.2509)


def test_statements_are_judged_by_the_paired_difference_to_ig(store):
    folder, put = store
    put("ig", 0.4)
    sig = put("sig", 0.5)  # published: above IG
    put("dig", 0.6, settings={"strategy": "greedy"})  # published: below IG
    put("gradient_shap", 0.4, wobble=0.5)
    entries = ledger(folder)
    found = entry(entries, "sig")
    assert (found.verdict, found.why) == (SAME, "the same side of IG")
    assert found.ours.mean == pytest.approx(sig.mean())
    assert found.published_difference == pytest.approx(0.4733 - 0.4452)
    assert found.our_difference.mean == pytest.approx(0.1)
    assert entry(entries, "dig_greedy").verdict == OTHER
    assert entry(entries, "dig_greedy").why == "the other side of IG"
    assert entry(entries, "gradient_shap").verdict == OPEN
    assert entry(entries, "gradient_shap").why == "ours shows no side of IG"
    assert entry(entries, "ig").verdict == NONE
    assert entry(entries, "sequential_dig").why == "not run here"
    assert f"n = {N} instead of 1,821" in found.differs
    assert "3 layers" in found.differs


def test_every_number_has_an_entry_and_every_test_is_one_question(store):
    folder, put = store
    put("ig", 0.4)
    put("sig", 0.401, wobble=0.005)
    entries = ledger(folder)
    assert len(entries) == len(published())
    tests = distinct(entries)
    assert set(tests["variant"]) == {"sig"}
    assert tests["numbers"].tolist() == [3, 3, 3]  # three architectures, one difference of ours each
    assert all(d.p_holm >= d.p for d in tests["our_difference"])
    assert max(d.p_holm / d.p for d in tests["our_difference"]) == pytest.approx(len(tests))
    assert set(entries[entries["test"].notna()]["verdict"]) == {EQUAL}  # 0.001 lies inside the margin of 0.02


def test_models_on_both_sides_decide_nothing(store):
    """Published sufficiency of DIG with the mask: below IG's for BERT, above it for the other two."""
    folder, put = store
    put("ig", 0.4)
    put("dig", 0.6, settings={"strategy": "greedy"})
    found = [entry(ledger(folder), "dig_greedy", "sufficiency", model) for model in ("distilbert", "bert")]
    assert {f.verdict for f in found} == {OPEN}
    assert {f.why for f in found} == {"the published models lie on both sides of IG"}
    assert found[0].test == found[1].test


def test_lower_and_higher_are_told_apart_by_the_published_side(store):
    """Published sufficiency of SIG lies below IG's; so must ours, to count as found again."""
    folder, put = store
    put("ig", 0.4)
    put("sig", 0.5)
    assert entry(ledger(folder), "sig", "sufficiency").verdict == SAME


def test_a_difference_that_no_source_prints_is_not_tested(store):
    """UDIG's notebooks hold no IG: a difference to the IG of somebody else's file was never published."""
    folder, put = store
    put("ig", 0.4)
    put("udig", 0.5, settings={"strategy": "maxcount"})
    put("udig", 0.5, settings={"strategy": "greedy"})
    entries = ledger(folder)
    for method in ("udig_maxcount", "udig_greedy"):
        for found in entries[entries["method"] == method].itertuples():
            assert found.verdict == NONE
            assert found.published_difference is None
    assert "factor 1 instead of 2" in entry(entries, "udig_greedy", model="bert").differs
    assert "factor" not in entry(entries, "udig_maxcount").differs


def test_rows_of_another_protocol_are_not_tested(store):
    folder, put = store
    put("ig", 0.4, protocol="corrected")
    put("sig", 0.5, protocol="corrected")
    assert (ledger(folder).verdict == NONE).all()


def test_on_the_papers_own_checkpoint_the_number_itself_is_tested(store):
    folder, put = store
    put("ig", 0.4452, profile="paper", architecture="distilbert")
    put("sig", 0.60, profile="paper", architecture="distilbert")
    put("ig", 0.2)
    entries = ledger(folder)
    assert (entry(entries, "ig").verdict, entry(entries, "ig").why) == (EQUAL, "within 0.02 as two samples")
    assert entry(entries, "sig").verdict == VALUE
    assert entry(entries, "sig").why.endswith("as two samples")  # 200 of their 1,821 texts
    assert entry(entries, "ig", model="bert").profile == "lab"  # that architecture was not run


@pytest.mark.parametrize(
    ("value", "n", "spread", "dataset", "expected"),
    [
        (0.41, 1821, 0.4, "sst2", EQUAL),  # the same texts: no sampling at all
        (0.45, 1821, 0.4, "sst2", VALUE),
        (0.41, 1821, 0.4, "imdb", OPEN),  # other reviews: the difference of two means has an error of its own
        (0.50, 1821, 0.4, "imdb", VALUE),
        (0.401, 1821, 0.01, "imdb", EQUAL),
    ],
)
def test_a_value_is_met_exactly_on_the_same_texts_and_as_a_sample_on_others(value, n, spread, dataset, expected):
    line = {"value": value, "n": n, "dataset": dataset, "metric": "comprehensiveness", "top_k_percent": 20}
    line |= {"note": "", "baseline": "mask"}
    assert _value(line, Interval(0.4, 0.39, 0.41, 1821), spread)[0] == expected


def test_two_equal_means_of_other_texts_are_rarely_called_different():
    """Against our own interval alone, 17 % of them were."""
    draws = np.random.default_rng(5)
    line = {
        "n": 300,
        "dataset": "imdb",
        "metric": "comprehensiveness",
        "top_k_percent": 20,
        "note": "",
        "baseline": "mask",
    }
    called = 0
    for _ in range(500):
        theirs, ours = draws.normal(0.3, 0.4, 300), draws.normal(0.3, 0.4, 300)
        mean = float(ours.mean())
        found = _value(line | {"value": float(theirs.mean())}, Interval(mean, 0, 0, 300), float(ours.std()))
        called += found[0] == VALUE
    assert called < 0.08 * 500


def test_a_method_is_compared_with_ig_of_its_own_architecture(store):
    folder, put = store
    for architecture, mean in (("distilbert", 0.4), ("bert", 0.9)):
        put("ig", mean, profile="paper", architecture=architecture)
    put("sig", 0.5, profile="paper", architecture="distilbert")
    found = entry(ledger(folder), "sig").our_difference
    assert (found.mean, found.n) == (pytest.approx(0.1), N)


def test_what_nobody_can_define_is_not_comparable(store):
    folder, put = store
    put("ig", 0.4, dataset="squad", baseline="pad", output="start")
    entries = ledger(folder)
    squad = entries[(entries.dataset == "squad") & (entries.metric == "comprehensiveness")].iloc[0]
    assert isinstance(squad.ours, Interval)
    assert squad.why == "the published metric is not defined anywhere"


def test_a_source_that_calls_a_method_otherwise_finds_its_rows(store):
    folder, put = store
    put("ig", 0.4)
    put("deep_lift", 0.3)  # published as "deeplift", below IG
    found = entry(ledger(folder), "deeplift")
    assert found.our_difference.mean == pytest.approx(-0.1)
    assert found.verdict == SAME


def test_the_published_methods_are_run_in_every_published_way():
    variants = {cell.variant for cell in grid("sst2", PUBLISHED_METHODS, **PUBLISHED_CHOICES)}
    elsewhere = {"enhanced_ig", "geodesic_ig", "pace", "sequential_dig"}  # not in UDIG's or SIG's main tables
    assert variants - {"random"} == set(published().variant) - elsewhere | {"dig_maxcount"}


def test_ours_stand_beside_the_published(store):
    folder, put = store
    means = {"ig": 0.4, "sig": 0.5, "deep_lift": 0.3, "random": 0.0}
    for method, mean in means.items():
        put(method, mean)
        put(method, mean - 0.2, protocol="corrected")
    rows = recorded("sst2", folder=folder)
    for protocol, shift in (("as_published", 0), ("corrected", -0.2)):
        table = beside(rows[rows.protocol.isin([protocol, "corrected"])], "sst2")
        assert table.attrs["protocol"] == protocol
        assert table.loc["deep_lift", ("mask", "distilbert")] == pytest.approx(0.1696)
        assert table.loc["ig", ("mask", "bert")] == pytest.approx(0.3447)
        ours = table["mask", "ours"].dropna().to_dict()
        expected = rows[(rows.protocol == protocol) & (rows.baseline == "mask")].groupby("variant")
        assert ours == pytest.approx(expected.comprehensiveness_20.mean().to_dict())
        assert ours["sig"] - ours["ig"] == pytest.approx(0.1)
        assert ours["ig"] == pytest.approx(0.4 + shift, abs=0.02)
    assert beside(rows, "sst2", "log_odds_pad_20").loc["ig", ("pad", "distilbert")] < 0


def test_how_far_our_order_is_the_published_one(store):
    folder, put = store
    for method, mean in {"ig": 0.4, "sig": 0.5, "deep_lift": 0.3}.items():
        put(method, mean)
    put("ig", 0.4, baseline="pad")
    put("sig", 0.5, baseline="pad")
    table = beside(recorded("sst2", folder=folder), "sst2")
    found = order_kept(table)
    assert list(found.index) == ["mask"]  # with pad we have two methods, and two are no order
    models = ["bert", "distilbert", "roberta"]
    assert found.loc["mask"].to_dict() == pytest.approx(dict.fromkeys(models, 1.0) | {"n": 3})
    table["mask", "ours"] = -table["mask", "ours"]
    assert order_kept(table).loc["mask", models].to_list() == pytest.approx([-1.0] * 3)


def test_the_ledger_on_the_command_line(store, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    folder, put = store
    put("ig", 0.4)
    put("sig", 0.5)
    assert main(["ledger", "--dataset", "sst2", "--results", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "0.4733" in printed
    assert "the same side of IG" in printed
    assert "rotten" not in printed
