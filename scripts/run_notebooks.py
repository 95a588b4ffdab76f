"""Execute notebooks with papermill: in parallel, cached, and all or nothing for each of them.

An executed copy is reused as long as `cache.py` finds it fresh. What happens to a single notebook is in
`execute_notebook.py`.
"""

import json
import multiprocessing
import os
import re
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache import Cache, Card
from stopping import deaf

FAILED = Path("_build/failed")
HEARTBEAT = 30  # seconds without a finished notebook after which the running ones are named
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    # tqdm asks for ipywidgets as soon as transformers is imported; the book shows no bars at all.
    "PYTHONWARNINGS": "ignore:IProgress not found",
}
Outcome = tuple[float, str]  # seconds, and what went wrong ("" if nothing did)


@dataclass(frozen=True)
class Job:
    """One notebook to execute: where it lies, and the card of its executed copy."""

    root: Path
    name: str
    card: Card
    parameters: dict[str, Any]

    @property
    def source(self) -> Path:
        """The committed notebook."""
        return self.root / self.name

    @property
    def executed(self) -> Path:
        """Its copy with outputs, there only once every cell has run."""
        return self.card.made

    @property
    def failed(self) -> Path:
        """What there is of it while it runs, and after it has failed."""
        return self.root / FAILED / self.name


def plan(cache: Cache, names: list[str], parameters: dict[str, Any]) -> list[Job]:
    """A job for each notebook. Raises ValueError for a parameter that a notebook does not have."""
    jobs = []
    for name in names:
        missing = sorted(set(parameters) - parameter_names(cache.root / name))
        if missing:
            raise ValueError(
                f"{name} has no parameter {', '.join(missing)}; its cell tagged `parameters` would have to set it."
            )
        jobs.append(Job(cache.root, name, cache.notebook(name, parameters), parameters))
    return jobs


def run(jobs: list[Job], workers: int, use_cache: bool = True) -> list[str]:
    """Bring every job's executed copy up to date; a line for each. Returns those that failed."""
    failures: list[str] = []
    done = 0

    def say(job: Job, what: str) -> None:
        nonlocal done
        done += 1
        title = job.name.removeprefix("notebooks/").removesuffix(".ipynb")
        print(f"[{done}/{len(jobs)}] {title} ... {what}", flush=True)

    stale = []
    for job in jobs:
        if use_cache and job.card.fresh:
            say(job, "unchanged")
        else:
            stale.append(job)
    # The longest first, as far as known, so that no worker is left alone with it at the end.
    stale.sort(key=lambda job: job.card.seconds, reverse=True)
    for job, (seconds, error) in _in_parallel(stale, max(1, min(workers, len(stale)))):
        say(job, f"FAILED after {seconds:.0f} s" if error else f"{seconds:.0f} s")
        if error:
            print(f"  {job.name}, {error}\n  as far as it got: {FAILED / job.name}", flush=True)
            failures.append(job.name)
        else:
            job.card.write(seconds)
    return failures


def _in_parallel(jobs: list[Job], workers: int) -> Iterator[tuple[Job, Outcome]]:
    """Execute jobs in worker processes and yield each of them as it ends."""
    if not jobs:
        return
    from execute_notebook import execute, prepare  # here: papermill takes a second, an up-to-date book none

    log = jobs[0].root / "_build" / "kernels.log"
    log.unlink(missing_ok=True)
    # Spawned, not forked: a worker starts from a clean interpreter with its environment set first.
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=prepare,
        initargs=(_environment(jobs[0], threads=max(1, cores() // workers)), log),
    )
    with pool:
        with deaf():  # workers are started as they get work
            waiting: dict[Future[Outcome], Job] = {
                pool.submit(execute, job.source, job.executed, job.failed, job.parameters): job for job in jobs
            }
        while waiting:
            ended, _ = wait(waiting, timeout=HEARTBEAT, return_when=FIRST_COMPLETED)
            if not ended:
                names = [job.name for future, job in waiting.items() if future.running()]
                print(f"      still running: {', '.join(names)}", flush=True)
            for future in ended:
                error = future.exception()  # set only if the worker itself died
                yield waiting.pop(future), (0.0, f"worker: {error}") if error else future.result()


def _environment(job: Job, threads: int) -> dict[str, str]:
    """Variables of the kernels: quiet libraries, a share of the cores, no start-up files."""
    share = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    own = {"IPYTHONDIR": str(job.root / "_build" / "ipython")}
    offline = {"HF_HUB_OFFLINE": "1"} if job.parameters.get("PROFILE", "mini") == "mini" else {}
    return QUIET | share | own | offline


def parameter_names(notebook: Path) -> set[str]:
    """Names assigned in the cell tagged `parameters`."""
    cells = json.loads(notebook.read_text(encoding="utf8"))["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    source = "\n".join("".join(c["source"]) for c in tagged)
    return set(re.findall(r"^(\w+)\s*(?::[^=\n]+)?=(?!=)", source, flags=re.MULTILINE))


def cores() -> int:
    """Cores this process may use (fewer than the machine's inside a container)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
