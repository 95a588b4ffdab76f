"""The built pages in a real browser without a network: scripts, mathematics, screens, themes, keyboard, paper."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from browser import CHROMIUM, DESK, MISSING, PAPER, PHONE, context, visit, watch
from built import ROOT, entries
from playwright.sync_api import Browser, BrowserContext, Page, expect
from plumbing import layout

PAGES = [*entries(), "search", "genindex"]
ALLOWED = yaml.safe_load(Path(__file__).with_name("axe_allowed.yml").read_text(encoding="utf8")) or []
SCREENSHOTS = ROOT / "_build" / "screenshots"
KEY_PAGES = [
    "book/index", "notebooks/quickstart", "notebooks/foundations/integrated-gradients", "notebooks/paths/udig",
    "notebooks/faithfulness/metrics", "notebooks/faithfulness/ledger",
]  # fmt: skip
LOOKS = {"light": (DESK, "light"), "dark": (DESK, "dark"), "phone": (PHONE, "light")}

pytestmark = pytest.mark.skipif(not CHROMIUM, reason=MISSING)


@pytest.fixture(scope="module")
def desk(chromium: Browser, address: str) -> Iterator[BrowserContext]:
    with context(chromium, address, DESK) as profile:
        yield profile


@pytest.fixture(scope="module")
def phone(chromium: Browser, address: str) -> Iterator[BrowserContext]:
    with context(chromium, address, PHONE) as profile:
        yield profile


# One visit serves all checks of a page: tests that share a parameter of module scope run one after the other.
# Those that change the page stand last. Workers of pytest-xdist take all tests of a page (--dist loadgroup).
VISITS = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in PAGES]


@pytest.mark.xdist_group("whole")
def test_groups_stay_whole(request: pytest.FixtureRequest):
    """pytest 9.2 with pytest-xdist 3.8 scatters groups without a word (its issue 1386): twice the visits."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("not run with --dist loadgroup")
    assert request.node.nodeid.endswith("@whole"), "pin a pytest and a pytest-xdist that keep groups together"


@pytest.fixture(scope="module", params=VISITS)
def on_desk(request: pytest.FixtureRequest, desk: BrowserContext, address: str) -> Iterator[tuple[Page, list[str]]]:
    page = desk.new_page()
    problems = watch(page, address)
    visit(page, request.param)
    yield page, problems
    page.close()


@pytest.fixture(scope="module", params=VISITS)
def on_phone(request: pytest.FixtureRequest, phone: BrowserContext) -> Iterator[Page]:
    page = phone.new_page()
    visit(page, request.param)
    yield page
    page.close()


def clean(found: list[str]) -> None:
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def turn(page: Page, scheme: str) -> None:
    """The reader's system turns light or dark; wait until the page has followed."""
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)


def test_page_loads_without_errors(on_desk: tuple[Page, list[str]]):
    page, problems = on_desk
    clean(problems)
    clean(page.evaluate("check.brokenImages()"))


def test_mathematics_is_typeset(on_desk: tuple[Page, list[str]]):
    page, _ = on_desk
    clean(page.evaluate("check.untypesetMathematics()"))
    clean(page.evaluate("check.wrongMathematics()"))


def test_little_of_a_page_is_open_code_that_lays_out(on_desk: tuple[Page, list[str]]):
    page, _ = on_desk
    found = page.evaluate("check.openCode()")
    mine = 0.0
    for source, height in found["cells"]:
        laid, lines = layout(source)
        mine += height * laid / max(lines, 1)
    assert mine <= 0.15 * found["height"], f"{mine / found['height']:.0%} of the page"


def test_theme_follows_the_system_and_figures_the_theme(on_desk: tuple[Page, list[str]]):
    page, _ = on_desk
    for scheme in ("dark", "light"):
        turn(page, scheme)
        clean(page.evaluate("check.wrongVariants()"))


def test_paper_cuts_nothing(on_desk: tuple[Page, list[str]]):
    page, _ = on_desk
    page.emulate_media(media="print")
    page.set_viewport_size(PAPER)
    try:
        clean(page.evaluate("check.lostOnPaper()"))
        expect(page.locator(".bd-sidebar-primary")).to_be_hidden()
    finally:
        page.emulate_media(media="screen")
        page.set_viewport_size(DESK["viewport"])


def test_no_serious_violation(on_desk: tuple[Page, list[str]]):
    page, _ = on_desk
    page.evaluate("check.thinOut()")
    page.wait_for_function("check.reachable()")
    found = violations(page)
    turn(page, "dark")
    found += [f"dark: {line}" for line in pale(page)]
    clean(found)


def pale(page: Page) -> list[str]:
    """Violations of the rules about colours, which are all that a theme changes, in three texts of every kind."""
    page.evaluate("check.markKinds()")
    return violations(page, ["color-contrast", "link-in-text-block"], "[data-kind]")


def violations(page: Page, rules: list[str] | None = None, within: str | None = None) -> list[str]:
    """What axe finds serious or critical, less what `axe_allowed.yml` allows."""
    options = {"resultTypes": ["violations"], "preload": False} | ({"runOnly": rules} if rules else {})
    found = []
    for rule in Axe().run(page, within, options).response["violations"]:
        for node in rule["nodes"] if rule["impact"] in ("serious", "critical") else ():
            target = " ".join(map(str, node["target"]))
            if not is_allowed(page, rule["id"], target):
                why = (node["any"] + node["all"] + node["none"])[0]["message"]
                found.append(f"{rule['id']} at {target}: {why} {node['html'][:120]}")
    return found


def is_allowed(page: Page, rule: str, target: str) -> bool:
    places = [a["at"] for a in ALLOWED if a["rule"] == rule]
    return any(page.locator(target).and_(page.locator(place)).count() for place in places)


def test_phone_does_not_scroll_sideways(on_phone: Page):
    clean(on_phone.evaluate("check.sideways()"))


PRINTED = """() => [...document.querySelectorAll(".bd-article .cell_output pre")]
    .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
    .map((e) => [e.closest(".ul-prose") !== null, e.textContent])"""


def test_printed_prose_wraps_on_a_phone(on_phone: Page):
    """What scrolls holds columns: words that stand behind more than one space."""
    scrolls = on_phone.evaluate(PRINTED)
    clean([text for prose, text in scrolls if prose or not re.search(r"\S {2,}\S", text)])


WIDE = """() => [...document.querySelectorAll(".bd-article div.math")].filter((frame) => frame.clientWidth)
    .map((frame) => [frame, frame.querySelector("mjx-container[display='true']")])
    .filter(([frame, formula]) => Math.max(frame.scrollWidth, formula?.scrollWidth ?? 0) > frame.clientWidth + 4)
    .map(([frame]) => frame.textContent.slice(0, 60))"""
SAID = """() => [...document.querySelectorAll(".bd-article div.math mjx-assistive-mml")]
    .map((formula) => formula.textContent.replace(/\\s+/g, ""))"""


def test_formulas_fit_a_phone(on_phone: Page):
    """None is left that scrolls; one that no place can be broken at is to be written shorter."""
    clean(on_phone.evaluate(WIDE))


def test_formulas_say_the_same_on_a_phone(on_phone: Page):
    """Broken into lines, they lose no sign; where there is room, they are whole again."""
    clean(on_phone.evaluate("check.wrongMathematics()"))
    broken = on_phone.evaluate(SAID)
    if not broken:
        return
    on_phone.set_viewport_size(DESK["viewport"])
    try:
        on_phone.wait_for_function("!document.querySelector('[data-ul-broken]')")
        assert on_phone.evaluate(SAID) == broken
    finally:
        on_phone.set_viewport_size(PHONE["viewport"])


def test_phone_scrolls_boxes_by_keyboard(on_phone: Page):
    on_phone.evaluate("check.thinOut()")
    on_phone.wait_for_function("check.reachable()")
    clean(violations(on_phone, ["scrollable-region-focusable"]))


CUT = """() => [".cell_output .text_html", "div.math", ".pst-scrollable-table-container"]
    .flatMap((box) => [...document.querySelectorAll(`.bd-article ${box}`)])
    .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 4 && getComputedStyle(e).overflowX !== "visible")
    .filter((e) => !e.matches(".ul-more-right")).map((e) => e.textContent.slice(0, 60))"""


def test_what_is_cut_on_a_phone_fades(on_phone: Page):
    """A table or formula that scrolls sideways shows that there is more, so that no column is missed."""
    on_phone.wait_for_timeout(100)
    clean(on_phone.evaluate(CUT))


ALIGNED = """() => [...document.querySelectorAll(".bd-article .cell_output table")].flatMap((table) => {
    const heads = [...(table.tHead?.rows ?? [])].at(-1)?.cells ?? [];
    const values = table.tBodies[0]?.rows[0]?.cells ?? [];
    if (heads.length !== values.length) return [];
    const side = (cell) => getComputedStyle(cell).textAlign.replace("start", "left").replace("end", "right");
    return [...heads].flatMap((head, i) => (head.textContent.trim() && side(head) !== side(values[i])
        ? [`${head.textContent.trim()}: ${side(head)}, ${side(values[i])}`] : []));
})"""


def test_heads_stand_over_their_values(on_desk: tuple[Page, list[str]]):
    page, _ = on_desk
    clean(page.evaluate(ALIGNED))


FAULTY = """<html lang="en" data-theme="light"><title>Faults</title><main><article>
<h1>Faults</h1> <img src="data:image/png;base64,AAAA"> <span class="math">x</span> <mjx-merror>y</mjx-merror>
<div style="width: 3000px">wide</div> <div style="overflow: auto"><p style="width: 3000px">boxed</p></div>
<div style="overflow: hidden"><p style="width: 3000px">cut</p></div> <p style="color: #ccc">pale</p>
<div class="ul-figure"><img class="ul-dark" alt="night" src="data:,"></div></article></main>"""


def test_checks_find_what_is_wrong(page: Page):
    page.set_content(FAULTY)
    assert len(page.evaluate("check.brokenImages()")) == 2
    assert "x" in page.evaluate("check.untypesetMathematics()")[0]
    assert "y" in page.evaluate("check.wrongMathematics()")[0]
    assert page.evaluate("check.wrongVariants()") == ["night"]
    sideways, lost = "\n".join(page.evaluate("check.sideways()")), "\n".join(page.evaluate("check.lostOnPaper()"))
    assert all(word in sideways for word in ('sticks out: div "wide"', 'cuts: div "cut"', "html is "))
    assert "boxed" not in sideways
    assert all(word in lost for word in ('sticks out: div "wide"', 'cuts: div "cut"', 'cuts: div "boxed"'))
    found = "\n".join(violations(page))
    assert "image-alt at" in found
    assert "color-contrast at" in found
    assert ["color-contrast" in line for line in pale(page)] == [True]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_first_visit_has_the_theme_of_the_system(chromium: Browser, address: str, scheme: str):
    with context(chromium, address, DESK, scheme) as profile:
        page = profile.new_page()
        visit(page, "book/index")
        expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        expect(page.locator("html")).to_have_attribute("data-mode", "auto")


def test_theme_switch_works_and_is_remembered(page: Page):
    visit(page, "book/index")
    switch, root = page.locator(".theme-switch-button:visible"), page.locator("html")
    switch.click()
    expect(root).to_have_attribute("data-mode", "dark")
    visit(page, "notebooks/quickstart")
    expect(root).to_have_attribute("data-theme", "dark")
    switch.click()
    expect(root).to_have_attribute("data-mode", "light")
    expect(root).to_have_attribute("data-theme", "light")
    switch.click()
    expect(root).to_have_attribute("data-mode", "auto")


def test_skip_link_leads_to_the_content(page: Page):
    visit(page, "notebooks/quickstart")
    page.keyboard.press("Tab")
    expect(page.locator("#pst-skip-link a")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_tab_order_reaches_the_content(page: Page):
    visit(page, "notebooks/quickstart")
    stops = []
    while len(stops) < 120:
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
        if page.evaluate("document.activeElement.closest('article') !== null"):
            break
    else:
        pytest.fail("\n".join(stops))
    assert page.evaluate("document.activeElement.matches(':focus-visible')")


def test_search_opens_and_closes_by_keyboard(page: Page):
    visit(page, "notebooks/quickstart")
    field = page.locator("#pst-search-dialog input[type=search]")
    expect(field).to_be_hidden()
    page.keyboard.press("Control+k")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(field).to_be_hidden()
    page.keyboard.press("Control+k")
    page.keyboard.type("completeness")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=completeness")
    expect(page.locator("#search-results li").first).to_be_visible()


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", KEY_PAGES)
def test_key_pages_are_pictured(chromium: Browser, address: str, name: str, look: str):
    """Nothing is compared: the pictures are for the eyes of whoever changes the book."""
    screen, scheme = LOOKS[look]
    size = screen["viewport"]
    tall = screen | {"viewport": size | {"height": 3 * size["height"]}}
    with context(chromium, address, tall, scheme) as profile:
        page = profile.new_page()
        visit(page, name)
        path = SCREENSHOTS / f"{name.rpartition('/')[2]}-{look}.png"
        assert len(page.screenshot(path=path, animations="disabled")) > 10_000


@pytest.mark.parametrize(
    ("words", "leads_to"),
    [
        ("SLURM", "book/clusters.html#slurm"), ("pip install", "book/how-to-read.html#"),
        ("dead node", "book/clusters.html#"), ("install", "book/how-to-read.html#install"),
        ("saturation one dimension", "notebooks/foundations/gradients.html#saturation-in-one-dimension"),
    ],
)  # fmt: skip
def test_search_leads_to_sections(page: Page, words: str, leads_to: str):
    """What a reader looks for is among the first results, and the link goes to the section, not to the page's top."""
    page.goto(f"/search.html?q={words.replace(' ', '+')}")
    first = page.locator("#search-results li:nth-child(-n + 6)")
    expect(first.locator(f"a[href*='{leads_to}']").first).to_be_visible()
    page.wait_for_load_state("networkidle")  # all summaries have come: what they stumble over is a problem of the page
