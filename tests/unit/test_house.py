"""The house as CONTRIBUTING draws it: every file is in the picture, and imports only from those above it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "udig_lab"


def drawn():
    """Modules in the order of the picture."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
    picture = text[text.index("udig_lab/ ") : text.index("assets/")]
    return re.findall(r"([a-z]+)(?:\.py|/ )", picture.split("\n", 1)[1])


def module(path):
    """The room a file belongs to: its own name, or its folder's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("udig_lab"):
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]


def test_the_picture_shows_every_file():
    rooms = {module(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "assets"}
    assert rooms == set(drawn())


def test_imports_point_one_way():
    order = {name: number for number, name in enumerate(drawn())}
    for path in PACKAGE.rglob("*.py"):
        here = module(path)
        if here == "__init__":
            continue
        for other in imported(path):
            assert other == here or order[other] < order[here], f"{path.name} imports {other}, which stands below it"


def test_files_stay_short():
    for path in PACKAGE.rglob("*.py"):
        lines = path.read_text(encoding="utf8").count("\n")
        assert lines <= 300, f"{path.name} has {lines} lines: it holds more than one idea"
