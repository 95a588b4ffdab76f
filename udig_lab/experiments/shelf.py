"""A model or a file of the reader's own: what it is called in records, where it lies, in which state it is."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from udig_lab.model.load import DATASETS
from udig_lab.model.textmodel import TextModel

OWN = "own"  # the folder of their records, beside those of the profiles
WITH_DATA = ("mini", "lab")  # profiles whose data any model may be recorded on
_OUTSIDE = ("transformers_version", "dtype", "torch_dtype", "id2label", "label2id")  # they make no number


def as_given(model: str | os.PathLike[str]) -> str:
    """A model's name as records hold it; a folder begins with "." or stands absolutely, a name of the hub does not."""
    name = os.fspath(model)
    if name in DATASETS or not os.path.isdir(name):
        return name
    plain = os.path.normpath(name)
    return plain if os.path.isabs(plain) or plain.startswith(".") else os.path.join(".", plain)


def is_folder(model: str) -> bool:
    """Whether this names a folder, there or not."""
    return model.startswith(".") or os.path.isabs(model)


def called(model: str) -> str:
    """What a model is called in records: a folder by its own name, wherever it lies.

    >>> called("/models/final"), called("organisation/final"), called("sst2")
    ('final', 'organisation/final', 'sst2')
    """
    return os.path.basename(os.path.abspath(model)) if is_folder(model) else model


def dataset_of(data: str | os.PathLike[str]) -> str:
    """What a file is called in records: as it is, without its ending.

    >>> dataset_of("texts/reviews.parquet")
    'reviews'

    Raises:
        ValueError: a name that records cannot take.
    """
    stem = Path(data).stem
    if stem in DATASETS:
        raise ValueError(
            f"{os.fspath(data)} is called as a data set of this book is, and its records would lie among those of "
            f"{stem}; give the file another name"
        )
    if not stem or stem.startswith("."):
        raise ValueError(f"{os.fspath(data)!r} has no name that records can take; give the file one, and an ending")
    return stem


def located(given: str) -> str:
    """Where this process finds a folder or a file: an absolute path; of the hub or of ours, the name.

    Raises:
        FileNotFoundError: no such folder.
    """
    if not is_folder(given):
        return given
    if not os.path.isdir(given):
        raise FileNotFoundError(
            f"there is no folder {given}; name one that save_pretrained wrote, or a model on the hub "
            "(organisation/model)"
        )
    return os.path.abspath(given)


def state(path: str) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files there: another state is read anew. Nothing is said of names of the hub."""
    place = Path(path)
    if not is_folder(path) or not place.exists():
        return ()
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    return tuple((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file())


def configuration_sha256(model: TextModel) -> str:
    """SHA-256 of what makes a model's numbers beside its weights: its configuration and its tokenizer."""
    config: dict[str, Any] = model.config.to_diff_dict()
    config = {name: value for name, value in config.items() if name not in _OUTSIDE and not name.startswith("_")}
    tokenizer: Any = model.tokenizer
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        parts = json.loads(backend.to_str())
        words = {
            name: part for name, part in parts.items() if name not in ("truncation", "padding")
        }  # the last call's
    else:
        words = {"vocabulary": tokenizer.get_vocab(), "settings": tokenizer.init_kwargs}
    special = sorted(tokenizer.all_special_ids)
    text = json.dumps([config, words, special], sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
