"""Examples of the five tasks: the written mini corpora, or the real data sets from Parquet files or the hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from huggingface_hub import hf_hub_download, try_to_load_from_cache

from udig_lab.model.checkpoint import ASSETS
from udig_lab.model.inputs import Text
from udig_lab.model.load import DATASETS, PROFILES

_SHORT = 80  # SQuAD: so many words of question and context are too many


@dataclass(frozen=True)
class _Source:
    """Where a data set lies on the hub.

    Attributes:
        repository: its name.
        file: the Parquet file with the examples.
        revision: a branch; the hub converts data sets that are a script, and keeps the result on a branch of its own.
        ours: its column names -> ours, where they differ.
    """

    repository: str
    file: str
    revision: str = "main"
    ours: dict[str, str] = field(default_factory=dict)


_SOURCES = {
    "sst2": _Source("nyu-mll/glue", "sst2/test-00000-of-00001.parquet", ours={"idx": "id", "sentence": "text"}),
    "imdb": _Source("stanfordnlp/imdb", "plain_text/test-00000-of-00001.parquet"),
    "rotten_tomatoes": _Source("cornell-movie-review-data/rotten_tomatoes", "test.parquet"),
    "squad": _Source("rajpurkar/squad", "plain_text/validation-00000-of-00001.parquet"),
    "trec": _Source("CogComp/trec", "default/test/0000.parquet", "refs/convert/parquet", {"coarse_label": "label"}),
}
_COLUMNS = {"squad": ("id", "question", "context", "answers", "answer_starts")}
_TEXT_COLUMNS = ("id", "text", "label")
_SPLITS = {"squad": "dev"}  # SQuAD's test set is not public


def examples(name: str, *, profile: str = "mini", limit: int | None = None, seed: int = 42) -> pd.DataFrame:
    """The examples a data set is judged on: its test split, of SQuAD the development set.

    >>> rows = examples("sst2", limit=2)
    >>> len(rows), {"id", "text", "label"} <= set(rows)
    (2, True)

    Args:
        name: "sst2", "imdb", "rotten_tomatoes", "squad" or "trec".
        profile: "mini" reads the shipped corpora; "lab", "masked" and "paper" the real data: the Parquet files under
            ``$UDIG_LAB_DATA`` where that is set, else those on the hub.
        limit: at most so many rows, drawn with ``seed`` and kept in order.
        seed: of the draw.

    Returns:
        one row an example. Texts: id, text, label (sentiment: 1 is positive, and the hub's copy of SST-2 has -1
        throughout, as GLUE keeps its test labels; TREC: 0 to 5 for ABBR, ENTY, DESC, HUM, LOC, NUM). SQuAD: id,
        question, context, answers, answer_starts (character offsets); of the real one, the questions that Sinha Roy &
        Kundu 2024 used: ``len((question + context).split(" ")) < 80``, nothing between the two.

    Raises:
        ValueError: an unknown name or profile, a broken file, one without the needed columns or with a bad row.
        FileNotFoundError: the real data are neither where they should be nor on the hub.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; choose one of {', '.join(DATASETS)}")
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    if profile == "mini":
        file = ASSETS / "corpora" / f"{name}.jsonl"
        rows = _ours(name, pd.read_json(file, lines=True), file)
    else:
        file = _file(name)
        rows = _ours(name, _parquet(file), file)[list(_COLUMNS.get(name, _TEXT_COLUMNS))]
        if name == "squad":
            words = (rows["question"] + rows["context"]).str.count(" ") + 1
            rows = rows[words < _SHORT]
    if name == "imdb":
        rows = rows.assign(text=rows["text"].str.replace("<br />", " "))
    if limit is not None and limit < len(rows):
        rows = rows.sample(limit, random_state=seed).sort_index()
    return rows.reset_index(drop=True)


def texts(rows: pd.DataFrame) -> list[Text]:
    """What ``explain`` takes of examples: their texts, or (question, context) where there are questions."""
    if "question" in rows:
        return list(zip(rows["question"], rows["context"], strict=True))
    return list(rows["text"])


def folder() -> Path:
    """Where the real data are.

    Raises:
        FileNotFoundError: ``UDIG_LAB_DATA`` is not set.
    """
    value = os.environ.get("UDIG_LAB_DATA")
    if not value:
        raise FileNotFoundError(
            "the real data sets are not part of this project: set UDIG_LAB_DATA to a folder with their Parquet files, "
            "or use profile='mini'"
        )
    return Path(value)


def _file(name: str) -> Path:
    """The Parquet file of a data set: under ``$UDIG_LAB_DATA`` where that is set, else from the hub or its cache."""
    local = f"{name}/{_SPLITS.get(name, 'test')}.parquet"
    if os.environ.get("UDIG_LAB_DATA"):
        file = folder() / local
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist; UDIG_LAB_DATA must hold {local}")
        return file
    source = _SOURCES[name]
    # These files do not change: once they are in the cache, nobody has to ask the hub.
    known = try_to_load_from_cache(source.repository, source.file, revision=source.revision, repo_type="dataset")
    if isinstance(known, str):
        return Path(known)
    try:
        return Path(hf_hub_download(source.repository, source.file, revision=source.revision, repo_type="dataset"))
    except (OSError, ValueError) as error:  # no connection, a refusal, or a file that has moved
        raise FileNotFoundError(
            f"cannot get {source.file} of {source.repository} from the hub or its cache ({type(error).__name__}); "
            "connect to the internet, or point HF_HOME at a cache that holds it, "
            f"or set UDIG_LAB_DATA to a folder with {local}, or use profile='mini'"
        ) from error


def _parquet(file: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:  # pyarrow raises either, by where the file is broken
        raise ValueError(f"{file} is not a whole Parquet file; delete it and fetch it again") from error


def _ours(name: str, rows: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Rows under our column names.

    Raises:
        ValueError: columns are missing, there are no rows, or one of them holds no text, label or answers.
    """
    columns = ", ".join(rows.columns)
    rows = rows.rename(columns={theirs: ours for theirs, ours in _SOURCES[name].ours.items() if ours not in rows})
    if "id" not in rows:
        rows = rows.assign(id=range(len(rows)))
    if "answers" in rows:
        rows = listed(rows)
    missing = [column for column in _COLUMNS.get(name, _TEXT_COLUMNS) if column not in rows]
    if missing:
        raise ValueError(f"the data of {name} lack the columns {', '.join(missing)}: {file} has {columns}")
    if rows.empty:
        raise ValueError(f"{file} has no rows; fetch it again")
    for column in ("text", "question", "context"):
        if column in rows:
            check_every(rows, column, file, "a text", lambda value: isinstance(value, str) and bool(value.strip()))
    if "label" in rows:
        check_every(rows, "label", file, "the number of a class", lambda value: float(value).is_integer())
    if "answers" in rows:
        check_every(rows, "answers", file, "a list of texts", lambda v: bool(v) and all(isinstance(a, str) for a in v))
    return rows


def check_every(rows: pd.DataFrame, column: str, file: Path, what: str, holds: Callable[[Any], bool]) -> None:
    """Name the first row whose value is none, before a long run stumbles over it.

    Args:
        rows: examples with their ids.
        column: whose values are looked at.
        file: where the rows come from, for the error.
        what: a value should be, for the error.
        holds: whether a value is such; one that raises is none.

    Raises:
        ValueError: it is not, in this file, row and column.
    """
    for number, (identity, value) in enumerate(zip(rows["id"], rows[column], strict=True)):
        try:
            good = holds(value)
        except (TypeError, ValueError, OverflowError):
            good = False
        if not good:
            shown = "nothing" if value is None or value is pd.NA or value != value else f"{repr(value)[:60]}"
            raise ValueError(f"{file}, row {number} (id {identity}): {column} is {shown}, not {what}; mend the file")


def listed(rows: pd.DataFrame) -> pd.DataFrame:
    """Answers and where they start as plain lists; the hub keeps both in one column.

    Args:
        rows: examples with a column answers, and perhaps answer_starts.
    """
    if rows["answers"].map(lambda answers: isinstance(answers, dict)).all():
        starts = rows["answers"].map(lambda answers: answers["answer_start"])
        rows = rows.assign(answers=rows["answers"].map(lambda answers: answers["text"]), answer_starts=starts)
    lists = {
        name: rows[name].map(lambda v: np.asarray(v).tolist()) for name in ("answers", "answer_starts") if name in rows
    }
    return rows.assign(**lists)
