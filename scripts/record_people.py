"""Record how scores agree with the labels that people gave to words and phrases: ``results/people/sst2/``.

python scripts/record_people.py

Scores are those of the recorded runs of SST-2, their ablations included; IDG is computed here, phrase by phrase.
Labels are those of the treebank's training phrases (``UDIG_LAB_DATA``). No text is written down.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from udig_lab.data import examples, folder
from udig_lab.experiments.claims import registered_claims
from udig_lab.experiments.code import source_sha256
from udig_lab.experiments.origin import data_sha256
from udig_lab.experiments.people import labelled, per_word
from udig_lab.experiments.records import cards, recorded, results_folder, write_record
from udig_lab.experiments.store import locked
from udig_lab.explainer import explain
from udig_lab.model.load import load
from udig_lab.model.textmodel import TextModel

_KEYS = ["id", "start", "words"]
_IDG = {"baseline": "mask", "n_steps": 50, "precision": "bfloat16"}  # on 60 texts bfloat16 ranked tokens as float32
_TEXTS = 32  # explained at once


def phrase_labels() -> dict[str, int]:
    """Labels of the training phrases; without those that have both."""
    phrases = pd.read_parquet(folder() / "sst2" / "train_phrases.parquet")
    grouped = phrases.groupby(phrases["text"].str.strip())["label"].agg(["min", "max"])
    clear = grouped[grouped["min"] == grouped["max"]]["min"]
    return {str(text): int(label) for text, label in clear.items()}


def occurrences(rows: pd.DataFrame, labels: dict[str, int]) -> pd.DataFrame:
    """Every labelled word and phrase of the sentences."""
    lines = []
    for identity, text in zip(rows["id"], rows["text"], strict=True):
        words = text.split()
        for kind, a, n, label in labelled(text, labels):
            own = [labels[word] for word in words[a : a + n] if word in labels]
            lines.append((identity, kind, a, n, label, len(own), float(np.mean(own)) if own else np.nan))
    found = pd.DataFrame(lines, columns=["id", "kind", "start", "words", "label", "known", "alone"])
    return found.astype({"id": "int32", "start": "int8", "words": "int8", "label": "int8", "known": "int8"})


def runs() -> dict[str, tuple[str, pd.DataFrame]]:
    """Column -> cell and its scores: cells that read the model as it is, with the most sentences first of two.

    A column has its cell's name without the precision, which is no setting of a method: two methods are compared under
    one baseline, whichever precision was the faster for them.
    """
    found: dict[str, tuple[str, pd.DataFrame]] = {}
    for place in (results_folder(), results_folder() / "ablations"):
        for cell, part in recorded("sst2", folder=place).groupby("cell"):
            column = str(cell).replace("-bfloat16", "")
            plain = part["method"].iloc[0] != "oracle" and part["protocol"].iloc[0] == "corrected"
            longer = column not in found or len(part) > len(found[column][1])
            if plain and "=" not in column and longer:
                found[column] = str(cell), part
    return dict(sorted(found.items()))


def sums(part: pd.DataFrame, found: pd.DataFrame, texts: dict[int, str], model: TextModel) -> pd.Series:
    """(N,) a cell's scores over the words of each occurrence, towards the positive class; NaN where not recorded."""
    tokenizer: Any = model.tokenizer
    known: dict[int, np.ndarray[Any, Any]] = {}
    for identity, scores, target in zip(part["id"], part["scores"], part["target"], strict=True):
        text = texts[identity]
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        known[identity] = per_word(text, offsets, scores) * (1 if target == 1 else -1)
    values = [
        known[i][a : a + n].sum() if i in known else np.nan
        for i, a, n in zip(found["id"], found["start"], found["words"], strict=True)
    ]
    return pd.Series(values, index=found.index, dtype="float32")


def group_values(found: pd.DataFrame, texts: dict[int, str], model: TextModel) -> pd.Series:
    """(N,) IDG's value of each phrase as a group of its sentence, with the sign of its directional gradient."""
    phrases = found[found["kind"] != "word"].drop_duplicates(_KEYS)
    values: dict[tuple[int, ...], float] = {}
    for a in range(0, len(phrases), _TEXTS):
        keys = [tuple(map(int, key)) for key in phrases[_KEYS].iloc[a : a + _TEXTS].to_numpy()]
        chosen = [texts[i] for i, _, _ in keys]
        trees: Any = []
        for (_, start, n), text in zip(keys, chosen, strict=True):
            words: list[Any] = text.split()
            trees.append([*words[:start], words[start : start + n], *words[start + n :]])
        made: Any = explain(model, chosen, method="idg", tree=trees, progress=False, **_IDG)
        for key, text, one in zip(keys, chosen, made, strict=True):
            values[key] = _value(one, text, key[1], key[2], model)
    due = [values.get(tuple(map(int, key)), np.nan) for key in found[_KEYS].to_numpy()]
    return pd.Series(due, index=found.index, dtype="float32").where(found["kind"] != "word")


def _value(one: Any, text: str, start: int, n: int, model: TextModel) -> float:
    """Of the group that covers these words; its own token range is found by characters."""
    tokenizer: Any = model.tokenizer
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    first = len(" ".join(text.split()[:start])) + (start > 0)
    last = len(" ".join(text.split()[: start + n]))
    inside = [t for t, (a, b) in enumerate(offsets) if b > a and first <= a < last]
    (group,) = [g for g in one.groups if (g.start, g.end) == (inside[0], inside[-1] + 1)]
    return float(np.sign(group.idg) * group.value * (1 if one.target == 1 else -1))


def main() -> None:
    """Record everything anew: it takes some minutes."""
    torch.set_num_threads(1)
    rows, model = examples("sst2", profile="lab"), load("sst2", profile="lab")
    texts = dict(zip(rows["id"].astype(int), rows["text"], strict=True))
    found, used = occurrences(rows, phrase_labels()), []
    columns = {}
    for name, (cell, part) in runs().items():
        columns[name] = sums(part, found, texts, model)
        used.append(cell)
        print(name, int(columns[name].notna().sum()), flush=True)
    columns["idg-mask-corrected"] = group_values(found, texts, model)
    file: Path = results_folder() / "people" / "sst2" / "agreement.parquet"
    about = [card for place in (None, results_folder() / "ablations") for card in cards("sst2", folder=place)]
    card = {
        "format": "people 1",
        "cell": {"dataset": "sst2"},
        "cells": {c["name"]: c["key"] for c in about if c["name"] in used and "key" in c},
        "idg": _IDG,
        "n": len(found),
        "data_sha256": data_sha256(rows),
        "source_sha256": source_sha256(),
        "claims": registered_claims(),
        "versions": {name: version(name) for name in ("udig-lab", "torch", "transformers", "numpy")},
    }
    with locked(file):
        write_record(file, found.assign(**columns), card)
    print(f"{len(found)} occurrences, {len(columns)} cells")


if __name__ == "__main__":
    main()
