"""The whole zoo: ``make zoo`` judges every architecture and writes ``book/zoo.json``, which the book shows."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers
from tqdm import tqdm

import udig_lab as ul

from .build import TASKS, architectures
from .judge import BARE, SILENT, Verdict
from .pool import verdicts

RECORD = Path(__file__).parents[2] / "book" / "zoo.json"


def main() -> int:
    """Returns 1 when a number differs without a word, or an error has no sentence."""
    parser = argparse.ArgumentParser(prog="python -m zoo", description=__doc__)
    parser.add_argument("kinds", nargs="*", help="model types; the others' rows are kept (default: all)")
    parser.add_argument("--task", choices=TASKS, action="append", help="default: all three")
    parser.add_argument("--output", type=Path, default=RECORD)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="leave out what the output holds already")
    options = parser.parse_args()
    pairs = [
        (task, kind)
        for task in options.task or TASKS
        for kind in architectures(task)
        if not options.kinds or kind in options.kinds
    ]
    rows = _recorded(options.output) if options.kinds or options.task or options.resume else []
    if options.resume:
        known = {(row.task, row.kind) for row in rows}
        pairs = [pair for pair in pairs if pair not in known]
    bar = tqdm(verdicts(pairs, jobs=options.jobs), total=len(pairs), unit="model", disable=not sys.stderr.isatty())
    for row in bar:
        rows = _replaced(rows, row)
        options.output.write_text(as_json(rows), encoding="utf8")  # a run that is stopped can go on
    for task, number in counts(rows).items():
        print(task, number)
    wrong = [row for row in rows if row.outcome in (SILENT, BARE)]
    for row in wrong:
        print(f"{row.task} {row.kind}: {row.outcome}: {row.sentence}")
    return int(bool(wrong))


def _recorded(record: Path) -> list[Verdict]:
    """The rows of a record; none where there is no record."""
    return [Verdict(**row) for row in json.loads(record.read_text(encoding="utf8"))["rows"]] if record.exists() else []


def _replaced(rows: Sequence[Verdict], new: Verdict) -> list[Verdict]:
    """Rows in order, with a new one in the place of its own."""
    found = {(row.task, row.kind): row for row in [*rows, new]}
    return sorted(found.values(), key=lambda row: (list(TASKS).index(row.task), row.kind))


def counts(rows: Sequence[Verdict]) -> dict[str, dict[str, int]]:
    """How many architectures of every task came out how."""
    return {task: dict(Counter(row.outcome for row in rows if row.task == task)) for task in TASKS}


def as_json(rows: Sequence[Verdict]) -> str:
    """Versions, counts, and one line a verdict, so that a change of one shows as one line."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "udig_lab": ul.__version__}
    versions |= {"transformers": transformers.__version__}
    head = json.dumps({"versions": versions, "counts": counts(rows)}, indent=1)
    lines = ",\n  ".join(json.dumps(row.to_dict()) for row in rows)
    return f'{head[:-2]},\n "rows": [\n  {lines}\n ]\n}}\n'


if __name__ == "__main__":
    sys.exit(main())
