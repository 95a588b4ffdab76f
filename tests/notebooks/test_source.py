"""The committed notebooks: clean, short-celled, and readable on GitHub and Colab as they are."""

import json
import re
from pathlib import Path
from statistics import median

import pytest
import yaml

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
NOTEBOOKS = [path for path in NOTEBOOKS if ".ipynb_checkpoints" not in path.parts]
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


def test_markdown_is_plain(notebook: dict):
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            found = MYST.search(cell["source"])
            assert not found, f"Colab and GitHub would show this raw: {found.group()!r} in {cell['source'][:80]!r}"
