"""What rows are made from: weights, examples, settings and code; as a key, as a note, and in words."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from udig_lab.data import examples, texts
from udig_lab.experiments.cell import FORMAT, WITHOUT_CODE, Cell
from udig_lab.experiments.claims import registered_claims
from udig_lab.experiments.code import KNOWN, code_of, source_sha256
from udig_lab.experiments.own_data import CLASSES, fitted, own_examples
from udig_lab.experiments.shelf import configuration_sha256, located, state
from udig_lab.model.load import load
from udig_lab.model.textmodel import TextModel

_Key = tuple[Any, ...]  # names and places, and in which state what lies there is: another one is read anew


@dataclass(frozen=True)
class Origin:
    """What rows that lie somewhere were made from, beside what a cell is made from here and now.

    Attributes:
        same_key: the same weights, examples and settings.
        same_code: code that makes the same rows; never so where rows do not say which made them.
        words: what differs, to stand behind "made".
    """

    same_key: bool
    same_code: bool
    words: str = ""

    @property
    def same(self) -> bool:
        """Whether such rows may stand in one file with those that are made now."""
        return self.same_key and self.same_code


def origin(cell: Cell, note: Mapping[str, Any], part: pd.DataFrame, *, judged: bool = True) -> Origin:
    """Compare.

    Args:
        cell: the experiment.
        note: of rows, or a card.
        part: the examples that the rows should be of.
        judged: whether the rows are judged.
    """
    form = note.get("format", WITHOUT_CODE)
    if note.get("key") != key_of(cell, part, judged=judged, form=form):
        return Origin(False, False, f"from other {_differences(cell, note, part, form, judged)}")
    if "code" not in note:
        return Origin(True, False, "before rows said which code made them")
    if note["code"] != code(cell, judged=judged):
        versions = ", ".join(f"{name} {_listed(number)}" for name, number in note.get("versions", {}).items())
        words = f"by code {note['code'][:8]} ({versions}), which is not the code here, {code(cell, judged=judged)[:8]}"
        return Origin(True, False, words)
    return Origin(True, True)


def _differences(cell: Cell, note: Mapping[str, Any], part: pd.DataFrame, form: int, judged: bool) -> str:
    """What is not the same, in words."""
    now = _said(cell.fields, cell.all_settings, judged)
    then = now | _said(note.get("cell", {}), note.get("settings", cell.all_settings), judged)
    names = sorted(name for name in now if now[name] != then[name])
    said = [f"settings ({', '.join(f'{name}={then[name]!r}' for name in names)})"] if names else []
    said += ["weights"] if note.get("weights_sha256", weights_sha256(cell)) != weights_sha256(cell) else []
    configured = _configuration(cell)
    said += ["configuration or tokenizer"] if note.get("configuration_sha256", configured) != configured else []
    data = data_sha256(part, form)
    said += ["texts or labels"] if note.get("data_sha256", data) != data else []
    return " and other ".join(said) or "weights, texts, labels or settings"


def _said(cell: Mapping[str, Any], settings: Mapping[str, Any], judged: bool) -> dict[str, Any]:
    """What a cell says, as it stands in a card; without the number of examples."""
    hidden = ("limit", "settings", "model", "data", *(() if judged else ("protocol",)))  # of the two, what they hold
    fields = {name.replace("seed", "draw"): value for name, value in cell.items() if name not in hidden}
    kept: dict[str, Any] = json.loads(json.dumps(fields | dict(settings), default=str))
    return kept


def _listed(value: Any) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)


def made_by(cell: Cell, part: pd.DataFrame, *, judged: bool) -> dict[str, Any]:
    """What rows of these examples are made from here and now: their note."""
    processor = f"{platform.machine()}, {torch.get_num_threads()} thread(s)"
    return {
        "format": FORMAT,
        "cell": cell.fields,
        "settings": cell.all_settings,
        "n": len(part),
        "key": key_of(cell, part, judged=judged),
        "model": model_of(cell).name,
        "weights_sha256": weights_sha256(cell),
        **({"configuration_sha256": _configuration(cell)} if cell.model else {}),
        "data_sha256": data_sha256(part),
        "code": code(cell, judged=judged),
        "source_sha256": source_sha256(),
        "claims": registered_claims(),
        "versions": {name: version(name) for name in ("udig-lab", "torch", "transformers", "numpy")},
        "machine": processor if working_device() == "cpu" else torch.cuda.get_device_name(),
    }


def key_of(cell: Cell, part: pd.DataFrame, *, judged: bool, form: int = FORMAT) -> str:
    """Key of the rows of these examples, in this order; of a record of a former format, in its form."""
    # Of ours, the small shard tells another tokenizer; of the reader's own, its few texts may not.
    own = [_configuration(cell)] if cell.model else []
    return cell.fingerprint(weights_sha256(cell), _digest(part, form), *own, judged=judged, form=form)


def data_sha256(part: pd.DataFrame, form: int = FORMAT) -> str:
    """SHA-256 of examples in the order of their data set: ids, texts, and labels or answers."""
    return _digest(part.sort_index(), form)


def _digest(rows: pd.DataFrame, form: int) -> str:
    digest = hashlib.sha256()
    known = [name for name in ("answers", "label") if name in rows]
    gold = rows[known[0]] if known else [None] * len(rows)
    for identity, text, right in zip(rows["id"], texts(rows), gold, strict=True):
        label = "" if form == WITHOUT_CODE else f"\t{np.asarray(right).tolist()!r}"  # format 2 leaves them out
        digest.update(f"{identity}\t{text}{label}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def code(cell: Cell, *, judged: bool = True) -> str:
    """The code of this process, by what it makes of a small shard."""
    return code_of(cell, model_of(cell), judged=judged)


def ordered_examples(cell: Cell) -> pd.DataFrame:
    """The cell's examples in the order in which they are run: a larger limit begins with the smaller ones.

    Raises:
        ValueError, FileNotFoundError: as ``own_data.own_examples``, ``own_data.fitted`` and ``data.examples``.
    """
    return _shuffled(_data_key(cell), None if cell.model is None else _model_key(cell), cell.seed).iloc[: cell.limit]


def weights_sha256(cell: Cell) -> str:
    """SHA-256 of the weights of the cell's model."""
    return _weights(_model_key(cell))


def model_of(cell: Cell) -> TextModel:
    """The cell's model, loaded once in a process."""
    return _model(_model_key(cell))


def places(cell: Cell) -> tuple[str, ...]:
    """Absolute paths of the reader's own model and file, where they are such."""
    named = () if cell.model is None else (located(cell.model),)
    own = named if cell.data is None else (*named, os.path.abspath(cell.data))
    return tuple(path for path in own if os.path.isabs(path))


def at_places(cell: Cell) -> Cell:
    """The same cell for a process that may stand in another folder."""
    if cell.model is None:
        return cell
    return replace(cell, model=located(cell.model), data=None if cell.data is None else os.path.abspath(cell.data))


def _model_key(cell: Cell) -> _Key:
    if cell.model is None:
        return cell.dataset, (("profile", cell.profile), ("architecture", cell.architecture)), ()
    place = located(cell.model)
    task = "span" if "question" in _read(_data_key(cell)) else "classification"
    return place, (("task", task),), state(place)


def _data_key(cell: Cell) -> _Key:
    if cell.data is None:
        return cell.dataset, cell.profile, ()
    place = os.path.abspath(cell.data)
    return place, None, state(place)


def _configuration(cell: Cell) -> str:
    """Fingerprint of a model's configuration and tokenizer; "" of ours, whose weights say enough."""
    return _configured(_model_key(cell)) if cell.model else ""


def working_device() -> str:
    """Where runs compute: on a GPU where torch finds one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(2)
def _model(key: _Key) -> TextModel:
    name, how, _ = key
    if "task" in dict(how):
        KNOWN.clear()  # it may hold what this model made of the small shard with another tokenizer
    return load(name, device=working_device(), **dict(how))


@lru_cache(8)
def _weights(key: _Key) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(_model(key).model.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@lru_cache(8)
def _configured(key: _Key) -> str:
    return configuration_sha256(_model(key))


@lru_cache(4)
def _read(key: _Key) -> pd.DataFrame:
    name, profile, _ = key
    return own_examples(Path(name)) if profile is None else examples(name, profile=profile)


@lru_cache(4)
def _shuffled(data: _Key, model: _Key | None, seed: int) -> pd.DataFrame:
    rows = _read(data)
    if model is not None:
        rows = fitted(rows, _model(model), data[0], CLASSES.get(data[0], ()))
    return rows.sample(frac=1, random_state=seed)


def forget() -> None:
    """Load models and read data anew when they are next asked for: what lies under their names has changed."""
    for cache in (_model, _weights, _configured, _read, _shuffled):
        cache.cache_clear()
    KNOWN.clear()
