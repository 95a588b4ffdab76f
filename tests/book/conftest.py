"""The built book, for every test in this folder."""

import subprocess
import sys
from pathlib import Path

import pytest
from built import HTML, ROOT


@pytest.fixture(scope="session")
def html() -> Path:
    """Folder of the built book, brought up to date first (at once when nothing has changed)."""
    command = [sys.executable, str(ROOT / "scripts" / "build_book.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"the book does not build:\n{done.stdout}{done.stderr}", pytrace=False)
    return HTML
