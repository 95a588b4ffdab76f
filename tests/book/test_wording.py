"""What tables, figures and printed lines of built pages call things: names, no codes; and numbers that are some."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from built import notebooks, soup
from opening import pages

from udig_lab.experiments.claims import claims

CODE = re.compile(r"\b[a-z]+[a-z0-9]*(?:_[a-z0-9]+)+\b")
ALLOWED = {"x86_64", "time_interpret"}  # a processor and a package are called so
EXPLAINED = {"file", "in code"}  # heads of tables whose codes are what they are about: names of recordings, of methods
COMMAND = re.compile(r"(?<!\S)(?:--[a-z]|udig-lab )")  # a printed line to type, options and all
PRINTS_THE_PACKAGE = (
    "notebooks/practice/",
    "notebooks/appendix/",
)  # pages about code: they show what it prints itself
NOT_A_NUMBER = re.compile(r"(?<![\w.])[+\-\u2212]?nan(?!\w)")
FAILS = "ValueError"  # a message that a page shows on purpose may say nan
NO_P = re.compile(r"\bp\s*=\s*0\.0+(?!\d)")
DICTIONARY = re.compile(r"\{'[^{}]*'\s*:")
DICTIONARIES = {  # where a record, or settings that a reader types so, are what is shown
    "notebooks/paths/owen",
    "notebooks/practice/your-own-model",
}

pytestmark = pytest.mark.xdist_group("pages")  # every page is parsed once


def codes(text: str) -> set[str]:
    """Names of variants, metrics and claims as programs write them."""
    return {
        *CODE.findall(text),
        *(name for name in claims() if re.search(rf"(?<![\w-]){name}(?![\w-])", text)),
    } - ALLOWED


def outputs(page) -> list:
    """What cells show, without exercises, whose stubs say what readers are to do."""
    return [o for o in page.select(".cell_output") if not o.find_parent(class_="tag_exercise")]


def test_codes_are_noticed():
    assert codes("word_auc, dig-people-ig on x86_64") == {"word_auc", "dig-people-ig"}
    assert not codes("AUC of words, UDIG (greedy), gpt2")
    page = BeautifulSoup(
        "<div class=cell_output><pre>udig_greedy: 0.1\nudig-lab run x --methods dig_greedy</pre></div>", "html.parser"
    )
    assert printed(page) == ["udig_greedy: 0.1"]


def spoken() -> list[str]:
    """Notebooks whose tables and printed lines are sentences of the book."""
    return [name for name in notebooks() if not name.startswith(PRINTS_THE_PACKAGE)]


def printed(page) -> list[str]:
    """Lines that cells print, without those that a reader is to type."""
    lines = [line for o in outputs(page) for block in o.select("pre") for line in block.get_text().splitlines()]
    return [line for line in lines if not COMMAND.search(line)]


@pytest.mark.parametrize("name", spoken())
def test_printed_lines_speak_words(html: Path, name: str):
    for line in printed(soup(html / f"{name}.html")):
        assert not codes(line), f"a cell prints {line!r}; see udig_lab/experiments/naming.py"


@pytest.mark.parametrize("name", spoken())
def test_tables_speak_words(html: Path, name: str):
    for table in soup(html / f"{name}.html").select(".cell_output table"):
        if EXPLAINED & {head.get_text(strip=True) for head in table.select("thead th")}:
            continue
        for place in table.select("th, td, caption"):
            text = place.get_text(" ", strip=True)
            assert not codes(text), f"a table shows {text!r}; see udig_lab/experiments/naming.py"


@pytest.mark.parametrize("name", pages())
def test_figures_speak_words(html: Path, name: str):
    page = soup(html / f"{name}.html")
    for figure in page.select(".cell_output .ul-figure"):
        said = [image["alt"] for image in figure.select("img")] + [c.get_text() for c in figure.select("figcaption")]
        for text in said:
            assert not codes(text), f"a figure says {codes(text)}"


@pytest.mark.parametrize("name", notebooks())
def test_every_number_shown_is_one(html: Path, name: str):
    for output in outputs(soup(html / f"{name}.html")):
        text = output.get_text(" ")
        if FAILS not in text and name != "notebooks/paths/idg":  # which shows what one nan does to a sentence
            assert not NOT_A_NUMBER.search(text), text[:300]
        assert not NO_P.search(text), f"no p-value is zero; write p < 0.001: {NO_P.search(text)}"


@pytest.mark.parametrize("name", [n for n in notebooks() if n not in DICTIONARIES])
def test_no_dictionary_is_printed(html: Path, name: str):
    for output in outputs(soup(html / f"{name}.html")):
        found = DICTIONARY.search(output.get_text(" "))
        assert not found, f"write a sentence or a table: {found}"
