"""Scripts that the figures' own font lacks: the reader's fonts, or one warning."""

import warnings

import matplotlib as mpl
import pytest
from fontfile import small_font
from matplotlib.font_manager import fontManager

import udig_lab as ul
from udig_lab.drawing.fonts import reader_fonts
from udig_lab.drawing.picture import show

TEXT = "这 𓀀"  # DejaVu holds neither


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
