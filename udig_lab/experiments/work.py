"""The work itself: shards of examples, explained and judged, each made once from what its key names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from udig_lab.attribution import Attribution
from udig_lab.experiments.cell import Cell
from udig_lab.experiments.making import attributions_of, explained_rows, judged_rows
from udig_lab.experiments.origin import (
    Origin,
    code,
    key_of,
    made_by,
    model_of,
    ordered_examples,
    origin,
    weights_sha256,
)
from udig_lab.experiments.shelf import OWN
from udig_lab.experiments.store import Rows, locked, read_rows, write_rows

_SHARDS = {"imdb": 8, "squad": 16, OWN: 16}  # examples; about a minute of the slower methods
_SHARD = 32
_WAE_SHARDS = 4  # shards with word approximation errors: finding a point's nearest word costs more than its gradient
_ALONE = threading.Lock()  # a cluster's worker may have several threads; they would share one model


def shard_count(cell: Cell) -> int:
    """How many shards the cell's examples make."""
    return -(-len(ordered_examples(cell)) // shard_size(cell))


def shard_size(cell: Cell) -> int:
    """Examples in a shard."""
    return _SHARDS.get(OWN if cell.data else cell.dataset, _SHARD)


def shard_file(cell: Cell, number: int, folder: Path, *, judged: bool) -> Path:
    """Where a shard lies."""
    kind = f"{cell.name}/judged" if judged else f"{cell.explanation}/explained"
    return folder / ".shards" / cell.dataset / cell.place / kind / f"{number:04d}.parquet"


def shard_rows(cell: Cell, number: int, folder: Path, *, force: bool = False) -> tuple[Rows, Rows]:
    """One shard, explained and judged: read where it lies there, made where it does not.

    Two clients may ask for the same one: one makes it, the other waits and reads.

    Args:
        cell: the experiment.
        number: of the shard.
        folder: the results folder.
        force: whether a shard that was made from something else, or by other code, is made again.

    Raises:
        ValueError: such a shard lies there, and it is not to be made again.
        OSError: as ``store.locked``.
    """

    def explain_shard() -> pd.DataFrame:
        return explained_rows(cell, model_of(cell), _part(cell, number))

    def judge_shard() -> pd.DataFrame:
        part, known = _part(cell, number), _errors(weights_sha256(cell))
        return judged_rows(cell, model_of(cell), part, explained[0], wae=number < _WAE_SHARDS, known=known)

    with _ALONE:
        explained = _once(cell, number, folder, False, force, explain_shard)
        judged = _once(cell, number, folder, True, force, judge_shard)
    return explained, judged


def _once(cell: Cell, number: int, folder: Path, judged: bool, force: bool, make: Callable[[], pd.DataFrame]) -> Rows:
    """Rows that lie there whole, or are made now."""
    file, part = shard_file(cell, number, folder, judged=judged), _part(cell, number)
    with locked(file):
        shard, from_ = found_shard(cell, number, folder, judged=judged)
        if shard is not None and from_.same and len(shard[0]) >= len(part):
            return shard[0].iloc[: len(part)], shard[1]
        if not (from_.same or force):
            raise ValueError(
                f"{file} was made {from_.words}; keep it in another folder, or make it again with --force"
            )
        begin = time.perf_counter()
        rows = make()
        note = made_by(cell, part, judged=judged) | {"seconds": round(time.perf_counter() - begin, 2)}
        write_rows(file, rows, note)
        return rows, note


def found_shard(cell: Cell, number: int, folder: Path, *, judged: bool) -> tuple[Rows | None, Origin]:
    """What lies where a shard belongs, and what it was made from; of nothing, or of a damaged file, what is wanted.

    A shard may hold more examples than the cell's limit leaves: the first ones are the cell's.
    """
    shard = read_rows(shard_file(cell, number, folder, judged=judged))
    if shard is None:
        return None, Origin(True, True)
    part = _part(cell, number, everything=True).iloc[: len(shard[0])]
    return shard, origin(cell, shard[1], part, judged=judged)


def is_whole(cell: Cell, number: int, folder: Path) -> bool:
    """Whether a shard is there with all of the cell's examples."""
    wanted = len(_part(cell, number))
    for judged in (True, False):
        shard, from_ = found_shard(cell, number, folder, judged=judged)
        if shard is None or not from_.same or len(shard[0]) < wanted:
            return False
    return True


def shard_identity(cell: Cell, number: int) -> dict[str, str]:
    """What a shard is made from, and by which code; differs where weights, data or package do."""
    return {"key": key_of(cell, _part(cell, number), judged=True), "code": code(cell)}


def attributions(cell: Cell, part: pd.DataFrame, rows: pd.DataFrame) -> list[Attribution]:
    """Recorded scores as explanations again.

    Args:
        cell: what was recorded.
        part: the examples.
        rows: their rows, in the same order.
    """
    return attributions_of(cell, model_of(cell), part, rows)


def _part(cell: Cell, number: int, *, everything: bool = False) -> pd.DataFrame:
    """The examples of a shard, without the limit where everything is asked for."""
    data = ordered_examples(replace(cell, limit=None) if everything else cell)
    return data[number * shard_size(cell) : (number + 1) * shard_size(cell)]


@lru_cache(2)
def _errors(weights: str) -> dict[tuple[Any, ...], float]:
    """Word approximation errors found so far in this process, for one model."""
    return {}
