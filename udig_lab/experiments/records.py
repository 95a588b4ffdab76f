"""Reading what was recorded: rows with their settings, the cards that say where they come from, timings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from udig_lab.experiments.cell import FORMAT, Cell
from udig_lab.experiments.store import read_rows

_PACKAGE = Path(__file__).parents[1]


def results_folder() -> Path:
    """Recorded runs: beside the package in a clone, inside it when installed as a wheel."""
    clone = _PACKAGE.parent / "results"
    return clone if clone.is_dir() else _PACKAGE / "results"


def recorded(dataset: str, *, profile: str = "lab", folder: Path | None = None) -> pd.DataFrame:
    """All recorded rows of a data set, with the settings of their cell as columns.

    Returns:
        one row an example and cell: the columns of ``metrics.measure``; id, tokens, target (of SQuAD, target_start
        and target_end), correct, scores, probability, f_input, f_baseline, delta, delta_percent, wae, evaluations,
        forwards, seconds; and of the cell: cell (its name), method, strategy, variant, baseline, protocol, output.
        The oracle has no scores, and only the metrics it was searched for.

    Raises:
        FileNotFoundError: nothing was recorded, or a file has no card.
        ValueError: rows of another version, or a damaged file.
    """
    parts = []
    for file, card in _cards(dataset, profile, folder):
        cell = Cell(**card["cell"])
        rows = read_rows(file.with_suffix(".parquet"))
        if rows is None or card.get("key", rows[1].get("key")) != rows[1].get("key"):
            raise ValueError(
                f"{file.with_suffix('.parquet')} is missing, damaged or of another run than its card; "
                f"mend it with: udig-lab run --dataset {dataset} --profile {profile} --methods {cell.method} …"
            )
        about = {name: getattr(cell, name) for name in ("method", "variant", "baseline", "protocol", "output")}
        parts.append(rows[0].assign(cell=file.stem, strategy=cell.all_settings.get("strategy"), **about))
    return pd.concat(parts, ignore_index=True)


def cards(dataset: str, *, profile: str = "lab", folder: Path | None = None) -> list[dict[str, Any]]:
    """The provenance cards of a data set's recorded runs; raises as ``recorded``."""
    return [card for _, card in _cards(dataset, profile, folder)]


def benchmarks(name: str) -> dict[str, Any]:
    """What ``make bench`` last recorded.

    Args:
        name: "peers", seconds and ratios beside peers and beside the bare model; or "scale", what every method costs.

    Raises:
        FileNotFoundError: nothing of that name was recorded.
    """
    for folder in (_PACKAGE.parent / "benchmarks", _PACKAGE / "results" / "benchmarks"):  # of a clone, of a wheel
        if (file := folder / f"{name}.json").is_file():
            timings: dict[str, Any] = json.loads(file.read_text(encoding="utf8"))
            return timings
    raise FileNotFoundError(f"no benchmarks {name!r} are recorded; make them, peers and scale, with: make bench")


def read_card(file: Path) -> dict[str, Any] | None:
    """A card; None where there is none, or no whole one."""
    try:
        card = json.loads(file.read_text(encoding="utf8"))
    except (OSError, ValueError):
        return None
    return card if isinstance(card, dict) and "cell" in card else None


def _cards(dataset: str, profile: str, folder: Path | None) -> list[tuple[Path, dict[str, Any]]]:
    """Cards with their files."""
    command = f"udig-lab run --dataset {dataset} --profile {profile}"
    files = sorted(_place(dataset, profile, folder).glob("*.json"))
    if not files:
        raise FileNotFoundError(f"no recorded run of {dataset} ({profile}); make one with: {command}")
    files_and_cards = []
    for file in files:
        card = read_card(file)
        if card is None:
            raise ValueError(f"{file} is no card of a recorded run; remove it, or record it again with: {command}")
        if card.get("format") != FORMAT:
            raise ValueError(
                f"{file} was written by another version (format {card.get('format', 1)}, not {FORMAT}); "
                f"remove it with its Parquet file and record it again with: {command}"
            )
        files_and_cards.append((file, card))
    return files_and_cards


def _place(dataset: str, profile: str, folder: Path | None) -> Path:
    return (folder or results_folder()) / dataset / profile
