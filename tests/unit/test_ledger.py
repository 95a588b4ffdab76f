"""The ledger: published numbers, our counterparts, and verdicts that code passes."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from udig_lab.cli import main
from udig_lab.experiments import Cell, grid, recorded
from udig_lab.experiments.cell import FORMAT
from udig_lab.experiments.ledger import (
    NOT_COMPARABLE,
    NOT_REPRODUCED,
    PUBLISHED_CHOICES,
    PUBLISHED_METHODS,
    REPRODUCED,
    beside,
    ledger,
    order_kept,
    published,
)
from udig_lab.experiments.records import write_record
from udig_lab.faithfulness.statistics import Difference, Interval

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
    assert (found.verdict, found.why) == (REPRODUCED, "the same side of IG")
    assert found.ours.mean == pytest.approx(sig.mean())
    assert found.published_difference == pytest.approx(0.4733 - 0.4452)
    assert found.our_difference.mean == pytest.approx(0.1)
    assert entry(entries, "dig_greedy").verdict == NOT_REPRODUCED
    assert entry(entries, "dig_greedy").why == "the other side of IG"
    assert entry(entries, "gradient_shap").why == "ours shows no difference to IG"
    assert entry(entries, "ig").verdict == NOT_COMPARABLE
    assert entry(entries, "sequential_dig").why == "no counterpart was run"
    assert f"n = {N} instead of 1,821" in found.differs
    assert "3 layers" in found.differs


def test_every_number_has_an_entry_and_all_questions_are_corrected_together(store):
    folder, put = store
    put("ig", 0.4)
    put("sig", 0.401, wobble=0.005)
    entries = ledger(folder)
    assert len(entries) == len(published())
    asked = [d for d in entries.our_difference if isinstance(d, Difference)]
    assert len(asked) > 1
    assert all(d.p_holm >= d.p for d in asked)
    assert max(d.p_holm / d.p for d in asked) == pytest.approx(len(asked))


def test_lower_and_higher_are_told_apart_by_the_published_side(store):
    """Published sufficiency of SIG lies below IG's; so must ours, to count as found again."""
    folder, put = store
    put("ig", 0.4)
    put("sig", 0.5)
    assert entry(ledger(folder), "sig", "sufficiency").verdict == REPRODUCED


def test_log_odds_are_compared_for_the_token_that_replaces(store):
    """UDIG's notebooks replace by pad while IG's row replaces by mask: there is no published difference to find."""
    folder, put = store
    put("ig", 0.4)
    put("udig", 0.5, settings={"strategy": "maxcount"})
    entries = ledger(folder)
    assert entry(entries, "udig_maxcount", "log_odds").verdict == NOT_COMPARABLE
    assert entry(entries, "udig_maxcount").published_difference == pytest.approx(0.3888 - 0.4452)


def test_rows_of_another_protocol_are_no_counterpart(store):
    folder, put = store
    put("ig", 0.4, protocol="corrected")
    put("sig", 0.5, protocol="corrected")
    assert (ledger(folder).verdict == NOT_COMPARABLE).all()


def test_on_the_papers_own_checkpoint_the_number_itself_is_tested(store):
    folder, put = store
    put("ig", 0.4452, profile="paper", architecture="distilbert")
    put("sig", 0.60, profile="paper", architecture="distilbert")
    put("ig", 0.2)
    entries = ledger(folder)
    assert (entry(entries, "ig").verdict, entry(entries, "ig").why) == (REPRODUCED, "inside our interval")
    assert (entry(entries, "sig").verdict, entry(entries, "sig").why) == (NOT_REPRODUCED, "outside our interval")
    assert entry(entries, "ig", model="bert").profile == "lab"  # that architecture was not run


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
    assert found.verdict == REPRODUCED


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
