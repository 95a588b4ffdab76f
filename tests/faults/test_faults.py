"""Two minutes of the fault campaign; the whole of it runs every night. And that it would notice what it looks for."""

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import campaign
import inputs
import pytest
import stores
from tally import Tally, table

from udig_lab.experiments import store

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("faults")  # they kill and fork: one process for all of them


def test_a_share_of_the_campaign(tmp_path):
    """Nothing lost, nothing mixed, no hang, nobody else's exception."""
    file = tmp_path / "faults.json"
    command = [sys.executable, str(Path(campaign.__file__)), "--share", "--record", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=os.environ)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    left_out = () if campaign.may_mount() else campaign.MOUNTS
    tallies = json.loads(file.read_text())["tallies"]
    assert [t["fault"] for t in tallies] == [n for n in (*campaign.STORES, *campaign.INPUTS) if n not in left_out]


def test_the_recorded_campaign_was_whole_and_clean():
    """What the book shows: benchmarks/faults.json, with 0 in every column that counts failures."""
    record = json.loads(campaign.RECORD.read_text(encoding="utf8"))
    whole = {name: number for name, (_, number, _) in (campaign.STORES | campaign.INPUTS).items()}
    assert [t["fault"] for t in record["tallies"]] == list(whole)
    for t in record["tallies"]:
        # Of fuzzed command lines, those that ask for help are left out.
        assert whole[t["fault"]] * 0.9 <= t["tries"] <= whole[t["fault"]]
        assert {t[name] for name in ("lost_rows", "mixed_files", "hangs", "strangers")} == {0}, t


def test_the_book_shows_the_recorded_campaign():
    record = json.loads(campaign.RECORD.read_text(encoding="utf8"))
    page = (ROOT / "book" / "testing.md").read_text(encoding="utf8")
    assert table(record["tallies"]) in page
    assert f"on {record['date']}" in page.replace("\n", " ")
    assert f"{record['system']}, Python {record['python']}" in page.replace("\n", " ")


@pytest.fixture
def stage(tmp_path):
    return stores.Stage(tmp_path)


def test_it_would_notice_a_flipped_bit_that_is_read(stage, monkeypatch):
    """Without sums and comparisons, bits get through."""
    monkeypatch.setattr(store, "_sum", lambda rows, note: mock.ANY)
    monkeypatch.setattr(store.pq, "ParquetFile", lambda file, opened=store.pq.ParquetFile, **_: opened(file))
    tally = Tally("flipped bits")
    (file,) = stage.whole.glob(".shards/**/random-corrected/judged/0000.parquet")
    content = file.read_bytes()
    for place in range(0, len(content), 25):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with tally.trial():
            stores.shard(tally, file, content)
    assert tally.mixed_files > 0


def test_it_would_notice_lost_rows(stage, monkeypatch):
    monkeypatch.setattr(stores, "recorded", lambda *a, recorded=stores.recorded, **k: recorded(*a, **k).iloc[:-3])
    tally = Tally("clocks")
    stores.clocks(tally, 1, stage)
    assert tally.lost_rows == 3


def test_it_would_notice_files_that_are_made_anew(stage):
    """A finished shard that is another one afterwards is lost work."""
    tally = Tally("clocks")
    with stage.folder(filled=True) as folder:
        finished = {file: content + b" " for file, content in stores.files(folder).items()}
        stores.again(tally, stage, folder, finished)
    assert tally.lost_rows > 0


@pytest.mark.parametrize("what", ["strange", "two lines"])
def test_it_would_notice_strangers_exceptions(monkeypatch, what):
    error = KeyError("theirs") if what == "strange" else ValueError("two\nlines")

    def explain(*_, **__):
        raise error

    monkeypatch.setattr(inputs.ul, "explain", explain)
    tally = Tally("texts")
    inputs.texts_and_settings(tally, 5)
    assert tally.strangers == tally.tries == 5
    assert tally.refusals == 0


def test_it_would_notice_a_hang(monkeypatch):
    monkeypatch.setattr("tally.LIMIT", 0.05)
    tally = Tally("hangs")
    with tally.trial():
        while True:
            pass
    assert (tally.tries, tally.hangs) == (1, 1)
