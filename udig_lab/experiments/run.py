"""Cells -> recorded runs: what is missing is worked through in shards, whole cells go into the results folder."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from udig_lab.experiments.cell import ORACLE, Cell
from udig_lab.experiments.cluster import work_through
from udig_lab.experiments.guard import file_of, foreign_shards, lock_of, mend_card, standing
from udig_lab.experiments.origin import made_by, ordered_examples
from udig_lab.experiments.records import record_file, write_record
from udig_lab.experiments.store import locked
from udig_lab.experiments.work import is_whole, shard_count, shard_rows, shard_size
from udig_lab.methods.settings import UNFORESEEN

_LOG = logging.getLogger(__name__)


def run(
    cells: Cell | Sequence[Cell],
    folder: Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: bool = True,
    force: bool = False,
) -> list[Path]:
    """Record cells: ``<folder>/<dataset>/<profile>/<cell>.parquet`` with a card, ``.json``, beside each.

    What is finished is not done again: examples are worked through in shards, and these lie in ``<folder>/.shards``,
    each written whole or not at all. A run that was killed goes on where it stood, a larger ``limit`` adds to a
    smaller one, and several runs may work on one folder. What lies there is never replaced by less, nor by rows that
    were made from other weights, texts, labels or settings, or by other code; nor do such rows join. In a script, call
    it under ``if __name__ == "__main__":``, since the processes of the local cluster import the script.

    Args:
        cells: what to record, in this order.
        folder: the results folder.
        scheduler: address of a Dask cluster to join, "tcp://host:port"; its workers must see the same folder.
        workers: processes of a local cluster; None starts one a core, or a single one where the model is on a GPU;
            0 works in this process.
        progress: show a bar with the time left.
        force: make anew what was made from something else or by other code, and log what was replaced.

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
    for cell in cells:
        mend_card(cell, folder)
    new = [c for c, cell in enumerate(cells) if not _finished(cell, folder, force, tell=True)]
    if not force:
        for c in new:
            if sentence := foreign_shards(cells[c], folder):
                raise ValueError(sentence)
    tasks = [(c, n) for c in new for n in range(shard_count(cells[c])) if not is_whole(cells[c], n, folder)]
    left = Counter(c for c, _ in tasks)
    for c in new:
        if not left[c]:
            _record(cells[c], folder, force)
    with _bar(sum(_weight(cells[c]) for c, _ in tasks), progress and bool(tasks)) as bar:
        for c in work_through(cells, tasks, folder, scheduler, workers, force):
            _advance(bar, cells[c])
            left[c] -= 1
            if not left[c]:
                _record(cells[c], folder, force)
    return [file_of(cell, folder) for cell in cells]


def _finished(cell: Cell, folder: Path, force: bool, *, tell: bool = False) -> bool:
    """Whether there is nothing left to do for a cell.

    Raises:
        ValueError: there is, but it would replace what must not be replaced.
    """
    state = standing(cell, folder)
    if force:
        return state.finished and not state.holds
    if state.obstacle:
        raise ValueError(state.obstacle)
    if state.remark and tell:
        _LOG.warning(state.remark)
    return state.finished


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


def _record(cell: Cell, folder: Path, force: bool) -> None:
    """Join a cell's shards into its file, in the order of the data set, and write its card."""
    with locked(lock_of(cell, folder)):
        if _finished(cell, folder, force):
            return  # another run was faster, or has recorded more
        before, file = standing(cell, folder), record_file(cell, folder)
        # What was damaged or replaced since it was made is made again here.
        parts = [shard_rows(cell, n, folder, force=force) for n in range(shard_count(cell))]
        data = ordered_examples(cell)
        explained, judged = (pd.concat([part[i][0] for part in parts], ignore_index=True) for i in (0, 1))
        rows = pd.concat([explained, judged], axis=1)
        if cell.method == ORACLE:
            rows = rows.drop(columns=["scores"])
        write_record(file, rows.iloc[data.index.argsort()], _card(cell, data, parts))
        if before.file != file:
            before.file.with_suffix(".json").unlink(missing_ok=True)
            before.file.unlink(missing_ok=True)
        if before.holds:
            _LOG.warning("%s now holds %d rows; they replace %s", file, len(rows), before.holds)


def _card(cell: Cell, data: pd.DataFrame, parts: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """Where the rows of these shards come from."""
    notes = [note for part in parts for _, note in part]
    claims = set.intersection(*(set(note["claims"].items()) for note in notes))
    sources = sorted({note["source_sha256"] for note in notes})
    if len(sources) > 1:
        words = "%s joins rows of %d states of the source, which make the same rows of the small shard"
        _LOG.warning(words, cell.name, len(sources))
    about = made_by(cell, data, judged=True)
    return {name: about[name] for name in about if name not in ("machine", "source_sha256")} | {
        "sources_sha256": sources,
        "claims": dict(sorted(claims)),  # those that stood when every one of the rows was made
        "versions": {k: sorted({n["versions"][k] for n in notes}) for k in notes[0]["versions"]},
        "machines": sorted({n["machine"] for n in notes}),
        "seconds": round(sum(n["seconds"] for n in notes), 1),
        "seconds_explaining": round(sum(n["seconds"] for n in notes[::2]), 1),
        "seconds_shards": [round(sum(n["seconds"] for _, n in part), 1) for part in parts],
    }


def _weight(cell: Cell) -> float:
    """About what a shard costs, in gradients a text: for the time left, not for anything that is reported."""
    s = cell.all_settings
    steps = float(s.get("n_steps", 1)) * 2.0 ** float(s.get("factor", 0))
    if cell.method.startswith("sequential") or (cell.method == "sig" and s["rule"] != "exact"):
        steps *= 25
    special = {"sig": 15.0, "shapley_sampling": 300.0, ORACLE: 200.0, "ig2": 8 * steps, "random": 0.0}
    return shard_size(cell) * (10 + (special.get(cell.method, steps) if s.get("rule") not in UNFORESEEN else 15.0))
