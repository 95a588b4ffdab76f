"""What befalls a folder of records: kills, flipped bits, full disks, other clocks, several clients, dying workers."""

import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import psutil
from tally import LIMIT, Tally

from udig_lab.cli import main
from udig_lab.experiments import recorded, store

COMMAND = ["run", "--dataset", "trec", "--methods", "random,gradient_x_input"]
Files = dict[Path, bytes]


class Stage:
    """A folder of records as an undisturbed run leaves it, and copies of it to be disturbed."""

    def __init__(self, root: Path):
        self.root, self.number = root, 0
        begin = time.monotonic()
        self.whole = root / "whole"
        if wait(client(self.whole)) != 0:
            raise RuntimeError((root / "whole.log").read_text())
        self.seconds = time.monotonic() - begin
        self.rows = rows_of(self.whole)

    @contextmanager
    def folder(self, *, filled: bool = False) -> Iterator[Path]:
        """A folder of its own."""
        self.number += 1
        place = self.root / f"try{self.number}"
        if filled:
            shutil.copytree(self.whole, place)
        yield place
        shutil.rmtree(place, ignore_errors=True)

    def check(self, tally: Tally, folder: Path) -> None:
        """All rows are there, and each is as it was made without disturbance."""
        found = rows_of(folder)
        tally.lost_rows += max(len(self.rows) - len(found), 0)
        if len(found) != len(self.rows):
            tally.note(f"{len(found)} rows of {len(self.rows)}")
            return
        for name in self.rows:
            same = [_same(one, other) for one, other in zip(found[name], self.rows[name], strict=True)]
            if not all(same):
                tally.mixed_files += 1
                tally.note(f"{same.count(False)} other values of {name}")
                return


def _same(one: object, other: object) -> bool:
    if isinstance(other, (float, np.ndarray)):
        return bool(np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True))  # type: ignore[arg-type]
    return one == other


def rows_of(folder: Path) -> pd.DataFrame:
    return recorded("trec", profile="mini", folder=folder).drop(columns=["seconds"])


def files(folder: Path, pattern: str = "**/*.parquet") -> Files:
    return {file: file.read_bytes() for file in folder.glob(pattern)}


def client(folder: Path, *more: str) -> int:
    """A process that records; it is forked, since its imports take longer than its work. Returns its number."""
    pid = os.fork()
    if pid:
        return pid
    with folder.with_suffix(".log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = 99
        with suppress(BaseException):
            status = main([*COMMAND, "--workers", "0", "--output", str(folder), *more])
        sys.stdout.flush()
        os._exit(status)


def wait(pid: int) -> int:
    """The status of a process; it is killed when it hangs."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f"process {pid} hangs")


def again(tally: Tally, stage: Stage, folder: Path, finished: Files) -> None:
    """The same command goes on: it ends well, keeps what was finished, and the rows are all right."""
    if (status := wait(client(folder))) != 0:
        tally.strange(RuntimeError(f"status {status}: {folder.with_suffix('.log').read_text()[-300:]}"))
        return
    for file, content in finished.items():
        if not file.is_file() or file.read_bytes() != content:
            tally.lost_rows += len(store.read_rows(file)[0]) if file.is_file() else 32  # type: ignore[index]
            tally.note(f"{file.name} was finished, and is another one now")
    stage.check(tally, folder)


def stopped(tally: Tally, count: int, stage: Stage, number: signal.Signals, expected: tuple[int, ...]) -> None:
    draw = random.Random(number)
    for _ in range(count):
        with tally.trial(), stage.folder() as folder:
            pid = client(folder)
            time.sleep(draw.uniform(0, 1.1 * stage.seconds))
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            status = wait(pid)
            if status not in (0, *expected):
                tally.strange(RuntimeError(f"status {status}: {folder.with_suffix('.log').read_text()[-300:]}"))
            again(tally, stage, folder, {f: c for f, c in files(folder).items() if store.read_rows(f) is not None})


def kills(tally: Tally, count: int, stage: Stage) -> None:
    """kill -9 at any moment; then the same command again."""
    stopped(tally, count, stage, signal.SIGKILL, (-signal.SIGKILL,))


def interrupts(tally: Tally, count: int, stage: Stage) -> None:
    """Ctrl-C at any moment; then the same command again."""
    stopped(tally, count, stage, signal.SIGINT, (130,))


def flipped_bits(tally: Tally, count: int, stage: Stage) -> None:
    """One bit of a record, a card or a shard: noticed where it matters, and mended by the command that is advised."""
    draw = random.Random(0)
    with stage.folder(filled=True) as folder:
        pristine = files(folder, "**/*.parquet") | files(folder, "trec/**/*.json")
        places = sorted(pristine)
        for _ in range(count):
            file = draw.choice(places)
            spoilt = bytearray(pristine[file])
            spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
            file.write_bytes(spoilt)
            with tally.trial():
                if ".shards" in file.parts:
                    shard(tally, file, pristine[file])
                else:
                    mended(tally, stage, folder)
            for other, content in pristine.items():
                if not other.is_file() or other.read_bytes() != content:
                    other.write_bytes(content)


def shard(tally: Tally, file: Path, content: bytes) -> None:
    """A shard is read as it was made, or not at all."""
    found = store.read_rows(file)
    if found is None:
        tally.refusals += 1  # it is made again
    else:
        file.write_bytes(content)
        rows, note = store.read_rows(file)  # type: ignore[misc]
        tally.mixed_files += not (found[0].equals(rows) and found[1] == note)


def mended(tally: Tally, stage: Stage, folder: Path) -> None:
    """Records are read as they were made, or refused with the command that mends them."""
    try:
        stage.check(tally, folder)
    except Exception as error:
        tally.refused(error)
        advised = shlex.split(str(error).split("udig-lab ", 1)[1])
        with mock.patch("sys.stdout", open(os.devnull, "w")), mock.patch("sys.stderr", open(os.devnull, "w")):
            status = main([*advised, "--workers", "0", "--output", str(folder)])
        if status != 0:
            tally.strange(RuntimeError(f"the advised command ends with {status}: {error}"))
        stage.check(tally, folder)


def full(tally: Tally, count: int, stage: Stage, option: str, sizes: tuple[int, int]) -> None:
    """A file system of its own, which fills up at any moment; then room is made, and the same command again."""
    draw = random.Random(option)
    for _ in range(count):
        with tally.trial(), stage.folder() as folder:
            folder.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"{option}={draw.randint(*sizes)}", "tmpfs", str(folder)]
            subprocess.run(mount, check=True)
            try:
                status, told = wait(client(folder)), folder.with_suffix(".log").read_text()
                if status not in (0, 2) or (status == 2 and told.count("\n") != 1):
                    tally.strange(RuntimeError(f"status {status}: {told}"))
                finished = {f: c for f, c in files(folder).items() if store.read_rows(f) is not None}
                subprocess.run(["mount", "-o", f"remount,{option}=0", str(folder)], check=True)  # without a limit
                again(tally, stage, folder, finished)
            finally:
                subprocess.run(["umount", str(folder)], check=True)


def full_disks(tally: Tally, count: int, stage: Stage) -> None:
    """Bytes run out."""
    full(tally, count, stage, "size", (4096, 400_000))


def no_inodes(tally: Tally, count: int, stage: Stage) -> None:
    """Names run out."""
    full(tally, count, stage, "nr_inodes", (2, 45))


def clocks(tally: Tally, count: int, stage: Stage) -> None:
    """Clocks are years off, and files come from the past and the future: nothing is made anew, nothing is missed."""
    draw = random.Random(0)
    for _ in range(count):
        with tally.trial(), stage.folder(filled=True) as folder:
            for file in folder.rglob("*"):
                moment = time.time() + draw.uniform(-1, 1) * 3e8
                os.utime(file, (moment, moment))
            shutil.rmtree(folder / "trec")
            lost = draw.choice(sorted(folder.rglob("*.parquet")))
            lost.unlink()
            shift = draw.uniform(-1, 1) * 3e8
            with mock.patch("time.time", lambda t=time.time, s=shift: t() + s):
                again(tally, stage, folder, files(folder))


def two_clients(tally: Tally, count: int, stage: Stage) -> None:
    """Two processes record into one folder."""
    draw = random.Random(0)
    for _ in range(count):
        with tally.trial(), stage.folder() as folder:
            first = client(folder)
            time.sleep(draw.uniform(0, 0.5))
            second = client(folder)
            for status in (wait(first), wait(second)):
                if status != 0:
                    tally.strange(RuntimeError(f"status {status}: {folder.with_suffix('.log').read_text()[-300:]}"))
            stage.check(tally, folder)


def dying_workers(tally: Tally, count: int, stage: Stage) -> None:
    """kill -9 on a worker of the local cluster, at any moment after it has begun."""
    draw = random.Random(0)
    code = "import sys; from udig_lab.cli import main; sys.exit(main())"
    for _ in range(count):
        with tally.trial(), stage.folder() as folder:
            command = [sys.executable, "-c", code, *COMMAND, "--workers", "2", "--output", str(folder)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                for worker in _workers(process):
                    time.sleep(draw.uniform(0, 2))
                    tally.from_now()
                    with suppress(psutil.NoSuchProcess):
                        worker.kill()
                    break
                told, _ = process.communicate(timeout=2 * LIMIT)
            finally:
                process.kill()
            if process.returncode not in (0, 2) or "Traceback" in told:
                tally.strange(RuntimeError(f"status {process.returncode}: {told[-300:]}"))
            again(tally, stage, folder, {f: c for f, c in files(folder).items() if store.read_rows(f) is not None})


def _workers(process: "subprocess.Popen[str]") -> Iterator[psutil.Process]:
    """The first worker, as soon as there is one; nothing when the run is over before."""
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children():
                if "spawn_main" in " ".join(child.cmdline()):
                    yield child
        time.sleep(0.1)
