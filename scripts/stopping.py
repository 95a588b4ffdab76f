"""Ctrl-C ends the build in one sentence, and nothing that it started is left running."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psutil

INTERRUPTED = 130  # the status that shells give to a process that was interrupted


def answer_ctrl_c(sentence: str) -> None:
    """From now on end at once with a sentence: pools and subprocesses would first wait for what they work at."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second one changes nothing
        for process in psutil.Process().children(recursive=True):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        print(f"\n{sentence}", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)  # nothing is left to tidy: locks end with their process, files are replaced whole

    signal.signal(signal.SIGINT, end)


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started in here do not hear the Ctrl-C of the terminal, until they say ``on_its_own``."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def on_its_own() -> None:
    """Leave the group of processes to which the terminal sends Ctrl-C, and hear others again, as kernels must."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # what came in the meantime was not meant for it
    signal.signal(signal.SIGINT, signal.default_int_handler)
