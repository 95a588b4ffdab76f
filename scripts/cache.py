"""What the build keeps, and until when: what each thing is made from is written here and nowhere else.

A thing is kept as long as nothing has changed that it was made from. Its card in `_build/cards/` holds the key of all
that, and how many seconds it took. Of Python code those files count that are reached by imports: a change of the
command line executes no chapter anew, because none imports it. Data count whole.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imports import Imports

CARDS = Path("_build/cards")
EXECUTED = Path("_build/executed")
HTML = Path("_build/html")


@dataclass(frozen=True)
class Recipe:
    """What a thing is made from."""

    made: Path  # a file or folder that is there only if all of it is
    code: tuple[str, ...]  # Python files; what they import is added
    data: tuple[str, ...]  # files, and folders with everything in them


# What Jupyter Book reads besides the executed notebooks, and where it finds that.
STAGED = {
    "_config.yml": "_config.yml",
    "_toc.yml": "_toc.yml",
    "CHANGELOG.md": "CHANGELOG.md",  # two pages of the book include files of the root
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "book": "book",
    "_build/explorers": "book/_static/explorers/data",
    "_build/live/files": "book/_static/live/files",
}
_BENCHMARKS = ("peers", "scale", "shards")
NOTEBOOK = Recipe(  # of every notebook, besides its own file and parameters
    EXECUTED,
    ("scripts/execute_notebook.py",),
    ("udig_lab/assets", "results", *(f"benchmarks/{name}.json" for name in _BENCHMARKS), "requirements.lock"),
)
RECIPES = {
    "explorers": Recipe(
        Path("_build/explorers"),
        ("scripts/make_explorers.py",),
        ("udig_lab/assets", "results", "requirements.lock"),  # results: the front page counts what the ledger compares
    ),
    "packages": Recipe(Path("_build/live/npm/node_modules"), (), ("scripts/live/package-lock.json",)),
    "live": Recipe(  # without the packages there is a manifest, and no model: the next build tries again
        Path("_build/live/files/model.bin"),
        ("scripts/live.py",),
        ("scripts/live", "udig_lab/assets/lab-sentiment", "requirements.lock"),
    ),
    "html": Recipe(  # the reference shows the package's docstrings
        HTML / "index.html",
        ("scripts/build_book.py",),
        (*STAGED, str(EXECUTED), "udig_lab", "requirements.lock"),
    ),
}


@dataclass(frozen=True)
class Card:
    """The card of one thing, for what it would be made from now."""

    path: Path
    made: Path
    key: str

    def read(self) -> dict[str, Any]:
        """What is written on it, if it can be read."""
        try:
            return dict(json.loads(self.path.read_text()))
        except (OSError, ValueError):
            return {}

    @property
    def fresh(self) -> bool:
        """Whether the thing is there and was made from what is there now."""
        return self.made.exists() and self.read().get("key") == self.key

    @property
    def seconds(self) -> float:
        """How long it took last time; infinite where nobody knows."""
        return float(self.read().get("seconds", float("inf")))

    def remove(self) -> None:
        """Before it is made: half of a thing must not pass for the whole."""
        self.path.unlink(missing_ok=True)

    def write(self, seconds: float) -> None:
        """After it has been made."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"key": self.key, "seconds": round(seconds, 1)}) + "\n")


class Cache:
    """The cards of one book. Files are read once: make a new one after something was written."""

    def __init__(self, root: Path):
        """The book's root folder."""
        self.root = root
        self._imports = Imports({"udig_lab": root / "udig_lab", "": root / "scripts"})
        self._hashes: dict[Path, str] = {}

    def card(self, name: str) -> Card:
        """The card of one of ``RECIPES``."""
        recipe = RECIPES[name]
        return self._card(name, self.root / recipe.made, recipe)

    def notebook(self, name: str, parameters: dict[str, Any]) -> Card:
        """The card of a notebook's executed copy. Parameters may lead it to real data."""
        extra = json.dumps(parameters, sort_keys=True) + (os.environ.get("UDIG_LAB_DATA", "") if parameters else "")
        return self._card(name, self.root / EXECUTED / name, NOTEBOOK, name, extra)

    def _card(self, name: str, made: Path, recipe: Recipe, source: str | None = None, extra: str = "") -> Card:
        code = [self.root / path for path in (*recipe.code, *([source] if source else []))]
        data = [self.root / path for path in recipe.data]
        total = hashlib.sha256(extra.encode())
        for path in (*sorted(self._imports.reached(*code)), *data):
            total.update(f"{path.relative_to(self.root).as_posix()}\0{self._hash(path)}\n".encode())
        return Card(self.root / CARDS / f"{name}.json", made, total.hexdigest())

    def _hash(self, path: Path) -> str:
        """Hash of a file, or of the names and contents of all that is in a folder but byte code."""
        if path not in self._hashes:
            total = hashlib.sha256()
            for entry in sorted(path.iterdir()) if path.is_dir() else []:
                if entry.name not in ("__pycache__", ".ipynb_checkpoints"):
                    total.update(f"{entry.name}\0{self._hash(entry)}\n".encode())
            if path.is_file():
                total.update(path.read_bytes())
            self._hashes[path] = total.hexdigest()
        return self._hashes[path]
