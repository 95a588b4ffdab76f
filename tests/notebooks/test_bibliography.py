"""The bibliography: every work that a notebook or a page links stands in it, once."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIBLIOGRAPHY = (ROOT / "book" / "references.bib").read_text(encoding="utf8")
PAGES = sorted((*ROOT.glob("notebooks/**/*.ipynb"), *ROOT.glob("book/**/*.md")))
PAGES = [path for path in PAGES if ".ipynb_checkpoints" not in path.parts]
# What names a work, wherever it is linked from: an arXiv number, a DOI, a paper of the ACL, OpenReview or JMLR.
WORKS = {
    "arXiv": r"arxiv\.org/(?:abs|pdf|html)/((?:[a-z-]+/\d{7}|\d{4}\.\d{4,5}))",
    "DOI": r"(?<!\w)doi\.org/(10\.[^\s)\"\\>]+)",
    "ACL": r"aclanthology\.org/([\w.-]*\w)",
    "OpenReview": r"openreview\.net/(?:forum|pdf)\?id=([\w-]+)",
    "JMLR": r"jmlr\.org/papers/(v\d+/\w[\w-]*)",
}


def works(text: str) -> set[tuple[str, str]]:
    """(kind, number) of every work that a text links."""
    return {(kind, found) for kind, pattern in WORKS.items() for found in re.findall(pattern, text)}


def known() -> set[tuple[str, str]]:
    """The same of the bibliography, its fields `doi` and `eprint` included."""
    fields = {("DOI", found) for found in re.findall(r"^\s*doi\s*=\s*\{(.+?)\}", BIBLIOGRAPHY, re.MULTILINE)}
    fields |= {("arXiv", found) for found in re.findall(r"^\s*eprint\s*=\s*\{(.+?)\}", BIBLIOGRAPHY, re.MULTILINE)}
    return fields | works(BIBLIOGRAPHY)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_linked_works_are_in_the_bibliography(path: Path):
    missing = works(path.read_text(encoding="utf8")) - known()
    assert not missing, f"add to book/references.bib: {sorted(missing)}"


def test_links_are_recognised():
    text = (
        "[a](https://arxiv.org/abs/1703.01365), https://arxiv.org/abs/cs/0506075), (https://doi.org/10.1137/060659831)"
    )
    text += " https://aclanthology.org/2020.acl-main.386/ https://www.jmlr.org/papers/v11/radovanovic10a.html"
    assert works(text) == {
        ("arXiv", "1703.01365"), ("arXiv", "cs/0506075"), ("DOI", "10.1137/060659831"), ("ACL", "2020.acl-main.386"),
        ("JMLR", "v11/radovanovic10a"),
    }  # fmt: skip


def test_entries_are_sorted_and_complete():
    entries = re.split(r"^(?=@)", BIBLIOGRAPHY, flags=re.MULTILINE)[1:]
    keys = [re.match(r"@\w+\{([^,]+),", entry).group(1) for entry in entries]
    assert keys == sorted(set(keys))
    for key, entry in zip(keys, entries, strict=True):
        fields = set(re.findall(r"^\s*(\w+)\s*=", entry, re.MULTILINE))
        assert {"author", "title", "year"} <= fields, key
        assert fields & {"journal", "booktitle", "publisher"}, f"{key} says not where it appeared"
        assert fields & {"url", "doi", "publisher"}, f"{key} has no address"
        year = re.search(r"year\s*=\s*\{(\d{4})\}", entry).group(1)
        assert key.endswith(year), f"{key} is of {year}"
