"""What a run finds already recorded, and whether it may go on: nothing finished is lost, nothing stale is mixed in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from udig_lab.experiments.cell import FORMAT, WITHOUT_CODE, Cell
from udig_lab.experiments.origin import ordered_examples, origin
from udig_lab.experiments.records import agree, read_card, record_file, write_card
from udig_lab.experiments.store import Rows, locked, read_rows
from udig_lab.experiments.work import found_shard, shard_count

_WAY_OUT = "keep them and name another folder with --output, or replace them with --force"


@dataclass(frozen=True)
class Standing:
    """How far a cell is recorded.

    Attributes:
        file: where its rows lie, or will lie.
        finished: whether there is nothing left to do.
        obstacle: a sentence, where what lies there must not be replaced without ``force``.
        holds: what would be replaced then, in words.
        remark: a sentence that whoever finds a cell finished should know.
        card: of whole rows whose card beside them is missing or damaged, their own copy of it.
    """

    file: Path
    finished: bool = False
    obstacle: str = ""
    holds: str = ""
    remark: str = ""
    card: dict[str, Any] | None = None


def standing(cell: Cell, folder: Path) -> Standing:
    """Look at a cell's record."""
    file, card = _place(cell, folder)
    rows = read_rows(file)
    about = rows[1] if rows is not None and rows[1] else card
    if card is not None and rows is not None and card.get("format") == WITHOUT_CODE and agree(card, rows[1]):
        about = card | rows[1]  # of such a record, only the card says more than the key
    if about is None:
        if rows is None:
            return Standing(file)  # nothing is there, or nothing that can be read
        return _kept(file, f"{file} holds {len(rows[0])} rows of another program")
    n, wanted = _number(about, rows), len(ordered_examples(cell))
    from_ = origin(cell, about, ordered_examples(replace(cell, limit=None)).iloc[:n])
    whole = rows is not None and card is not None and agree(card, rows[1])
    if from_.same_key and rows is not None and not whole and about.get("format") == FORMAT:
        return Standing(file, finished=n >= wanted, card=about)
    if whole and from_.same_key and n >= wanted:
        if from_.same_code:
            return Standing(file, finished=True)
        remark = f"{file} stays: its {n} rows were made {from_.words}; --force makes them anew"
        return Standing(file, finished=True, remark=remark, holds=f"{n} rows made {from_.words}")
    if rows is None and from_.same_key:
        if n <= wanted:
            return Standing(file)  # damaged: at least as many are made from its shards, or anew
        mend = replace(cell, limit=n).command
        sentence = f"{file} is damaged and held {n} rows, more than the {wanted} asked for; mend it with: {mend}"
        return Standing(file, obstacle=sentence, holds=f"{n} damaged rows")
    if from_.same and n < wanted:
        return Standing(file)  # it grows
    words = f"made {from_.words}" if from_.words else "whose card is missing or damaged"
    return _kept(file, f"{file} holds {n} rows {words}", f"{n} rows {words}")


def mend_card(cell: Cell, folder: Path) -> None:
    """Write a card anew that is missing or damaged, from the copy in its rows' file."""
    if standing(cell, folder).card is not None:
        with locked(lock_of(cell, folder)):
            state = standing(cell, folder)
            if state.card is not None:
                write_card(state.file, state.card)


def file_of(cell: Cell, folder: Path) -> Path:
    """Where a cell's rows lie, or will lie; they are not read."""
    return _place(cell, folder)[0]


def lock_of(cell: Cell, folder: Path) -> Path:
    """What is ``locked`` by whoever writes a cell's record."""
    return folder / ".shards" / cell.dataset / cell.place / cell.name / "recorded"


def _kept(file: Path, sentence: str, holds: str = "rows") -> Standing:
    return Standing(file, obstacle=f"{sentence}, and rows of different origin never join; {_WAY_OUT}", holds=holds)


def _place(cell: Cell, folder: Path) -> tuple[Path, dict[str, Any] | None]:
    """Where a cell's rows lie, and their card.

    Up to format 2, names left out the cut, the precision and the seed: such a record is found by its card.
    """
    file = record_file(cell, folder)
    card = read_card(file.with_suffix(".json"))
    short = record_file(replace(cell, max_length=256, precision="float32", seed=42), folder)
    if short != file and not file.exists():
        other = read_card(short.with_suffix(".json"))
        former = other is not None and other.get("format") == WITHOUT_CODE
        if other is not None and former and replace(Cell(**other["cell"]), limit=None) == replace(cell, limit=None):
            return short, other
    return file, card


def _number(about: dict[str, Any], rows: Rows | None) -> int:
    return len(rows[0]) if rows is not None else int(about.get("n", 0))


def foreign_shards(cell: Cell, folder: Path) -> str:
    """A sentence about shards of the cell that were made from something else, or by other code; "" without any."""
    shards: dict[str, list[int]] = {}
    for number in range(shard_count(cell)):
        for judged in (False, True):
            words = found_shard(cell, number, folder, judged=judged)[1].words
            if words and number not in shards.setdefault(words, []):
                shards[words].append(number)
    said = [f"{_numbers(numbers)} made {words}" for words, numbers in shards.items()]
    if not said:
        return ""
    return (
        f"of {cell.name} in {folder} there lie {', and '.join(said)}: rows of different origin never join; "
        "go on with what made them, name another folder with --output, or make these shards anew with --force"
    )


def _numbers(numbers: list[int]) -> str:
    """Numbers of shards with their runs drawn together.

    >>> _numbers([0, 1, 2, 5])
    'shards 0-2, 5'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    said = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"shard{'s' if len(numbers) > 1 else ''} {said}"
