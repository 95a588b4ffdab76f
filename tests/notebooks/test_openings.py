"""How the notebooks of pages that measure begin: what was found, computed from rows, before anything else."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from udig_lab.experiments.findings import NUMBER

ROOT = Path(__file__).parents[2]
PARTS = ("Faithfulness", "Experiments")
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
PAGES = [c["file"] for part in TOC["parts"] if part["caption"] in PARTS for c in part["chapters"]]


@pytest.fixture(params=PAGES)
def cells(request: pytest.FixtureRequest) -> list[dict]:
    found = json.loads((ROOT / f"{request.param}.ipynb").read_text(encoding="utf8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in found]


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def place(cells: list[dict]) -> int:
    (at,) = [i for i, cell in enumerate(cells) if "finding" in tags(cell)]
    return at


def call(cell: dict) -> ast.Call:
    """The call of `finding` that a cell ends with."""
    last = ast.parse(cell["source"]).body[-1]
    assert isinstance(last, ast.Expr), "a finding's cell ends with its call"
    assert isinstance(last.value, ast.Call)
    assert ast.unparse(last.value.func) == "finding"
    return last.value


def test_nothing_open_stands_before_the_finding(cells: list[dict]):
    at = place(cells)
    assert [cell["cell_type"] for cell in cells[: at + 2]] == ["markdown"] + ["code"] * (at + 1)
    assert all("hide-input" in tags(cell) for cell in cells[1 : at + 2]), "code before the finding is folded"


def test_a_figure_follows_the_finding(cells: list[dict]):
    last = ast.parse(cells[place(cells) + 1]["source"]).body[-1]
    assert re.match(r"(ul\.plots\.show|forest|rivals|side_by_side|standings)\(", ast.unparse(last))


def test_no_value_of_a_finding_is_typed(cells: list[dict]):
    values = [keyword.value for keyword in call(cells[place(cells)]).keywords]
    assert values
    for value in values:
        names = {id(n) for s in ast.walk(value) if isinstance(s, ast.Subscript) for n in ast.walk(s.slice)}  # of rows
        typed = [n.value for n in ast.walk(value) if isinstance(n, ast.Constant) and id(n) not in names]
        assert not isinstance(value, ast.Constant), f"{ast.unparse(value)} cannot change with the rows"
        assert not [v for v in typed if isinstance(v, str) and NUMBER.search(v)], ast.unparse(value)
        assert not [v for v in typed if isinstance(v, float)], ast.unparse(value)
