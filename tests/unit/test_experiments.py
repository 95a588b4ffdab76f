"""Recorded runs: whole or not at all, resumed, with a card; intervals; the command line."""

import json
import re

import numpy as np
import pytest

import udig_lab as ul
from udig_lab import experiments
from udig_lab.cli import main
from udig_lab.experiments import Cell, cards, recorded, run
from udig_lab.ledger import interval, paired, published

FEW = {"profile": "mini", "limit": 6}


def test_a_cell_becomes_rows_and_a_card(tmp_path):
    for method in ("ig", "udig", "random"):
        run(Cell("sst2", method, strategy="greedy" if method == "udig" else None, **FEW), tmp_path, progress=False)
    rows = recorded("sst2", profile="mini", folder=tmp_path)
    assert rows.groupby("method").size().to_dict() == {"ig": 6, "udig": 6, "random": 6}
    assert rows[rows.method != "random"].notna().drop(columns="strategy").all().all()
    assert rows.groupby("method").id.apply(tuple).nunique() == 1  # the same examples for every method
    card = cards("sst2", profile="mini", folder=tmp_path)[0]
    assert card["n"] == 6
    assert len(card["weights_sha256"]) == len(card["data_sha256"]) == 64
    assert {"torch", "transformers", "udig-lab"} <= card["versions"].keys()


def test_rows_equal_a_direct_computation(lab, tmp_path):
    run(Cell("sst2", "ig", "pad", **FEW), tmp_path, progress=False)
    rows = recorded("sst2", profile="mini", folder=tmp_path)
    data = ul.data.examples("sst2", limit=6)
    found = ul.explain(lab, data.text.tolist(), baseline="pad")
    expected = ul.metrics.comprehensiveness(lab, found)
    assert rows.id.tolist() == data.id.tolist()
    np.testing.assert_allclose(rows.comprehensiveness, expected, atol=1e-5)
    np.testing.assert_allclose(rows.delta, [a.delta for a in found], atol=1e-5)


def test_a_finished_cell_is_not_run_again(tmp_path, monkeypatch):
    cell = Cell("sst2", "ig", **FEW)
    file = run(cell, tmp_path, progress=False)
    monkeypatch.setattr(experiments, "load", None)
    assert run(cell, tmp_path, progress=False) == file


def test_a_killed_run_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "_card", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(Cell("sst2", "ig", **FEW), tmp_path, progress=False)
    assert not list(tmp_path.rglob("*.*"))


def test_random_scores_hang_on_seed_and_text_alone(lab):
    texts = ["quite dull", "a fine film"]
    drawn = ul.explain(lab, texts, method="random", seed=1)
    assert [a.scores for a in ul.explain(lab, texts[::-1], method="random", seed=1)] == [a.scores for a in drawn[::-1]]
    assert drawn[0].scores != ul.explain(lab, texts[0], method="random", seed=2).scores
    assert drawn[0].scores[0] == 0


def test_intervals_cover_the_mean_as_often_as_they_say():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        found = interval(generator.normal(3.0, 1.0, size=60), resamples=400)
        hits += found.low <= 3.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_pairing_removes_what_examples_share():
    generator = np.random.default_rng(0)
    base = generator.normal(size=200)
    gain = paired(base + 0.1 + 0.01 * generator.normal(size=200), base)
    assert gain.low > 0.09
    assert interval(base).high - interval(base).low > 0.2
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", str(gain))


def test_bad_numbers_are_named():
    with pytest.raises(ValueError, match="got 3, 1 not finite"):
        interval([1.0, np.nan, 2.0])
    with pytest.raises(ValueError, match="got 0"):
        interval([])
    with pytest.raises(ValueError, match="2 values cannot be paired with 1"):
        paired([1.0, 2.0], [1.0])


def test_published_numbers_are_at_hand():
    table = published()
    row = table.query(
        "source=='SIG-csv' and dataset=='sst2' and model=='distilbert' and method=='ig' and baseline=='pad'"
    )
    assert row.set_index("metric").value["comprehensiveness"] == pytest.approx(0.2509)


def test_explain_on_the_command_line(capsys):
    assert main(["explain", "the acting is wooden but the ending moved me", "--method", "udig"]) == 0
    printed = capsys.readouterr().out
    assert "wooden" in printed
    assert "F(x) - F(x')" in printed


def test_json_on_the_command_line(capsys):
    assert main(["explain", "dull", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["method"] == "ig"


def test_mistakes_on_the_command_line(capsys, monkeypatch):
    assert main(["explain", " "]) == 2
    assert "udig-lab: text 0 is empty" in capsys.readouterr().err
    monkeypatch.delenv("UDIG_LAB_DATA", raising=False)
    assert main(["run", "--dataset", "sst2", "--profile", "lab"]) == 2
    assert "UDIG_LAB_DATA" in capsys.readouterr().err


def test_run_on_the_command_line(tmp_path, capsys):
    command = ["run", "--dataset", "sst2", "--methods", "ig,udig", "--strategies", "greedy,maxcount", "--limit", "3"]
    assert main([*command, "--output", str(tmp_path)]) == 0
    names = sorted(f.stem for f in tmp_path.rglob("*.parquet"))
    assert names == ["ig-mask-corrected-n3", "udig-greedy-mask-corrected-n3", "udig-maxcount-mask-corrected-n3"]
