"""Examples of the four tasks: the written mini corpora, or the real data sets from Parquet files."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from udig_lab.models import ASSETS, DATASETS, PROFILES

_COLUMNS = {"squad": ("id", "question", "context", "answers", "answer_starts")}
_TEXT_COLUMNS = ("id", "text", "label")
_SPLITS = {"squad": "dev"}  # SQuAD's test set is not public


def examples(name: str, *, profile: str = "mini", limit: int | None = None, seed: int = 42) -> pd.DataFrame:
    """The examples a data set is judged on.

    Args:
        name: "sst2", "imdb", "rotten_tomatoes" or "squad".
        profile: "mini" reads the shipped corpora; "lab" and "paper" the real data under ``$UDIG_LAB_DATA``.
        limit: at most so many rows, drawn with ``seed`` and kept in order.
        seed: of the draw.

    Returns:
        one row an example. Sentiment: id, text, label (1 is positive). SQuAD: id, question, context, answers,
        answer_starts (character offsets).

    Raises:
        ValueError: an unknown name or profile, or a file without the needed columns.
        FileNotFoundError: the real data are not where they should be.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; choose one of {', '.join(DATASETS)}")
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    rows = _mini(name) if profile == "mini" else _real(name)
    missing = set(_COLUMNS.get(name, _TEXT_COLUMNS)) - set(rows.columns)
    if missing:
        raise ValueError(
            f"the data of {name} lack the columns {', '.join(sorted(missing))}; see how-to-read in the book"
        )
    if name == "imdb":
        rows["text"] = rows["text"].str.replace("<br />", " ")
    if limit is not None and limit < len(rows):
        rows = rows.sample(limit, random_state=seed).sort_index()
    return rows.reset_index(drop=True)


def _mini(name: str) -> pd.DataFrame:
    rows = pd.read_json(ASSETS / "corpora" / f"{name}.jsonl", lines=True)
    if name == "squad":
        rows["answer_starts"] = [a["answer_start"] for a in rows["answers"]]
        rows["answers"] = [a["text"] for a in rows["answers"]]
    return rows


def _real(name: str) -> pd.DataFrame:
    file = folder() / name / f"{_SPLITS.get(name, 'test')}.parquet"
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; UDIG_LAB_DATA must hold {name}/{file.name}")
    return pd.read_parquet(file)


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
