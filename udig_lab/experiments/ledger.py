"""The ledger: every published number beside ours, what differs, and a verdict that code has passed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from udig_lab.experiments.records import recorded
from udig_lab.experiments.rows import aligned, under
from udig_lab.faithfulness.statistics import Difference, Interval, holm, interval, paired
from udig_lab.methods import registered
from udig_lab.model.load import ASSETS

# What the published tables of sentiment hold, as ``grid`` takes it; with the control.
PUBLISHED_METHODS = ["gradient_x_input", "deep_lift", "gradient_shap", "ig", "udig", "dig", "sig", "random"]
PUBLISHED_CHOICES = {
    "baselines": ["mask", "pad"],
    "protocols": ["as_published", "corrected"],
    "strategies": ["greedy", "maxcount"],
}
REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE = "reproduced", "not reproduced", "not comparable"


def published() -> pd.DataFrame:
    """Published numbers, one a row: source, dataset, model, method, baseline, metric, value, n, protocol, note.

    ``method`` is the source's name; ``variant``, the last column, is the one that recorded rows have.

    >>> published()[["source", "method", "variant"]].iloc[12].tolist()
    ['SIG-csv', 'deeplift', 'deep_lift']
    """
    table = pd.read_csv(ASSETS / "published.csv")
    return table.assign(variant=table["method"].map(registered))


def ledger(folder: Path | None = None) -> pd.DataFrame:
    """Every published number with our counterpart.

    A published number of one model cannot be reproduced on another. What can is what the paper says with it: that a
    method is better or worse than IG on the same examples, with the same baseline, under the same protocol. So the
    verdict is passed on that difference. Where the papers' own checkpoint was run (profile "paper"), it is passed on
    the number itself.

    Args:
        folder: of recorded runs; None for those of the project.

    Returns:
        a row a published number: its columns; ``ours`` (``Interval``), ``published_difference`` to IG,
        ``our_difference`` (``Difference``, corrected for all of the ledger), ``differs`` (in words), ``verdict`` and
        ``why``.
    """
    table = published()
    runs = {d: _rows(d, folder) for d in table["dataset"].unique()}
    reference = _reference(table)
    lines: list[dict[str, Any]] = [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]
    entries = [_entry(line, runs[line["dataset"]], reference) for line in lines]
    asked = [i for i, e in enumerate(entries) if isinstance(e["our_difference"], Difference)]
    for i, difference in zip(asked, holm([entries[i]["our_difference"] for i in asked]), strict=True):
        entries[i]["our_difference"] = difference
    for line, entry in zip(lines, entries, strict=True):
        entry["verdict"], entry["why"] = _verdict(line, entry)
    return pd.concat([table, pd.DataFrame(entries, dtype=object)], axis=1)


def beside(rows: pd.DataFrame, dataset: str, metric: str = "comprehensiveness_20") -> pd.DataFrame:
    """Published values and our means, methods x (baseline, model); ours is the model "ours".

    Args:
        rows: recorded rows of the data set; those under "as_published" count, or else those under "corrected".
        dataset: a data set's name.
        metric: a column.

    Returns:
        the table; ``attrs["protocol"]`` is that of our rows.
    """
    theirs = published().query("dataset == @dataset")
    theirs = theirs[[_column(line) == metric for line in theirs.to_dict("records")]]
    protocol = "as_published" if "as_published" in set(rows["protocol"]) else "corrected"
    own = rows[(rows["protocol"] == protocol) & (rows["baseline"] != "none")]
    means = own.groupby(["variant", "baseline"])[metric].mean().reset_index(name="value").assign(model="ours")
    table = pd.concat([theirs, means]).pivot_table(
        index="variant", columns=["baseline", "model"], values="value", aggfunc="first"
    )
    table.attrs["protocol"] = protocol
    return table


def order_kept(table: pd.DataFrame) -> pd.DataFrame:
    """How far a table of ``beside`` has the methods in one order: our rank correlation (Spearman) with each model.

    Returns:
        baselines x models, over the methods that every model and we have; the last column is n, their number. A
        baseline with fewer than three of them is left out.
    """
    lines = {}
    for baseline, part in table.T.groupby(level="baseline"):
        complete = part.droplevel("baseline").T.dropna()
        if "ours" in complete and len(complete) > 2:
            lines[baseline] = complete.corr("spearman")["ours"].drop("ours").to_dict() | {"n": len(complete)}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("baseline")


def _rows(dataset: str, folder: Path | None) -> dict[str, pd.DataFrame]:
    """Recorded rows under the published protocol, by profile; what was not recorded is left out."""
    runs = {}
    for profile in ("paper", "lab"):
        try:
            rows = recorded(dataset, profile=profile, folder=folder)
        except FileNotFoundError:
            continue
        rows = rows[rows["protocol"] == "as_published"]
        runs[profile] = rows.assign(delta_abs=rows["delta"].abs())
    return runs


def _reference(table: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """The published value of IG for every model, baseline and metric; of several, the first.

    The notebooks of UDIG hold no IG for sentiment. Their sentences and models are those of the SIG code, so its IG
    serves; not for log-odds, which UDIG's notebooks find by replacing with another token.
    """
    values: dict[tuple[Any, ...], float] = {}
    for line in table[table["method"] == "ig"].to_dict("records"):
        values.setdefault((line["dataset"], line["model"], line["baseline"], _column(line)), line["value"])
    return values


def _column(line: Mapping[Any, Any]) -> str:
    """Our column for a published metric; log-odds by the token that replaces."""
    share = int(line["top_k_percent"])
    if line["metric"] == "log_odds":
        token = "pad" if "log-odds replaces with pad" in str(line["note"]) else line["baseline"]
        return f"log_odds_{token}_{share}"
    return {"delta_abs": "delta_abs", "delta_percent_mean": "delta_percent"}.get(
        line["metric"], f"{line['metric']}_{share}"
    )


def _entry(
    line: dict[str, Any], runs: dict[str, pd.DataFrame], reference: dict[tuple[Any, ...], float]
) -> dict[str, Any]:
    entry: dict[str, Any] = dict.fromkeys(("ours", "published_difference", "our_difference", "differs", "profile"))
    name, column = line["variant"], _column(line)
    their_ig = reference.get((line["dataset"], line["model"], line["baseline"], column))
    if their_ig is not None and name != "ig":
        entry["published_difference"] = line["value"] - their_ig
    for profile, rows in runs.items():
        here = under(rows, baseline=line["baseline"], output="start" if line["dataset"] == "squad" else None)
        if profile == "paper":
            here = here[here["cell"].str.contains(f"-{line['model'].split('-')[0]}-")]  # by architecture
        own, ig = (here[here["variant"] == variant] for variant in (name, "ig"))
        if own.empty or column not in own or not np.isfinite(own[column]).all():
            continue
        entry |= {"ours": interval(own[column]), "profile": profile, "differs": _differs(line, profile, len(own))}
        own, ig = aligned(own, ig)
        if name != "ig" and len(own):
            entry["our_difference"] = paired(own[column], ig[column])
        break
    return entry


def _differs(line: dict[str, Any], profile: str, n: int) -> str:
    parts = [] if profile == "paper" else [f"model (3 layers instead of {line['model']})"]
    if profile == "lab" and line["model"] == "distilbert":
        parts.append("embedded twice instead of once")  # see reader.py: only BERT's and RoBERTa's runs were doubled
    if n != line["n"]:
        parts.append(f"n = {n:,} instead of {int(line['n']):,}")
    if line["dataset"] == "imdb":
        parts.append("other reviews, cut at 256 tokens")
    if line["dataset"] == "squad":
        parts.append("their metric was never published")
    return "; ".join(parts) or "nothing known"


def _verdict(line: dict[str, Any], entry: dict[str, Any]) -> tuple[str, str]:
    ours, difference, theirs = entry["ours"], entry["our_difference"], entry["published_difference"]
    if not isinstance(ours, Interval):
        return NOT_COMPARABLE, "no counterpart was run"
    if "never published" in entry["differs"]:
        return NOT_COMPARABLE, "the published metric is not defined anywhere"
    if entry["profile"] == "paper":
        inside = ours.low <= line["value"] <= ours.high
        return (REPRODUCED, "inside our interval") if inside else (NOT_REPRODUCED, "outside our interval")
    if difference is None or theirs is None:
        return NOT_COMPARABLE, "a value of another model, without a difference to test"
    if not difference.shown:
        return NOT_REPRODUCED, "ours shows no difference to IG"
    if (difference.mean > 0) == (theirs > 0):
        return REPRODUCED, "the same side of IG"
    return NOT_REPRODUCED, "the other side of IG"
