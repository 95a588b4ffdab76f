"""Links: inside the book, to Colab, and everywhere the repository's address stands."""

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from built import ROOT, config, entries, notebooks, soup

COLAB = re.compile(r"https://colab\.research\.google\.com/github/([^\s)\"'<>]+)")
WRITTEN = ("*.md", "*.cff", "*.toml", "*.yml", "book/*.md", "notebooks/**/*.ipynb", "udig_lab/**/*.py")

pytestmark = pytest.mark.xdist_group("pages")  # every page is parsed once


def repository() -> str:
    return config()["repository"]["url"].rstrip("/")


def written() -> list[Path]:
    """Committed text in which the repository's address may stand."""
    return sorted({path for pattern in WRITTEN for path in ROOT.glob(pattern)})


@pytest.mark.parametrize("name", [*entries(), "genindex", "search"])
def test_internal_links_resolve(html: Path, name: str):
    page = html / f"{name}.html"
    for link in soup(page).select("a[href]"):
        url = urlsplit(link["href"])
        if url.scheme or url.netloc:
            continue
        target = (page.parent / unquote(url.path)).resolve() if url.path else page
        assert target.is_file(), f"{link['href']} leads nowhere"
        if url.fragment and target.suffix == ".html":
            assert unquote(url.fragment) in places(target), f"{link['href']}: no such place on that page"


@pytest.mark.parametrize("name", [*entries(), "genindex", "search"])
def test_files_of_a_page_are_there(html: Path, name: str):
    page = html / f"{name}.html"
    for kind, tags in {"src": "img, script, source, video, iframe", "href": "link", "data-src": "[data-src]"}.items():
        for tag in soup(page).select(tags):
            url = urlsplit(tag.get(kind, ""))
            if not url.path or url.scheme or url.netloc:
                continue
            assert (page.parent / unquote(url.path)).is_file(), f"{tag[kind]} is missing"


@pytest.mark.parametrize("name", entries())
def test_every_place_of_a_page_has_its_own_name(html: Path, name: str):
    ids = Counter(tag["id"] for tag in soup(html / f"{name}.html").select("[id]"))
    assert [anchor for anchor, times in ids.items() if times > 1] == [], "a link to it leads to the first one only"


@cache
def places(page: Path) -> set[str]:
    return {tag[kind] for kind in ("id", "name") for tag in soup(page).select(f"[{kind}]")}


@pytest.mark.parametrize("name", notebooks())
def test_notebook_page_opens_its_notebook_on_colab(html: Path, name: str):
    links = [a["href"] for a in soup(html / f"{name}.html").select("a[href]") if COLAB.match(a["href"])]
    branch = config()["repository"]["branch"]
    expected = repository().removeprefix("https://github.com/") + f"/blob/{branch}/{name}.ipynb"
    assert expected in [COLAB.match(link).group(1) for link in links]


def test_colab_links_lead_to_committed_notebooks(html: Path):
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf8") for path in written()}
    texts |= {name: (html / f"{name}.html").read_text(encoding="utf8") for name in entries()}
    prefix = repository().removeprefix("https://github.com/") + f"/blob/{config()['repository']['branch']}/"
    for where, text in texts.items():
        for target in COLAB.findall(text):
            assert target.startswith(prefix), f"{where}: {target} is another repository or branch"
            assert (ROOT / target.removeprefix(prefix)).is_file(), f"{where}: {target} does not exist"


def test_repository_address_is_the_same_everywhere():
    owner, name = repository().removeprefix("https://github.com/").split("/")
    for path in written():
        text = path.read_text(encoding="utf8")
        for found in re.findall(rf"github\.com/([\w.-]+)/{re.escape(name)}\b", text):
            assert found == owner, f"{path.relative_to(ROOT)} names {found}/{name}"
        for found in re.findall(rf"\b([\w-]+)\.github\.io/{re.escape(name)}\b", text):
            assert found == owner, f"{path.relative_to(ROOT)} names {found}.github.io/{name}"


def test_install_cells_install_this_repository():
    for path in (ROOT / "notebooks").rglob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf8"))["cells"]
        first = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert f"git+{repository()}" in first, f"{path.relative_to(ROOT)}: the first code cell installs something else"
