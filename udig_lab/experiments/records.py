"""What was recorded: where it lies, rows with their settings, the cards that say where they come from, timings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import platformdirs

from udig_lab.experiments.cell import FORMAT, WITHOUT_CODE, Cell
from udig_lab.experiments.draws import averaged
from udig_lab.experiments.shelf import OWN, called
from udig_lab.experiments.store import Rows, checksum, read_rows, write, write_rows
from udig_lab.model.load import DATASETS

_PACKAGE = Path(__file__).parents[1]
_SUM = "sha256"  # in a card: of all the rest of it
_DRAWS = "draws"  # inside a folder of results: random scores with other seeds
READABLE = (WITHOUT_CODE, FORMAT)


def results_folder() -> Path:
    """Runs recorded by this project: beside the package in a clone, inside it when installed as a wheel."""
    clone = _PACKAGE.parent / "results"
    return clone if _cloned() else _PACKAGE / "results"


def own_folder() -> Path:
    """Where ``udig-lab run`` records: a clone's results, or the user's data folder when installed as a wheel."""
    return (
        results_folder() if _cloned() else Path(platformdirs.user_data_path("udig-lab", appauthor=False)) / "results"
    )


def _cloned() -> bool:
    return (_PACKAGE.parent / "pyproject.toml").is_file() and (_PACKAGE.parent / "results").is_dir()


def record_file(cell: Cell, folder: Path) -> Path:
    """Where a cell is recorded; its card lies beside it."""
    return folder / cell.dataset / cell.place / f"{cell.name}.parquet"


def recorded(dataset: str, *, profile: str = "lab", folder: Path | None = None) -> pd.DataFrame:
    """All recorded rows of a data set, with the settings of their cell as columns.

    Returns:
        one row an example and cell: the columns of ``metrics.measure``; id, tokens, target (of SQuAD, target_start
        and target_end), correct, scores, probability, f_input, f_baseline, delta, delta_percent, wae, evaluations,
        forwards, seconds; and of the cell: cell (its name), model, method, strategy, variant, baseline, protocol,
        output. ``profile="own"`` reads what was recorded of the reader's own models, and the column model tells them
        apart: the folder's name, or that on the hub. Where nobody said what is right, correct is <NA>.
        The oracle has no scores, and only the metrics it was searched for. Metrics of random scores are means over
        all recorded draws (those with other seeds lie in the folder's "draws"); the column draws counts them.

    Raises:
        FileNotFoundError: nothing was recorded, or a file has no card.
        ValueError: rows of another version, or a damaged file.
    """
    parts = []
    for file, card in _cards(dataset, profile, folder):
        cell = Cell(**card["cell"])
        kept = read_rows(file)
        if kept is None or not agree(card, kept[1]):
            raise ValueError(
                f"{file} is missing, damaged or of another run than its card; "
                f"mend it with: {_again(card)}{'' if kept is None else ' --force'}"
            )
        about = {name: getattr(cell, name) for name in ("method", "variant", "baseline", "protocol", "output")}
        about["model"] = called(cell.model) if cell.model else card.get("model", "")
        parts.append(kept[0].assign(cell=file.stem, strategy=cell.all_settings.get("strategy"), **about))
    rows = pd.concat(parts, ignore_index=True)
    others = (folder or results_folder()) / _DRAWS
    if not (others / dataset / profile).is_dir():
        return rows
    return averaged(rows, recorded(dataset, profile=profile, folder=others))


def cards(dataset: str, *, profile: str = "lab", folder: Path | None = None) -> list[dict[str, Any]]:
    """The provenance cards of a data set's recorded runs, each with its ``name``; raises as ``recorded``."""
    return [card | {"name": file.stem} for file, card in _cards(dataset, profile, folder)]


def benchmarks(name: str) -> dict[str, Any]:
    """What ``make bench`` last recorded.

    Args:
        name: "peers", seconds and ratios beside peers and beside the bare model; "scale", what every method costs; or
            "shards", where the time of a recorded run goes.

    Raises:
        FileNotFoundError: nothing of that name was recorded.
    """
    for folder in (_PACKAGE.parent / "benchmarks", _PACKAGE / "results" / "benchmarks"):  # of a clone, of a wheel
        if (file := folder / f"{name}.json").is_file():
            timings: dict[str, Any] = json.loads(file.read_text(encoding="utf8"))
            return timings
    raise FileNotFoundError(
        f"no benchmarks {name!r} are recorded; make them, peers, scale and shards, with: make bench"
    )


def read_card(file: Path) -> dict[str, Any] | None:
    """A card; None where there is none, or no whole one."""
    try:
        card: dict[str, Any] = json.loads(file.read_text(encoding="utf8"))
        if not isinstance(card["cell"], dict) or (_SUM in card and card.pop(_SUM) != checksum(card)):
            return None
        if card.get("format") in READABLE:
            Cell(**card["cell"])
        return card
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def whole_record(file: Path) -> Rows | None:
    """Rows and their note; None where they or their card beside them are missing or damaged, or of different runs."""
    kept, card = read_rows(file), read_card(file.with_suffix(".json"))
    return kept if kept is not None and card is not None and agree(card, kept[1]) else None


def write_record(file: Path, rows: pd.DataFrame, card: dict[str, Any]) -> None:
    """Rows, and their card beside them; to be called ``locked``.

    The card stands in the rows' file as well: each can tell whether the other is damaged.
    """
    card = json.loads(json.dumps(card))  # as it will be read
    write_rows(file, rows, card)
    # Last: rows without a card are as if they were not there, and a card of other rows has another key.
    write_card(file, card)


def write_card(file: Path, card: dict[str, Any]) -> None:
    """The card of the rows in a file; to be called ``locked``."""
    text = json.dumps(card | {_SUM: checksum(card)}, indent=2) + "\n"
    write(file.with_suffix(".json"), text.encode())


def agree(card: dict[str, Any], note: dict[str, Any]) -> bool:
    """Whether a card is that of the rows with this note."""
    if card.get("format") == WITHOUT_CODE:  # some of these cards have no key, only their rows have
        return bool(card.get("key", note.get("key")) == note.get("key")) and "code" not in note
    return card == note


def _again(card: dict[str, Any]) -> str:
    """The command that records a card's rows again, or what is left of them."""
    cell = Cell(**card["cell"])
    return replace(cell, limit=None if cell.limit is None else max(cell.limit, card.get("n", 1))).command


def _cards(dataset: str, profile: str, folder: Path | None) -> list[tuple[Path, dict[str, Any]]]:
    """Files of rows with their cards."""
    command = f"udig-lab run --dataset {dataset} --profile {profile}"
    if profile == OWN:
        source = f"--dataset {dataset}" if dataset in DATASETS else f"--data {dataset}.parquet"
        command = f"udig-lab run --model … {source}"
    place = (folder or results_folder()) / dataset / profile
    files = sorted(place.glob("*.json"))
    if not files:
        raise FileNotFoundError(
            f"no recorded run of {dataset} ({profile}){_elsewhere(dataset, profile, folder)}; make one with: {command}"
        )
    runs = []
    for file in files:
        card, rows = read_card(file), file.with_suffix(".parquet")
        if card is None:
            known = read_rows(rows)
            if known is not None and known[1].get("format") == FORMAT:  # the card stands in the rows' file, too
                command = _again(known[1])
            raise ValueError(f"{file} is no card of a recorded run; remove it, or mend it with: {command}")
        if card.get("format") not in READABLE:
            raise ValueError(
                f"{file} was written by another version (format {card.get('format', 1)}, not {FORMAT}); "
                f"remove it with its Parquet file and record it again with: {command}"
            )
        runs.append((rows, card))
    return runs


def _elsewhere(dataset: str, profile: str, folder: Path | None) -> str:
    own = own_folder()
    if folder is None and own != results_folder() and (own / dataset / profile).is_dir():
        return f" among this project's, but your own are in {own}: pass folder=udig_lab.experiments.own_folder()"
    return ""
