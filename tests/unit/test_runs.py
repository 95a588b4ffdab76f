"""Recorded runs under disaster: killed workers and clients, damaged files, full disks, two clients; Dask clusters."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
import torch

from udig_lab.cli import main
from udig_lab.experiments import Cell, cards, cluster, grid, recorded, records, run, store, work

distributed = pytest.importorskip("distributed")

# Three cells of two shards, each of them explained and judged: a dozen files, made in a few seconds.
METHODS = ["gradient_x_input", "random", "sig"]
CELLS = grid("trec", METHODS, profile="mini")
COMMAND = ["run", "--dataset", "trec", "--methods", ",".join(METHODS)]
FILES = 4 * len(CELLS)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As the workers of a local cluster, so that sums are formed in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(CELLS, folder, workers=0, progress=False)
    return folder


@pytest.fixture(scope="module")
def joined():
    """A cluster of one worker with two threads, to be joined by its address."""
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        silence_logs="CRITICAL",
    ) as found:
        yield found


def shards_of(folder):
    return sorted(folder.glob(".shards/**/*.parquet"))


def times(files):
    return {file: file.stat().st_mtime_ns for file in files}


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
    return found


def assert_same_numbers(folder, other, **tolerance):
    """All columns but seconds, and nothing half."""
    tables = [recorded("trec", profile="mini", folder=f).drop(columns="seconds") for f in (folder, other)]
    pd.testing.assert_frame_equal(*tables, **(tolerance or {"check_exact": True}))
    assert len(tables[0]) == 60 * len(CELLS)
    assert not list(folder.rglob("*.part"))


def assert_one_sentence(printed, *words):
    assert printed.startswith("udig-lab: ")
    assert printed.count("\n") == 1
    for word in words:
        assert word in printed


# a, f: a cluster that is joined


def test_a_cluster_that_is_joined(joined, undisturbed, tmp_path):
    run(CELLS, tmp_path, scheduler=joined.scheduler_address, progress=False)
    assert_same_numbers(tmp_path, undisturbed, rtol=1e-4, atol=1e-5)  # two threads add in another order
    threads = {machine for card in cards("trec", profile="mini", folder=tmp_path) for machine in card["machines"]}
    assert [machine.split(", ")[1] for machine in threads] == ["2 thread(s)"]


def test_a_killed_worker(joined, undisturbed, tmp_path):
    with distributed.Client(joined) as client:
        (worker,) = client.run(os.getpid).values()
    seen = []

    def kill():
        wait_for(lambda: shards_of(tmp_path))
        os.kill(worker, signal.SIGKILL)
        seen.append(len(shards_of(tmp_path)))

    killer = threading.Thread(target=kill)
    killer.start()
    run(CELLS, tmp_path, scheduler=joined.scheduler_address, progress=False)
    killer.join()
    assert 1 <= seen[0] < FILES
    assert not psutil.pid_exists(worker)
    assert_same_numbers(tmp_path, undisturbed, rtol=1e-4, atol=1e-5)


# b, h: a local cluster


def test_a_killed_client_and_two_workers_that_take_over(undisturbed, tmp_path, monkeypatch):
    command = [sys.executable, "-m", "udig_lab.cli", *COMMAND, "--output", str(tmp_path), "--workers", "1"]
    client = subprocess.Popen(command)
    wait_for(lambda: shards_of(tmp_path))
    family = psutil.Process(client.pid).children(recursive=True)
    client.kill()
    client.wait()
    assert len(family) >= 1
    assert not psutil.wait_procs(family, timeout=30)[1], "workers outlive their client"

    finished = times(shards_of(tmp_path))
    assert 1 <= len(finished) < FILES
    assert all(store.read_rows(file) for file in finished)
    assert not list(tmp_path.glob("trec/**/*.json"))

    monkeypatch.setenv("OMP_NUM_THREADS", "4")  # what a user has set must not crowd the cores
    run(CELLS, tmp_path, workers=2, progress=False)
    assert times(finished) == finished
    assert_same_numbers(tmp_path, undisturbed)
    machines = {machine for card in cards("trec", profile="mini", folder=tmp_path) for machine in card["machines"]}
    assert [machine.split(", ")[1] for machine in machines] == ["1 thread(s)"]


# c: damaged files


def copy_without_results(folder, target):
    shutil.copytree(folder / ".shards", target / ".shards")
    return times(shards_of(target))


def test_damaged_shards_are_made_again_and_no_others(undisturbed, tmp_path):
    before = copy_without_results(undisturbed, tmp_path)
    cut, flipped, half = list(before)[1], list(before)[6], list(before)[-1]
    cut.write_bytes(cut.read_bytes()[:-100])
    content = flipped.read_bytes()
    for place in range(len(content) // 4, len(content)):  # in a header, a bit may say nothing that is read
        flipped.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        if store.read_rows(flipped) is None:
            break
    half.write_bytes(b"")
    before |= times([cut, flipped, half])
    run(CELLS, tmp_path, workers=0, progress=False)
    assert_same_numbers(tmp_path, undisturbed)
    assert {file for file, moment in times(before).items() if moment != before[file]} == {cut, flipped, half}


def test_no_flipped_bit_becomes_a_number(undisturbed, tmp_path):
    source = next(file for file in shards_of(undisturbed) if file.parent.name == "explained")
    content, whole = source.read_bytes(), store.read_rows(source)
    pages = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    caught = 0
    for place in range(4, pages, pages // 100):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "f.parquet").write_bytes(damaged)
        found = store.read_rows(tmp_path / "f.parquet")
        caught += found is None
        assert found is None or found[0].equals(whole[0])  # page headers hold a few bits that nobody reads
    assert caught > 80


def test_shards_that_change_before_they_are_joined(undisturbed, tmp_path, monkeypatch):
    def disturbed(*arguments):
        for c in cluster.work_through(*arguments):
            shards_of(tmp_path)[0].write_bytes(b"PAR1")
            yield c

    monkeypatch.setattr(sys.modules["udig_lab.experiments.run"], "work_through", disturbed)
    run(CELLS, tmp_path, workers=0, progress=False)
    assert_same_numbers(tmp_path, undisturbed)


@pytest.mark.parametrize("damage", ["cut", "missing", "of another run"])
def test_damaged_records_are_named_and_mended_from_shards(undisturbed, tmp_path, damage):
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    before = times(shards_of(tmp_path))
    file = tmp_path / "trec" / "mini" / "sig-mask-corrected.parquet"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "missing":
        file.unlink()
    else:
        shutil.copy(file.with_name("random-corrected.parquet"), file)
    sentence = (
        r"sig-mask-corrected\.parquet is missing, damaged .* udig-lab run --dataset trec --profile mini --methods"
    )
    with pytest.raises(ValueError, match=sentence) as told:
        recorded("trec", profile="mini", folder=tmp_path)
    advised = str(told.value).split("udig-lab ")[1].split()
    assert main([*advised, "--output", str(tmp_path), "--workers", "0"]) == 0
    assert_same_numbers(tmp_path, undisturbed)
    assert times(before) == before


def test_a_damaged_card_is_named_and_mended(undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    card = tmp_path / "trec" / "mini" / "sig-mask-corrected.json"
    card.write_text(card.read_text()[:-50])
    with pytest.raises(ValueError, match=r"sig-mask-corrected\.json is no card of a recorded run; remove it"):
        cards("trec", profile="mini", folder=tmp_path)
    run(CELLS, tmp_path, workers=0, progress=False)
    assert_same_numbers(tmp_path, undisturbed)


# d: a full disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, with room for a few shards beside a ballast."""
    folder = tmp_path / "small"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command to make a small disk with")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("where", ["this process", "a worker"])
def test_a_full_disk(small_disk, undisturbed, request, capsys, where):
    there = {
        "this process": lambda: ["--workers", "0"],
        "a worker": lambda: ["--scheduler", request.getfixturevalue("joined").scheduler_address],
    }[where]()
    command = [*COMMAND, "--output", str(small_disk), *there]
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
    assert main(command) == 2
    assert_one_sentence(capsys.readouterr().err, f"the disk that holds {small_disk}", "is full", "free some space")
    finished = times(shards_of(small_disk))
    assert 1 <= len(finished) < FILES
    assert all(store.read_rows(file) for file in finished)
    assert not list(small_disk.rglob("*.part"))

    ballast.unlink()
    assert main(command) == 0
    assert times(finished) == finished
    assert_same_numbers(small_disk, undisturbed, rtol=1e-4, atol=1e-5)


@contextmanager
def failing(monkeypatch, error, writes):
    """After so many writes, the disk does what it does."""
    count = iter(range(10_000))

    def sync(number):
        if next(count) >= writes:
            raise error

    with monkeypatch.context() as patched:
        patched.setattr(store.os, "fsync", sync)
        yield


# The fifth file is the first cell's record, the sixth its card.
@pytest.mark.parametrize(("number", "writes"), [(errno.EDQUOT, 0), (errno.ENOSPC, 3), (errno.ENOSPC, 5)])
def test_a_disk_that_says_it_is_full(undisturbed, tmp_path, monkeypatch, capsys, number, writes):
    command = [*COMMAND, "--output", str(tmp_path), "--workers", "0"]
    with failing(monkeypatch, OSError(number, "no room"), writes):
        assert main(command) == 2
    assert_one_sentence(capsys.readouterr().err, "the disk that holds", "is full")
    finished = times(shards_of(tmp_path))
    assert len(finished) == min(writes, 4)
    assert not list(tmp_path.rglob("*.part"))
    assert main(command) == 0
    assert times(finished) == finished
    assert_same_numbers(tmp_path, undisturbed)


def test_other_errors_of_a_disk_are_passed_on(tmp_path, monkeypatch, capsys):
    with failing(monkeypatch, OSError(errno.EIO, "Input/output error"), 0):
        assert main([*COMMAND, "--output", str(tmp_path), "--workers", "0"]) == 2
    assert_one_sentence(capsys.readouterr().err, "Input/output error")


def test_a_run_that_is_interrupted(undisturbed, tmp_path, monkeypatch, capsys):
    command = [*COMMAND, "--output", str(tmp_path), "--workers", "0"]
    with failing(monkeypatch, KeyboardInterrupt(), 3):
        assert main(command) == 130
    assert_one_sentence(capsys.readouterr().err, "stopped; finished shards are kept, run the same command again")
    finished = times(shards_of(tmp_path))
    assert len(finished) == 3
    assert not list(tmp_path.rglob("*.part"))
    assert main(command) == 0
    assert times(finished) == finished
    assert_same_numbers(tmp_path, undisturbed)


# e: two clients

_CLIENTS = """
import os, sys
from pathlib import Path
from udig_lab.cli import main
from udig_lab.experiments import store, work

log, command = Path(sys.argv[1]), sys.argv[2:]

def counted(file, *more, write=store.write_rows):
    with log.open("a") as stream:
        stream.write(f"{file}\\n")
    write(file, *more)

work.write_rows = counted
other = os.fork()  # after the imports, which take longer than all the rest
status = main(command)
if other:
    status += os.waitstatus_to_exitcode(os.waitpid(other, 0)[1])
sys.exit(status)
"""


def test_two_clients_on_one_store_make_every_shard_once(undisturbed, tmp_path):
    folder, log = tmp_path / "store", tmp_path / "log"
    command = [*COMMAND, "--output", str(folder), "--workers", "0"]
    subprocess.run([sys.executable, "-c", _CLIENTS, log, *command], check=True)
    made = log.read_text().splitlines()
    assert len(made) == len(set(made)) == FILES
    assert_same_numbers(folder, undisturbed, rtol=1e-4, atol=1e-5)


# Clusters that are not as they should be


@pytest.mark.filterwarnings("ignore::UserWarning:distributed")
def test_nobody_listens(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "_PATIENCE", 0.5)
    command = [*COMMAND, "--output", str(tmp_path)]
    assert main([*command, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert_one_sentence(capsys.readouterr().err, "no Dask scheduler answers at 'tcp://127.0.0.1:9'", "dask scheduler")
    assert main([*command, "--scheduler", "ftp:here"]) == 2
    assert_one_sentence(capsys.readouterr().err, "no Dask scheduler answers at 'ftp:here'")


def test_a_scheduler_without_workers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "_NOBODY", 2)
    http = {"dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, scheduler_kwargs=http) as empty:
        address = empty.scheduler_address
        assert main([*COMMAND, "--output", str(tmp_path), "--scheduler", address]) == 2
    assert_one_sentence(capsys.readouterr().err, f"the Dask scheduler at {address} has no workers", "dask worker")


class _DiedError(Exception):
    pass


class _Done(list):
    """Futures that are done, as Dask hands them out."""

    def is_empty(self):
        return not self

    has_ready = list.__len__

    def next_batch(self, block):
        batch, self[:] = list(self), []
        return batch


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (
            _DiedError(),
            MemoryError,
            "workers died again and again on gradient_x_input-mask-corrected, .* fewer --workers",
        ),
        (TimeoutError(), ConnectionError, "the Dask scheduler at tcp://here went away; everything finished is kept"),
        (
            ModuleNotFoundError("No module named 'udig_lab'"),
            ValueError,
            r"a worker of tcp://here would make other rows than this process \(ModuleNotFoundError: .*same env",
        ),
        (
            TypeError("_on_worker() missing 2 required positional arguments"),
            ValueError,
            "a worker of tcp://here would make other rows",
        ),
        (
            None,
            FileNotFoundError,
            r"0000\.parquet is made, but not here: the workers of tcp://here see another folder",
        ),
    ],
)
def test_what_goes_wrong_on_a_cluster_is_one_sentence(tmp_path, monkeypatch, answer, error, message):
    def result():
        if answer is not None:
            raise answer

    module = SimpleNamespace(as_completed=_Done, KilledWorker=_DiedError, CancelledError=TimeoutError)
    client = SimpleNamespace(submit=lambda *a, **k: _Future(result))

    @contextmanager
    def stub(scheduler, workers):
        yield module, client

    monkeypatch.setattr(cluster, "_client", stub)
    with pytest.raises(error, match=message):
        run(CELLS[0], tmp_path, scheduler="tcp://here", progress=False)


class _Future:
    def __init__(self, result):
        self.result = result


def test_without_dask(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"Dask, which is not installed; run: pip install distributed"):
        run(CELLS[1], tmp_path, progress=False)
    assert run(CELLS[1], tmp_path, workers=0, progress=False)[0].is_file()


@pytest.mark.parametrize("arguments", [["--workers", "-1"], ["--workers", "2", "--scheduler", "tcp://here:1"]])
def test_workers_that_make_no_sense(tmp_path, capsys, arguments):
    assert main([*COMMAND, "--output", str(tmp_path), *arguments]) == 2
    assert_one_sentence(capsys.readouterr().err, "name a scheduler", "or say how many processes to start here")


# g: resuming


def test_a_larger_limit_adds_to_a_smaller_one(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "_SHARD", 8)
    cell = {limit: Cell("trec", "random", profile="mini", limit=limit) for limit in (8, 12, 24)}

    def record(limit):
        before = times(shards_of(tmp_path))
        run(cell[limit], tmp_path, workers=0, progress=False)
        return sum(before.get(file) != moment for file, moment in times(shards_of(tmp_path)).items())

    assert [record(8), record(12), record(24)] == [2, 2, 4]  # explained and judged; the half shard of 12 is made again
    rows = recorded("trec", profile="mini", folder=tmp_path)
    assert len(rows) == 24
    assert rows.id.is_monotonic_increasing  # as in the data, not as drawn
    assert [record(12), record(8)] == [0, 0]  # more is recorded already
    assert len(recorded("trec", profile="mini", folder=tmp_path)) == 24


def test_two_limits_in_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "_SHARD", 8)
    cells = [Cell("trec", "random", profile="mini", limit=limit) for limit in (20, 12)]
    for order in (cells, cells[::-1]):
        folder = tmp_path / str(order[0].limit)
        run(order, folder, workers=0, progress=False)
        assert len(recorded("trec", profile="mini", folder=folder)) == 20


def test_eraser_judges_the_explanations_of_corrected(undisturbed, tmp_path):
    before = copy_without_results(undisturbed, tmp_path)
    run(Cell("trec", "sig", protocol="eraser", profile="mini"), tmp_path, workers=0, progress=False)
    new = [file for file in shards_of(tmp_path) if file not in before]
    assert [file.parent.name for file in new] == ["judged"] * 2
    assert times(before) == before


def test_records_of_another_version(undisturbed, tmp_path):
    shutil.copytree(undisturbed / "trec", tmp_path / "trec")
    file = tmp_path / "trec" / "mini" / "random-corrected.parquet"
    rows, card = store.read_rows(file)
    records.write_record(file, rows, card | {"format": 1})
    with pytest.raises(ValueError, match=r"another version \(format 1, not 3\); remove it .* record it again with"):
        recorded("trec", profile="mini", folder=tmp_path)
