"""The house as CONTRIBUTING draws it: every file is in the picture, and imports only from those above it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "udig_lab"


def drawn():
    """Modules in the order of the picture; a folder stands below the files in it, as its ``__init__`` does."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
    picture = text[text.index("udig_lab/ ") : text.index("assets/")].split("\n", 1)[1]
    order, wing = [], None
    for indent, name, ending in re.findall(r"^( +)([a-z_]+)(\.py|/) ", picture, flags=re.MULTILINE):
        if wing is not None and len(indent) == 2:
            order.append(wing)
            wing = None
        if ending == "/":
            wing = name
        else:
            order.append(f"{wing}.{name}" if wing else name)
    return [*order, *([wing] if wing else [])]


ORDER = drawn()
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
}


def imported(path):
    """Modules of the package that a file imports, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("udig_lab"):
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("udig_lab.") in FILES else node.module for name in inside]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("udig_lab")]
        yield from (name.removeprefix("udig_lab.") for name in names)


def test_the_picture_shows_every_file():
    assert sorted(ORDER) == sorted(FILES)


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_one_way(name):
    for other in imported(FILES[name]):
        assert other in ORDER, f"{name} imports {other}, which is not in the picture"
        assert ORDER.index(other) < ORDER.index(name), f"{name} imports {other}, which stands below it"


def test_files_stay_short():
    for path in PACKAGE.rglob("*.py"):
        lines = path.read_text(encoding="utf8").count("\n")
        assert lines <= 300, f"{path.name} has {lines} lines: it holds more than one idea"
