"""The explorers in a real browser: mouse, keyboard, announcements, phones, and what stays when their data are lost."""

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from built import soup
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

EXPLORERS = ("path", "meter", "erasure", "compare")
PAGE = "book/explorers.html"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # a page that needs another host fails
)
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
DESK = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason="needs chromium and chromedriver on the PATH: apt-get install chromium chromium-driver",
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    with served(html) as where:
        yield where


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


def visit(browser: webdriver.Chrome, url: str, screen: dict) -> None:
    """Open the page with all four on a screen, and wait until they are ready."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get_log("browser")  # what earlier pages said
    browser.get(url)
    live = "return document.querySelectorAll('[data-explorer][data-state=live]').length"
    WebDriverWait(browser, 30).until(lambda b: b.execute_script(live) == len(EXPLORERS))


@pytest.fixture(scope="module")
def page(browser: webdriver.Chrome, address: str) -> webdriver.Chrome:
    """The page with all four, ready on a desk."""
    visit(browser, f"{address}/{PAGE}", DESK)
    return browser


def block(browser: webdriver.Chrome, name: str) -> WebElement:
    found = browser.find_element(By.CSS_SELECTOR, f"[data-explorer={name}]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
    return found


def readout(browser: webdriver.Chrome, name: str) -> str:
    return block(browser, name).find_element(By.CSS_SELECTOR, ".ul-readout").text


def announced(browser: webdriver.Chrome, name: str, text: str) -> None:
    """Wait until the live region says a text."""
    region = block(browser, name).find_element(By.CSS_SELECTOR, "[role=status]")
    WebDriverWait(browser, 10).until(lambda _: text in region.get_attribute("textContent"))


def click(browser: webdriver.Chrome, name: str, value: str) -> None:
    block(browser, name).find_element(By.XPATH, f".//label[input[@value='{value}']]").click()


def test_no_console_errors(page: webdriver.Chrome):
    assert not [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_control_has_a_name_and_takes_focus(page: webdriver.Chrome, name: str):
    controls = block(page, name).find_elements(By.CSS_SELECTOR, "select, input, button")
    assert len(controls) >= 4
    for control in controls:
        assert control.accessible_name.strip(), control.get_attribute("outerHTML")
        page.execute_script("arguments[0].focus()", control)
        assert page.switch_to.active_element == control
    for picture in block(page, name).find_elements(By.CSS_SELECTOR, "svg[role=img]"):
        assert len(picture.accessible_name.split()) > 5


@pytest.mark.parametrize(("name", "before"), [("path", "Step 20 of 31"), ("meter", "6 steps"), ("erasure", "k = 2:")])
def test_arrow_keys_move_the_slider(page: webdriver.Chrome, name: str, before: str):
    first = readout(page, name)
    assert before in first
    slider = block(page, name).find_element(By.CSS_SELECTOR, "input[type=range]")
    slider.send_keys(Keys.ARROW_RIGHT)
    after = readout(page, name)
    assert after != first
    assert str(int("".join(filter(str.isdigit, before.split(" of ")[0]))) + 1) in after
    assert slider.get_attribute("aria-valuetext")
    announced(page, name, after)
    slider.send_keys(Keys.ARROW_LEFT)
    assert readout(page, name) == first


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("path", "ig", "on the straight line"), ("meter", "midpoint", "6 steps"), ("erasure", "sig", "SIG, k = 2")],
)
def test_mouse_changes_the_figure(page: webdriver.Chrome, name: str, value: str, says: str):
    drawn = "return arguments[0].querySelector('svg[role=img]').innerHTML"
    before = page.execute_script(drawn, block(page, name))
    click(page, name, value)
    assert says in readout(page, name)
    assert page.execute_script(drawn, block(page, name)) != before
    announced(page, name, says)


def test_arrow_keys_choose_a_method(page: webdriver.Chrome):
    chosen = block(page, "path").find_element(By.CSS_SELECTOR, "input[value=ig]")
    click(page, "path", "ig")
    chosen.send_keys(Keys.ARROW_RIGHT)
    assert "Anchor: " in readout(page, "path")
    anchors = block(page, "path").find_elements(By.CSS_SELECTOR, ".ul-anchors li")
    assert len(anchors) == 30
    assert len([a for a in anchors if a.get_attribute("aria-current") == "step"]) == 1


def test_erased_words_are_struck_through(page: webdriver.Chrome):
    slider = block(page, "erasure").find_element(By.CSS_SELECTOR, "input[type=range]")
    slider.send_keys(Keys.END)
    text = block(page, "erasure").find_element(By.CSS_SELECTOR, ".ul-words")
    gone = text.find_elements(By.CSS_SELECTOR, "del")
    assert len(gone) == int(slider.get_attribute("max"))
    slider.send_keys(Keys.HOME)
    assert not text.find_elements(By.CSS_SELECTOR, "del")


def test_comparison_shows_chosen_methods(page: webdriver.Chrome):
    lines = lambda: [e.text for e in block(page, "compare").find_elements(By.CSS_SELECTOR, ".ul-method-name strong")]  # noqa: E731
    assert lines() == ["IG", "UDIG", "SIG"]
    click(page, "compare", "random")
    assert lines()[-1] == "Random scores"
    box = block(page, "compare").find_element(By.CSS_SELECTOR, "input[value=random]")
    box.send_keys(Keys.SPACE)
    assert lines() == ["IG", "UDIG", "SIG"]
    sentences = block(page, "compare").find_element(By.CSS_SELECTOR, "select")
    before = readout(page, "compare")
    sentences.send_keys(Keys.ARROW_DOWN)
    assert readout(page, "compare") != before
    announced(page, "compare", readout(page, "compare"))


def test_play_walks_to_the_end(page: webdriver.Chrome):
    slider = block(page, "path").find_element(By.CSS_SELECTOR, "input[type=range]")
    slider.send_keys(Keys.END, *[Keys.ARROW_LEFT] * 2)
    button = block(page, "path").find_element(By.CSS_SELECTOR, "button")
    button.send_keys(Keys.ENTER)
    WebDriverWait(page, 10).until(lambda _: slider.get_attribute("value") == "31")
    WebDriverWait(page, 10).until(lambda _: button.text == "Play")


def test_meter_adds_up_as_the_data_do(page: webdriver.Chrome, html: Path):
    data = json.loads((html / "_static" / "explorers" / "data" / "meter.json").read_text(encoding="utf8"))
    case = data["cases"][0]
    goal = case["end"] - case["start"]
    click(page, "meter", "gauss_legendre")
    slider = block(page, "meter").find_element(By.CSS_SELECTOR, "input[type=range]")
    slider.send_keys(Keys.END)
    said = readout(page, "meter").replace("−", "-")
    assert f"F(x) - F(x′) is {goal:.2f}" in said
    assert abs(float(said.split("Δ = ")[1].split(",")[0])) < 0.01


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", EXPLORERS)
def test_text_is_readable_in_both_themes(page: webdriver.Chrome, name: str, theme: str):
    """Words on full colour, chosen buttons, plain text: contrast of at least 4.5."""
    page.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    found = page.execute_script(CONTRAST, block(page, name))
    page.execute_script("document.documentElement.dataset.theme = 'light'")
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
for (const e of arguments[0].querySelectorAll("span, label, legend, bdi, small, p, output, button, select, li")) {
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


def test_phone(browser: webdriver.Chrome, address: str):
    visit(browser, f"{address}/{PAGE}", PHONE)
    width = browser.execute_script("return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
    assert width <= PHONE["width"]
    inside = (
        "return [...document.querySelectorAll('.ul-explorer *')].filter(e => e.getBoundingClientRect().right > 390)"
    )
    assert [e.tag_name for e in browser.execute_script(inside)] == []


@pytest.fixture
def incomplete(html: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a copy of the book, in a sub-folder, from which the data of one explorer are missing."""
    copy = tmp_path / "some" / "folder"
    pages = shutil.ignore_patterns("notebooks", "_sources", "mathjax")
    shutil.copytree(html, copy, ignore=pages)
    (copy / "_static" / "explorers" / "data" / "meter.json").unlink()
    with served(tmp_path) as address:
        yield f"{address}/some/folder"


def test_table_stays_where_data_are_missing(browser: webdriver.Chrome, incomplete: str):
    browser.get(f"{incomplete}/{PAGE}")
    state = "return [...document.querySelectorAll('[data-explorer]')].map(e => e.dataset.state)"
    wanted = ["live", "static", "live", "live"]
    WebDriverWait(browser, 30).until(lambda b: b.execute_script(state) == wanted)
    kept = browser.find_element(By.CSS_SELECTOR, "[data-explorer=meter] table")
    assert kept.is_displayed()
    assert "Gauss" in kept.text
    assert not browser.find_elements(By.CSS_SELECTOR, "[data-explorer=meter] .ul-explorer")


def test_page_opened_as_a_file_says_what_it_needs(browser: webdriver.Chrome, html: Path):
    """Browsers give scripts of such a page no other file."""
    browser.get((html / PAGE).as_uri())
    blocks = "[data-explorer][data-state=static]"
    count = f"return document.querySelectorAll('{blocks}').length"
    WebDriverWait(browser, 30).until(lambda b: b.execute_script(count) == len(EXPLORERS))
    assert "python -m http.server" in browser.find_element(By.CSS_SELECTOR, f"{blocks} .ul-note").text
    assert browser.find_element(By.CSS_SELECTOR, f"{blocks} table").is_displayed()


def test_scripts_come_only_to_pages_with_an_explorer(html: Path):
    def loads(name: str) -> list[str]:
        return [s["src"] for s in soup(html / f"{name}.html").select("script[src]") if "explorers.js" in s["src"]]

    assert len(loads("book/explorers")) == 1
    assert loads("book/notation") == []


def test_data_are_small(html: Path):
    sizes = {f.name: f.stat().st_size for f in (html / "_static" / "explorers" / "data").glob("*.json")}
    assert set(sizes) == {f"{name}.json" for name in EXPLORERS}
    assert sum(sizes.values()) < 1_500_000
