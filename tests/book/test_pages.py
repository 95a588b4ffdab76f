"""What a reader finds on the built pages: outputs without errors, pictures with words."""

import re
from pathlib import Path

import pytest
from built import ROOT, entries, notebooks, soup

FILE_NAME = re.compile(r"^\S*/\S*$|\.(png|svg|jpe?g|gif)$")

pytestmark = pytest.mark.xdist_group("pages")  # every page is parsed once


@pytest.mark.parametrize("name", entries())
def test_page_of_toc_is_there(html: Path, name: str):
    assert (html / f"{name}.html").is_file()


def test_front_page_leads_into_the_book(html: Path):
    assert "book/index.html" in (html / "index.html").read_text()


@pytest.mark.parametrize("name", notebooks())
def test_notebook_page_has_outputs_and_no_error(html: Path, name: str):
    page = soup(html / f"{name}.html")
    assert page.select(".cell_output"), "no cell of this page has an output"
    assert "papermill-error-cell" not in str(page)
    unexpected = [t for t in page.select(".traceback") if not t.find_parent(class_="tag_raises-exception")]
    assert not unexpected, unexpected[0].get_text()[-500:]


@pytest.mark.parametrize("name", notebooks())
def test_no_output_is_empty(html: Path, name: str):
    for output in soup(html / f"{name}.html").select(".cell_output"):
        shows = output.get_text(strip=True) or output.select("img, svg, table, canvas, video, mjx-container")
        assert shows, f"an empty output after: {output.find_parent(class_='cell').get_text()[:200]}"


@pytest.mark.parametrize("name", entries())
def test_every_image_says_what_it_shows(html: Path, name: str):
    page = soup(html / f"{name}.html")
    for image in page.select("img"):
        alt = (image.get("alt") or "").strip()
        assert alt, f"no alt text: {image}"
        assert not FILE_NAME.search(alt), f"alt text is a file name: {image}"
    for image in page.select(".cell_output img"):
        assert len(image["alt"].split()) >= 5, f"too short to say what the figure shows: {image['alt']}"


@pytest.mark.parametrize("name", entries())
def test_page_needs_no_other_host(html: Path, name: str):
    page = soup(html / f"{name}.html")
    loaded = [tag["src"] for tag in page.select("script[src], img[src], iframe[src], video[src], source[src]")]
    loaded += [tag["href"] for tag in page.select("link[href]") if {"stylesheet", "preload", "icon"} & set(tag["rel"])]
    outside = [url for url in loaded if re.match(r"(https?:)?//", url)]
    assert not outside


def test_style_sheets_need_no_other_host(html: Path):
    for sheet in (html / "_static").rglob("*.css"):
        found = re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", sheet.read_text(encoding="utf8"))
        assert not found, f"{sheet.name} loads {found}"


def test_no_page_names_this_machine(html: Path):
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        assert str(ROOT) not in text, f"{page.relative_to(html)} holds a path of this machine"


@pytest.mark.parametrize("name", notebooks())
def test_downloaded_notebook_is_the_executed_one(html: Path, name: str):
    text = (html / "_sources" / f"{name}.ipynb").read_text(encoding="utf8")
    assert '"outputs": [\n' in text
    assert '"papermill"' not in text
