"""The first lines of pages that measure: a finding and a figure, and no number in them that its cells do not prove."""

import copy
import json
from pathlib import Path

import pytest
from built import soup
from opening import computed, is_finding, pages, said, unproved

pytestmark = pytest.mark.xdist_group("findings")  # recorded rows are read once


def executed(html: Path, name: str) -> list[dict]:
    """The cells of the notebook behind a page, with the outputs that the page shows."""
    return json.loads((html / "_sources" / f"{name}.ipynb").read_text(encoding="utf8"))["cells"]


@pytest.mark.parametrize("name", pages())
def test_page_opens_with_its_finding_and_a_figure(html: Path, name: str):
    page = soup(html / f"{name}.html").select_one("article")
    first, second, *_ = page.select(".cell_output")
    assert first.find_parent(class_="cell")["class"].count("tag_finding") == 1
    assert first.get_text(strip=True)
    assert second.select("img[alt]"), "no figure follows the finding"
    before = page.select_one("h2").find_all_previous(class_="cell_output")
    assert first in before
    assert second in before


@pytest.mark.parametrize("name", pages())
def test_every_number_of_a_finding_stands_in_a_cell_below(html: Path, name: str):
    cells = executed(html, name)
    assert [n for cell in cells if is_finding(cell) for n in said(cell)], "the finding says nothing"
    assert unproved(cells) == []


@pytest.mark.parametrize("name", pages())
def test_findings_say_what_the_rows_say_today(html: Path, name: str):
    cells = executed(html, name)
    (finding,) = filter(is_finding, cells)
    assert said(finding) == computed(cells), "the page is older than the rows it speaks of"


def test_a_stale_number_is_noticed(html: Path):
    cells = copy.deepcopy(executed(html, pages()[0]))
    (finding,) = filter(is_finding, cells)
    text = said(finding)
    for output in finding["outputs"]:
        if "text/markdown" in output.get("data", {}):
            output["data"]["text/markdown"] = text + " In all, it is 0.98765."
    assert unproved(cells) == ["0.98765"]
