"""Results as strict JSON: what is written has no NaN, and what is read is looked at before anything is made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

VERSION = 1
_LARGE = 2**63  # no id, position or count is as large
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # JSON has no numbers for them

Check = Callable[[Any], Any]


def written(fields: Mapping[str, Any]) -> str:
    """A result as one JSON object; numbers that are not finite as words, tensors by their name."""
    return json.dumps({"version": VERSION} | _plain(dict(fields)), ensure_ascii=False, allow_nan=False)


def read(text: str, checks: Mapping[str, Check], aliases: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a result again.

    Args:
        text: what ``written`` returned.
        checks: for every field a function that takes what JSON holds and returns what the field holds.
        aliases: names of fields as they were once called -> as they are called now.

    Raises:
        ValueError: anything else: not JSON, another version, a field too many, a value of another kind.
    """
    try:
        fields = json.loads(text, parse_constant=_refused)
        if not isinstance(fields, dict):
            raise ValueError(f"it is a {type(fields).__name__}")
        version = fields.pop("version", 0)  # the first ones had none
        if version not in (0, VERSION) or isinstance(version, bool):
            raise ValueError(f"version {version!r} is of another release; this one reads up to {VERSION}")
        fields = {aliases.get(name, name): value for name, value in fields.items()}
        if unknown := sorted(fields.keys() - checks.keys()):
            raise ValueError(f"nothing is called {', '.join(map(repr, unknown[:3]))}")
        return {name: _checked(name, value, checks[name]) for name, value in fields.items()}
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _checked(name: str, value: Any, check: Check) -> Any:
    try:
        return check(value)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{name}: {error}") from None


def _plain(value: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if value is None or isinstance(value, (str, int)):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of numpy or torch
        return _plain(value.item())
    return f"<{type(value).__name__} {tuple(getattr(value, 'shape', ()))}>"


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"a text is wanted, not {_short(value)}")
    return value


def whole(value: Any) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _LARGE:
        raise ValueError(f"a whole number is wanted, not {_short(value)}")
    return value


def number(value: Any) -> float:
    """A number, as it is or as the word for one that is not finite."""
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise ValueError(f"a number is wanted, not {_short(value)}")
    return float(value)


def finite(value: Any) -> float:
    """A finite number."""
    if not math.isfinite(as_float := number(value)):
        raise ValueError(f"a finite number is wanted, not {_short(value)}")
    return as_float


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"true or false is wanted, not {_short(value)}")
    return value


def some(value: Any) -> dict[str, Any]:
    """An object with anything in it."""
    if not isinstance(value, dict):
        raise ValueError(f"an object is wanted, not {_short(value)}")
    return value


def each(check: Check) -> Check:
    """A list of such values, as a tuple."""

    def all_of(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"a list is wanted, not {_short(value)}")
        return tuple(check(item) for item in value)

    return all_of


def maybe(check: Check) -> Check:
    """Such a value, or null."""
    return lambda value: None if value is None else check(value)


def nested(value: Any) -> Any:
    """A whole number or null, or a list of such values, as a tuple."""
    return tuple(nested(item) for item in value) if isinstance(value, list) else maybe(whole)(value)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) < 40 else f"{shown[:36]} …"
