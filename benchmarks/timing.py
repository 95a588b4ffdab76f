"""Side by side: every contestant once, then all again, so that a busy moment of the machine hits all alike."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def side_by_side(contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of every contestant: median, fastest and slowest of some rounds, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            begin = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - begin)
    return {
        name: {"median": statistics.median(values), "fastest": min(values), "slowest": max(values)}
        for name, values in seconds.items()
    }


def ratio(timed: dict[str, dict[str, float]], slow: str, fast: str) -> float:
    """How many times as long ``slow`` takes, by medians of the same run."""
    return timed[slow]["median"] / timed[fast]["median"]
