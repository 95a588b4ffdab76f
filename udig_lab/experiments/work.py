"""The work itself: a shard of examples is explained, then judged; each a pure function of its key."""

from __future__ import annotations

import hashlib
import platform
import re
import threading
import time
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from udig_lab.attribution import Attribution, text_fields
from udig_lab.data import examples, texts
from udig_lab.experiments.cell import ORACLE, Cell
from udig_lab.experiments.store import Rows, once, read_rows
from udig_lab.explainer import explain
from udig_lab.faithfulness import metrics
from udig_lab.faithfulness.bounds import oracle
from udig_lab.faithfulness.wae import TOKENWISE, word_approximation_error
from udig_lab.model.load import load
from udig_lab.model.textmodel import TextModel

_SHARDS = {"imdb": 8, "squad": 16}  # examples; about a minute of the slower methods
_SHARD = 32
_WAE_SHARDS = 4  # shards with word approximation errors: finding a point's nearest word costs more than its gradient
_ALONE = threading.Lock()  # a cluster's worker may have several threads; they would share one model


def ordered_examples(cell: Cell) -> pd.DataFrame:
    """The cell's examples in the order in which they are run: a larger limit begins with the smaller ones."""
    return _shuffled(cell.dataset, cell.profile, cell.seed).iloc[: cell.limit]


def shard_count(cell: Cell) -> int:
    """How many shards the cell's examples make."""
    return -(-len(ordered_examples(cell)) // shard_size(cell))


def shard_size(cell: Cell) -> int:
    """Examples in a shard."""
    return _SHARDS.get(cell.dataset, _SHARD)


def shard_file(cell: Cell, number: int, folder: Path, *, judged: bool) -> Path:
    """Where a shard lies."""
    kind = f"{cell.name}/judged" if judged else f"{cell.explanation}/explained"
    return folder / ".shards" / cell.dataset / cell.profile / kind / f"{number:04d}.parquet"


def shard_rows(cell: Cell, number: int, folder: Path) -> tuple[Rows, Rows]:
    """One shard, explained and judged; what is not there yet is made."""
    part = _part(cell, number)
    with _ALONE:
        explained = once(
            shard_file(cell, number, folder, judged=False),
            key_of(cell, part, judged=False),
            lambda: _timed(lambda: _explained(cell, part)),
        )
        judged = once(
            shard_file(cell, number, folder, judged=True),
            key_of(cell, part, judged=True),
            lambda: _timed(lambda: _judged(cell, part, explained[0], number)),
        )
    return explained, judged


def is_whole(cell: Cell, number: int, folder: Path) -> bool:
    """Whether a shard is there, whole, and made from these weights and examples."""
    for judged in (True, False):
        rows = read_rows(shard_file(cell, number, folder, judged=judged))
        if rows is None or rows[1].get("key") != key_of(cell, _part(cell, number), judged=judged):
            return False
    return True


def shard_key(cell: Cell, number: int) -> str:
    """What a shard is made from; differs where weights, data or the version do."""
    return key_of(cell, _part(cell, number), judged=True)


def _part(cell: Cell, number: int) -> pd.DataFrame:
    return ordered_examples(cell)[number * shard_size(cell) : (number + 1) * shard_size(cell)]


def key_of(cell: Cell, part: pd.DataFrame, *, judged: bool) -> str:
    """Key of the rows of these examples."""
    return cell.fingerprint(weights_sha256(cell), fingerprint(part), judged=judged)


def fingerprint(rows: pd.DataFrame) -> str:
    """SHA-256 of examples: ids and texts."""
    digest = hashlib.sha256()
    for identity, text in zip(rows["id"], texts(rows), strict=True):
        digest.update(f"{identity}\t{text}\n".encode())
    return digest.hexdigest()


def weights_sha256(cell: Cell) -> str:
    """SHA-256 of the weights of the cell's model."""
    return _weights(cell.dataset, cell.profile, cell.architecture)


def model_of(cell: Cell) -> TextModel:
    """The cell's model, loaded once in a process."""
    return _model(cell.dataset, cell.profile, cell.architecture)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(2)
def _model(dataset: str, profile: str, architecture: str) -> TextModel:
    return load(dataset, profile=profile, architecture=architecture, device=_device())


@lru_cache(8)
def _weights(dataset: str, profile: str, architecture: str) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(_model(dataset, profile, architecture).model.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@lru_cache(4)
def _shuffled(dataset: str, profile: str, seed: int) -> pd.DataFrame:
    return examples(dataset, profile=profile).sample(frac=1, random_state=seed)


def forget() -> None:
    """Load models and read data anew when they are next asked for: what lies under their names has changed."""
    for cache in (_model, _weights, _shuffled):
        cache.cache_clear()


def _timed(make: Any) -> Rows:
    """Rows, and what the card says of how they were made."""
    begin = time.perf_counter()
    rows = make()
    processor = f"{platform.machine()}, {torch.get_num_threads()} thread(s)"
    return rows, {
        "seconds": round(time.perf_counter() - begin, 2),
        "versions": {name: version(name) for name in ("udig-lab", "torch", "transformers", "numpy")},
        "machine": processor if _device() == "cpu" else torch.cuda.get_device_name(),
    }


def _explained(cell: Cell, part: pd.DataFrame) -> pd.DataFrame:
    model = model_of(cell)
    searches = cell.method == ORACLE  # it needs texts and targets only, as the control does
    explained: list[Attribution] = explain(
        model,
        texts(part),
        method="random" if searches else cell.method,
        baseline=None if cell.baseline == "none" else cell.baseline,
        output=cell.output,
        protocol=cell.protocol,
        max_length=cell.max_length,
        precision=cell.precision,
        progress=False,
        **({} if searches else cell.settings),
    )
    columns: dict[str, Any] = {"id": part["id"].to_numpy(), "tokens": [len(a) for a in explained]}
    if model.task == "span":
        columns["target_start"], columns["target_end"] = zip(*(a.target for a in explained), strict=True)
        golds = [{bare_answer(answer) for answer in answers} for answers in part["answers"]]
        columns["correct"] = [bare_answer(a.target_name) in gold for a, gold in zip(explained, golds, strict=True)]
    else:
        columns["target"] = [a.target for a in explained]
        columns["correct"] = np.array(columns["target"]) == part["label"].to_numpy()
    # Which settings are quick and which words count is asked of scores long after: they are kept, half as precise.
    columns["scores"] = [np.array(a.scores, dtype=np.float16) for a in explained]
    for name in ("probability", "f_input", "f_baseline", "delta", "delta_percent", "seconds"):
        columns[name] = np.array([getattr(a, name) for a in explained], dtype=np.float32)
    for name in ("evaluations", "forwards"):
        columns[name] = np.array([getattr(a, name) for a in explained], dtype=np.int32)
    return pd.DataFrame(columns)


def _judged(cell: Cell, part: pd.DataFrame, explained: pd.DataFrame, number: int) -> pd.DataFrame:
    model = model_of(cell)
    explanations = attributions(cell, part, explained)
    if cell.method == ORACLE:
        return _bounds(cell, model, explanations)
    rows = metrics.measure(model, explanations, protocol=cell.protocol)
    rows["wae"] = np.float32(np.nan)
    paths = cell.method in TOKENWISE and cell.all_settings["rule"] != "adaptive"
    if paths and cell.protocol == "corrected" and number < _WAE_SHARDS:
        rows["wae"] = word_approximation_error(model, explanations, known=_errors(weights_sha256(cell))).numpy()
    return rows


def _bounds(cell: Cell, model: TextModel, explanations: list[Attribution]) -> pd.DataFrame:
    tops = (0.2, 0.5) if model.task == "span" else (0.05, 0.1, 0.2)
    rows: dict[str, Any] = {}
    for metric in ("comprehensiveness", "sufficiency"):
        values = oracle(model, explanations, metric=metric, tops=tops, protocol=cell.protocol, **cell.all_settings)
        rows |= {f"{metric}_{round(100 * top):02d}": row.numpy() for top, row in zip(tops, values, strict=True)}
    if model.task != "span":
        log_odds = oracle(model, explanations, metric="log_odds", protocol=cell.protocol, **cell.all_settings)
        rows["log_odds_mask_20"] = log_odds[0].numpy()
    return pd.DataFrame(rows)


@lru_cache(2)
def _errors(weights: str) -> dict[tuple[Any, ...], float]:
    """Word approximation errors found so far in this process, for one model."""
    return {}


def attributions(cell: Cell, part: pd.DataFrame, rows: pd.DataFrame) -> list[Attribution]:
    """Recorded scores as explanations again.

    Args:
        cell: what was recorded.
        part: the examples.
        rows: their rows, in the same order.
    """
    encodings, _ = model_of(cell).encode(texts(part), max_length=cell.max_length)
    spans = "target_start" in rows
    lines: Any = rows.itertuples()
    return [
        Attribution(
            **text_fields(e),
            scores=tuple(row.scores.astype(float).tolist()),
            target=(row.target_start, row.target_end) if spans else row.target,
            target_name="",
            output=cell.output or ("joint" if spans else "logit"),
            probability=row.probability,
            f_input=row.f_input,
            f_baseline=row.f_baseline,
            method=cell.method,
            baseline=cell.baseline,
            protocol=cell.protocol,
            settings=cell.all_settings,
        )
        for e, row in zip(encodings, lines, strict=True)
    ]


def bare_answer(answer: str) -> str:
    """An answer as SQuAD compares it: without case, articles, punctuation and, as ours is pieced together, spaces."""
    return re.sub(r"[\W_]", "", re.sub(r"\b(a|an|the)\b", " ", answer.lower()))
