"""Recorded runs: a cell of settings -> one row an example, with a card that says where the rows come from."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from udig_lab import metrics
from udig_lab.data import examples
from udig_lab.explainer import explain
from udig_lab.methods import METHODS, method
from udig_lab.models import load
from udig_lab.textmodel import TextModel

_CHUNK = 64  # examples between two steps of the progress bar
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cell:
    """One experiment: everything its numbers depend on."""

    dataset: str
    method: str
    baseline: str = "mask"
    protocol: str = "corrected"
    strategy: str | None = None
    profile: str = "lab"
    limit: int | None = None
    max_length: int | None = 256
    top: float = 0.2
    seed: int = 42

    @property
    def name(self) -> str:
        """File name, without ending."""
        parts = [self.method, self.strategy, self.baseline, self.protocol, f"n{self.limit}" if self.limit else None]
        return "-".join(p for p in parts if p)


def results_folder() -> Path:
    """Recorded runs: beside the package in a clone, inside it when installed as a wheel."""
    clone = _HERE.parent / "results"
    return clone if clone.is_dir() else _HERE / "results"


def run(cell: Cell, folder: Path, *, progress: bool = True) -> Path:
    """Run one cell and write ``<name>.parquet`` and ``<name>.json`` in ``folder/dataset/profile``.

    A finished cell is not run again. Files appear whole or not at all.

    Raises:
        ValueError: an unknown method, data set, profile or protocol.
    """
    method(cell.method)
    target = folder / cell.dataset / cell.profile / f"{cell.name}.parquet"
    if target.exists() and target.with_suffix(".json").exists():
        return target
    model = load(cell.dataset, profile=cell.profile)
    data = examples(cell.dataset, profile=cell.profile, limit=cell.limit, seed=cell.seed)
    begin = time.perf_counter()
    chunks = range(0, len(data), _CHUNK)
    rows = pd.concat(
        [
            _rows(cell, model, data.iloc[start : start + _CHUNK])
            for start in tqdm(chunks, desc=cell.name, disable=not progress, unit="chunk")
        ],
        ignore_index=True,
    )
    card = _card(cell, model, data, time.perf_counter() - begin)
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target, lambda file: rows.to_parquet(file, compression="zstd", index=False))
    _write(target.with_suffix(".json"), lambda file: file.write_text(json.dumps(card, indent=2) + "\n"))
    return target


def recorded(dataset: str, *, profile: str = "lab", folder: Path | None = None) -> pd.DataFrame:
    """All recorded rows of a data set, with the settings of their cell as columns.

    Raises:
        FileNotFoundError: nothing was recorded.
    """
    place = (folder or results_folder()) / dataset / profile
    files = sorted(place.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(
            f"no recorded run of {dataset} ({profile}); make one with: udig-lab run --dataset {dataset}"
        )
    parts = []
    for file in files:
        cell = json.loads(file.with_suffix(".json").read_text())["cell"]
        names = ("method", "strategy", "baseline", "protocol")
        parts.append(pd.read_parquet(file).assign(**{name: cell[name] for name in names}))
    return pd.concat(parts, ignore_index=True)


def cards(dataset: str, *, profile: str = "lab", folder: Path | None = None) -> list[dict[str, object]]:
    """The provenance cards of a data set's recorded runs."""
    place = (folder or results_folder()) / dataset / profile
    return [json.loads(file.read_text()) for file in sorted(place.glob("*.json"))]


def _rows(cell: Cell, model: TextModel, part: pd.DataFrame) -> pd.DataFrame:
    settings = {"strategy": cell.strategy} if cell.strategy else {}
    found = explain(
        model,
        part["text"].tolist(),
        method=cell.method,
        baseline=cell.baseline,
        protocol=cell.protocol,
        max_length=cell.max_length,
        progress=False,
        **settings,
    )
    judged = metrics.evaluate(model, found, top=cell.top, replacement="mask", protocol=cell.protocol)
    pad = metrics.log_odds(model, found, top=cell.top, replacement="pad", protocol=cell.protocol)
    return pd.DataFrame(
        {
            "id": part["id"].to_numpy(),
            "tokens": [len(a) for a in found],
            "label": part["label"].to_numpy(),
            "predicted": [a.target for a in found],
            "probability": np.array([a.probability for a in found], dtype=np.float32),
            "log_odds_mask": judged["log_odds"].numpy(),
            "log_odds_pad": pad.numpy(),
            "comprehensiveness": judged["comprehensiveness"].numpy(),
            "sufficiency": judged["sufficiency"].numpy(),
            "change": np.array([a.f_input - a.f_baseline for a in found], dtype=np.float32),
            "delta": np.array([a.delta for a in found], dtype=np.float32),
            "evaluations": [a.evaluations for a in found],
            "seconds": np.array([a.seconds for a in found], dtype=np.float32),
        }
    )


def _card(cell: Cell, model: TextModel, data: pd.DataFrame, seconds: float) -> dict[str, object]:
    """Provenance: settings, versions, fingerprints of data and weights, machine, seconds."""
    weights = hashlib.sha256()
    for name, tensor in sorted(model.model.state_dict().items()):
        weights.update(name.encode() + tensor.contiguous().numpy().tobytes())
    texts = "\n".join(data["id"].astype(str) + "\t" + data["text"])
    defaults = METHODS[cell.method].defaults
    return {
        "cell": asdict(cell),
        "settings": defaults | ({"strategy": cell.strategy} if cell.strategy else {}),
        "n": len(data),
        "model": model.name,
        "weights_sha256": weights.hexdigest(),
        "data_sha256": hashlib.sha256(texts.encode()).hexdigest(),
        "versions": {name: version(name) for name in ("udig-lab", "torch", "transformers", "numpy")},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {model.table.device.type}",
        "dtype": str(model.table.dtype).removeprefix("torch."),
        "seconds": round(seconds, 1),
    }


def _write(target: Path, write: Callable[[Path], object]) -> None:
    """Write beside the target and move: a killed run leaves no half file."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
