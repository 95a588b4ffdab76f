"""What tables and figures of the built pages call things: names for readers, no codes; and numbers that are some."""

import re
from pathlib import Path

import pytest
from built import notebooks, soup
from opening import pages

from udig_lab.experiments.claims import claims

CODE = re.compile(r"\b[a-z]+[a-z0-9]*(?:_[a-z0-9]+)+\b")
ALLOWED = {"x86_64"}  # a processor is called so
NOT_A_NUMBER = re.compile(r"(?<![\w.])[+\-\u2212]?nan(?!\w)")
FAILS = "ValueError"  # a message that a page shows on purpose may say nan
NO_P = re.compile(r"\bp\s*=\s*0\.0+(?!\d)")
DICTIONARY = re.compile(r"\{'[^{}]*'\s*:")
DICTIONARIES = {  # where a record, or settings that a reader types so, are what is shown
    "notebooks/experiments/trec",
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


@pytest.mark.parametrize("name", pages())
def test_tables_and_figures_speak_words(html: Path, name: str):
    page = soup(html / f"{name}.html")
    for table in page.select(".cell_output table"):
        heads = [head.get_text(strip=True) for head in table.select("thead th")]
        if "file" in heads:  # names of recordings
            continue
        for place in table.select("th, td, caption"):
            text = place.get_text(" ", strip=True)
            assert not codes(text), f"a table shows {text!r}; see udig_lab/experiments/naming.py"
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
