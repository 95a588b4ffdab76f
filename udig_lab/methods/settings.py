"""What a setting may be: numbers of the kind of its default, and no more work than can end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MOST = 100_000  # points of a path, samples of a text: a day's work for a text, and gigabytes
UNFORESEEN = ("adaptive", "controlled")  # rules whose nodes are known when the last of them has been looked at
_COUNTS = ("n_steps", "n_samples", "max_evaluations")


def checked(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, numbers of other libraries made Python's.

    >>> checked({"n_steps": 50, "tolerance": 1.0}, {"n_steps": 20})
    {'n_steps': 20}

    Args:
        defaults: of the method.
        given: settings that it has.

    Raises:
        TypeError: another kind of value than the default.
        ValueError: a number that is not finite, or more work than ``MOST`` points.
    """
    chosen = {name: _like(name, defaults[name], value) for name, value in given.items()}
    numbers = {name: value for name, value in (dict(defaults) | chosen).items() if isinstance(value, (int, float))}
    for name in _COUNTS:
        if numbers.get(name, 0) > MOST:
            raise ValueError(f"{name}={numbers[name]} is more work than can end; pass at most {MOST}")
    factor, pieces = numbers.get("factor", 0), max(numbers.get("n_steps", 0), 0) + 1
    if factor < 0:
        raise ValueError(f"factor={factor} halves nothing; pass at least 0")
    if factor > math.log2(MOST / pieces):
        most = math.floor(math.log2(MOST / pieces))
        raise ValueError(
            f"factor={factor} halves {pieces} pieces to more than {MOST} points, which is more work than can end; "
            f"pass at most {most}"
        )
    return chosen


def at_least_one(n_samples: int) -> None:
    """Whether anything is drawn.

    Raises:
        ValueError: nothing is.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples must be at least 1, not {n_samples}")


def _like(name: str, default: Any, value: Any) -> Any:
    """A value as it is, if it is of the kind of the default."""
    if type(default) not in (bool, int, float):
        return value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a number of numpy or torch
        value = value.item()
    if type(default) is bool:
        if not isinstance(value, bool):
            raise TypeError(f"{name}={value!r} is not True or False")
    elif isinstance(value, bool) or not isinstance(value, int if type(default) is int else (int, float)):
        kind = "a whole number" if type(default) is int else "a number"
        raise TypeError(f"{name}={value!r} is not {kind}; pass one such as {default}")
    elif not math.isfinite(value):
        raise ValueError(f"{name}={value!r} is not finite; pass a number such as {default}")
    return value
