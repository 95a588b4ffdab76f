"""Heat maps, pictures, JSON: nothing gets lost, nothing gets through unescaped."""

import io
import json
import re

import matplotlib.image
import pytest
import torch
from conftest import PATHS, QUICK, SENTENCE

import udig_lab as ul
from udig_lab.attribution import Attribution
from udig_lab.drawing.heatmap import shades, to_html, to_terminal

HOSTILE = [("<script>alert(1)</script>", 1.0), ('"&', -2.0), ("plain", 0.0)]


def test_html_is_escaped():
    html = to_html(HOSTILE, "<b>caption</b>")
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&quot;&amp;" in html


def test_the_sign_does_not_hang_on_colour():
    html = to_html(HOSTILE, "")
    assert re.search(r"solid[^>]*>&lt;script", html)
    assert re.search(r"dashed[^>]*>&quot;&amp;", html)
    assert "+1.0000" in html
    assert "-2.0000" in html


def test_shades_are_relative_to_the_largest():
    assert shades(HOSTILE) == [0.5, -1.0, 0.0]
    assert shades([("a", 0.0)]) == [0.0]


def test_terminal_text_is_literal():
    line, _ = to_terminal([("[red]", 1.0)])
    assert "[red]" in line.plain


def test_an_attribution_shows_itself(lab):
    found = ul.explain(lab, f"{SENTENCE} <img src=x>", n_steps=4)
    html = found._repr_html_()
    assert "<img" not in html
    assert "gorgeous" in html
    assert found.target_name in str(found)


def test_json_round_trip(lab):
    found = ul.explain(lab, SENTENCE, method="udig", n_steps=4)
    text = found.to_json()
    assert Attribution.from_json(text) == found
    assert len(text) < 10_000


def test_random_scores_claim_no_sum(lab):
    """They have none, and no caption shows one that is not a number."""
    a = ul.explain(lab, SENTENCE, method="random")
    assert a.balance.startswith("no sum is claimed, F(x) - F(x') ")
    assert "nan" not in a._repr_html_()
    b = ul.explain(lab, SENTENCE)
    assert f"sum {b.total:+.3f}" in b._repr_html_()


def test_delta_percent_without_change():
    empty = Attribution(("a",), ("a",), (1,), (0,), (0.5,), (False,), 0, "", "logit", 1.0, 2.0, 2.0, "ig", "pad")
    assert empty.delta == 0.5
    assert empty.delta_percent == float("inf")


def test_pictures_come_in_two_themes_with_alt_text():
    picture = ul.plots.show(lambda ax: ax.plot([0, 1]), alt='a "line" <rising>', caption="It rises.")
    assert set(picture.images) == {"light", "dark"}
    assert picture.images["light"] != picture.images["dark"]
    html = picture._repr_html_()
    assert html.count('alt="a &quot;line&quot; &lt;rising&gt;"') == 2
    assert "--ul-inches" not in html
    with pytest.raises(ValueError, match="alt is empty"):
        ul.plots.show(lambda ax: None, alt=" ")


def test_a_wide_picture_says_how_wide_it_is():
    picture = ul.plots.show(lambda ax: ax.plot([0, 1]), alt="a line", size=(10, 2))
    pixels = matplotlib.image.imread(io.BytesIO(picture.images["light"]), format="png").shape[1]
    assert picture.inches == pixels / 110
    assert picture.inches == pytest.approx(10, abs=0.3), "the margin is cut off, no more"
    assert f"--ul-inches:{picture.inches:.1f}" in picture._repr_html_()


def size_of(png: bytes) -> tuple[int, int]:
    height, width = matplotlib.image.imread(io.BytesIO(png), format="png").shape[:2]
    return width, height


def lines(*axes):
    for ax in axes:
        ax.plot([0, 1])


@pytest.mark.parametrize(("panels", "columns", "in_a_row"), [(2, None, 1), (4, 2, 1), (9, 3, 2)])
def test_panels_stack_on_a_phone(panels, columns, in_a_row):
    """A second drawing, no wider than a phone, which browsers take on a narrow screen; nothing scrolls then."""
    picture = ul.plots.show(lines, alt="lines", panels=panels, columns=columns, size=(9, 3.0 * (panels // 2)))
    assert set(picture.narrow) == {"light", "dark"}
    (wide, _), (narrow, tall) = size_of(picture.images["light"]), size_of(picture.narrow["light"])
    assert narrow <= 4.5 * 110 < wide
    assert tall > narrow * -(-panels // in_a_row) / in_a_row / 2
    html = picture._repr_html_()
    assert html.count("<picture>") == html.count('media="(max-width: 600px)"') == html.count("</picture>") == 2
    assert html.count('alt="lines"') == 2
    assert "--ul-inches" not in html


def test_a_panel_is_drawn_anew_for_a_phone():
    """Not shrunk to half its size: as many pixels an inch on a phone as on a desk."""
    picture = ul.plots.show(lines, alt="a line", size=(6.4, 3.6))
    narrow, tall = size_of(picture.narrow["dark"])
    assert narrow <= 4.5 * 110
    assert tall > 3.3 * 110


def test_a_panel_too_wide_for_a_phone_has_one_drawing_unless_another_is_given():
    assert not ul.plots.show(lines, alt="a line", size=(9, 3)).narrow
    assert not ul.plots.show(lines, alt="a line", size=(4, 3)).narrow, "it has a phone's width already"
    assert not ul.plots.show(lines, alt="lines", panels=2, size=(9, 3), narrow=False).narrow
    given = ul.plots.show(lines, alt="a line", size=(9, 3), narrow=lines, narrow_height=6)
    narrow, tall = size_of(given.narrow["dark"])
    assert narrow < 500 < 600 < tall


def test_a_comparison_is_drawn_for_a_phone(lab):
    """Six explanations of eight words: words below each other there, and no wider than the screen."""
    found = [ul.explain(lab, SENTENCE, method=m) for m in ("ig", "sig", "both_ends", "gradient_x_input")] * 2
    picture = ul.compare(found[:6])
    narrow, tall = size_of(picture.narrow["light"])
    assert narrow <= 4.5 * 110
    assert tall > 8 * 0.25 * 110
    assert not ul.compare(found + found).narrow, "sixteen columns have no room"


@pytest.mark.parametrize("method", PATHS)
def test_four_panels_of_every_path(lab, method):
    trace = ul.trace(lab, SENTENCE, method=method, **QUICK[method])
    picture = ul.plots.four_panels(trace, 2, caption="c")
    assert "gorgeous" in picture.alt
    assert "F goes from" in picture.alt


def test_every_path_names_the_words_it_comes_by(lab):
    for method in ("ig", "udig", "sig"):
        trace = ul.trace(lab, SENTENCE, method=method, **QUICK[method])
        visited = trace.visits(2)
        moving = trace.integral.weights[:, 2].any(-1)
        assert len(visited) == int(moving.sum()) > 1
        assert set(visited) <= set(lab.vocabulary.tokens)
        kinds = dict(zip(lab.vocabulary.tokens, lab.vocabulary.kinds, strict=True))
        assert {kinds[w] for w in trace.visits(2, candidates="words")} <= {"word", "piece", "number"}
    assert ul.trace(lab, SENTENCE, n_steps=30).visits(2)[-1] == "gorgeous"


@pytest.mark.parametrize("method", QUICK)
def test_every_result_round_trips_in_kilobytes(lab, method):
    found = ul.explain(lab, SENTENCE, method=method, **QUICK[method])
    text = found.to_json()
    json.loads(text, parse_constant=pytest.fail)  # strict: no NaN
    again = Attribution.from_json(text)
    assert again == found
    assert again.to_json() == text
    assert again.scores == found.scores
    assert again.groups == found.groups
    assert len(text) < 15_000


def test_a_tensor_among_the_settings_is_named_not_stored(lab):
    found = ul.explain(lab, "dull", method="expected_gradients", baselines=(torch.zeros(384), "pad"), n_samples=2)
    assert "<Tensor (384,)>" in found.to_json()


def test_a_dataframe_has_one_row_a_word(lab):
    found = ul.explain(lab, "unputdownable nonsense", n_steps=4)
    table = found.to_dataframe()
    assert table["word"].tolist() == ["unputdownable", "nonsense"]
    assert table["score"].sum() == pytest.approx(sum(found.scores))
    assert table["shade"].abs().max() == 1


def test_one_legend_for_all_panels_names_each_label_once():
    seen = []

    def draw(left, right):
        left.plot([0, 1], label="IG")
        right.plot([0, 1], label="IG")
        right.plot([1, 0], label="SIG")
        ul.plots.legend_below(left, right)
        (legend,) = left.figure.legends
        seen.append(([t.get_text() for t in legend.get_texts()], legend._ncols, left.get_legend()))

    ul.plots.show(draw, alt="Two lines.", panels=2, size=(8.0, 3.0))
    assert seen == [(["IG", "SIG"], 2, None)] * 4  # light and dark, desk and phone


def test_methods_are_compared_in_one_picture(lab):
    text = f"{SENTENCE} <script>alert(1)</script> costs $5 or $6"
    found = [ul.explain(lab, text, method=m, **QUICK[m]) for m in ("ig", "udig", "sig")]
    for picture in (ul.compare(found, caption="<b>"), found[0].plot(caption="<b>")):
        html = picture._repr_html_()
        assert "<script>" not in html
        assert "<b>" not in html
        assert picture.alt
    assert "Highest word of each: IG with mask" in ul.compare(found).alt
    with pytest.raises(ValueError, match="different texts"):
        ul.compare([found[0], ul.explain(lab, "dull", n_steps=2)])
    with pytest.raises(ValueError, match="nothing to compare"):
        ul.compare([])


def test_the_tree_of_an_idg_explanation(lab):
    tree = "(S (NP (DT the) (NN acting)) (VP (VBZ is) (JJ wooden)) (. .))"
    picture = ul.plots.tree(ul.explain(lab, "the acting is wooden .", method="idg", tree=tree, n_steps=8))
    wide, narrow = (int.from_bytes(p["light"][16:20], "big") for p in (picture.images, picture.narrow))  # of a PNG
    assert narrow < 4.6 * 110 < wide, "words below one another on a phone"
    assert "groups of “the acting is wooden .”" in picture.alt
    assert ul.plots.tree(ul.explain(lab, SENTENCE, method="idg", n_steps=4)).images["dark"]
    with pytest.raises(ValueError, match="ig scores no groups"):
        ul.plots.tree(ul.explain(lab, SENTENCE, n_steps=2))
