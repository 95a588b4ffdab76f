"""Prove the exercises of a notebook while it is executed: every stub fails its check, every solution passes it.

A code cell tagged `exercise` holds a stub and, from the line that begins with `with attempt(`, its check; the
next cell holds the solution. Behind each of them goes a cell for the execution alone. Readers never see it.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import nbformat
from nbformat import NotebookNode

TAG = "proof"
CHECK = re.compile(r"^with attempt\(\s*[\"'](?P<name>[^\"']+)[\"']\s*\)", re.MULTILINE)
DETAILS = re.compile(r"^<details>.*?^</details>", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(?P<code>.*?)^```\s*$", re.MULTILINE | re.DOTALL)


class ExerciseError(Exception):
    """An exercise that cannot be proven as it is written; its text names it."""


def is_exercise(cell: Any) -> bool:
    """Whether this is a stub with its check."""
    return cell["cell_type"] == "code" and "exercise" in cell["metadata"].get("tags", [])


def is_proof(cell: Any) -> bool:
    """Whether this cell was inserted here."""
    return TAG in cell["metadata"].get("tags", [])


def check_of(source: str) -> tuple[str, str]:
    """The exercise's name and its check, everything from the line that begins with `with attempt(`."""
    found = CHECK.search(source)
    if not found:
        raise ExerciseError('no line begins with `with attempt("Exercise`')
    return found["name"], source[found.start() :]


def solution_of(cell: Any) -> str:
    """The one block of Python in the fold-out of the cell after a stub."""
    text = cell["source"] if cell is not None and cell["cell_type"] == "markdown" else ""
    blocks = [code for part in DETAILS.findall(text) for code in PYTHON.findall(part)]
    if len(blocks) != 1:
        raise ExerciseError("no solution block" if not blocks else f"{len(blocks)} solution blocks; one was expected")
    return str(blocks[0])


def exercises(cells: list[Any]) -> Iterator[tuple[int, str, str, str]]:
    """For every exercise: the index of its stub, its name, its check and its solution."""
    for index, cell in enumerate(cells):
        if is_exercise(cell):
            name = (cell["source"].splitlines() or [""])[0]
            try:
                name, check = check_of(cell["source"])
                solution = solution_of(cells[index + 1] if index + 1 < len(cells) else None)
            except ExerciseError as error:
                raise ExerciseError(f"cell {index + 1} ({name}):\n    {error}") from None
            yield index, name, check, solution


def insert_proofs(notebook: NotebookNode) -> None:
    """Put a proof behind every stub. Raises ExerciseError where there is nothing to prove."""
    proofs = {}
    for index, name, check, solution in exercises(notebook.cells):
        call = f"_prove({name!r}, {solution!r}, {check!r}, dict(globals()))\ndel _prove\n"
        cell = nbformat.v4.new_code_cell(f"# {name}\n{inspect.getsource(_prove)}\n\n{call}")  # type: ignore[no-untyped-call]
        cell.id, cell.metadata.tags = f"proof-{index}", [TAG]
        proofs[index] = cell
    notebook.cells = [c for i, cell in enumerate(notebook.cells) for c in (cell, proofs.get(i)) if c is not None]


def remove_proofs(notebook: NotebookNode) -> None:
    """Take the proofs out again, and number the cells as if they had never run."""
    proven = 0
    for cell in notebook.cells:
        proven += is_proof(cell)
        for counted in [cell, *cell.get("outputs", [])]:
            if counted.get("execution_count"):
                counted.execution_count -= proven
    notebook.cells = [cell for cell in notebook.cells if not is_proof(cell)]


def _prove(name: str, solution: str, check: str, names: dict[str, object]) -> None:
    """Runs inside the notebook, right after a stub: its source text is what a proof consists of.

    `names` is a copy of the notebook's names: the solution may overwrite them, and the reader's next cell, written
    for the names that the page shows, still finds those. For the same reason random numbers are drawn from a fork.
    """
    import contextlib
    import io
    import sys

    from udig_lab.exercises import solved

    said, torch = io.StringIO(), sys.modules.get("torch")
    if solved(name):
        raise AssertionError("the stub passes its own check")
    with contextlib.redirect_stdout(said), torch.random.fork_rng() if torch else contextlib.nullcontext():
        try:
            exec(solution, names)
            exec(check, names)
        except Exception as error:
            raise AssertionError(f"the solution does not pass: {type(error).__name__}: {error}") from None
    if not solved(name):
        what = said.getvalue().rpartition(f"{name}: not yet. ")[2].strip()
        raise AssertionError(f"the solution does not pass: {what}")
