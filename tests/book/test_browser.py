"""The built pages in a real browser without a network: scripts, mathematics, small screens."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from built import entries, notebooks
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

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


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=html)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


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
    """Open a page on a screen and wait until its mathematics is typeset."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get_log("browser")  # what earlier pages said
    browser.get(url)
    ready = "!document.querySelector('.math') || (window.MathJax && MathJax.startup && MathJax.startup.promise)"
    WebDriverWait(browser, 30).until(lambda b: b.execute_script(f"return !!({ready})"))
    browser.execute_async_script("(window.MathJax ? MathJax.startup.promise : Promise.resolve()).then(arguments[0])")


@pytest.mark.parametrize("name", entries())
def test_page_loads_without_errors(browser: webdriver.Chrome, address: str, name: str):
    visit(browser, f"{address}/{name}.html", DESK)
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not severe
    missing = "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    assert browser.execute_script(missing) == []


@pytest.mark.parametrize("name", entries())
def test_mathematics_is_typeset(browser: webdriver.Chrome, address: str, name: str):
    visit(browser, f"{address}/{name}.html", DESK)
    raw = "return [...document.querySelectorAll('.math')].filter(m => !m.querySelector('mjx-container')).length"
    assert browser.execute_script(raw) == 0, "a formula is shown as TeX source"
    wrong = "return [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.textContent)"
    assert browser.execute_script(wrong) == []


@pytest.mark.parametrize("name", ["book/index", "book/notation", *notebooks()])
def test_phone_does_not_scroll_sideways(browser: webdriver.Chrome, address: str, name: str):
    visit(browser, f"{address}/{name}.html", PHONE)
    width = browser.execute_script("return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
    assert width <= PHONE["width"]
