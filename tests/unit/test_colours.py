"""The colours: in one place, and legible."""

import re
from pathlib import Path

import pytest

from udig_lab.drawing.colours import NEGATIVE, POSITIVE, THEMES
from udig_lab.drawing.heatmap import STRONGEST

ROOT = Path(__file__).parents[2]
ON_PAPER = {"#111", "#fff", "#f6f6f6"}  # whatever the screen shows, and in the reader's own high contrast
STATIC = ROOT / "book" / "_static"
SHEETS = [p for p in STATIC.rglob("*") if p.suffix in (".css", ".js") and "mathjax" not in p.parts]


def rgb(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def over(colour, paper, share):
    """A colour laid thinly over paper."""
    return [share * c + (1 - share) * p for c, p in zip(colour, paper, strict=True)]


def contrast(one, two):
    """The ratio of WCAG 2."""

    def luminance(colour):
        parts = [c / 255 for c in colour]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast([119, 119, 119], [255, 255, 255]) == pytest.approx(4.48, abs=0.01)  # WCAG's own example


@pytest.mark.parametrize("theme", THEMES)
def test_text_is_legible(theme):
    look = THEMES[theme]
    paper = rgb(look.paper)
    assert contrast(rgb(look.ink), paper) > 7
    for name, colour in look.pages.items():
        box = over(rgb(colour), paper, 0.08)  # call-outs have their word on a box of its colour
        assert contrast(rgb(colour), box) >= 4.5, name
    for sign in (POSITIVE, NEGATIVE):
        assert contrast(rgb(look.ink), over(sign, paper, STRONGEST)) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_lines_are_seen(theme):
    look = THEMES[theme]
    for colour in look.cycle:
        assert contrast(rgb(colour), rgb(look.paper)) >= 3, colour
    assert len({*look.cycle}) == len(look.cycle) == len(THEMES["light"].cycle)


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.name)
def test_sheets_have_no_colours_of_their_own(sheet):
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf8"), flags=re.DOTALL)
    assert set(re.findall(r"#[0-9a-f]{3,8}\b(?!-)", text)) <= ON_PAPER | {"#000"}
    assert not re.search(r"rgba?\(\s*\d", text)


def test_sheets_ask_for_colours_that_there_are():
    text = "\n".join(sheet.read_text(encoding="utf8") for sheet in SHEETS)
    made = {"positive", "negative", *THEMES["light"].pages}
    own = set(re.findall(r"--ul-([a-z]+):", text)) | {"inches"}  # the figure says how wide it is
    asked = set(re.findall(r"var\(--ul-([a-z]+)", text))
    assert asked - own <= made
    assert THEMES["dark"].pages.keys() == THEMES["light"].pages.keys()
    assert set(THEMES["light"].pages) <= asked, "colours that no sheet asks for"
