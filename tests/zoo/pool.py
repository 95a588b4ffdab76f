"""Verdicts from processes of their own: a crash, or a model that never comes back, costs one row."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from transformers.utils import logging

from .judge import BARE, Verdict, judge

SECONDS = 600.0  # for one architecture


def verdicts(pairs: Sequence[tuple[str, str]], *, jobs: int = 1, seconds: float = SECONDS) -> Iterator[Verdict]:
    """Judge (task, model type) pairs, each in a process forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda pair: _judged(*pair, context, seconds), pairs)


def _judged(task: str, kind: str, context: Any, seconds: float) -> Verdict:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, task, kind), daemon=True)
    process.start()
    sender.close()
    try:
        if receiver.poll(seconds):
            found: Verdict = receiver.recv()
            process.join(5)
            return found
        sentence = f"it took more than {seconds:.0f} seconds"
    except EOFError:
        process.join(5)
        sentence = f"its process ended with code {process.exitcode}"
    finally:
        process.kill()
        process.join()
    return Verdict(task, kind, BARE, sentence)


def _work(sender: Any, task: str, kind: str) -> None:
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    sender.send(judge(task, kind))
