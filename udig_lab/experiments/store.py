"""Parquet files that appear whole or not at all, and know what they were made from."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

_NOTE = b"udig_lab"  # the file's own description, in its schema
_SUM = "sha256"  # in the note: of rows and note

Rows = tuple[pd.DataFrame, dict[str, Any]]  # with their note


@contextmanager
def locked(file: Path) -> Iterator[None]:
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
    """Write beside the file and move: whoever is killed here leaves no half file. To be called ``locked``."""
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
    described = json.dumps(note | {_SUM: _sum(rows, note)}).encode()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _NOTE: described})
    sink = pa.BufferOutputStream()
    # Checksums of pages find most flipped bits at once; the sum in the note finds those in headers and names too.
    pq.write_table(table, sink, compression="zstd", compression_level=12, write_page_checksum=True)
    write(file, sink.getvalue().to_pybytes())


def read_rows(file: Path) -> Rows | None:
    """The rows of a file with their note, empty where it has none; None where there is no file, or a damaged one."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            table = opened.read()
        described = table.schema.metadata or {}
        if _NOTE not in described and any(f'"{_SUM}"'.encode() in text for text in described.values()):
            return None  # the name of the note is damaged
        note: dict[str, Any] = json.loads(described.get(_NOTE, b"{}"))
        rows = table.to_pandas()
        if _SUM not in note:  # files of format 2 have none, nor do those of other programs
            return None if "code" in note else (rows, note)
        return (rows, note) if note.pop(_SUM) == _sum(rows, note) else None
    except Exception:  # by what is damaged, pyarrow raises almost anything
        return None


def checksum(note: dict[str, Any]) -> str:
    """SHA-256 of a description, whatever the order of its entries."""
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()


def _sum(rows: pd.DataFrame, note: dict[str, Any]) -> str:
    """Of everything a file says: columns, kinds of numbers, values, note. The text of a number is the number."""
    columns = {
        name: (_kind(column), [value.tolist() if hasattr(value, "tolist") else value for value in column])
        for name, column in rows.items()
    }
    return hashlib.sha256((repr(columns) + checksum(note)).encode()).hexdigest()


def _kind(column: pd.Series) -> str:
    """Of numbers; texts and lists have other kinds in other versions of pandas."""
    return column.dtype.str if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf" else ""
