"""Shards on many processes: a local Dask cluster, or one that is joined."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import torch

from udig_lab.experiments.cell import Cell
from udig_lab.experiments.work import model_of, shard_file, shard_key, shard_rows

_PATIENCE = 10  # seconds in which a scheduler must answer, and have a worker
_START = 180  # seconds in which a process must start, which it does in about five


def work_through(
    cells: Sequence[Cell], tasks: Sequence[tuple[int, int]], folder: Path, scheduler: str | None, workers: int | None
) -> Iterator[int]:
    """Work through tasks.

    Args:
        cells: M cells.
        tasks: the number of a cell and of one of its shards, in the order of their worth.
        folder: the results folder.
        scheduler: as for ``run``.
        workers: as for ``run``.

    Yields:
        the number of a cell, whenever one of its shards is there.

    Raises:
        MemoryError: a shard whose workers died again and again.
        OSError: no cluster, or one that went away or sees another folder.
        ValueError: a cluster with another environment.
    """
    if workers == 0 or not tasks:
        for c, n in tasks:
            shard_rows(cells[c], n, folder)
            yield c
        return
    if workers is None and model_of(cells[tasks[0][0]]).table.is_cuda:
        workers = 1
    with _client(scheduler, workers) as (distributed, client):
        futures = {}
        for rank, (c, n) in enumerate(tasks):
            futures[client.submit(_on_worker, cells[c], n, folder, pure=False, priority=-rank)] = c, n
        for future in distributed.as_completed(futures):
            c, n = futures[future]
            try:
                key = future.result()
            except distributed.KilledWorker as error:
                raise MemoryError(
                    f"workers died again and again on {cells[c].name}, most likely for want of memory; "
                    "everything finished is kept: run the same command again with fewer --workers"
                ) from error
            except distributed.CancelledError as error:
                raise ConnectionError(
                    f"the Dask scheduler at {scheduler} went away; everything finished is kept: start it again, "
                    "and run the same command again"
                ) from error
            if key != shard_key(cells[c], n):
                raise ValueError(
                    f"the workers of {scheduler} have other weights, data or versions than this process; "
                    "give them the same environment, and the same UDIG_LAB_DATA and HF_HOME"
                )
            file = shard_file(cells[c], n, folder, judged=True)
            if not file.is_file():
                raise FileNotFoundError(f"{file} is made, but not here: the workers of {scheduler} see another folder")
            yield c


def _on_worker(cell: Cell, number: int, folder: Path) -> str:
    """Make one shard with the threads that the worker was given; returns what it was made from."""
    import distributed

    torch.set_num_threads(distributed.get_worker().state.nthreads)
    shard_rows(cell, number, folder)
    return shard_key(cell, number)


@contextmanager
def _client(scheduler: str | None, workers: int | None) -> Iterator[tuple[Any, Any]]:
    """Dask's module, and a client of the cluster."""
    dask: Any
    distributed: Any
    try:
        import dask.system
        import distributed
    except ImportError as error:
        raise ImportError(
            "recorded runs need Dask, which is not installed; run: pip install 'udig-lab[run]', or pass workers=0"
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
                client.wait_for_workers(1, timeout=_PATIENCE)
            except TimeoutError as error:
                raise OSError(
                    f"the Dask scheduler at {scheduler} has no workers; start one with: dask worker {scheduler}"
                ) from error
            yield distributed, client
        return
    workers = dask.system.CPU_COUNT if workers is None else workers
    stack = ExitStack()
    try:
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
