"""Parquet files that appear whole or not at all, and know what they were made from."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

_NOTE = b"udig_lab"  # the file's own description, in its schema

Rows = tuple[pd.DataFrame, dict[str, Any]]  # with their note


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Nobody else, on this machine or another that sees the folder, is in here for the same file.

    The lock dies with its process: nobody waits for a killed one.

    Raises:
        OSError: the disk is full, in one sentence; other errors as they come.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            f"the disk that holds {file.parent} is full: everything finished so far is kept; "
            "free some space and run the same command again"
        ) from None


def write(file: Path, content: bytes) -> None:
    """Write beside the file and move: whoever is killed here leaves no half file. To be called ``alone``."""
    # Always the same name: what a killed process leaves is overwritten, and does not pile up.
    temporary = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())  # a disk that only promises would lose the file after the move
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def write_rows(file: Path, rows: pd.DataFrame, note: dict[str, Any]) -> None:
    """Rows with a note, as one Parquet file; as ``write``."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _NOTE: json.dumps(note).encode()})
    sink = pa.BufferOutputStream()
    # Without checksums most flipped bits would be read as other numbers.
    pq.write_table(table, sink, compression="zstd", compression_level=12, write_page_checksum=True)
    write(file, sink.getvalue().to_pybytes())


def read_rows(file: Path) -> Rows | None:
    """The rows of a file with their note, empty where it has none; None where there is no file, or a damaged one."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            table = opened.read()
        note: dict[str, Any] = json.loads((table.schema.metadata or {}).get(_NOTE, b"{}"))
        return table.to_pandas(), note
    except Exception:  # by what is damaged, pyarrow raises almost anything
        return None


def once(file: Path, key: str, make: Callable[[], Rows]) -> Rows:
    """The rows of a file with their note, made first unless a whole file with this key is there.

    Two clients may ask for the same file: one makes it, the other waits and reads. Raises as ``alone``.
    """
    with alone(file):
        there = read_rows(file)
        if there is not None and there[1].get("key") == key:
            return there
        rows, about = make()
        note = about | {"key": key}
        write_rows(file, rows, note)
        return rows, note
