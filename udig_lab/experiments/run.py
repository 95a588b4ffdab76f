"""Cells -> recorded runs: what is missing is worked through in shards, whole cells go into the results folder."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from udig_lab.experiments.cell import FORMAT, ORACLE, Cell
from udig_lab.experiments.cluster import work_through
from udig_lab.experiments.records import read_card
from udig_lab.experiments.store import alone, read_rows, write, write_rows
from udig_lab.experiments.work import (
    fingerprint,
    is_whole,
    key_of,
    model_of,
    ordered_examples,
    shard_count,
    shard_rows,
    shard_size,
    weights_sha256,
)


def run(
    cells: Cell | Sequence[Cell],
    folder: Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> list[Path]:
    """Record cells: ``<folder>/<dataset>/<profile>/<cell>.parquet`` with a card, ``.json``, beside each.

    What is finished is not done again: examples are worked through in shards, and these lie in ``<folder>/.shards``,
    each written whole or not at all. A run that was killed goes on where it stood, a larger ``limit`` adds to a
    smaller one, and several runs may work on one folder. In a script, call it under ``if __name__ == "__main__":``,
    since the processes of the local cluster import the script.

    Args:
        cells: what to record, in this order.
        folder: the results folder.
        scheduler: address of a Dask cluster to join, "tcp://host:port"; its workers must see the same folder.
        workers: processes of a local cluster; None starts one a core, or a single one where the model is on a GPU;
            0 works in this process.
        progress: show a bar with the time left.

    Returns:
        the Parquet files.

    Raises:
        ValueError, TypeError, OSError, MemoryError, ImportError: one sentence naming what was wrong and what would
            work.
    """
    cells = [cells] if isinstance(cells, Cell) else list(cells)
    folder = Path(folder).resolve()  # workers may stand elsewhere
    if workers is not None and (workers < 0 or scheduler is not None):
        raise ValueError(
            f"workers={workers} does not go with scheduler={scheduler!r}: name a scheduler, which has workers of its "
            "own, or say how many processes to start here, 0 for none"
        )
    new = [c for c, cell in enumerate(cells) if not recorded_whole(cell, folder)]
    tasks = [(c, n) for c in new for n in range(shard_count(cells[c])) if not is_whole(cells[c], n, folder)]
    left = Counter(c for c, _ in tasks)
    for c in new:
        if not left[c]:
            _record(cells[c], folder)
    with _bar(sum(_weight(cells[c]) for c, _ in tasks), progress and bool(tasks)) as bar:
        for c in work_through(cells, tasks, folder, scheduler, workers):
            _advance(bar, cells[c])
            left[c] -= 1
            if not left[c]:
                _record(cells[c], folder)
    return [result_file(cell, folder) for cell in cells]


def result_file(cell: Cell, folder: Path) -> Path:
    """Where a cell is recorded; its card lies beside it."""
    return folder / cell.dataset / cell.profile / f"{cell.name}.parquet"


def recorded_whole(cell: Cell, folder: Path) -> bool:
    """Whether at least the cell's examples are recorded, from the same weights and data."""
    file = result_file(cell, folder)
    card, rows = read_card(file.with_suffix(".json")), read_rows(file)
    if card is None or rows is None or card.get("format") != FORMAT or card["n"] < len(ordered_examples(cell)):
        return False
    key = key_of(cell, ordered_examples(replace(cell, limit=card["n"])), judged=True)
    return bool(card.get("key", key) == rows[1].get("key") == key)


@contextmanager
def _bar(total: float, shown: bool) -> Iterator[tqdm]:
    """A bar whose clock runs on while shards, which take about a minute, are under way."""
    layout = "{desc}: {percentage:3.0f} % |{bar:30}| {elapsed} gone{postfix}"
    over = threading.Event()
    with tqdm(total=total, desc="starting", bar_format=layout, disable=not shown) as bar:

        def tick() -> None:
            while not over.wait(1):
                bar.refresh()

        if shown:
            threading.Thread(target=tick, daemon=True).start()
        try:
            yield bar
        finally:
            over.set()


def _advance(bar: tqdm, cell: Cell) -> None:
    """One shard of a cell is there. The time left follows the mean pace: shards of several workers come in bunches."""
    bar.update(_weight(cell))
    if not bar.disable:
        left = bar.format_dict["elapsed"] * (bar.total - bar.n) / bar.n
        bar.set_description_str(cell.name, refresh=False)
        bar.set_postfix_str(f"about {tqdm.format_interval(max(left, 0))} left")


def _record(cell: Cell, folder: Path) -> None:
    """Join a cell's shards into its results file, in the order of the data set, and write its card."""
    file = result_file(cell, folder)
    with alone(folder / ".shards" / cell.dataset / cell.profile / cell.name / "recorded"):
        if recorded_whole(cell, folder):
            return  # another run was faster, or has recorded more
        # What was damaged or replaced since it was made, say by a run with another limit, is made again here.
        parts = [shard_rows(cell, n, folder) for n in range(shard_count(cell))]
        notes = [note for part in parts for _, note in part]
        data = ordered_examples(cell)
        explained, judged = (pd.concat([part[i][0] for part in parts], ignore_index=True) for i in (0, 1))
        rows = pd.concat([explained, judged], axis=1)
        if cell.method == ORACLE:
            rows = rows.drop(columns=["scores"])
        rows = rows.iloc[data.index.argsort()]
        card = {
            "format": FORMAT,
            "cell": asdict(cell),
            "settings": cell.all_settings,
            "n": len(data),
            "key": key_of(cell, data, judged=True),
            "model": model_of(cell).name,
            "weights_sha256": weights_sha256(cell),
            "data_sha256": fingerprint(data.sort_index()),
            "versions": {k: sorted({n["versions"][k] for n in notes}) for k in notes[0]["versions"]},
            "machines": sorted({n["machine"] for n in notes}),
            "seconds": round(sum(n["seconds"] for n in notes), 1),
            "seconds_explaining": round(sum(n["seconds"] for n in notes[::2]), 1),
            "seconds_shards": [round(sum(n["seconds"] for _, n in part), 1) for part in parts],
        }
        write_rows(file, rows, {name: card[name] for name in ("format", "n", "key")})
        # Last: rows without a card are as if they were not there, and a card of other rows has another key.
        write(file.with_suffix(".json"), (json.dumps(card, indent=2, default=str) + "\n").encode())


def _weight(cell: Cell) -> float:
    """About what a shard costs, in gradients a text: for the time left, not for anything that is reported."""
    s = cell.all_settings
    steps = float(s.get("n_steps", 1)) * 2.0 ** float(s.get("factor", 0))
    if cell.method.startswith("sequential") or (cell.method == "sig" and s["rule"] != "exact"):
        steps *= 25
    special = {"sig": 15.0, "shapley_sampling": 300.0, ORACLE: 200.0, "ig2": 8 * steps, "random": 0.0}
    return shard_size(cell) * (10 + (special.get(cell.method, steps) if s.get("rule") != "adaptive" else 15.0))
