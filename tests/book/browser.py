"""One browser for every test of built pages: where it is, what it may reach, what a page did wrong.

`conftest.py` makes fixtures of it: `address` (of the book), `chromium` (the browser), `page` (a new page in
a context of its own, which must not have had problems when the test ends).
"""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "no chromium on the PATH; install it with: apt-get install chromium (or Google Chrome)"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # the network is off
)
DESK = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
PAPER = {"width": 718, "height": 1047}  # A4 less margins of 1 cm, in CSS pixels
PATIENCE = 60_000  # milliseconds until a state that never comes is an error; nothing waits for so long otherwise


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # one connection for many files

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True  # a browser may keep a connection open for ever

    def handle_error(self, *_: object) -> None:
        pass  # a page that is closed drops what it was loading


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The folder over HTTP; yields its address."""
    with _Server(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def launch(playwright: Playwright) -> Browser:
    """The system's own browser; Playwright never downloads one."""
    expect.set_options(timeout=PATIENCE)
    return playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))


def context(browser: Browser, address: str, screen: dict, scheme: str = "light") -> BrowserContext:
    """A new profile on a screen, for a reader whose system is light or dark."""
    made = browser.new_context(base_url=address, color_scheme=scheme, reduced_motion="reduce", **screen)
    made.set_default_timeout(PATIENCE)
    made.add_init_script(path=Path(__file__).with_name("checks.js"))
    return made


def watch(page: Page, address: str) -> list[str]:
    """A list that grows with every error in the console and every request that fails or leaves the book."""
    problems: list[str] = []
    page.on("console", lambda said: said.type == "error" and problems.append(f"console: {said.text}"))
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on("requestfailed", lambda asked: problems.append(f"failed: {asked.url} ({asked.failure})"))
    page.on("response", lambda got: got.status >= 400 and problems.append(f"{got.status}: {got.url}"))
    inside = (address, "data:", "blob:")
    page.on("request", lambda asked: asked.url.startswith(inside) or problems.append(f"leaves the book: {asked.url}"))
    return problems


def visit(page: Page, name: str) -> None:
    """Open a page of the book and wait until its scripts ran, its fonts are there and its formulas typeset."""
    page.goto(f"/{name}.html")
    page.wait_for_function("check.ready()")
