"""What is recorded of examples: explained by the cell's method, then judged by its protocol."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from udig_lab.attribution import Attribution
from udig_lab.data import texts
from udig_lab.experiments.cell import ORACLE, Cell
from udig_lab.explainer import explain
from udig_lab.faithfulness import metrics
from udig_lab.faithfulness.bounds import oracle
from udig_lab.faithfulness.wae import TOKENWISE, word_approximation_error
from udig_lab.methods.settings import UNFORESEEN
from udig_lab.model.textmodel import TextModel
from udig_lab.saving.fields import text_fields


def explained_rows(cell: Cell, model: TextModel, examples: pd.DataFrame) -> pd.DataFrame:
    """Scores of examples, with what is known of each explanation: one row an example, in their order."""
    searches = cell.method == ORACLE  # it needs texts and targets only, as the control does
    attributions: list[Attribution] = explain(
        model,
        texts(examples),
        method="random" if searches else cell.method,
        baseline=None if cell.baseline == "none" else cell.baseline,
        output=cell.output,
        protocol=cell.protocol,
        max_length=cell.max_length,
        precision=cell.precision,
        progress=False,
        **({} if searches else cell.settings),
    )
    columns: dict[str, Any] = {"id": examples["id"].to_numpy(), "tokens": [len(a) for a in attributions]}
    if model.task == "span":
        columns["target_start"], columns["target_end"] = zip(*(a.target for a in attributions), strict=True)
        if "answers" in examples:
            golds = [{bare_answer(answer) for answer in answers} for answers in examples["answers"]]
            columns["correct"] = [
                bare_answer(a.target_name) in gold for a, gold in zip(attributions, golds, strict=True)
            ]
    else:
        columns["target"] = [a.target for a in attributions]
        if "label" in examples:
            columns["correct"] = np.array(columns["target"]) == examples["label"].to_numpy()
    columns.setdefault("correct", pd.array([pd.NA] * len(attributions), dtype="boolean"))  # nobody said what is right
    # Which settings are quick and which words count is asked of scores long after: they are kept, half as precise.
    columns["scores"] = [np.array(a.scores, dtype=np.float16) for a in attributions]
    for name in ("probability", "f_input", "f_baseline", "delta", "delta_percent", "seconds"):
        columns[name] = np.array([getattr(a, name) for a in attributions], dtype=np.float32)
    for name in ("evaluations", "forwards"):
        columns[name] = np.array([getattr(a, name) for a in attributions], dtype=np.int32)
    return pd.DataFrame(columns)


def judged_rows(
    cell: Cell,
    model: TextModel,
    examples: pd.DataFrame,
    explained: pd.DataFrame,
    *,
    wae: bool,
    known: dict[tuple[Any, ...], float],
) -> pd.DataFrame:
    """The metrics of explained examples; for the oracle, what can be reached.

    Args:
        cell: what is recorded.
        model: its model.
        examples: the examples.
        explained: their rows.
        wae: whether word approximation errors are found, for methods that have them.
        known: errors found so far with this model.
    """
    attributions = attributions_of(cell, model, examples, explained)
    if cell.method == ORACLE:
        return _bounds(cell, model, attributions)
    rows = metrics.measure(model, attributions, protocol=cell.protocol)
    rows["wae"] = np.float32(np.nan)
    has_path = cell.method in TOKENWISE and cell.all_settings["rule"] not in UNFORESEEN
    if has_path and cell.protocol == "corrected" and wae:
        rows["wae"] = word_approximation_error(model, attributions, known=known).numpy()
    return rows


def _bounds(cell: Cell, model: TextModel, attributions: list[Attribution]) -> pd.DataFrame:
    tops = (0.2, 0.5) if model.task == "span" else (0.05, 0.1, 0.2)
    rows: dict[str, Any] = {}
    for metric in ("comprehensiveness", "sufficiency"):
        values = oracle(model, attributions, metric=metric, tops=tops, protocol=cell.protocol, **cell.all_settings)
        rows |= {f"{metric}_{round(100 * top):02d}": row.numpy() for top, row in zip(tops, values, strict=True)}
    if model.task != "span":
        log_odds = oracle(model, attributions, metric="log_odds", protocol=cell.protocol, **cell.all_settings)
        rows["log_odds_mask_20"] = log_odds[0].numpy()
    return pd.DataFrame(rows)


def attributions_of(cell: Cell, model: TextModel, examples: pd.DataFrame, rows: pd.DataFrame) -> list[Attribution]:
    """Recorded scores as explanations again.

    Args:
        cell: what was recorded.
        model: its model.
        examples: the examples.
        rows: their rows, in the same order.
    """
    encodings, _ = model.encode(texts(examples), max_length=cell.max_length)
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
