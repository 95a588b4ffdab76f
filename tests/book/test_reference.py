"""The API reference on the built pages: every public name is there, with its docstring."""

import ast
import re
from pathlib import Path

import pytest
from built import ROOT, soup

PAGES = ["book/api", *(f"book/api/{path.stem}" for path in sorted((ROOT / "book" / "api").glob("*.md")))]
FIRST = ("load", "explain", "trace", "compare", "Attribution", "TextModel")  # shown as udig_lab.load, …


def rooms() -> list[str]:
    """Modules that the pages name."""
    text = "\n".join((ROOT / f"{page}.md").read_text(encoding="utf8") for page in PAGES)
    return re.findall(r"automodule:: udig_lab\.([\w.]+)", text)


def public(module: str) -> dict[str, str]:
    """Functions and classes that a module defines and does not hide, with the first words of their docstrings."""
    path = ROOT / "udig_lab" / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    body = ast.parse(file.read_text(encoding="utf8")).body
    chosen = [n.value for n in body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"]
    names = ast.literal_eval(chosen[0]) if chosen else None
    defined = [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    return {n.name: (ast.get_docstring(n) or "").split("\n")[0] for n in defined if names is None or n.name in names}


@pytest.fixture(scope="module")
def entries_of_pages(html: Path) -> dict[str, str]:
    """Dotted name -> text of its entry."""
    found = {}
    for page in PAGES:
        for term in soup(html / f"{page}.html").select("dl.py > dt[id]"):
            found[term["id"]] = term.find_next_sibling("dd").get_text(" ", strip=True)
    return found


@pytest.mark.parametrize("module", rooms())
def test_every_public_name_is_on_a_page(entries_of_pages: dict[str, str], module: str):
    for name, says in public(module).items():
        dotted = f"udig_lab.{name}" if name in FIRST else f"udig_lab.{module}.{name}"
        assert dotted in entries_of_pages, f"{module}.{name} is on no page"
        words = re.findall(r"[A-Za-z]{3,}", says)[:4]
        assert all(word in entries_of_pages[dotted] for word in words), f"{dotted} does not show its docstring"


@pytest.mark.parametrize("name", [*FIRST, "calls.tracing.Trace"])
def test_what_readers_call_first_is_there(entries_of_pages: dict[str, str], name: str):
    assert len(entries_of_pages[f"udig_lab.{name}"].split()) > 20


def test_no_markup_is_left(html: Path):
    for page in PAGES:
        text = soup(html / f"{page}.html").select_one("article").get_text()
        assert "``" not in text
        assert not re.search(r":(func|class|meth|mod):`", text)


def test_every_method_of_the_registry_is_in_the_table(html: Path):
    from udig_lab.methods import METHODS

    table = soup(html / "book/api/methods.html").select_one("table").get_text()  # names may break between their parts
    for name, method in METHODS.items():
        assert name in table
        assert method.citation.split(",")[0] in table


def test_every_command_shows_its_help(html: Path):
    text = soup(html / "book/api/experiments.html").get_text()
    for command in ("explain", "run", "ledger"):
        assert f"usage: udig-lab {command}" in text
