"""Execute one notebook with papermill, so that its executed copy exists only if every cell ran."""

import os
import re
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbformat import NotebookNode
from prove_exercises import ExerciseError, insert_proofs, is_proof, remove_proofs
from stopping import on_its_own

CELL_TIMEOUT = 6 * 3600  # seconds; the training chapter on its full data stays below it
ANSI = re.compile("\x1b\\[[0-9;]*m")


def prepare(environment: dict[str, str], log: Path) -> None:
    """Set up this worker: environment variables and a log for what kernels say outside of cells."""
    on_its_own()
    os.environ.update(environment)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)  # kernels inherit both


def execute(source: Path, executed: Path, partial: Path, parameters: dict[str, Any]) -> tuple[float, str]:
    """Execute `source` into `executed`; until all of it has run, it lies at `partial`.

    Proofs of its exercises run with it. Returns the seconds it took and, if it failed, which cell and what
    the error was.
    """
    started = time.perf_counter()
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    problem = ""
    try:
        notebook = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
        insert_proofs(notebook)
        nbformat.write(notebook, partial)  # type: ignore[no-untyped-call]
        papermill.execute_notebook(
            str(partial), str(partial), parameters=parameters, cwd=str(source.parent),
            progress_bar=False, start_timeout=180, execution_timeout=CELL_TIMEOUT,
        )  # fmt: skip
    except papermill.PapermillExecutionError:
        pass  # raised for expected errors too (cells tagged `raises-exception`); judged below
    except ExerciseError as error:
        return time.perf_counter() - started, str(error)
    except Exception as error:  # a dead kernel, a time-out, no notebook at all
        problem = f"{type(error).__name__}: {str(error).strip()}"
    seconds = time.perf_counter() - started
    if not partial.is_file():
        return seconds, f"no cell was executed:\n{_indent(problem)}"
    notebook = nbformat.read(partial, as_version=4)  # type: ignore[no-untyped-call]
    where, what = _first_failure(notebook, stopped=bool(problem))
    if where:
        return seconds, f"{where}:\n{_indent(what or problem)}"
    _tidy(notebook)
    executed.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, partial)  # type: ignore[no-untyped-call]
    partial.replace(executed)
    return seconds, ""


def _first_failure(notebook: NotebookNode, stopped: bool) -> tuple[str, str]:
    """The cell that failed: ("cell 7 (its first line)", "ValueError: ..."), or ("", "").

    Without an error in its output (a dead kernel, a time-out) it is the last cell that was started.
    """
    number, last = 0, ""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "papermill-error-cell-tag" in tags or "injected-parameters" in tags:
            continue  # papermill's own; the number is that of the committed notebook
        number += not is_proof(cell)  # a proof belongs to the stub before it
        if cell.cell_type != "code":
            continue
        where = f"cell {number} ({(cell.source.splitlines() or [''])[0].strip('# ')})"
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags:
                kind = "" if is_proof(cell) else f"{output.ename}: "
                return where, f"{kind}{ANSI.sub('', output.evalue)}"
        if cell.metadata.get("papermill", {}).get("status") != "pending":
            last = where
    return (last, "") if stopped else ("", "")


def _tidy(notebook: NotebookNode) -> None:
    """Remove proofs and what papermill noted (absolute paths, times), and hide the cell that it injected."""
    remove_proofs(notebook)
    notebook.metadata.pop("papermill", None)
    tagged = [c for c in notebook.cells if "papermill-error-cell-tag" in c.metadata.get("tags", [])]
    notebook.cells = [cell for cell in notebook.cells if cell not in tagged]
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata.tags = ["injected-parameters", "remove-cell"]


def _indent(text: str, lines: int = 6) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()[:lines])
