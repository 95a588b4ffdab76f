"""The front page: a sentence on which methods disagree, a way to one's own, and the ledger's numbers."""

import json
import re
from pathlib import Path

from built import soup
from opening import is_finding, said


def test_it_opens_with_a_coloured_sentence_by_three_methods(html: Path):
    article = soup(html / "book" / "index.html").select_one("article")
    first = article.select_one("h1").find_next_sibling()
    assert "ul-opening" in first["class"]
    lines = first.select(".ul-opening-line")
    names = [line.select_one("strong").get_text() for line in lines]
    assert len(names) == len(set(names)) == 3
    texts = {" ".join(span.get_text() for span in line.select("span[title]")) for line in lines}
    assert len(texts) == 1, "one sentence, coloured by each of them"
    shades = {str(line.select("span[title]")) for line in lines}
    assert len(shades) == 3


def test_what_it_says_of_a_word_stands_in_its_table(html: Path):
    opening = soup(html / "book" / "index.html").select_one(".ul-opening")
    said = opening.find("p", string=re.compile("do not tell one story")).get_text().replace("\u2212", "-")
    cells = {cell.get_text(strip=True) for cell in opening.select("td")}
    numbers = re.findall(r"[+-]\d+\.\d\d", said)
    assert len(numbers) == 3
    assert set(numbers) <= cells
    assert {n[0] for n in numbers} == {"+", "-"}


def test_ones_own_sentence_is_one_click_away_and_before_the_meter(html: Path):
    article = soup(html / "book" / "index.html").select_one("article")
    meter = article.select_one("[data-explorer=meter]")
    before = [a["href"] for a in meter.find_all_previous("a", href=True) if a.find_parent("article")]
    assert any(href.startswith("live.html") for href in before)
    words = " ".join(p.get_text(" ") for p in meter.find_all_previous("p"))
    for word in ("baseline", "steps", "slope", "rule", "gap"):
        assert word in words, f"{word} is not explained before the meter"


def found(html: Path, name: str) -> str:
    """The first lines of a page that measures."""
    notebook = html / "_sources" / "notebooks" / f"{name}.ipynb"
    (finding,) = filter(is_finding, json.loads(notebook.read_text(encoding="utf8"))["cells"])
    return said(finding).replace("\n", " ")


def test_what_was_found_is_what_the_pages_found(html: Path):
    """The front page states no number of theirs, but it states sides; rows may change them."""
    front = soup(html / "book" / "index.html").select_one("article").get_text(" ")
    assert re.search(r"most of that lead is gone on single sentences\.\s+Fewer than half of the claims\s+hold", front)
    assert re.search(r"hold;\s+most\s+of\s+the\s+others\s+are\s+not\s+decided\.", front)
    claims, held = map(
        int, re.search(r"Of (\d+) registered claims (\d+) holds?\b", found(html, "faithfulness/trial")).groups()
    )
    assert held < claims / 2
    undecided = int(re.search(r"(\d+) (?:is|are) not decided", found(html, "faithfulness/trial"))[1])
    assert undecided > (claims - held) / 2
    lead = found(html, "faithfulness/trial").partition("lead IG by")[2]
    leads = [float(value) for value in re.findall(r"[+-]\d\.\d+", lead)]
    assert len(leads) == 6  # of DIG, UDIG and SIG, as published and then corrected
    assert all(abs(now) < then / 2 for then, now in zip(leads[:3], leads[3:], strict=True))
    assert re.search(r"SIG and DIG beat IG by a little when words\s+are\s+deleted, and\s+lose", front)
    _, deleted, masked = found(html, "experiments/sst2").split(" - ")
    for sides, word in ((deleted, "better than IG: "), (masked, "worse than IG: ")):
        decided = sides.partition(word)[2].partition(";")[0]
        assert "SIG" in decided, f"{sides}: SIG is not {word}"
        assert "DIG " in decided.replace("UDIG ", ""), f"{sides}: DIG is not {word}"


def test_the_card_says_how_many_published_numbers_can_be_compared(html: Path):
    card = soup(html / "book" / "index.html").find(string=re.compile("published numbers,")).find_parent("p").get_text()
    ledger = re.search(r"(\d+) of (\d+) published .* (\d+) tests", found(html, "faithfulness/ledger"))
    compared, published, tests = ledger.groups()
    assert re.findall(r"\d+", card) == [published, compared, tests]
