"""The explorers in a real browser: mouse, keyboard, announcements, phones, and what stays when their data are lost."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, DESK, MISSING, PHONE, context, serve, watch
from built import soup
from playwright.sync_api import Browser, Locator, Page, expect

EXPLORERS = ("path", "meter", "erasure", "compare")
PAGE = "book/explorers.html"

pytestmark = pytest.mark.skipif(not CHROMIUM, reason=MISSING)


def states(page: Page, wanted: list[str]) -> None:
    """Wait until the explorers of a page are in these states."""
    found = "JSON.stringify([...document.querySelectorAll('[data-explorer]')].map(e => e.dataset.state))"
    page.wait_for_function(f"{found} === {json.dumps(json.dumps(wanted, separators=(',', ':')))}")


@pytest.fixture(scope="module")
def live(chromium: Browser, address: str) -> Iterator[tuple[Page, list[str]]]:
    """The page with all four, ready on a desk, and what went wrong on it."""
    with context(chromium, address, DESK) as profile:
        page = profile.new_page()
        problems = watch(page, address)
        page.goto(f"/{PAGE}")
        states(page, ["live"] * 4)
        yield page, problems


@pytest.fixture(scope="module")
def page(live: tuple[Page, list[str]]) -> Page:
    return live[0]


def block(page: Page, name: str) -> Locator:
    return page.locator(f"[data-explorer={name}]")


def readout(page: Page, name: str) -> str:
    return block(page, name).locator(".ul-readout").inner_text()


def slider(page: Page, name: str) -> Locator:
    return block(page, name).locator("input[type=range]")


def announced(page: Page, name: str, text: str) -> None:
    """Wait until the live region says a text."""
    expect(block(page, name).locator("[role=status]")).to_contain_text(text)


def click(page: Page, name: str, value: str) -> None:
    block(page, name).locator(f"label:has(input[value='{value}'])").click()


def test_no_console_errors(live: tuple[Page, list[str]]):
    assert live[1] == []


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_control_has_a_name_and_takes_focus(page: Page, name: str):
    controls = block(page, name).locator("select, input, button").all()
    assert len(controls) >= 4
    for control in controls:
        expect(control).to_have_accessible_name(re.compile(r"\S"))
        control.focus()
        expect(control).to_be_focused()
    for picture in block(page, name).locator("svg[role=img]").all():
        expect(picture).to_have_accessible_name(re.compile(r"(\S+\s+){5}"))


@pytest.mark.parametrize(("name", "before"), [("path", "Step 20 of 31"), ("meter", "6 steps"), ("erasure", "k = 2:")])
def test_arrow_keys_move_the_slider(page: Page, name: str, before: str):
    first = readout(page, name)
    assert before in first
    slider(page, name).press("ArrowRight")
    after = readout(page, name)
    assert after != first
    assert str(int("".join(filter(str.isdigit, before.split(" of ")[0]))) + 1) in after
    assert slider(page, name).get_attribute("aria-valuetext")
    announced(page, name, after)
    slider(page, name).press("ArrowLeft")
    assert readout(page, name) == first


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("path", "ig", "on the straight line"), ("meter", "midpoint", "6 steps"), ("erasure", "sig", "SIG, k = 2")],
)
def test_mouse_changes_the_figure(page: Page, name: str, value: str, says: str):
    figure = block(page, name).locator("svg[role=img]").first
    before = figure.inner_html()
    click(page, name, value)
    assert says in readout(page, name)
    assert figure.inner_html() != before
    announced(page, name, says)


def test_arrow_keys_choose_a_method(page: Page):
    click(page, "path", "ig")
    block(page, "path").locator("input[value=ig]").press("ArrowRight")
    assert "Anchor: " in readout(page, "path")
    expect(block(page, "path").locator(".ul-anchors li")).to_have_count(30)
    expect(block(page, "path").locator(".ul-anchors li[aria-current=step]")).to_have_count(1)


def test_erased_words_are_struck_through(page: Page):
    gone = block(page, "erasure").locator(".ul-words del")
    slider(page, "erasure").press("End")
    expect(gone).to_have_count(int(slider(page, "erasure").get_attribute("max") or 0))
    slider(page, "erasure").press("Home")
    expect(gone).to_have_count(0)


def test_comparison_shows_chosen_methods(page: Page):
    lines = block(page, "compare").locator(".ul-method-name strong")
    expect(lines).to_have_text(["IG", "UDIG", "SIG"])
    click(page, "compare", "random")
    expect(lines.last).to_have_text("Random scores")
    block(page, "compare").locator("input[value=random]").press("Space")
    expect(lines).to_have_text(["IG", "UDIG", "SIG"])
    before = readout(page, "compare")
    block(page, "compare").locator("select").first.press("ArrowDown")
    expect(block(page, "compare").locator(".ul-readout")).not_to_have_text(before)
    announced(page, "compare", readout(page, "compare"))


def test_play_walks_to_the_end(page: Page):
    for key in ("End", "ArrowLeft", "ArrowLeft"):
        slider(page, "path").press(key)
    button = block(page, "path").locator("button").first
    button.press("Enter")
    expect(slider(page, "path")).to_have_value("31")
    expect(button).to_have_text("Play")


def test_meter_adds_up_as_the_data_do(page: Page, html: Path):
    data = json.loads((html / "_static" / "explorers" / "data" / "meter.json").read_text(encoding="utf8"))
    case = data["cases"][0]
    goal = case["end"] - case["start"]
    click(page, "meter", "gauss_legendre")
    slider(page, "meter").press("End")
    said = readout(page, "meter").replace("−", "-")
    assert f"F(x) - F(x′) is {goal:.2f}" in said
    assert abs(float(said.split("Δ = ")[1].split(",")[0])) < 0.01


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", EXPLORERS)
def test_text_is_readable_in_both_themes(page: Page, name: str, theme: str):
    """Words on full colour, chosen buttons, plain text: contrast of at least 4.5."""
    page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    found = block(page, name).evaluate(f"(block) => {{{CONTRAST}}}")
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert found
    assert not [f for f in found if f[0] < 4.5]


# Colours of text against what lies behind it, mixed from the outside in; text on nothing but itself is left out.
CONTRAST = """
const parse = (c) => (c.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
const mix = (top, under) => { const a = top[3] ?? 1; return [0, 1, 2].map((i) => a * top[i] + (1 - a) * under[i]); };
const linear = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = (c) => { const [r, g, b] = c.map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const found = [];
for (const e of block.querySelectorAll("span, label, legend, bdi, small, p, output, button, select, li")) {
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !e.offsetWidth) continue;
  if (e.matches(".ul-live")) continue;
  const chain = [];
  for (let n = e; n; n = n.parentElement) chain.unshift(parse(getComputedStyle(n).backgroundColor));
  const behind = chain.reduce((under, top) => mix(top, under), [255, 255, 255]);
  const style = getComputedStyle(e);
  const ink = mix(parse(style.color).concat(parse(style.color).length > 3 ? [] : [1]), behind);
  const [a, b] = [light(ink), light(behind)].sort((x, y) => y - x);
  found.push([(a + 0.05) / (b + 0.05), e.className, e.textContent.slice(0, 30)]);
}
return found;
"""


def test_phone(chromium: Browser, address: str):
    with context(chromium, address, PHONE) as profile:
        page = profile.new_page()
        page.goto(f"/{PAGE}")
        states(page, ["live"] * 4)
        assert page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)") <= 390
        inside = "[...document.querySelectorAll('.ul-explorer *')].filter(e => e.getBoundingClientRect().right > 390)"
        assert page.evaluate(f"{inside}.map(e => e.tagName)") == []


OVERLAPS = """() => {
    const names = [...document.querySelectorAll("[data-explorer=path] svg text")];
    const texts = names.map((e) => [e, e.getBoundingClientRect()]);
    return texts.flatMap(([e, a], i) => texts.slice(i + 1).flatMap(([f, b]) => {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        return wide > 1 && high > 3 ? [`${e.textContent} over ${f.textContent}`] : [];
    }));
}"""


def test_names_on_the_path_do_not_pile_up_on_a_phone(chromium: Browser, address: str):
    """Whatever word, baseline, method and step: no name lies over another one."""
    with context(chromium, address, PHONE) as profile:
        page = profile.new_page()
        page.goto(f"/{PAGE}")
        states(page, ["live"] * 4)
        words = block(page, "path").locator("select")
        for word in words.locator("option").all_inner_texts():
            words.select_option(word)
            for baseline in ("mask", "pad"):
                click(page, "path", baseline)
                for step in ("Home", "PageUp", "PageUp", "End"):
                    slider(page, "path").press(step)
                    assert page.evaluate(OVERLAPS) == []
        assert block(page, "path").locator("svg text").count() >= 2


def test_table_stays_where_data_are_missing(chromium: Browser, html: Path, tmp_path: Path):
    """In a copy of the book in a sub-folder, which lacks the data of one explorer."""
    copy = tmp_path / "some" / "folder"
    shutil.copytree(html, copy, ignore=shutil.ignore_patterns("notebooks", "_sources", "mathjax"))
    (copy / "_static" / "explorers" / "data" / "meter.json").unlink()
    with serve(tmp_path) as where, context(chromium, where, DESK) as profile:
        page = profile.new_page()
        page.goto(f"/some/folder/{PAGE}")
        states(page, ["live", "static", "live", "live"])
        kept = block(page, "meter").locator("table").first
        expect(kept).to_be_visible()
        expect(kept).to_contain_text("Gauss")
        expect(block(page, "meter").locator(".ul-explorer")).to_have_count(0)


def test_page_opened_as_a_file_says_what_it_needs(chromium: Browser, html: Path):
    """Browsers give scripts of such a page no other file."""
    with context(chromium, "http://127.0.0.1", DESK) as profile:
        page = profile.new_page()
        page.goto((html / PAGE).as_uri())
        states(page, ["static"] * 4)
        assert "python -m http.server" in block(page, "path").locator(".ul-note").first.inner_text()
        expect(block(page, "path").locator("table").first).to_be_visible()


def test_scripts_come_only_to_pages_with_an_explorer(html: Path):
    def loads(name: str) -> list[str]:
        return [s["src"] for s in soup(html / f"{name}.html").select("script[src]") if "explorers.js" in s["src"]]

    assert len(loads("book/explorers")) == 1
    assert loads("book/notation") == []


def test_data_are_small(html: Path):
    sizes = {f.name: f.stat().st_size for f in (html / "_static" / "explorers" / "data").glob("*.json")}
    assert set(sizes) == {f"{name}.json" for name in (*EXPLORERS, "live", "opening")}
    assert sum(sizes.values()) < 1_500_000
