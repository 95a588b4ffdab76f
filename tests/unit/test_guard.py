"""Nothing finished is lost, nothing stale is mixed in: names, keys, codes, and what only ``--force`` may replace."""

import json
import os
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import QUICK

import udig_lab as ul
from udig_lab.cli import main
from udig_lab.experiments import (
    Cell,
    cards,
    claims,
    code,
    origin,
    own_folder,
    recorded,
    records,
    results_folder,
    run,
    store,
    work,
)
from udig_lab.experiments.cell import FORMAT
from udig_lab.experiments.guard import standing

MINI = {"profile": "mini"}
RANDOM = Cell("trec", "random", **MINI)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Sixty recorded rows of two shards."""
    folder = tmp_path_factory.mktemp("whole")
    run(RANDOM, folder, workers=0, progress=False)
    return folder


@pytest.fixture
def copied(whole, tmp_path):
    """The same, to be spoilt; what processes remember of models and data is forgotten before and after."""
    shutil.copytree(whole, tmp_path / "copied")
    yield tmp_path / "copied"
    forget()


def forget():
    origin.forget()
    claims.registered_claims.cache_clear()


def content(folder):
    files = [file for file in folder.rglob("*.*") if file.is_file() and file.suffix != ".lock"]
    return {file.relative_to(folder): file.read_bytes() for file in files}


def record(cells, folder, **keywords):
    forget()
    return run(cells, folder, workers=0, progress=False, **keywords)


# Names


def test_a_name_says_everything_that_is_not_the_default():
    plain = Cell("sst2", "udig")
    others = [
        replace(plain, max_length=128),
        replace(plain, max_length=None),
        replace(plain, precision="bfloat16"),
        replace(plain, seed=3),
        replace(plain, settings={"n_steps": 12}),
        replace(plain, settings={"strategy": "maxcount"}),
        replace(plain, baseline="pad"),
        replace(plain, output="log_odds"),
        replace(plain, protocol="eraser"),
    ]
    names = [cell.name for cell in (plain, *others)]
    assert len(set(names)) == len(names)
    assert plain.name == "udig_greedy-mask-corrected"
    assert replace(plain, settings={"n_steps": 30, "strategy": "greedy"}).name == plain.name  # both are the default
    assert Cell("trec", "random", settings={"seed": 3}).name != Cell("trec", "random", seed=3).name


@pytest.mark.parametrize(
    "cell",
    [
        {"baseline": "/"},
        {"baseline": "../../evil"},
        {"baseline": "\x00\n\x1b[2J"},
        {"baseline": "\udcff"},
        {"baseline": "é" * 200},
        {"settings": {"rule": "../../../../evil"}},
        {"method": "udig", "settings": {"strategy": "/etc"}},
        {"output": "a/b"},
        {"profile": "paper", "architecture": "../x"},
        {"method": "expected_gradients", "settings": {"baselines": ["pad"] * 99}},
    ],
)
def test_names_are_safe_for_a_file_system(cell, tmp_path):
    cell = Cell(**({"dataset": "sst2", "method": "ig"} | cell))
    file = records.record_file(cell, tmp_path)
    assert file.parent == tmp_path / "sst2" / cell.profile
    assert len(file.name.encode()) < 200
    assert file.name.isprintable()
    assert not set("/\\\x00:*?<>|") & set(file.name)
    file.parent.mkdir(parents=True)
    file.write_text("can be written")


def test_names_that_look_alike_are_told_apart():
    cells = [Cell("sst2", "ig", baseline) for baseline in ("-", "--", "/", "%2F", "mask-corrected", "mask")]
    assert len({cell.name for cell in cells}) == len(cells)
    long = [Cell("sst2", "expected_gradients", settings={"baselines": ["pad"] * n}) for n in (98, 99)]
    assert long[0].name != long[1].name


def test_the_command_records_the_same_cell(tmp_path, capsys):
    cell = Cell("trec", "expected_gradients", protocol="eraser", max_length=12, precision="bfloat16", seed=7, limit=2,
                settings={"n_samples": 4, "baselines": ("pad", "zero")}, **MINI)  # fmt: skip
    words = shlex.split(cell.command)
    assert main([*words[1:], "--output", str(tmp_path), "--workers", "0"]) == 0
    (card,) = cards("trec", profile="mini", folder=tmp_path)
    assert replace(Cell(**card["cell"]), settings={}) == replace(cell, settings={})
    assert card["settings"]["baselines"] == ["pad", "zero"]
    assert capsys.readouterr().out.strip() == str(records.record_file(cell, tmp_path))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"dataset": "../evil"}, ValueError, "unknown data set '../evil'; choose one of sst2"),
        ({"profile": "big"}, ValueError, "unknown profile 'big'"),
        ({"precision": "half"}, ValueError, "unknown precision 'half'"),
        ({"limit": 2.5}, ValueError, "limit=2.5 leaves no examples"),
        ({"limit": True}, ValueError, "limit=True leaves no examples"),
        ({"max_length": -1}, ValueError, "max_length=-1 leaves no tokens; pass at least 1, or None"),
        ({"seed": -1}, ValueError, "seed=-1 is no seed; pass at least 0"),
        ({"settings": {"n_steps": torch.tensor(5)}}, TypeError, "n_steps is a Tensor, which a record cannot hold"),
    ],
)
def test_what_a_cell_cannot_say(fields, error, message):
    with pytest.raises(error, match=message):
        Cell(**({"dataset": "sst2", "method": "ig"} | fields))


# What lies there is not replaced


def test_a_trial_run_replaces_nothing(copied):
    before = content(copied)
    command = ["run", "--dataset", "trec", "--methods", "random", "--output", str(copied), "--workers", "0"]
    assert main([*command, "--limit", "4"]) == 0  # it is there already
    assert content(copied) == before
    for more in (["--max-length", "128"], ["--precision", "bfloat16"], ["--seed", "1"], ["--set", "seed=1"]):
        assert main([*command, "--limit", "4", *more]) == 0
    now = content(copied)
    assert {name: now[name] for name in before} == before
    rows = recorded("trec", profile="mini", folder=copied)
    sizes = rows.groupby("cell").size().to_dict()
    assert sizes == {
        "random-corrected": 60,
        "random-max_length=128-corrected": 4,
        "random-bfloat16-corrected": 4,
        "random-draw=1-corrected": 4,
        "random-seed=1-corrected": 4,
    }


def flipped(patched):
    def other(*arguments, examples=origin.examples, **keywords):
        rows = examples(*arguments, **keywords)
        return rows.assign(label=(rows["label"] + 1) % 6)

    patched.setattr(origin, "examples", other)


def reworded(patched):
    def other(*arguments, examples=origin.examples, **keywords):
        rows = examples(*arguments, **keywords)
        rows.loc[0, "text"] += " now"
        return rows

    patched.setattr(origin, "examples", other)


def retrained(patched):
    def other(*arguments, load=origin.load, **keywords):
        model = load(*arguments, **keywords)
        with torch.no_grad():
            next(model.model.parameters())[-1, -1] += 1
        return model

    patched.setattr(origin, "load", other)


def recoded(patched):
    def other(*arguments, measure=sys.modules["udig_lab.faithfulness.metrics"].measure, **keywords):
        return 1.001 * measure(*arguments, **keywords)

    patched.setattr("udig_lab.faithfulness.metrics.measure", other)


CHANGES = [
    (flipped, "from other texts or labels"),
    (reworded, "from other texts or labels"),
    (retrained, "from other weights"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_record_of_another_origin_is_not_replaced(copied, monkeypatch, caplog, change, words):
    before = content(copied)
    change(monkeypatch)
    with pytest.raises(ValueError, match=rf"random-corrected.parquet holds 60 rows made {words}, and .* --force"):
        record(RANDOM, copied)
    assert content(copied) == before
    record(RANDOM, copied, force=True)
    assert f"they replace 60 rows made {words}" in caplog.text
    assert content(copied) != before
    assert len(recorded("trec", profile="mini", folder=copied)) == 60


@pytest.mark.parametrize(("change", "words"), [*CHANGES, (recoded, "by code")])
def test_shards_of_another_origin_do_not_join(copied, monkeypatch, change, words):
    """A run that was stopped, and goes on after something has changed."""
    shutil.rmtree(copied / "trec")
    (second,) = copied.glob(".shards/**/judged/0001.parquet")
    second.unlink()
    before = content(copied)
    change(monkeypatch)
    with pytest.raises(
        ValueError, match=rf"of random-corrected in .* there lie shards? 0(-1)? made {words}.* --force"
    ):
        record(RANDOM, copied)
    assert content(copied) == before
    record(RANDOM, copied, force=True)
    (card,) = cards("trec", profile="mini", folder=copied)
    forget()
    assert card["code"] == origin.code(RANDOM)


def test_a_finished_record_of_other_code_stays(copied, monkeypatch, caplog):
    before = content(copied)
    recoded(monkeypatch)
    record(RANDOM, copied)
    assert "random-corrected.parquet stays: its 60 rows were made by code" in caplog.text
    assert content(copied) == before
    caplog.clear()
    record(RANDOM, copied, force=True)
    assert "now holds 60 rows; they replace 60 rows made by code" in caplog.text
    judged = [file for file in content(copied) if "judged" in file.parts]
    assert all(content(copied)[file] != before[file] for file in judged)
    explained = [file for file in content(copied) if "explained" in file.parts]
    assert all(content(copied)[file] == before[file] for file in explained)  # the code that explains is the same


def test_a_smaller_record_does_not_take_the_place_of_a_damaged_one(copied):
    file = copied / "trec" / "mini" / "random-corrected.parquet"
    shutil.rmtree(copied / ".shards")
    file.write_bytes(file.read_bytes()[:-100])
    before = content(copied)
    sentence = r"is damaged and held 60 rows, more than the 4 asked for; mend it with: udig-lab run .* --limit 60"
    with pytest.raises(ValueError, match=sentence):
        record(replace(RANDOM, limit=4), copied)
    assert content(copied) == before
    record(replace(RANDOM, limit=60), copied)
    assert len(recorded("trec", profile="mini", folder=copied)) == 60


def test_a_larger_shard_serves_a_smaller_limit(copied, monkeypatch):
    shutil.rmtree(copied / "trec")  # shards, but no record
    before = content(copied)
    monkeypatch.setattr(work, "explained_rows", None)
    record(replace(RANDOM, limit=40), copied)
    assert {name: data for name, data in content(copied).items() if name in before} == before
    assert len(recorded("trec", profile="mini", folder=copied)) == 40


def test_a_file_of_another_program_is_left_alone(copied):
    file = copied / "trec" / "mini" / "random-corrected.parquet"
    pd.DataFrame({"theirs": [1, 2]}).to_parquet(file)
    file.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match="holds 2 rows of another program"):
        record(RANDOM, copied)


def test_a_lost_card_is_written_again_from_its_rows(copied, monkeypatch):
    card = copied / "trec" / "mini" / "random-corrected.json"
    before = card.read_bytes()
    shutil.rmtree(copied / ".shards")
    monkeypatch.setattr(work, "explained_rows", None)  # nothing is computed
    for damage in (before[:-40], before.replace(b'"n": 60', b'"n": 61'), b"\xff", b"[" * 100_000):
        card.write_bytes(damage)
        with pytest.raises(ValueError, match="is no card of a recorded run; remove it, or mend it with: udig-lab run"):
            cards("trec", profile="mini", folder=copied)
        record(RANDOM, copied)
        assert card.read_bytes() == before
    card.unlink()
    record(RANDOM, copied)
    assert card.read_bytes() == before


# Code


@pytest.mark.parametrize("method", ["ig", "udig", "sig"])
def test_the_code_is_the_same_whatever_the_threads(method):
    cell, model = Cell("sst2", method, settings=QUICK.get(method, {}), **MINI), ul.load("sst2")
    found = set()
    for threads in (1, 2):
        forget()
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            found.add(code.code_of(cell, model, judged=True))
        finally:
            torch.set_num_threads(before)
    assert len(found) == 1


def test_what_changes_numbers_changes_the_code_of_what_it_touches(monkeypatch):
    cells = {"ig": Cell("sst2", "ig", settings={"n_steps": 4}, **MINI), "sig": Cell("sst2", "sig", **MINI)}

    def codes():
        forget()
        return {
            (name, judged): origin.code(cell, judged=judged)
            for name, cell in cells.items()
            for judged in (False, True)
        }

    before = codes()
    assert len(set(before.values())) == 4
    rule = sys.modules["udig_lab.quadrature"].segment_rule
    with monkeypatch.context() as patched:
        patched.setattr("udig_lab.paths.segment_rule", lambda name, n: (rule(name, n)[0], 1.0001 * rule(name, n)[1]))
        now = codes()
    assert {key for key in before if now[key] != before[key]} == {("ig", False), ("ig", True)}
    assert codes() == before


def test_every_kind_of_network_gets_small():
    for dataset, task in (("sst2", "classification"), ("squad", "span"), ("trec", "classification")):
        small = code._small(ul.load(dataset))
        assert small.task == task
        assert small.model.num_parameters() < 300_000
        assert type(small.model) is type(ul.load(dataset).model)
    some = code._small(ul.load("sst2"))
    said = [ul.explain(some, text, method="random").target for text in code._TEXTS]
    assert len(set(said)) == 2  # no class always wins


def test_the_source_of_computing_modules(tmp_path, monkeypatch):
    names = {path.stem for path in code.computing_modules()}
    assert {"making", "explainer", "engine", "metrics", "erasure", "reader", "quadrature", "words"} <= names
    assert not {"picture", "heatmap", "plots", "cli", "tables", "ledger", "run", "store"} & names
    plain = tmp_path / "a.py"
    plain.write_text("import math\n\n\ndef f(x):\n    return x + 1\n")
    moved = tmp_path / "b.py"
    moved.write_text(
        '"""Says."""\nimport os  # this\n\ndef f(x):\n    """More."""\n    # and that\n    return (x + 1)\n'
    )
    other = tmp_path / "c.py"
    other.write_text("def f(x):\n    return x + 2\n")
    assert code._normal(plain) == code._normal(moved) != code._normal(other)


def test_rows_of_two_states_of_the_source_say_so(copied, monkeypatch, caplog):
    shutil.rmtree(copied / "trec")
    (second,) = copied.glob(".shards/**/judged/0001.parquet")
    second.unlink()
    monkeypatch.setattr(origin, "source_sha256", lambda: "f" * 64)
    record(RANDOM, copied)  # the rows of the small shard are the same
    (card,) = cards("trec", profile="mini", folder=copied)
    assert card["sources_sha256"] == sorted({code.source_sha256(), "f" * 64})
    assert "joins rows of 2 states of the source" in caplog.text


# Cards, claims, places


def test_a_card_says_where_its_rows_come_from(whole):
    (card,) = cards("trec", profile="mini", folder=whole)
    assert card["format"] == FORMAT
    for name in ("weights_sha256", "data_sha256", "code", "key"):
        assert len(card[name]) == 64
    assert card["claims"] == claims.registered_claims()
    assert card["name"] == "random-corrected"


def test_claims_that_stood_are_on_the_card(tmp_path, monkeypatch):
    file = tmp_path / "claims.toml"
    file.write_text('[sharp]\nsays = "SIG beats IG"\n')
    monkeypatch.setattr(claims, "_FILE", file)
    monkeypatch.setattr(work, "_SHARD", 8)
    folder = tmp_path / "results"
    record(replace(RANDOM, limit=8), folder)
    (card,) = cards("trec", profile="mini", folder=folder)
    assert list(card["claims"]) == ["sharp"]
    file.write_text(file.read_text() + '[later]\nsays = "DIG beats IG"\n')
    record(RANDOM, folder)  # another claim touches no row: they join
    (card,) = cards("trec", profile="mini", folder=folder)
    assert list(card["claims"]) == ["sharp"]  # the other did not stand yet when the first shard was made
    assert card["n"] == 60


def test_an_installed_package_records_in_the_users_folder(tmp_path, monkeypatch, capsys):
    site = tmp_path / "site-packages"
    (site / "results").mkdir(parents=True)  # somebody else's
    monkeypatch.setattr(records, "_PACKAGE", site / "udig_lab")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("platformdirs.user_data_path", lambda name, appauthor: tmp_path / "home" / name)
    assert results_folder() == site / "udig_lab" / "results"
    assert own_folder() == tmp_path / "home" / "udig-lab" / "results"
    command = ["run", "--dataset", "trec", "--methods", "random", "--limit", "2", "--workers", "0"]
    assert main(command) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"records: {own_folder()}"
    assert Path(second).is_relative_to(own_folder())
    with pytest.raises(FileNotFoundError, match=r"your own are in .*own_folder"):
        recorded("trec", profile="mini")
    assert len(recorded("trec", profile="mini", folder=own_folder())) == 2


def test_a_clone_records_in_its_results():
    assert own_folder() == results_folder() == Path(__file__).parents[2] / "results"


# The rows of before


def without_code(folder):
    """A record as up to format 2: no labels in the key, no code, no copy of the card, a shorter name."""
    cell = replace(RANDOM, precision="bfloat16")
    record(cell, folder)
    file = records.record_file(cell, folder)
    rows, note = store.read_rows(file)
    card = {name: note[name] for name in note if name not in ("code", "sources_sha256", "claims")} | {"format": 2}
    card["key"] = origin.key_of(cell, origin.ordered_examples(cell), judged=True, form=2)
    short = records.record_file(RANDOM, folder)
    store.write_rows(short, rows, {name: card[name] for name in ("format", "n", "key")})
    short.with_suffix(".json").write_text(json.dumps(card, indent=2))
    file.unlink()
    file.with_suffix(".json").unlink()
    shutil.rmtree(folder / ".shards")
    return cell, short


def test_rows_of_before_are_read_and_kept(tmp_path, caplog):
    cell, file = without_code(tmp_path)
    assert len(recorded("trec", profile="mini", folder=tmp_path)) == 60
    before = content(tmp_path)
    assert record(cell, tmp_path) == [file]
    assert record(replace(cell, limit=12), tmp_path) == [file]
    assert "stays: its 60 rows were made before rows said which code made them" in caplog.text
    assert content(tmp_path) == before
    with pytest.raises(ValueError, match=r"holds 60 rows made from other settings \(precision='bfloat16'\)"):
        record(RANDOM, tmp_path)
    assert content(tmp_path) == before


def test_rows_of_before_join_no_new_ones(tmp_path, caplog):
    cell, file = without_code(tmp_path)
    rows, note = store.read_rows(file)
    forget()
    some = origin.ordered_examples(cell).iloc[:40]
    note |= {"n": 40, "key": origin.key_of(cell, some, judged=True, form=2)}
    card = json.loads(file.with_suffix(".json").read_text()) | note
    store.write_rows(file, rows[rows["id"].isin(some["id"])], note)
    file.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"holds 40 rows made before rows said which code made them, and .* --force"):
        record(cell, tmp_path)
    record(cell, tmp_path, force=True)
    assert "now holds 60 rows; they replace 40 rows made before" in caplog.text
    assert not file.exists()
    assert [card["name"] for card in cards("trec", profile="mini", folder=tmp_path)] == [cell.name]


@pytest.mark.skipif(not os.environ.get("UDIG_LAB_DATA"), reason="needs the real data, in UDIG_LAB_DATA")
def test_the_projects_records_are_accepted():
    """Every one is found whole by its cell, from these weights and data."""
    forget()
    for folder in (results_folder(), results_folder() / "ablations"):
        for file in sorted(folder.glob("*/lab/*.json")):
            card = records.read_card(file)
            found = standing(Cell(**card["cell"]), folder)
            assert found.finished, f"{file}: {found.obstacle}"
            assert found.file == file.with_suffix(".parquet")
    forget()
