"""What the book's Sphinx extensions write into the pages, so that it works without scripts."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup, Tag
from built import ROOT, entries, notebooks, soup

pytestmark = pytest.mark.xdist_group("pages")  # every page is parsed once

SPACE = "\u00a0"  # that does not break
PAGE = """# A page

> **Break it.** What if?

> A quotation with a **bold** word.

| Name | `Head.name` |
| --- | --- |
| `udig_lab.methods` | `plain` |

`out.side` of tables.

```{eval-rst}
.. py:function:: far_too_many(arguments: int, for_one: int, line: int, of_the: int, page: int)

   It does nothing [One]_ [Two]_.

.. [One] A source.
.. [Two] Another.
```
"""
OUTPUT = (
    "<table><tr><th>20 % of</th></tr><tr><td>0.2 [0.1, 0.3] *</td><td><b>0.2 [0.1, 0.3]</b></td>"
    "<td>see [1, 2 and 3]</td><th>a < 5 %</th></tr></table>"
)
PROSE = "one long sentence that says a number, 0.123, and then another one: 4.5\n  indented: short  1\n"
COLUMNS = "a name of many letters    0.123 of what there is\nanother                   4.500 of what there is\n"
TWO_LINES = "as published, all of it: +0.141 +0.100 +0.202\ncorrected, all of it:    +0.017 +0.010 +0.019\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> BeautifulSoup:
    """A page that holds one of each, and a notebook with a table below it, both built alone."""
    folder = tmp_path_factory.mktemp("markup")
    extensions = ["myst_nb", "callouts", "roles", "breaks", "printed"]
    (folder / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'book' / '_ext')!r})\nextensions = {extensions}\n"
        "nb_execution_mode = 'off'\npython_maximum_signature_line_length = 40\nhtml_theme = 'sphinx_book_theme'\n"
    )
    (folder / "index.md").write_text(PAGE + "\n```{toctree}\nshown\n```\n")
    shown = nbformat.v4.new_output("display_data", {"text/html": OUTPUT})
    printed = [nbformat.v4.new_output("stream", text=text) for text in (PROSE, COLUMNS, TWO_LINES)]
    code = [nbformat.v4.new_code_cell("1", outputs=[output]) for output in (shown, *printed)]
    cells = [nbformat.v4.new_markdown_cell("# Shown"), *code]
    python = {"language_info": {"name": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=python), folder / "shown.ipynb")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(folder), str(folder / "out")]
    subprocess.run(command, check=True)
    parts = [(folder / "out" / f"{name}.html").read_text(encoding="utf8") for name in ("index", "shown")]
    return BeautifulSoup("".join(parts), "html.parser")


def test_a_quotation_becomes_a_box_of_its_kind(small: BeautifulSoup):
    box, plain = small.select("article blockquote")
    assert box["class"] == ["ul-box", "ul-break-it"]
    assert "class" not in plain.attrs


def test_names_break_in_cells_only(small: BeautifulSoup):
    with_breaks = [str(name) for name in small.select("article code .pre") if name.select("wbr")]
    assert with_breaks == ['<span class="pre">udig_<wbr/>lab.<wbr/>methods</span>']
    assert "udig_lab.methods" in small.select_one("article table").get_text()


def test_intervals_stay_whole_in_cells_that_are_text(small: BeautifulSoup):
    cells = [cell.get_text() for cell in small.select(".cell_output :is(th, td)")]
    whole = f"0.2 [0.1,{SPACE}0.3]{SPACE}*"
    assert cells == [f"20{SPACE}% of", whole, "0.2 [0.1, 0.3]", "see [1, 2 and 3]", f"a < 5{SPACE}%"]


def test_printed_prose_is_told_from_columns(small: BeautifulSoup):
    printed = {pre.get_text(): bool(pre.find_parent(class_="ul-prose")) for pre in small.select(".cell_output pre")}
    assert printed == {PROSE: True, COLUMNS: False, TWO_LINES: False}


def test_lists_are_what_they_say(small: BeautifulSoup):
    sources = small.select_one(".citation-list")
    assert [source["role"] for source in sources.find_all(recursive=False)] == ["listitem", "listitem"]
    parameters = small.select("dt.sig dl, dt.sig dl > dd")
    assert len(parameters) == 6
    assert {part["role"] for part in parameters} == {"none"}


def boxes(page: BeautifulSoup) -> list[Tag]:
    return [quote for quote in page.select("article blockquote") if quote.select_one("p:first-child > strong")]


@pytest.mark.parametrize("name", entries())
def test_every_box_of_the_book_has_its_kind(html: Path, name: str):
    for quote in boxes(soup(html / f"{name}.html")):
        word = re.sub("[^a-z]+", "-", quote.strong.get_text().lower()).strip("-")
        assert quote["class"] == ["ul-box", f"ul-{word}"]


def test_kinds_that_the_style_sheet_colours_are_there(html: Path):
    sheet = (html / "_static" / "book.css").read_text(encoding="utf8")
    kinds = set(re.findall(r"blockquote\.(ul-[a-z-]+) \{ --ul-kind", sheet))
    found = {quote["class"][1] for name in notebooks() for quote in boxes(soup(html / f"{name}.html"))}
    assert len(kinds) == 3
    assert kinds <= found


@pytest.mark.parametrize("name", entries())
def test_no_list_of_the_book_is_empty_to_the_ear(html: Path, name: str):
    page = soup(html / f"{name}.html")
    assert not page.select("[role=doc-biblioentry]")
    assert not page.select("dt.sig dl:not([role=none]), dt.sig dl > dd:not([role=none])")


@pytest.mark.parametrize("name", entries())
def test_arrows_of_the_contents_have_names(html: Path, name: str):
    for arrow in soup(html / f"{name}.html").select(".bd-sidebar-primary .has-children > details > summary"):
        assert re.fullmatch(r"Pages of \S.*", arrow["aria-label"])


@pytest.mark.parametrize("name", notebooks())
def test_no_interval_of_the_book_breaks(html: Path, name: str):
    for cell in soup(html / f"{name}.html").select(".cell_output :is(th, td)"):
        if not cell.find_all():
            assert not re.search(r"\[[-+\d.]+, [-+\d.]+\]|\d %", cell.get_text())


def test_the_sheets_get_the_packages_colours(html: Path):
    colours = runpy.run_path(str(ROOT / "udig_lab" / "drawing" / "colours.py"))  # alone: the package takes seconds
    sheet = (html / "_static" / "colours.css").read_text(encoding="utf8")
    light, dark = sheet.split('html[data-theme="dark"]')
    assert f"--ul-positive: {', '.join(map(str, colours['POSITIVE']))};" in light
    for part, theme in ((light, "light"), (dark, "dark")):
        for name, colour in colours["THEMES"][theme].pages.items():
            assert f"--ul-{name}: {colour};" in part
    assert "colours.css" in (html / "book" / "index.html").read_text(encoding="utf8")
