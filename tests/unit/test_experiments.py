"""Recorded runs: cells, rows and cards; intervals; the command line. Disasters are in test_runs.py."""

import json
import re

import numpy as np
import pytest

import udig_lab as ul
from udig_lab.cli import main
from udig_lab.experiments import Cell, attributions, cards, grid, recorded, results_folder, run, work
from udig_lab.experiments.making import bare_answer
from udig_lab.experiments.records import benchmarks
from udig_lab.model.load import DATASETS, PROFILES

FEW = {"profile": "mini", "limit": 5}
QUICK = {"n_steps": 6}


def record(folder, *cells):
    run(cells, folder, workers=0, progress=False)
    return recorded(cells[0].dataset, profile="mini", folder=folder)


# Cells


def test_grid_has_every_combination_once():
    names = [
        cell.name
        for cell in grid(
            "sst2",
            ["ig", "udig", "random", "oracle"],
            baselines=["mask", "pad"],
            protocols=["corrected", "eraser"],
            strategies=["greedy", "maxcount"],
            settings={},
        )
    ]
    corrected = ["ig-mask", "udig_greedy-mask", "udig_maxcount-mask", "random", "oracle"]
    corrected += ["ig-pad", "udig_greedy-pad", "udig_maxcount-pad"]  # random and oracle have no baseline
    assert names == [f"{name}-{rules}" for rules in ("corrected", "eraser") for name in corrected]
    spans = grid("squad", ["ig"], outputs=["start", "end"], settings={"n_steps": 6})
    assert [cell.name for cell in spans] == ["ig-n_steps=6-start-mask-corrected", "ig-n_steps=6-end-mask-corrected"]


def test_a_record_of_squad_names_its_output_also_where_none_was_asked_for():
    assert Cell("squad", "ig").name == Cell("squad", "ig", output="joint").name == "ig-joint-mask-corrected"
    assert [cell.output for cell in grid("squad", ["ig"])] == ["joint"]
    assert Cell("sst2", "ig").output is None
    asked, unasked = (Cell("squad", "ig", output=output) for output in ("joint", None))
    assert asked == unasked
    assert "--outputs joint" in unasked.command


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        ({"method": "shap"}, ValueError, "unknown method 'shap'; choose one of gradient_x_input, ig"),
        ({"protocol": "mine"}, ValueError, "unknown protocol 'mine'; choose one of corrected, as_published, eraser"),
        ({"settings": {"steps": 5}}, TypeError, "ig has no setting steps; it has n_steps, rule"),
        ({"method": "oracle", "settings": {"beams": 5}}, TypeError, "oracle has no setting beams; it has width"),
        ({"limit": 0}, ValueError, "limit=0 leaves no examples; pass at least 1, or None for all"),
    ],
)
def test_cells_that_cannot_be(cell, error, message):
    with pytest.raises(error, match=message):
        Cell(**({"dataset": "sst2", "method": "ig"} | cell))


def test_a_default_that_is_written_out_changes_nothing():
    plain, written = Cell("sst2", "ig"), Cell("sst2", "ig", settings={"n_steps": 50})
    other = Cell("sst2", "ig", settings={"n_steps": 51})
    keys = [cell.fingerprint("weights", "data", judged=True) for cell in (plain, written, other)]
    assert keys[0] == keys[1] != keys[2]


# Rows and cards


def test_a_cell_becomes_rows_and_a_card(tmp_path):
    words = QUICK | {"n_neighbors": 12}
    cells = [Cell("sst2", name, settings=s, **FEW) for name, s in (("ig", QUICK), ("udig", words), ("random", {}))]
    rows = record(tmp_path, *cells)
    assert rows.groupby("method").size().to_dict() == {"ig": 5, "udig": 5, "random": 5}
    assert set(rows.strategy.dropna()) == {"greedy"}
    filled = rows.drop(columns=["strategy", "output", "wae"])
    assert filled[rows.method != "random"].notna().all().all()
    assert set(filled.columns[filled.isna().any()]) == {"delta", "delta_percent"}  # random sums to nothing
    assert rows.groupby("method").wae.count().to_dict() == {"ig": 5, "udig": 5, "random": 0}
    assert rows.groupby("method").id.apply(tuple).nunique() == 1  # the same examples for every method
    for card in cards("sst2", profile="mini", folder=tmp_path):
        assert card["n"] == 5
        assert len(card["weights_sha256"]) == len(card["data_sha256"]) == 64
        assert {"torch", "transformers", "udig-lab"} <= card["versions"].keys()
        assert card["seconds"] >= card["seconds_explaining"] >= 0


@pytest.mark.parametrize("protocol", ["corrected", "as_published", "eraser"])
def test_rows_equal_a_direct_computation(lab, tmp_path, protocol):
    rows = record(tmp_path, Cell("sst2", "ig", "pad", protocol, settings=QUICK, **FEW)).set_index("id")
    data = ul.data.examples("sst2").set_index("id").loc[rows.index]
    found = ul.explain(lab, data.text.tolist(), baseline="pad", protocol=protocol, **QUICK)
    for name, values in ul.metrics.evaluate(lab, found, protocol=protocol).items():
        column = f"{name}_mask_20" if name == "log_odds" else f"{name}_20"
        np.testing.assert_allclose(rows[column], values, atol=1e-3, err_msg=column)  # scores are kept half as precise
    np.testing.assert_allclose(rows.delta, [a.delta for a in found], atol=1e-5)
    for scores, a in zip(rows.scores, found, strict=True):
        np.testing.assert_allclose(scores.astype(float), a.scores, rtol=2e-3, atol=1e-4)
    assert rows.target.tolist() == [a.target for a in found]


def test_examples_are_drawn_and_kept_in_order(tmp_path):
    rows = record(tmp_path, Cell("sst2", "random", **FEW))
    drawn = ul.data.examples("sst2").sample(frac=1, random_state=42).head(5)
    assert rows.id.tolist() == drawn.sort_index().id.tolist()
    assert rows.id.tolist() == ul.data.examples("sst2", limit=5).id.tolist()


def test_recorded_scores_become_explanations_again(lab, tmp_path):
    cell = Cell("sst2", "ig", settings=QUICK, **FEW)
    rows = record(tmp_path, cell)
    part = ul.data.examples("sst2", limit=5)
    again = attributions(cell, part, rows)
    found = ul.explain(lab, part.text.tolist(), **QUICK)
    assert [a.tokens for a in again] == [a.tokens for a in found]
    assert [a.special for a in again] == [a.special for a in found]
    np.testing.assert_allclose(again[0].scores, found[0].scores, rtol=2e-3, atol=1e-4)


def test_spans(tmp_path):
    rows = record(tmp_path, Cell("squad", "gradient_x_input", output="start", profile="mini", limit=3))
    assert (rows.target_start <= rows.target_end).all()
    assert rows.output.tolist() == ["start"] * 3
    assert rows.comprehensiveness_20.notna().all()


def test_the_oracle_is_at_least_as_good_as_any_scores(tmp_path):
    oracle = Cell("trec", "oracle", settings={"width": 2, "shortlist": 20}, **FEW)
    rows = record(tmp_path, oracle, Cell("trec", "random", **FEW), Cell("trec", "gradient_x_input", **FEW))
    by = rows.set_index(["method", "id"])
    assert "scores" not in recorded("trec", profile="mini", folder=tmp_path).query("method == 'oracle'").dropna(axis=1)
    for method in ("random", "gradient_x_input"):
        # A single token is searched exhaustively; more are searched by beam.
        assert (by.comprehensiveness_05["oracle"] >= by.comprehensiveness_05[method] - 1e-5).all()
        assert by.comprehensiveness_20["oracle"].mean() > by.comprehensiveness_20[method].mean()
        assert by.sufficiency_20["oracle"].mean() < by.sufficiency_20[method].mean()


def test_settings_that_are_no_numbers_find_their_rows_again(tmp_path):
    settings = {"n_samples": 4, "baselines": ("pad", "zero")}
    rows = record(tmp_path, Cell("trec", "expected_gradients", settings=settings, profile="mini", limit=2))
    assert len(rows) == 2


def test_records_of_this_clone_can_be_read():
    folder = results_folder()
    for dataset in DATASETS:
        for profile in PROFILES:
            if list((folder / dataset / profile).glob("*.json")):
                assert len(recorded(dataset, profile=profile))


def test_benchmarks_are_at_hand():
    assert benchmarks("peers")["machine"]
    assert benchmarks("scale")["sizes"]
    assert benchmarks("shards")["shards"]
    with pytest.raises(
        FileNotFoundError, match="no benchmarks 'speed' are recorded; make them, peers, scale and shards"
    ):
        benchmarks("speed")


def test_a_finished_cell_is_not_run_again(tmp_path, monkeypatch):
    cell = Cell("trec", "random", **FEW)
    (file,) = run(cell, tmp_path, workers=0, progress=False)
    before = file.stat().st_mtime_ns
    monkeypatch.setattr(work, "explained_rows", None)
    assert run(cell, tmp_path, progress=False) == [file]  # nor is a cluster started
    assert file.stat().st_mtime_ns == before


def test_answers_are_compared_as_squad_does():
    assert bare_answer("The Eiffel-Tower") == bare_answer("eiffel tower")
    assert bare_answer("an apple") != bare_answer("a pear")


def test_random_scores_hang_on_seed_and_text_alone(lab):
    texts = ["quite dull", "a fine film"]
    drawn = ul.explain(lab, texts, method="random", seed=1)
    assert [a.scores for a in ul.explain(lab, texts[::-1], method="random", seed=1)] == [a.scores for a in drawn[::-1]]
    assert drawn[0].scores != ul.explain(lab, texts[0], method="random", seed=2).scores
    assert drawn[0].scores[0] == 0


# The command line


def test_explain_on_the_command_line(capsys):
    assert main(["explain", "the acting is wooden but the ending moved me", "--method", "udig"]) == 0
    printed = capsys.readouterr().out
    assert "wooden" in printed
    assert "F(x) - F(x')" in printed


def test_json_on_the_command_line(capsys):
    assert main(["explain", "dull", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["method"] == "ig"


REVIEW = "the acting is wooden but the ending moved me"
PARTS = ["--segment", "first=the acting is wooden", "--segment", "rest=the ending moved me"]


def test_segments_on_the_command_line(lab, capsys):
    parts = {"first": "the acting is wooden", "rest": "the ending moved me"}
    for by in ("token", "segment"):
        found = ul.explain(lab, REVIEW, method="sig", segments=parts, by=by)
        arguments = ["explain", REVIEW, "--method", "sig", *PARTS, "--by", by]
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        rows = dict(re.findall(r"^(\S+) +([+-]\d\.\d{4})", printed, flags=re.MULTILINE))
        assert {name: rows[name] for name in parts} == {n: f"{s:+.4f}" for n, s in found.segments().items()}
        assert ("wooden" in rows) == (by == "token")
        assert "but" not in rows
        assert main([*arguments, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["by"] == by
        assert told["segment_of"] == list(found.segment_of)


def test_run_on_the_command_line(tmp_path, capsys):
    command = ["run", "--dataset", "sst2", "--methods", "ig,udig,random", "--strategies", "greedy,maxcount"]
    command += ["--set", "n_steps=6", "--limit", "3", "--workers", "0", "--output", str(tmp_path)]
    with pytest.raises(TypeError, match="random has no setting n_steps"):
        grid("sst2", ["random"], settings={"n_steps": 6})
    assert main(command) == 2  # the setting is one for all methods that are named
    assert "random has no setting n_steps" in capsys.readouterr().err
    command[4] = "ig,udig"
    assert main(command) == 0
    names = ["ig-n_steps=6", "udig_greedy-n_steps=6", "udig_maxcount-n_steps=6"]
    files = [tmp_path / "sst2" / "mini" / f"{name}-mask-corrected.parquet" for name in names]
    assert capsys.readouterr().out.split() == [str(file) for file in files]
    assert all(file.is_file() for file in files)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", " "], "the text is empty"),
        (
            ["explain", REVIEW, "--by", "segment"],
            "--by segment needs parts of the text; name each with --segment NAME=",
        ),
        (
            ["explain", REVIEW, "--segment", "the acting"],
            "'the acting' names no part of the text; write --segment NAME",
        ),
        (["explain", REVIEW, "--segment", "=the acting"], "'=the acting' names no part of the text"),
        (["explain", REVIEW, "--segment", "first="], "segment 'first' of the text is empty"),
        (["explain", REVIEW, "--segment", "first=the plot"], "segment 'first' does not stand in the text"),
        (["explain", REVIEW, "--segment", "a=the"], "segment 'a' stands 2 times in the text"),
        (["explain", REVIEW, *PARTS, "--segment", "first=but"], "--segment first is given twice"),
        (["run", "--dataset", "sst2", "--profile", "lab"], "UDIG_LAB_DATA must hold sst2/test.parquet"),
        (["run", "--dataset", "sst2", "--methods", "ig,shap"], "unknown method 'shap'"),
        (["run", "--dataset", "sst2", "--protocols", "mine"], "unknown protocol 'mine'"),
        (["run", "--dataset", "sst2", "--strategies", "lazy", "--methods", "udig"], "unknown strategy 'lazy'"),
        (["run", "--dataset", "sst2", "--methods", "ig", "--baselines", "padding"], "unknown baseline 'padding'"),
        (["run", "--dataset", "sst2", "--methods", "ig", "--outputs", "start"], "unknown output 'start'"),
        (["run", "--dataset", "sst2", "--methods", "ig", "--set", "n_steps"], "'n_steps' is no setting; write NAME="),
        (["run", "--dataset", "sst2", "--methods", "ig", "--set", "steps=5"], "ig has no setting steps"),
        (["run", "--dataset", "sst2", "--limit", "0"], "limit=0 leaves no examples"),
    ],
)
def test_mistakes_on_the_command_line(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setenv("UDIG_LAB_DATA", str(tmp_path))
    if arguments[0] == "run":
        arguments = [*arguments, "--workers", "0", "--output", str(tmp_path)]
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("udig-lab: ")
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("option", [["--dataset", "mnli"], ["--dataset", "sst2", "--profile", "all"]])
def test_names_that_are_not_on_the_list(capsys, option):
    with pytest.raises(SystemExit) as stop:
        main(["run", *option])
    assert stop.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
