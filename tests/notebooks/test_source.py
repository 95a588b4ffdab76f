"""The committed notebooks: clean, short-celled, and readable on GitHub and Colab as they are."""

import ast
import json
import re
import sys
from pathlib import Path
from statistics import median

import pytest
import yaml
from plumbing import FOLDED, is_layout

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from prove_exercises import ExerciseError, exercises, is_exercise  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
NOTEBOOKS = [path for path in NOTEBOOKS if ".ipynb_checkpoints" not in path.parts]
# The heading of an exercise, its difficulty out of four, its minutes and the task.
EXERCISE = re.compile(r"^### (Exercise \d+)\. \S.*\n\n([●○]{4}) · \d+ minutes\. \S", re.MULTILINE)
# A fence whose language is {directive}, a colon fence, or a {role}`...`.
MYST = re.compile(r"^\s*(```+|~~~+|:::+)\s*\{|^\s*:::|\{[a-z][\w:-]*\}`", re.MULTILINE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "notebook" in metafunc.fixturenames:
        names = [path.relative_to(ROOT / "notebooks").as_posix() for path in NOTEBOOKS]
        metafunc.parametrize("notebook", [read(path) for path in NOTEBOOKS], ids=names)


def read(path: Path) -> dict:
    notebook = json.loads(path.read_text(encoding="utf8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def code(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def lines(cell: dict) -> int:
    return sum(bool(line.strip()) for line in cell["source"].splitlines())


def test_every_notebook_is_a_page_of_the_book():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    named = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert {path.relative_to(ROOT).with_suffix("").as_posix() for path in NOTEBOOKS} <= named


def test_has_no_outputs(notebook: dict):
    for cell in code(notebook):
        assert cell["outputs"] == [], f"an output is committed: {cell['source'][:60]}"
        assert cell["execution_count"] is None, f"an execution count is committed: {cell['source'][:60]}"
    assert "widgets" not in notebook["metadata"]
    assert "papermill" not in notebook["metadata"]


def test_runs_on_the_kernel_that_everybody_has(notebook: dict):
    assert notebook["nbformat"] == 4
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_begins_with_one_title(notebook: dict):
    first = notebook["cells"][0]
    assert first["cell_type"] == "markdown"
    assert first["source"].startswith("# ")
    text = [c["source"] for c in notebook["cells"] if c["cell_type"] == "markdown"]
    text = re.sub(r"^```.*?^```", "", "\n".join(text), flags=re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1, "one title; sections begin with ##"


def test_first_code_cell_installs_the_package_on_colab(notebook: dict):
    url = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["repository"]["url"]
    first = code(notebook)[0]["source"]
    assert "google.colab" in first
    assert f"git+{url}" in first
    assert not re.search(r"pip install.*\b(torch|numpy|transformers)\b\s*[=<>~]", first), "Colab has its own"


def test_has_one_cell_of_parameters(notebook: dict):
    tagged = [cell for cell in code(notebook) if "parameters" in tags(cell)]
    assert len(tagged) == 1
    assert re.search(r'^PROFILE(: str)? = "mini"', tagged[0]["source"], re.MULTILINE)


def test_code_cells_are_short(notebook: dict):
    lengths = [lines(cell) for cell in code(notebook)]
    assert max(lengths) <= 30
    assert median(lengths) <= 6


def test_code_that_lays_out_is_folded(notebook: dict):
    """Imports, drawing, tables and their texts: one click away on the page, open in Colab."""
    for cell in code(notebook):
        if is_exercise(cell):
            assert FOLDED not in tags(cell), f"an exercise is there to be written in: {cell['source'][:60]!r}"
        elif is_layout(cell["source"]) and "parameters" not in tags(cell):
            assert FOLDED in tags(cell), f"tag it {FOLDED}, most of it lays out: {cell['source'][:60]!r}"


def test_markdown_is_plain(notebook: dict):
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            found = MYST.search(cell["source"])
            assert not found, f"Colab and GitHub would show this raw: {found.group()!r} in {cell['source'][:80]!r}"


def defined(source: str) -> dict[str, ast.stmt]:
    """Functions that code defines."""
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def is_empty(function: ast.stmt) -> bool:
    """Whether a function does nothing but say that it is not written yet."""
    return ast.unparse(function.body[-1]) == "raise NotImplementedError"


def test_chapters_have_three_to_five_exercises(notebook: dict):
    assert 3 <= sum(map(is_exercise, notebook["cells"])) <= 5


def test_exercises_are_told_and_graded(notebook: dict):
    cells = notebook["cells"]
    for number, (index, name, _, _) in enumerate(exercises(cells), 1):
        assert name == f"Exercise {number}", f"{name} stands in place {number}"
        before = cells[index - 1]
        assert before["cell_type"] == "markdown", f"{name}: the cell before a stub tells the task"
        told = EXERCISE.findall(before["source"])
        assert told, f"{name}: no `### {name}. Title` with `●●○○ · 10 minutes. Task` below it"
        heading, difficulty = told[-1]
        assert heading == name, f"the check of {heading} names {name}"
        assert re.fullmatch("●+○*", difficulty), f"{name}: {difficulty} is no difficulty"


def test_exercises_have_a_stub_and_a_solution_that_replaces_it(notebook: dict):
    for index, name, check, solution in exercises(notebook["cells"]):
        stub = notebook["cells"][index]["source"].removesuffix(check)
        empty = {function for function, node in defined(stub).items() if is_empty(node)}
        assert empty, f"{name}: no function of the stub ends with `raise NotImplementedError`"
        assert any(f"{function}(" in check for function in empty), f"{name}: the check calls none of {empty}"
        missing = empty - defined(solution).keys()
        assert not missing, f"{name}: the solution does not define {missing}"
        assert max(map(len, solution.splitlines())) <= 88, f"{name}: a line of the solution is too long for Colab"


def test_every_attempt_is_proven(notebook: dict):
    for cell in code(notebook):
        if "with attempt(" in cell["source"]:
            assert is_exercise(cell), f"this cell needs the tag `exercise`: {cell['source'][:60]!r}"


@pytest.mark.parametrize(
    ("stub", "solution", "message"),
    [
        ("def f(x):\n    raise NotImplementedError", "", "no line begins with `with attempt"),
        ('with attempt("Exercise 1"):\n    pass', "A hint.", "no solution block"),
        ('with attempt("Exercise 1"):\n    pass', "```python\nx = 1\n```", "no solution block"),
        (
            'with attempt("Exercise 1"):\n    pass',
            "<details><summary>Solution</summary>\n\n```python\nx\n```\n\n```python\ny\n```\n\n</details>",
            "2 solution blocks",
        ),
    ],
)
def test_exercise_without_its_parts_is_named(stub: str, solution: str, message: str):
    cells = [
        {"cell_type": "code", "metadata": {"tags": ["exercise"]}, "source": stub},
        {"cell_type": "markdown", "metadata": {}, "source": solution},
    ]
    with pytest.raises(ExerciseError, match=re.escape(message)):
        list(exercises(cells))
