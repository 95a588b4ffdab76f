"""Clusters that fall apart, with real processes: a run goes on, or ends in one sentence within a stated time."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import dask.config
import pytest

from udig_lab.cli import main
from udig_lab.experiments import cluster, grid, recorded, run

distributed = pytest.importorskip("distributed")

CELLS = grid("trec", ["random"], profile="mini")
COMMAND = ["run", "--dataset", "trec", "--methods", "random"]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:distributed")

# What a worker runs when it starts.
DIES = """
import os, signal
from udig_lab.experiments import work
work.explained_rows = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
OTHER = """
from udig_lab.faithfulness import metrics
metrics.measure = lambda *a, measure=metrics.measure, **k: 1.001 * measure(*a, **k)
"""
BROKEN = """
from udig_lab.experiments import work
work.explained_rows = lambda *_: work.explained_rows(*_)
"""
OLD = """
from udig_lab.experiments import cluster
vars(cluster).pop("_on_worker", None)
"""
SLOW = """
import time
from udig_lab.experiments import work
work.judged_rows = lambda *a, **k: time.sleep(600)
"""


@pytest.fixture
def processes():
    """Start processes; all of them end with the test."""
    started = []

    def start(*arguments, preload=None):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
        command += ["--preload", str(preload)] if preload else []
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()


@pytest.fixture
def scheduler(processes):
    """A scheduler's process, and its address."""
    process = processes("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    for line in process.stdout:
        if found := re.search(r"(tcp://127\.0\.0\.1:\d+)", line):
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, found[1]
    raise AssertionError("the scheduler did not start")


@pytest.fixture
def worker(processes, scheduler, tmp_path):
    """Start a worker of the scheduler that does something when it starts."""

    def start(script=""):
        file = tmp_path / "preload.py"
        file.write_text(script)
        where = ["--local-directory", str(tmp_path / "scratch"), "--no-dashboard", "--no-nanny", "--nthreads", "1"]
        process = processes("dask_worker", scheduler[1], *where, preload=file)
        # A start takes long where all cores are busy: no test measures it, so each begins when there is a worker.
        for line in process.stdout:
            if "Registered to" in line:
                break
        threading.Thread(target=process.stdout.read, daemon=True).start()
        return process

    return start


def when(condition, act):
    """Act as soon as something is so."""

    def wait():
        while not condition():
            time.sleep(0.05)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def ends(folder, address, capsys, *words, within=60):
    """The command ends with status 2 and one sentence."""
    begin = time.monotonic()
    assert main([*COMMAND, "--output", str(folder), "--scheduler", address]) == 2
    assert time.monotonic() - begin < within
    printed = capsys.readouterr().err
    assert printed.startswith("udig-lab: ")
    assert printed.count("\n") == 1, printed
    for word in words:
        assert word in printed
    return printed


def test_a_local_worker_that_dies_again_and_again(tmp_path):
    """Each death is followed by another worker; after some, the shard is to blame."""
    (tmp_path / "preload.py").write_text(DIES)
    settings = {
        "distributed.worker.preload": [str(tmp_path / "preload.py")],
        "distributed.scheduler.allowed-failures": 1,
    }
    with (
        dask.config.set(settings),
        pytest.raises(MemoryError, match=r"workers died again and again on random-corrected, .* fewer --workers"),
    ):
        run(CELLS, tmp_path / "results", workers=1, progress=False)


def test_local_workers_that_cannot_start(tmp_path, monkeypatch):
    (tmp_path / "preload.py").write_text("import os; os._exit(3)")
    monkeypatch.setattr(cluster, "_START", 6)
    with (
        dask.config.set({"distributed.worker.preload": [str(tmp_path / "preload.py")]}),
        pytest.raises(OSError, match="no process of the local cluster was ready within 6 s"),
    ):
        run(CELLS, tmp_path / "results", workers=1, progress=False)


def test_a_worker_that_joins_late(tmp_path, scheduler, worker):
    """The run waits for it."""
    late = when(lambda: True, lambda: (time.sleep(2), worker()))
    run(CELLS, tmp_path / "results", scheduler=scheduler[1], progress=False)
    late.join()
    assert len(recorded("trec", profile="mini", folder=tmp_path / "results")) == 60


def test_the_last_worker_is_lost(tmp_path, scheduler, worker, monkeypatch, capsys):
    process = worker(SLOW)

    def kill():
        monkeypatch.setattr(cluster, "_NOBODY", 2)
        process.kill()

    killer = when(lambda: list(tmp_path.rglob("explained/*.parquet")), kill)
    ends(tmp_path / "results", scheduler[1], capsys, "has no workers since 2 s", "everything finished is kept")
    killer.join()
    assert list(tmp_path.rglob("explained/*.parquet"))


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "went away; everything finished is kept"), (signal.SIGSTOP, "does not answer")],
)
def test_a_scheduler_that_dies_or_hangs(tmp_path, scheduler, worker, monkeypatch, capsys, number, words):
    monkeypatch.setattr(cluster, "_PATIENCE", 20)
    worker(SLOW)

    def stop():
        monkeypatch.setattr(cluster, "_NOBODY", 2)
        monkeypatch.setattr(cluster, "_PATIENCE", 1)
        scheduler[0].send_signal(number)

    stopper = when(lambda: list(tmp_path.rglob("explained/*.parquet")), stop)
    ends(tmp_path / "results", scheduler[1], capsys, words)
    stopper.join()


def test_a_worker_that_fails_in_a_way_nobody_foresaw(tmp_path, scheduler, worker):
    """A recursion without end: its traceback is more than Dask can read, and it waited for ever."""
    worker(BROKEN)
    with pytest.raises(RuntimeError, match="RecursionError"):
        run(CELLS, tmp_path / "results", scheduler=scheduler[1], progress=False)


@pytest.mark.parametrize(("script", "words"), [(OTHER, "other code"), (OLD, "AttributeError")])
def test_a_worker_of_another_version_is_refused(tmp_path, scheduler, worker, capsys, script, words):
    worker(script)
    told = ends(tmp_path / "results", scheduler[1], capsys, "would make other rows than this process", words)
    assert "give both the same environment and package" in told
    assert not list(tmp_path.rglob("*.parquet"))
