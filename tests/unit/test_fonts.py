"""Scripts that the figures' own font lacks: the reader's fonts, or one warning."""

import warnings

import matplotlib as mpl
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager

import udig_lab as ul
from udig_lab.fonts import reader_fonts
from udig_lab.picture import show

TEXT = "这 𓀀"  # DejaVu holds neither


def small_font(path, name, characters):
    """A font whose every character is a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square, names = pen.glyph(), [f"u{ord(c):04X}" for c in characters]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap(dict(zip(map(ord, characters), names, strict=True)))
    builder.setupGlyf(dict.fromkeys([".notdef", *names], square))
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names], (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture
def fonts(tmp_path):
    """Two fonts that this machine gets: one holds the first character, another both."""
    before = list(fontManager.ttflist)
    for name, characters in (("Aaa One", "这"), ("Zzz Both", "这𓀀")):
        fontManager.addfont(small_font(tmp_path / f"{name}.ttf", name, characters))
    yield
    fontManager.ttflist = before


def families(text):
    """What a figure's text is drawn with."""
    axes = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        show(lambda ax: (ax.text(0, 0, text), axes.append(ax)), alt="a title")
    return axes[-1].texts[0].get_fontfamily()


def test_fonts_of_the_machine_fill_in(fonts):
    assert families("plain ∂Φ ж") == ["sans-serif"]
    assert families(TEXT) == ["DejaVu Sans", "Aaa One", "Zzz Both"]


def test_what_the_reader_has_chosen_comes_first(fonts):
    with mpl.rc_context({"font.family": ["Zzz Both", "sans-serif"]}):
        assert reader_fonts()[:2] == ["Zzz Both", "DejaVu Sans"]
        assert families(TEXT) == ["DejaVu Sans", "Zzz Both"]


def test_without_a_font_there_is_one_warning_that_names_the_characters():
    with pytest.warns(UserWarning, match="no font") as warned:
        show(lambda ax: ax.set_title("这 𓀀𓀁𓀂𓀃"), alt="a title")
    assert len(warned) == 1
    said = str(warned[0].message)
    assert said.startswith("no font of this machine holds U+8FD9 cjk unified ideograph-8fd9, U+13000")
    assert " and 2 more" in said


def test_an_explanation_of_a_script_without_spaces_is_drawn(fonts):
    model = ul.load("sst2", profile="mini")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ul.explain(model, "这", target=1, method="gradient_x_input").plot().images
