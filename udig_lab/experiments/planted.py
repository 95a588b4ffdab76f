"""Methods before a judge who knows the truth: what they say of texts with planted shortcuts, recorded.

One file holds a method's rows on a data set, of all seeds: ``results/planted/<data set>/<cell>.parquet``, with a card
beside it. A seed's rows are made once; rows of other models, texts, settings or code never join them.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from udig_lab.data import examples
from udig_lab.experiments.cell import Cell
from udig_lab.experiments.claims import registered_claims
from udig_lab.experiments.code import code_of, source_sha256
from udig_lab.experiments.origin import data_sha256
from udig_lab.experiments.records import read_card, results_folder, whole_record, write_record
from udig_lab.experiments.store import locked
from udig_lab.explainer import explain
from udig_lab.faithfulness.planted import (
    DECIDED,
    KINDS,
    faults_of,
    flags,
    mean_rank,
    planted,
    planted_card,
    planted_model,
    precision,
    shortcuts,
)
from udig_lab.model.textmodel import TextModel

SEEDS = range(5)
TEXTS, LONGEST = 200, 12  # so many texts of at most so many words: a judge needs many short ones, not few long ones
_FORMAT = "planted 1"
# By variant. What differs from the methods' defaults is said in a file's name. On 60 texts IG's two largest scores
# were the same tokens with 20 nodes as with 50, and in bfloat16 as in float32, which takes more than twice as long.
# IG2's default walk of 500 steps would take 15 hours. Fifty longer steps found 98 % of the two largest scores that
# 200 steps find on 24 texts; twenty found only 90 %.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "gradient_x_input": ("gradient_x_input", {}),
    "sig": ("sig", {}),
    "ig": ("ig", {"n_steps": 20}),
    "dig_greedy": ("dig", {"strategy": "greedy"}),
    "dig_maxcount": ("dig", {"strategy": "maxcount"}),
    "udig_greedy": ("udig", {"strategy": "greedy"}),
    "udig_maxcount": ("udig", {"strategy": "maxcount"}),
    "gradient_shap": ("gradient_shap", {}),
    "both_ends": ("both_ends", {}),
    "permutations": ("permutations", {}),
    "random": ("random", {}),
    "ig2": ("ig2", {"n_steps": 50, "step_size": 0.1}),
}


def cells(dataset: str) -> list[Cell]:
    """What is recorded on a data set, the quickest first."""
    exact = ("sig", "both_ends", "permutations", "random")  # without gradients, bfloat16 changes nothing
    return [
        Cell(dataset, name, "mask", settings=settings, precision="float32" if name in exact else "bfloat16")
        for name, settings in METHODS.values()
    ]


def judged_texts(dataset: str, texts: int = TEXTS) -> pd.DataFrame:
    """The texts of the test split into which shortcuts are planted, the same for all seeds, kinds and methods."""
    rows = examples(dataset, profile="lab")
    short = rows[rows["text"].str.count(r"\S+") <= LONGEST]
    return short.sample(min(texts, len(short)), random_state=42).reset_index(drop=True)


def learned_kinds(dataset: str, seed: int) -> list[str]:
    """The shortcuts of which a training seed is a judge; the others are left out of its rows."""
    return [kind for kind in KINDS if not faults_of(planted_card(dataset, seed), [kind])]


def judged_rows(cell: Cell, model: TextModel, rows: pd.DataFrame, seed: int, kinds: Sequence[str]) -> pd.DataFrame:
    """What a method makes of one model: one row a text and kind.

    Args:
        cell: method and settings.
        model: of ``planted_model``.
        rows: of ``judged_texts``.
        seed: that the model was trained with.
        kinds: of shortcuts, which it has learned.

    Returns:
        id, kind, seed, tokens (that are explained), followed (whether the model says what the shortcut decides),
        precision and mean_rank.
    """
    parts = []
    for kind in kinds:
        shortcut = shortcuts(seed)[kind]
        given = planted(rows, shortcut, DECIDED[cell.dataset], seed)
        attributions: Any = explain(
            model,
            list(given["text"]),
            method=cell.method,
            baseline=None if cell.baseline == "none" else cell.baseline,
            target=list(given["label"]),
            precision=cell.precision,
            progress=False,
            **cell.settings,
        )
        lines: dict[str, list[Any]] = {name: [] for name in ("tokens", "followed", "precision", "mean_rank")}
        for a, words in zip(attributions, given["words"], strict=True):
            inside = ~np.array(a.special)
            truth, scores = flags(a.tokens, words)[inside], np.array(a.scores)[inside]
            lines["tokens"].append(len(scores))
            lines["followed"].append(a.probability > 0.5)
            lines["precision"].append(precision(scores, truth))
            lines["mean_rank"].append(mean_rank(scores, truth))
        parts.append(pd.DataFrame({"id": given["id"], "kind": kind, "seed": seed} | lines))
    together = pd.concat(parts, ignore_index=True)
    return together.astype({"tokens": "int16", "seed": "int8", "precision": "float32", "mean_rank": "float32"})


def record(
    dataset: str,
    seeds: Sequence[int] = SEEDS,
    methods: Sequence[str] = tuple(METHODS),
    *,
    folder: Path | None = None,
    texts: int = TEXTS,
) -> None:
    """Record what is missing; what was recorded stays.

    Raises:
        ValueError: rows that were recorded from other models, texts, settings or code.
    """
    rows = judged_texts(dataset, texts)
    searches: dict[tuple[object, ...], object] = {}
    for seed in seeds:
        learned = learned_kinds(dataset, seed)
        model = planted_model(dataset, seed, learned)
        model.vocabulary.searches = searches  # the table is frozen, so all seeds walk through the same words
        judge = {str(seed): planted_card(dataset, seed)["adapter_sha256"]}
        for cell in (c for c in cells(dataset) if c.variant in methods):
            file = (folder or results_folder()) / "planted" / dataset / f"{cell.name}.parquet"
            card = _card(cell, model, rows)
            due = _missing(_joined(file, card, dataset)[0], seed, learned)
            if not due:
                continue
            made = judged_rows(cell, model, rows, seed, due)
            with locked(file):  # another process may have added rows meanwhile
                parts, judges, stood = _joined(file, card, dataset)
                made = made[made["kind"].isin(_missing(parts, seed, due))]
                note = card | {"judges": judges | judge, "claims": stood}
                write_record(file, pd.concat([*parts, made], ignore_index=True), note)
            print(f"{dataset}, seed {seed}: {cell.variant}", flush=True)


def planted_rows(*, folder: Path | None = None) -> pd.DataFrame:
    """Recorded rows of all data sets; without texts on which a model did not follow the shortcut.

    Returns:
        one row a text, seed, kind and method: dataset, kind, seed, id, variant, tokens, precision, mean_rank.

    Raises:
        FileNotFoundError: nothing was recorded.
        ValueError: a damaged file, or one of another run than its card.
    """
    parts = []
    for file in sorted(((folder or results_folder()) / "planted").glob("*/*.parquet")):
        known = _known(file)
        assert known is not None
        cell = Cell(**known[1]["cell"])
        parts.append(known[0].assign(dataset=cell.dataset, variant=cell.variant))
    if not parts:
        raise FileNotFoundError("no rows of planted shortcuts are recorded; make them with: scripts/record_planted.py")
    rows = pd.concat(parts, ignore_index=True)
    columns = ["dataset", "kind", "seed", "id", "variant", "tokens", "precision", "mean_rank"]
    kept: pd.DataFrame = rows.loc[rows["followed"], columns].reset_index(drop=True)
    return kept


def planted_cards(*, folder: Path | None = None) -> list[dict[str, Any]]:
    """The cards of all recorded files; whether they are those of their rows, ``planted_rows`` says.

    Raises:
        ValueError: a damaged card.
    """
    files = sorted(((folder or results_folder()) / "planted").glob("*/*.json"))
    kept = {file: read_card(file) for file in files}
    if damaged := [file for file, card in kept.items() if card is None]:
        raise ValueError(f"{damaged[0]} is damaged; remove it and its rows, and record them again")
    return [card for card in kept.values() if card is not None]


def controls(rows: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Kind -> the mean precision that scores drawn blindly are due: k planted tokens among L."""
    for kind in KINDS:
        own = rows[rows["kind"] == kind]
        k = len(shortcuts(0)[kind].sides[0])
        yield kind, float((k / own["tokens"]).mean())


def _missing(parts: Sequence[pd.DataFrame], seed: int, kinds: Sequence[str]) -> list[str]:
    """The kinds of which no rows of a seed are there."""
    known = {kind for part in parts for kind in part.loc[part["seed"] == seed, "kind"]}
    return [kind for kind in kinds if kind not in known]


def _card(cell: Cell, model: TextModel, rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "cell": asdict(cell),
        "settings": cell.all_settings,
        "n": len(rows),
        "data_sha256": data_sha256(rows),
        # Of the method in double precision: what bfloat16 makes of it differs from machine to machine.
        "code": code_of(replace(cell, precision="float32"), model, judged=False),
        "source_sha256": source_sha256(),
        "claims": registered_claims(),
        "versions": {name: version(name) for name in ("udig-lab", "torch", "transformers", "numpy")},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} thread(s)",
    }


def _known(file: Path) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """What was recorded in a file; None where there is none.

    Raises:
        ValueError: it is damaged.
    """
    if not file.exists():
        return None
    known = whole_record(file)
    if known is None:
        raise ValueError(f"{file} or its card is damaged; remove both and record them again")
    return known


def _joined(
    file: Path, card: dict[str, Any], dataset: str
) -> tuple[list[pd.DataFrame], dict[str, str], dict[str, str]]:
    """The rows in a file, which new ones may join; the judges that made them; the claims that stood for all of them.

    Raises:
        ValueError: they may not.
    """
    known = _known(file)
    if known is None:
        return [], {}, card["claims"]
    rows, note = known
    judges: dict[str, str] = note["judges"]
    # A setting that came later changes no rows of before: the code, which is told by its rows, would differ too.
    had, has = note["settings"], card["settings"]
    kept = {"settings": {name: has[name] for name in had if name in has}}
    differs = [
        name for name in ("format", "settings", "n", "data_sha256", "code") if note[name] != (card | kept)[name]
    ]
    trained = {seed: planted_card(dataset, int(seed))["adapter_sha256"] for seed in judges}
    differs += ["judges"] if trained != judges else []
    if differs:
        raise ValueError(f"{file} was recorded from other {', '.join(differs)}; remove it with its card to start anew")
    return [rows], judges, {name: h for name, h in card["claims"].items() if note["claims"].get(name) == h}
