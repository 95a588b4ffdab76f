"""What the build keeps, and until when: which change makes which thing stale."""

import json
import subprocess
import sys
from pathlib import Path

import cache
import pytest
from cache import Cache, Card
from imports import Imports

ROOT = Path(__file__).parents[2]
PACKAGE = {
    "__init__.py": "from udig_lab.explainer import explain\n",
    "explainer.py": "def explain():\n    from udig_lab import paths\n",
    "paths.py": "",
    "cli.py": "import udig_lab\n",
    "experiments/__init__.py": "from udig_lab.experiments.run import run\n",
    "experiments/run.py": 'import_module("udig_lab.experiments.work")\n',
    "experiments/work.py": "",
    "experiments/tables.py": "",
}
SPINE = {"__init__.py", "explainer.py", "paths.py"}
RUNS = SPINE | {"experiments/__init__.py", "experiments/run.py", "experiments/work.py"}


def notebook(path, *cells):
    """A notebook with these cells of code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": [cell]} for cell in cells]}))
    return path


@pytest.fixture
def root(tmp_path):
    """A small book with a package."""
    for name, text in PACKAGE.items():
        (tmp_path / "udig_lab" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "udig_lab" / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import math, torch", set()),
        ("import udig_lab as ul", SPINE),
        ("from udig_lab.explainer import explain", SPINE),
        ("from udig_lab.experiments import run", RUNS),
        ("from udig_lab.experiments import tables", RUNS | {"experiments/tables.py"}),
        ("import udig_lab.experiments.tables", RUNS | {"experiments/tables.py"}),
        ("try:\n    import udig_lab\nexcept ImportError:\n    %pip install udig-lab", SPINE),
        ("!udig-lab run --dataset sst2", set(PACKAGE)),
        ('subprocess.run([sys.executable, "-m", "udig_lab.cli"])', SPINE | {"cli.py"}),
    ],
)
def test_what_a_notebook_reaches(root, source, expected):
    imports = Imports({"udig_lab": root / "udig_lab"})
    one = notebook(root / "one.ipynb", "x = 1", source)
    found = imports.reached(one) - {one}
    assert {file.relative_to(root / "udig_lab").as_posix() for file in found} == expected


def test_reached_is_all_that_python_loads():
    """In an interpreter of its own, against the modules that are there after the import."""
    code = (
        "import sys, udig_lab; print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'udig_lab'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {Path(name).relative_to(ROOT) for name in done.stdout.split()}
    imports = Imports({"udig_lab": ROOT / "udig_lab"})
    reached = {file.relative_to(ROOT) for file in imports.reached(ROOT / "udig_lab" / "__init__.py")}
    assert len(loaded) > 20
    assert loaded <= reached
    assert Path("udig_lab/cli.py") not in reached


@pytest.mark.parametrize(
    ("changed", "stale"),
    [
        ("notebooks/one.ipynb", {"one"}),
        ("udig_lab/paths.py", {"one", "two", "explorers", "html"}),
        ("udig_lab/experiments/work.py", {"two", "explorers", "html"}),
        ("udig_lab/cli.py", {"html"}),  # the reference shows its help
        ("udig_lab/assets/corpora/sst2.csv", {"one", "two", "explorers", "html"}),
        ("udig_lab/assets/lab-sentiment/config.json", {"one", "two", "explorers", "live", "html"}),
        ("results/sst2/lab/ig.json", {"one", "two", "explorers"}),
        ("benchmarks/scale.json", {"one", "two"}),
        ("benchmarks/shards.json", {"one", "two"}),
        ("requirements.lock", {"one", "two", "explorers", "live", "html"}),
        ("scripts/prove_exercises.py", {"one", "two", "html"}),
        ("scripts/explorers/path.py", {"explorers", "html"}),
        ("scripts/live_model.py", {"live", "html"}),
        ("scripts/live/package-lock.json", {"live", "packages"}),
        ("scripts/make_hero.py", set()),
        ("book/_static/book.css", {"html"}),
        ("_build/executed/notebooks/one.ipynb", {"html"}),
        ("_build/explorers/path.json", {"html"}),
        ("README.md", set()),
        ("udig_lab/__pycache__/paths.pyc", set()),
    ],
)
def test_what_a_change_makes_stale(root, changed, stale):
    for file in (ROOT / "scripts").rglob("*.py"):
        (root / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        (root / file.relative_to(ROOT)).write_text(file.read_text(encoding="utf8"))
    notebook(root / "notebooks" / "one.ipynb", "import udig_lab")
    notebook(root / "notebooks" / "two.ipynb", "from udig_lab import experiments")

    def cards():
        found = Cache(root)
        named = {name: found.card(name) for name in cache.RECIPES}
        return named | {name: found.notebook(f"notebooks/{name}.ipynb", {}) for name in ("one", "two")}

    before = {name: card.key for name, card in cards().items()}
    (root / changed).parent.mkdir(parents=True, exist_ok=True)
    with (root / changed).open("a") as file:
        file.write("\n")
    assert {name for name, card in cards().items() if card.key != before[name]} == stale


def test_parameters_make_another_copy(root, monkeypatch):
    notebook(root / "one.ipynb", "PROFILE = 'mini'")

    def key(**parameters):
        return Cache(root).notebook("one.ipynb", parameters).key

    monkeypatch.delenv("UDIG_LAB_DATA", raising=False)
    plain, lab = key(), key(PROFILE="lab")
    monkeypatch.setenv("UDIG_LAB_DATA", "/data")
    assert key() == plain
    assert len({plain, lab, key(PROFILE="lab"), key(PROFILE="mini")}) == 4


def test_a_card_is_fresh_while_its_thing_and_its_key_are_there(tmp_path):
    card = Card(tmp_path / "cards" / "a.json", tmp_path / "a", "key")
    assert not card.fresh
    assert card.seconds == float("inf")
    card.write(1.26)
    assert not card.fresh, "there is no such thing"
    card.made.touch()
    assert card.fresh
    assert card.seconds == 1.3
    assert not Card(card.path, card.made, "another key").fresh
    card.path.write_text("{")
    assert not card.fresh
    card.write(2)
    card.remove()
    assert not card.fresh
