"""In which precision matrices are multiplied, and which one is the faster here."""

from __future__ import annotations

import logging
import time
from functools import lru_cache

import torch

PRECISIONS = ("float32", "bfloat16")
AUTO = "auto"
_GAIN = 1.1  # bfloat16 rounds: it has to be worth it
_LOG = logging.getLogger(__name__)


def settled(precision: str, device: torch.device | str) -> str:
    """A precision, measured where it is left open.

    >>> settled("float32", "cpu")
    'float32'

    Args:
        precision: "float32", "bfloat16", or "auto" for the faster of the two on this device, which is logged.
        device: where the model computes.

    Raises:
        ValueError: another word.
    """
    if precision == AUTO:
        return faster(str(device))
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join((*PRECISIONS, AUTO))}")
    return precision


@lru_cache(8)
def faster(device: str) -> str:
    """The faster precision for a matrix product of a layer's size on a device, measured once in a process."""
    seconds = {name: _seconds(getattr(torch, name), device) for name in PRECISIONS}
    gain = seconds["float32"] / seconds["bfloat16"]
    chosen = "bfloat16" if gain > _GAIN else "float32"
    _LOG.info("precision %s: a matrix product is %.1f times as fast in bfloat16 on %s", chosen, gain, device)
    return chosen


def _seconds(dtype: torch.dtype, device: str, *, times: int = 5) -> float:
    """Of one product, the quickest of several: a busy machine slows some of them down, and speeds up none."""
    a = torch.ones(1024, 384, dtype=dtype, device=device)  # tokens x width
    b = torch.ones(384, 1536, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(times + 1):  # the first one warms up
        begin = time.perf_counter()
        product = a @ b
        product[0, 0].item()  # waits for a device that computes by itself
        best = min(best, time.perf_counter() - begin)
    return best
