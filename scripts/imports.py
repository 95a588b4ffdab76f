"""Which files of ours a Python file or a notebook can reach by its imports, read from the source alone."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

_INSTALLS = re.compile(r"^(\s*)%pip\b.*$", re.MULTILINE)  # the one line of a notebook that is not Python


class Imports:
    """The modules below some folders, and which of them lead to which.

    More may be reached than is ever imported, never less: imports in functions count, and so do strings that name a
    module ("udig_lab.cli"). A source that says less than that (a magic command, a relative import) reaches everything.
    """

    def __init__(self, folders: dict[str, Path]):
        """Packages by name, and under "" a folder of scripts that import one another."""
        self.modules = {
            ".".join((package, *file.relative_to(folder).with_suffix("").parts))
            .strip(".")
            .removesuffix(".__init__"): file
            for package, folder in folders.items()
            for file in sorted(folder.rglob("*.py"))
        }
        self._next: dict[Path, set[Path]] = {}

    def reached(self, *files: Path) -> set[Path]:
        """The files themselves, and every file of ours behind them."""
        found: set[Path] = set()
        waiting = list(files)
        while waiting:
            file = waiting.pop()
            if file in found or not file.is_file():
                continue
            found.add(file)
            if file not in self._next:
                self._next[file] = self._direct(file)
            waiting += self._next[file]
        return found

    def _direct(self, file: Path) -> set[Path]:
        """Files that one file names; a package's ``__init__`` comes with whatever is in it."""
        try:
            names = {name for tree in _trees(file) for name in _named(tree)}
        except SyntaxError:
            return set(self.modules.values())
        parts = [name.split(".") for name in names]
        prefixes = {".".join(p[:end]) for p in parts for end in range(1, len(p) + 1)}
        return {self.modules[name] for name in prefixes & self.modules.keys()}


def _trees(file: Path) -> Iterator[ast.Module]:
    """A file as one tree, a notebook as one for each code cell."""
    text = file.read_text(encoding="utf8")
    if file.suffix != ".ipynb":
        yield ast.parse(text)
        return
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "code":
            yield ast.parse(_INSTALLS.sub(r"\1pass", "".join(cell["source"])))


def _named(tree: ast.Module) -> Iterator[str]:
    """Dotted names that may be modules. Raises SyntaxError where it cannot tell."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise SyntaxError("a relative import")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield node.value
