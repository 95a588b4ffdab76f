"""What the tests of this folder know about the book: its pages, its notebooks, its configuration."""

from functools import cache
from pathlib import Path

import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"


@cache
def soup(page: Path) -> BeautifulSoup:
    """A page of the built book, parsed once a session."""
    return BeautifulSoup(page.read_text(encoding="utf8"), "html.parser")


def entries() -> list[str]:
    """Every page that `_toc.yml` names, without its ending."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    pages = [page for chapter in chapters for page in (chapter, *chapter.get("sections", ()))]
    return [toc["root"], *(page["file"] for page in pages)]


def notebooks() -> list[str]:
    """Those of them that are notebooks."""
    return [name for name in entries() if (ROOT / f"{name}.ipynb").is_file()]


def config() -> dict:
    """`_config.yml`."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
