"""How long a page takes: said in one way, held against its length, and added up by the routes through the book."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADER = re.compile(r"(\d+) minutes to read, (\d+) for the exercises · .*needs: CPU · \[Open in Colab\]\(")
EXERCISE = re.compile(r"[●○]{4} · (\d+) minutes")
WORDS, LINES = 150, 30  # that a reader takes in within a minute: of prose with formulas, and of code that is open
PAGES = sorted((ROOT / "notebooks").rglob("*.ipynb"))


def cells(page: Path) -> list[dict]:
    return json.loads(page.read_text(encoding="utf8"))["cells"]


def opening(page: Path) -> str:
    return " ".join("".join(cells(page)[0]["source"]).split())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_header_says_honest_minutes(page: Path):
    """Those for exercises are the sum of what each says; those for reading fit the length of the page."""
    said = HEADER.search(opening(page))
    assert said, (
        "the first cell says: 40 minutes to read, 35 for the exercises · after … · needs: CPU · [Open in Colab]"
    )
    read, exercises = map(int, said.groups())
    prose = ["".join(c["source"]) for c in cells(page) if c["cell_type"] == "markdown"]
    assert exercises == sum(int(m) for text in prose for m in EXERCISE.findall(text))
    words = sum(len(re.findall(r"\w+", t)) for t in prose if not t.startswith(("### Exercise", "<details>")))
    folded = {"exercise", "hide-input"}
    code = [c for c in cells(page) if c["cell_type"] == "code" and not folded & set(c["metadata"].get("tags", []))]
    due = words / WORDS + sum(len(c["source"]) for c in code) / LINES
    assert 0.75 * due <= read <= 1.6 * due, f"{words} words and their code take about {due:.0f} minutes"


def routes() -> dict[str, str]:
    text = (ROOT / "book" / "how-to-read.md").read_text(encoding="utf8")
    return dict(re.findall(r"^### (One hour|One day|A second day)\n(.*?)(?=^###)", text, re.MULTILINE | re.DOTALL))


def number(cell: str) -> int:
    return 0 if cell == "–" else int(cell)


@pytest.mark.parametrize(("route", "limit"), [("One hour", 60), ("One day", 480), ("A second day", 480)])
def test_routes_add_up(route: str, limit: int):
    """A route takes no longer than its name says, and whole pages take what they say themselves."""
    text = routes()[route]
    rows = re.findall(r"^\| \[[^]]+\]\(([^)]+)\)([^|]*)\| (\d+) \| (\d+|–) \|$", text, re.MULTILINE)
    together, read, exercises = re.search(
        r"Together: (\d+) minutes\*\* \| \*\*(\d+)\*\* \| \*\*(\d+|–)\*\*", text
    ).groups()
    assert len(rows) >= 5
    assert int(read) == sum(int(minutes) for _, _, minutes, _ in rows)
    assert number(exercises) == sum(number(minutes) for *_, minutes in rows)
    assert int(together) == int(read) + number(exercises) <= limit
    for link, part, minutes, _ in rows:
        page = ROOT / "book" / link
        if page.suffix == ".ipynb":
            whole = int(re.search(r"(\d+) minutes", opening(page))[1])
            assert int(minutes) < whole if "first" in part else int(minutes) == whole, link
