"""Which code makes rows: told by what it makes of a small shard, and for the record by its source.

Rows of different code never join in one file, while a change that cannot touch rows must not void them. A version
number says nothing about either: nobody raises it. A hash of the source refuses too much and too little. Renamed
variables and files that move would void weeks of recording, and a new version of torch or transformers, which changed
the numbers of DistilBERT once (4.27), would go unseen. So the code of a cell is what it *makes*: the rows of a small
shard of fixed texts, by the same functions as all rows, with the cell's method, settings and protocol, of the cell's
own kind of network with its tokenizer, made small and filled with fixed numbers. It computes in double precision on
the CPU, and values are rounded far above the noise of that, so that every machine finds the same rows. What such a
shard cannot show is a change that touches only what is not in it: other texts, `bfloat16`, a GPU. Therefore cards name
the source as well, without comments, docstrings, imports and file names: of the modules that can touch rows, which are
those that ``making`` imports, and what these import, less those that only draw.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from udig_lab.experiments.cell import Cell
from udig_lab.experiments.making import explained_rows, judged_rows
from udig_lab.model.textmodel import TextModel

_PACKAGE = Path(__file__).parents[1]
_PRESENTATION = {"picture", "heatmap", "plots"}  # they draw what was computed

_TEXTS = (
    "a gorgeous , witty , seductive movie .",
    "quite dull",
    "an unputdownable tale of 1999 – told with café ☕ warmth , twice .",
    "who would have thought that the least of these films is neither long nor loud , but merely kind ?",
)
_PAIRS = (
    ("who wrote the play ?", "the play was written in 1999 by ada lovelace , a clerk from oslo .", "ada lovelace"),
    ("where is it ?", "it is here , in the café .", "here"),
)
_CUT = {"classification": 16, "span": 24}  # tokens, so that the longest text is cut

# Sizes of the small network, by the names that configurations give them.
_SIZES = {
    "hidden_size": 8,
    "embedding_size": 8,
    "intermediate_size": 16,
    "hidden_dim": 16,
    "n_filters": 4,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 4,
}
_WALK = 20  # steps of IG2
_DIGITS = 6  # behind the point; double precision is exact to about twice as many


def code_of(cell: Cell, model: TextModel, *, judged: bool) -> str:
    """SHA-256 of the rows that this code makes of the small shard; what it stands for is said above.

    Args:
        cell: data set, limit and seed do not matter.
        model: the cell's model.
        judged: whether the code that judges belongs to it, or only that which explains.
    """
    about = json.dumps([asdict(replace(cell, limit=None, seed=0)), model.task], sort_keys=True, default=str)
    key = about, type(model.model), json.dumps(_config(model), sort_keys=True, default=str), len(model.table)
    if key not in KNOWN:
        try:
            KNOWN[key] = _small_rows(cell, model)
        except Exception:  # a network of the reader's own, of a kind that these sizes do not fit, raises anything
            if cell.model is None:
                raise
            # Refuses more than it must: a change that touches no row is another code, too.
            KNOWN[key] = source_sha256(), [version(name) for name in ("torch", "transformers", "numpy")]
    explained, after = KNOWN[key]
    return hashlib.sha256(repr((explained, after) if judged else explained).encode()).hexdigest()


KNOWN: dict[tuple[Any, ...], tuple[Any, Any]] = {}  # found in this process


def _small_rows(cell: Cell, model: TextModel) -> tuple[Any, Any]:
    """Columns of the small shard, explained and judged; where that cannot be, the sentence that says why."""
    length = _CUT[model.task] if cell.max_length is None else min(cell.max_length, _CUT[model.task])
    settings = dict(cell.settings)
    if cell.method == "ig2":  # where it has arrived, its walk goes to and fro, and every rounding is another way
        settings["n_steps"] = min(cell.all_settings["n_steps"], _WALK)
    cell = replace(cell, max_length=length, settings=settings)
    if model.task == "span":
        questions, contexts, answers = zip(*_PAIRS, strict=True)
        part = pd.DataFrame({"question": questions, "context": contexts, "answers": [[a] for a in answers]})
    else:
        part = pd.DataFrame({"text": _TEXTS, "label": [int(n % 3 == 0) for n in range(len(_TEXTS))]})
    part["id"] = range(len(part))
    small = _small(model)
    try:
        explained = explained_rows(cell, small, part)
    except (ValueError, TypeError) as error:  # IG2, say, finds no references
        return f"{type(error).__name__}: {error}", None
    try:
        judged = judged_rows(cell, small, part, explained, wae=True, known={})
    except (ValueError, TypeError) as error:
        return _columns(explained), f"{type(error).__name__}: {error}"
    return _columns(explained), _columns(judged)


def _columns(rows: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): [_rounded(v) for v in column] for name, column in rows.items() if name != "seconds"}


def _rounded(value: Any) -> Any:
    """Plain numbers; without the sign of zero, which is noise."""
    return (np.round(np.asarray(value, dtype=np.float64), _DIGITS) + 0.0).tolist()


def _small(model: TextModel) -> TextModel:
    """A network of the same kind with few and fixed numbers, in double precision; the vocabulary is the model's."""
    config = copy.deepcopy(getattr(model.model, "config", None))
    for name, size in _SIZES.items():
        if getattr(config, name, None) is not None:
            setattr(config, name, size)
    kind: Any = type(model.model)
    network = kind(config).double().eval()
    generator = np.random.Generator(np.random.PCG64(0))  # its numbers are the same in all versions
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            # Products of such numbers and their sums are exact, so that what is equal is equal on every machine: where
            # all words are masked, all windows of Kim's network are alike, and their gradient is shared.
            numbers = np.round((2 * generator.random(parameter.numel()) - 1) * 2**20) / 2**20
            parameter.copy_(torch.from_numpy(numbers).view_as(parameter))
            if parameter.ndim == 1:  # small shifts, and scales around 1: texts shall not look alike
                parameter *= 0.2
                parameter += "norm" in name.lower() and name.endswith("weight")
        if model.task == "classification":  # no class shall always win: IG2 looks for texts of another
            tokenizer: Any = model.tokenizer
            said = [network(**tokenizer(text, return_tensors="pt")).logits[0] for text in _TEXTS]  # (C,) each
            heads = [p for p in network.parameters() if p.shape == said[0].shape]
            for head in heads[-1:]:
                head -= torch.stack(said).mean(0)
    return TextModel(network, model.tokenizer, model.name, model.task)


def _config(model: TextModel) -> dict[str, Any]:
    config: Any = getattr(model.model, "config", None)
    return {} if config is None else dict(config.to_dict())


@cache
def source_sha256() -> str:
    """SHA-256 of the source of the modules that can touch rows, wherever they lie and whatever comments say."""
    return hashlib.sha256("".join(sorted(_normal(path) for path in computing_modules())).encode()).hexdigest()


def computing_modules() -> list[Path]:
    """The files of this package that ``rows`` needs, itself included, less those that only draw."""
    reached: set[Path] = set()
    waiting = [_PACKAGE / "experiments" / "making.py"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.stem in _PRESENTATION:
            continue
        reached.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PACKAGE.name):
                place = _PACKAGE.joinpath(*str(node.module).split(".")[1:])
                files = [place.with_suffix(".py"), place / "__init__.py"]
                files += [place / f"{alias.name}.py" for alias in node.names]
                waiting += [file for file in files if file.is_file()]
    return sorted(reached)


def _normal(path: Path) -> str:
    """A module's syntax tree without docstrings and imports."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [part for part in body if not isinstance(part, (ast.Import, ast.ImportFrom))]
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                kept = kept[1:]
            node.body = kept  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
