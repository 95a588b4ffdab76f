"""What the published book tells search engines, other sites and its own search."""

import json
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import archive_book
import pytest
from built import ROOT, config, entries, soup

METHODS = {
    "IG": "notebooks/foundations/integrated-gradients",
    "DIG": "notebooks/paths/dig",
    "UDIG": "notebooks/paths/udig",
    "SIG": "notebooks/paths/sig",
    "IG2": "notebooks/paths/ig2",
    "IDG": "notebooks/paths/idg",
}


def address() -> str:
    return config()["html"]["baseurl"]


@pytest.fixture(scope="module")
def index(html: Path) -> dict:
    """What Sphinx's search reads."""
    text = (html / "searchindex.js").read_text(encoding="utf8")
    return json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))


@pytest.mark.parametrize("name", METHODS)
def test_search_leads_from_a_methods_name_to_its_chapter(index: dict, name: str):
    # Sphinx's search puts first an index entry that equals what was typed; only one page may have it as its main one.
    found = [index["docnames"][page] for page, _, main in index["indexentries"][name.lower()] if main]
    assert found == [METHODS[name]]
    assert config()["sphinx"]["config"]["method_names"][METHODS[name]] == [name]


@pytest.mark.parametrize("name", entries())
def test_page_says_what_it_is(html: Path, name: str):
    page = soup(html / f"{name}.html")
    url = f"{address()}{name}.html"
    assert page.select_one("link[rel=canonical]")["href"] == url
    told = {tag["property"]: tag["content"] for tag in page.select("meta[property^='og:']")}
    assert told["og:url"] == url
    assert told["og:title"].strip()
    assert len(told["og:description"]) > 20
    picture = told["og:image"]
    assert picture.startswith(address())
    assert (html / picture.removeprefix(address())).is_file(), "the card's picture is not in the book"


def test_sitemap_names_every_page(html: Path):
    root = ElementTree.parse(html / "sitemap.xml").getroot()
    found = {entry.text for entry in root.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")}
    assert found == {f"{address()}{name}.html" for name in entries()}


def test_robots_are_told_where_the_sitemap_is(html: Path):
    text = (html / "robots.txt").read_text(encoding="utf8")
    assert f"Sitemap: {address()}sitemap.xml" in text


def test_addresses_are_the_same_in_the_configuration():
    assert config()["sphinx"]["config"]["ogp_site_url"] == address()


def test_redirects_lead_to_pages(html: Path):
    for old, new in config()["sphinx"]["config"]["rediraffe_redirects"].items():
        assert old not in entries(), f"{old} is a page of its own"
        assert new in entries(), f"{old} is to lead to {new}, which is no page"
        assert Path(new).name in (html / f"{old}.html").read_text(encoding="utf8")


def test_vendored_files_have_their_licences():
    for folder in {path.parent for path in (ROOT / "book" / "_static").rglob("*-full.js")}:
        assert (folder / "LICENSE").is_file()


def test_archive_holds_the_book(html: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["archive_book.py", "--root", str(ROOT)])
    assert archive_book.main() == 0
    with zipfile.ZipFile(ROOT / "_build" / "udig-lab-book.zip") as archive:
        names = set(archive.namelist())
        assert archive.testzip() is None
    assert {"udig-lab-book/html/index.html", "udig-lab-book/LICENSE"} <= names
    for name in entries():
        assert f"udig-lab-book/html/{name}.html" in names
        if (ROOT / f"{name}.ipynb").is_file():
            assert f"udig-lab-book/{name}.ipynb" in names
    assert not any(re.search(r"\.json$|\.doctree$", name) for name in names if "/notebooks/" in name[:25])
