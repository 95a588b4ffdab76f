"""The built book, a server for it and a browser, for every test in this folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, DESK, MISSING, context, launch, serve, watch
from built import HTML, ROOT
from playwright.sync_api import Browser, Page, sync_playwright


@pytest.fixture(scope="session")
def html() -> Path:
    """Folder of the built book, brought up to date first (at once when nothing has changed).

    UDIG_LAB_HTML names another one, which is tested as it is.
    """
    if given := os.environ.get("UDIG_LAB_HTML"):
        return Path(given)
    command = [sys.executable, str(ROOT / "scripts" / "build_book.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"the book does not build:\n{done.stdout}{done.stderr}", pytrace=False)
    return HTML


@pytest.fixture(scope="session")
def address(html: Path) -> Iterator[str]:
    """Where the book is served."""
    with serve(html) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The one browser of the session; every test makes its own context."""
    if not CHROMIUM:
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """A page in a new context, on a desk; open one of the book with `browser.visit`. It must stay without problems."""
    profile = context(chromium, address, DESK)
    made = profile.new_page()
    problems = watch(made, address)
    yield made
    profile.close()
    assert problems == []


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not CHROMIUM:
        terminalreporter.write_line(f"The pages were NOT tested in a browser: {MISSING}", yellow=True, bold=True)
