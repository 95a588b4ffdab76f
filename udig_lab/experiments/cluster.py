"""Shards on many processes: a local Dask cluster, or one that is joined."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch

from udig_lab.experiments.cell import Cell
from udig_lab.experiments.origin import at_places, model_of, places
from udig_lab.experiments.work import shard_file, shard_identity, shard_rows

_PATIENCE = 10  # seconds in which a scheduler must answer
_START = 180  # seconds in which a process must start, which it does in about five
_NOBODY = 60  # seconds without any worker, or any answer, after which a run ends
_LOCAL = "the local cluster"
_LOOK = 1  # seconds between two looks at who is there
_KINDS = {kind.__name__: kind for kind in (ValueError, TypeError, OSError, ImportError, MemoryError)}  # of sentences


def work_through(
    cells: Sequence[Cell],
    tasks: Sequence[tuple[int, int]],
    folder: Path,
    scheduler: str | None,
    workers: int | None,
    force: bool = False,
) -> Iterator[int]:
    """Work through tasks.

    Args:
        cells: M cells.
        tasks: the number of a cell and of one of its shards, in the order of their worth.
        folder: the results folder.
        scheduler: as for ``run``.
        workers: as for ``run``.
        force: as for ``run``.

    Yields:
        the number of a cell, whenever one of its shards is there.

    Raises:
        MemoryError: a shard whose workers died again and again.
        OSError: no cluster, one that went away, lost its workers or sees another folder.
        ValueError: a cluster with another environment.
    """
    if workers == 0 or not tasks:
        for c, n in tasks:
            shard_rows(cells[c], n, folder, force=force)
            yield c
        return
    if workers is None and model_of(cells[tasks[0][0]]).table.is_cuda:
        workers = 1
    with _client(scheduler, workers) as (distributed, client):
        futures, send = {}, _sender()
        for rank, (c, n) in enumerate(tasks):
            # The worker is told what it must make: one with another package, model or data makes nothing.
            job = {"cell": at_places(cells[c]), "number": n, "folder": folder, "force": force}
            job |= {"identity": shard_identity(cells[c], n), "places": places(cells[c])}
            futures[client.submit(send, pickle.dumps(job), pure=False, priority=-rank)] = c, n
        where = scheduler or _LOCAL
        for future in _completed(distributed, client, list(futures), where):
            c, n = futures[future]
            try:
                problem = future.result()
            except distributed.KilledWorker as error:
                raise MemoryError(
                    f"workers died again and again on {cells[c].name}, most likely for want of memory; "
                    "everything finished is kept: run the same command again with fewer --workers"
                ) from error
            except distributed.CancelledError as error:
                raise _gone(where) from error
            except (ImportError, AttributeError, TypeError) as error:
                if "udig_lab" not in str(error) and "_on_worker" not in str(error):
                    raise
                raise _others(where, f"{type(error).__name__}: {error}") from error
            if problem is not None:
                raise _KINDS.get(problem[0], RuntimeError)(problem[1])
            file = shard_file(cells[c], n, folder, judged=True)
            if not file.is_file():
                raise FileNotFoundError(f"{file} is made, but not here: the workers of {where} see another folder")
            yield c


def _sender() -> Callable[[bytes], Any]:
    """What is sent to workers: a function that travels whole: a worker that lacks one by its name dies silently."""

    def send(job: bytes) -> Any:
        return resolve_name("udig_lab.experiments.cluster:_on_worker")(pickle.loads(job))

    return send


def _on_worker(job: dict[str, Any]) -> tuple[str, str] | None:
    """Make one shard with the threads that the worker was given.

    Returns:
        what went wrong, as the name of one of ``_KINDS`` and a sentence: an exception would travel with its traceback,
        which Dask cannot always read, and then waits for ever.
    """
    import distributed

    try:
        worker = distributed.get_worker()
        torch.set_num_threads(worker.state.nthreads)
        if unseen := [place for place in job["places"] if not os.path.exists(place)]:
            raise FileNotFoundError(
                f"the worker {worker.address} does not see {' and '.join(unseen)}; give all workers the model and the "
                "data under the same paths"
            )
        own, asked = shard_identity(job["cell"], job["number"]), job["identity"]
        if own != asked:
            kinds = {"key": "other weights, data or version", "code": "other code"}
            raise _others(worker.address, ", ".join(kinds[name] for name in asked if own.get(name) != asked[name]))
        shard_rows(job["cell"], job["number"], job["folder"], force=job["force"])
    except Exception as error:
        kind = next((name for name, known in _KINDS.items() if isinstance(error, known)), "")
        return kind, str(error) if kind else f"{type(error).__name__}: {error}"
    return None


def _others(where: str, what: str) -> ValueError:
    return ValueError(
        f"a worker of {where} would make other rows than this process ({what}); give both the same environment and "
        "package, and the same UDIG_LAB_DATA and HF_HOME"
    )


def _gone(where: str) -> ConnectionError:
    return ConnectionError(
        f"the Dask scheduler at {where} went away; everything finished is kept: start it again, "
        "and run the same command again"
    )


def _completed(distributed: Any, client: Any, futures: Sequence[Any], where: str) -> Iterator[Any]:
    """Futures as they are done, as long as there is somebody who does them.

    Raises:
        ConnectionError: the scheduler went away, does not answer, or has no workers any more.
    """
    done = distributed.as_completed(futures)
    looked = seen = time.monotonic()
    while not done.is_empty():
        if done.has_ready():
            yield from done.next_batch(block=False)
            seen = time.monotonic()
        elif time.monotonic() - looked > _LOOK:
            work = _work(client)
            looked = time.monotonic()
            seen = looked if work and any(work.values()) else seen
            if client.status == "closed":
                raise _gone(where)
            patience = _START if where == _LOCAL else _NOBODY  # a local worker that died is being started again
            if looked - seen > patience:
                what = "has no workers" if work == {} else "does nothing" if work else "does not answer"
                raise ConnectionError(
                    f"the Dask scheduler at {where} {what} since {patience} s; everything finished is kept: start it "
                    "and its workers again, and run the same command again"
                )
        else:
            time.sleep(0.02)


def _work(client: Any) -> dict[str, Any] | None:
    """What each of the workers works at; None where the scheduler does not answer."""
    try:
        processing: dict[str, Any] = client.sync(client.scheduler.processing, workers=None, callback_timeout=_PATIENCE)
        return processing
    except (OSError, TimeoutError, AttributeError):  # the last, while a client has lost its scheduler
        return None


@contextmanager
def _client(scheduler: str | None, workers: int | None) -> Iterator[tuple[Any, Any]]:
    """Dask's module, and a client of the cluster."""
    dask: Any
    distributed: Any
    try:
        import dask.config
        import dask.system
        import distributed
    except ImportError as error:
        raise ImportError(
            "recorded runs need Dask, which is not installed; run: pip install distributed, or pass workers=0"
        ) from error
    if scheduler is not None:
        client = None
        with suppress(OSError, ValueError):
            client = distributed.Client(scheduler, timeout=_PATIENCE)
        if client is None:
            # Half a client takes a lock of Dask when it is collected: now is safe, inside Dask it would wait for ever.
            gc.collect()
            raise OSError(f"no Dask scheduler answers at {scheduler!r}; start one with: dask scheduler")
        with client:
            try:
                client.wait_for_workers(1, timeout=_NOBODY)
            except TimeoutError as error:
                raise OSError(
                    f"the Dask scheduler at {scheduler} has no workers, and none came within {_NOBODY} s; "
                    f"start one with: dask worker {scheduler}"
                ) from error
            yield distributed, client
        return
    workers = dask.system.CPU_COUNT if workers is None else workers
    stack = ExitStack()
    try:
        # A worker that died is started again, which may take longer than the 15 s after which Dask gives it up.
        stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": f"{_START}s"}))
        with _deaf():
            cluster = distributed.LocalCluster(
                n_workers=0,
                threads_per_worker=1,  # a core each, and none competes with itself for it
                memory_limit=distributed.system.MEMORY_LIMIT // workers,
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # its usual port may be another run's
                silence_logs="CRITICAL",
            )
            stack.enter_context(cluster)
            client = stack.enter_context(distributed.Client(cluster))
        cluster.scale(workers)
        try:
            client.wait_for_workers(1, timeout=_START)
        except TimeoutError as error:
            raise OSError(
                f"no process of the local cluster was ready within {_START} s; is there room in the folder for "
                "temporary files, and does a script call this under if __name__ == '__main__'? or pass workers=0"
            ) from error
        yield distributed, client
    finally:
        _close(stack)


@contextmanager
def _deaf() -> Iterator[None]:
    """Threads made in here, and the processes they start, do not hear Ctrl-C: it is this process's to answer it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # started later, by the first process, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _close(stack: ExitStack) -> None:
    """Close a cluster in order; an impatient second Ctrl-C would only leave its processes in the lurch."""
    if threading.current_thread() is not threading.main_thread():
        stack.close()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stack.close()
    finally:
        signal.signal(signal.SIGINT, before)
