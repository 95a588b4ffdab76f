"""The ledger: every published number beside ours, what differs, and a verdict that code has passed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from udig_lab.experiments.claims import rule
from udig_lab.experiments.docket import EQUAL, OPEN, outcome
from udig_lab.experiments.records import recorded
from udig_lab.experiments.rows import aligned, under
from udig_lab.faithfulness.statistics import Difference, Interval, holm, interval, paired
from udig_lab.methods import METHODS, registered
from udig_lab.model.checkpoint import ASSETS

# What the published tables of sentiment hold, as ``grid`` takes it; with the control.
PUBLISHED_METHODS = ["gradient_x_input", "deep_lift", "gradient_shap", "ig", "udig", "dig", "sig", "random"]
PUBLISHED_CHOICES = {
    "baselines": ["mask", "pad"],
    "protocols": ["as_published", "corrected"],
    "strategies": ["greedy", "maxcount"],
}
SAME, OTHER, VALUE = "same side", "other side", "another value"
NONE = "not tested"
VERDICTS = (SAME, OTHER, EQUAL, OPEN, NONE)  # and, where the papers' own checkpoints were run, VALUE


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

    A published number of one model cannot be reproduced on another. What can is what its table says with it: that a
    method is better or worse than IG on the same examples, with the same baseline, under the same protocol. So the
    verdict is passed on that difference, by the registered margins. Several numbers, of several models, may say the
    same about one of our differences: then they are one test, with one verdict, and one question for the correction.
    Where the papers' own checkpoint was run (profile "paper"), the number itself is tested.

    Args:
        folder: of recorded runs; None for those of the project.

    Returns:
        a row for each published number: its columns; ``ours`` (``Interval``), ``published_difference`` to the IG of
        the same source, ``our_difference`` (``Difference``, corrected for all tests), ``differs`` (in words),
        ``test`` (its name; None where there is none), ``verdict`` and ``why``.
    """
    table = published()
    runs = {d: _rows(d, folder) for d in table["dataset"].unique()}
    reference = _reference(table)
    lines: list[dict[str, Any]] = [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]
    entries = [_entry(line, runs[line["dataset"]], reference) for line in lines]
    asked = {e["test"]: e["our_difference"] for e in entries if e["test"]}
    corrected = dict(zip(asked, holm(list(asked.values())), strict=True))
    sides: dict[str, set[float]] = {}
    for entry in entries:
        if entry["test"]:
            entry["our_difference"] = corrected[entry["test"]]
            sides.setdefault(entry["test"], set()).add(float(np.sign(entry["published_difference"])))
    for line, entry in zip(lines, entries, strict=True):
        entry["verdict"], entry["why"] = _verdict(line, entry, sides.get(entry["test"], set()))
    return pd.concat([table, pd.DataFrame(entries, dtype=object)], axis=1)


def distinct(entries: pd.DataFrame) -> pd.DataFrame:
    """A line for each test, however many published numbers rest on it.

    Args:
        entries: of ``ledger``.

    Returns:
        dataset, variant, baseline, metric, numbers (how many), models, published (their differences to IG),
        our_difference, verdict, why.
    """
    lines = []
    for _, part in entries[entries["test"].notna()].groupby("test", sort=False):
        first = part.iloc[0]
        same = {name: first[name] for name in ("dataset", "variant", "baseline", "metric")}
        theirs = ", ".join(f"{d:+.3f}" for d in part["published_difference"])
        same |= {"numbers": len(part), "models": ", ".join(part["model"]), "published": theirs}
        lines.append(same | {name: first[name] for name in ("our_difference", "verdict", "why")})
    return pd.DataFrame(lines)


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
    """IG's published value for every source, model, baseline and metric; of several, the first.

    Only within a source: UDIG's notebooks hold no IG for sentiment, and a difference to somebody else's IG is one that
    nobody printed.
    """
    values: dict[tuple[Any, ...], float] = {}
    for line in table[table["method"] == "ig"].to_dict("records"):
        values.setdefault(_place(line), line["value"])
    return values


def _place(line: Mapping[Any, Any]) -> tuple[Any, ...]:
    return line["source"], line["dataset"], line["model"], line["baseline"], _column(line)


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
    names = ("ours", "published_difference", "our_difference", "differs", "profile", "test", "verdict", "why")
    entry: dict[str, Any] = dict.fromkeys(names)
    name, column = line["variant"], _column(line)
    their_ig = reference.get(_place(line))
    if their_ig is not None and name != "ig":
        entry["published_difference"] = line["value"] - their_ig
    for profile, rows in runs.items():
        output = "start" if line["dataset"] == "squad" else None
        here = under(rows, baseline=line["baseline"], output=output, defaults=profile == "lab")
        if profile == "paper":
            here = here[here["cell"].str.contains(f"-{line['model'].split('-')[0]}-")]  # by architecture
        own, ig = (here[here["variant"] == variant] for variant in (name, "ig"))
        if own.empty or column not in own or not np.isfinite(own[column]).all():
            continue
        entry |= {"ours": interval(own[column]), "profile": profile, "differs": _differs(line, profile, len(own))}
        if profile == "paper":
            entry["verdict"], entry["why"] = _value(line, entry["ours"], float(own[column].std()))
        own, ig = aligned(own, ig)
        if name != "ig" and len(own):
            entry["our_difference"] = paired(own[column], ig[column])
            if entry["published_difference"] is not None and profile == "lab":
                entry["test"] = " ".join((line["dataset"], name, line["baseline"], column))
        break
    return entry


def _differs(line: dict[str, Any], profile: str, n: int) -> str:
    """Every setting that is known to be another one."""
    parts = [] if profile == "paper" else [f"model (3 layers instead of {line['model']})"]
    if profile == "lab" and line["model"] == "distilbert":  # see reader.py; SIG's code pins no version that would tell
        theirs_once = line["source"] == "UDIG-code"
        parts.append("embedded twice instead of once" if theirs_once else "embedded twice (theirs unknown)")
    if line["variant"] == "sig":
        parts.append("closed form instead of 50 nodes")
    if line["variant"] == "gradient_shap":
        parts.append("other random draws")
    if stated := re.search(r"\bf=(\d+)", str(line["note"])):
        ours, theirs = METHODS["udig"].defaults["factor"], int(stated[1])
        parts += [f"factor {ours} instead of {theirs}"] if ours != theirs else []
    if n != line["n"]:
        parts.append(f"n = {n:,} instead of {int(line['n']):,}")
    if line["dataset"] == "imdb":
        parts.append("other reviews, cut at 256 tokens")
    if line["dataset"] == "squad":
        parts.append("their metric was never published")
    return "; ".join(parts) or "nothing known"


def _verdict(line: dict[str, Any], entry: dict[str, Any], sides: set[float]) -> tuple[str, str]:
    ours = entry["ours"]
    if not isinstance(ours, Interval):
        return NONE, "not run here"
    if "never published" in entry["differs"]:
        return NONE, "the published metric is not defined anywhere"
    if entry["verdict"]:  # on the number itself
        return entry["verdict"], entry["why"]
    if not entry["test"]:
        return NONE, "no published difference to test"
    if len(sides) > 1:
        return OPEN, "the published models lie on both sides of IG"
    difference: Difference = entry["our_difference"]
    ended = outcome(difference, rule().margin(_column(line)), rule().examples)
    if ended in (EQUAL, OPEN):
        return ended, "inside the margin" if ended == EQUAL else "ours shows no side of IG"
    same = (difference.mean > 0) == (1.0 in sides)
    return (SAME, "the same side of IG") if same else (OTHER, "the other side of IG")


def _value(line: dict[str, Any], ours: Interval, spread: float) -> tuple[str, str]:
    """The published number itself: on the same texts it is to be met, on others it is a sample like ours.

    The published side has no standard deviation; ours stands for both.
    """
    column = _column(line)
    gap = ours.mean - line["value"]
    same_texts = line["dataset"] != "imdb" and ours.n == line["n"]
    error = 0.0 if same_texts else spread * math.sqrt(1 / ours.n + 1 / line["n"])
    margin = rule().margin(column) if column.startswith(tuple(rule().margins)) else 0.0
    how = "on the same texts" if same_texts else "as two samples"
    if abs(gap) + 1.96 * error < margin:
        return EQUAL, f"within {margin} {how}"
    if abs(gap) > 1.96 * error:
        return VALUE, f"{gap:+.3f} {how}"
    return OPEN, f"interval contains zero {how}"
