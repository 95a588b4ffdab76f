"""Show the package's docstrings, its registry and the help of its commands on the pages of the API reference.

Docstrings are written for a terminal: sections as Google has them, code in double back-ticks, everything else
plain. What reStructuredText would take for markup in them (``|x|``, ``a * b``) is escaped here.
"""

import importlib
import io
import os
import re
from contextlib import redirect_stdout, suppress
from typing import Any
from unittest import mock

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

_LITERAL = re.compile(r"(``.+?``)")
_MARKUP = re.compile(r"([|*]|(?<=\w)_(?!\w))")
_RETURNS = re.compile(r"(Returns|Yields):$")


def plain(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Escape what is no markup, and keep what is returned in one piece: it names no type before a colon."""
    example = False  # from its prompt to the next empty line
    for number, line in enumerate(found := _fields(lines)):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if not example:
            found[number] = _escaped(line)
    lines[:] = found


def _escaped(line: str) -> str:
    parts = _LITERAL.split(line)
    return "".join(part if part.startswith("``") else _MARKUP.sub(r"\\\1", part) for part in parts)


def _fields(lines: list[str]) -> list[str]:
    """Sections "Returns:" as fields, so that nobody looks for a type in them."""
    found, inside = [], False
    for line in lines:
        if _RETURNS.match(line):
            inside = True
            found.append(":returns:")
        elif inside and line.strip():
            inside = line.startswith(" ")
            found.append(line)
        else:
            found.append(line)
    return found


class Help(Directive):
    """What a command of ``udig-lab`` says when it is asked for help: ``.. command-help:: run``."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Ask the command, on a terminal of 90 columns."""
        said = io.StringIO()
        with mock.patch.dict(os.environ, COLUMNS="90"), redirect_stdout(said), suppress(SystemExit):
            importlib.import_module("udig_lab.cli").main([*self.arguments, "--help"])
        text = said.getvalue()
        return [nodes.literal_block(text, text, language="none")]


class Registry(Directive):
    """A table of `METHODS`: what a method is called, its settings with their defaults, its source."""

    def run(self) -> list[nodes.Node]:
        """Write the table as reStructuredText, and let it be read in place."""
        lines = [".. list-table::", "   :header-rows: 1", "", "   * - Name", "     - Settings", "     - Source"]
        for name, method in importlib.import_module("udig_lab.methods").METHODS.items():
            settings = ", ".join(f"``{key}={value!r}``" for key, value in method.defaults.items())
            place = f"{method.build.__module__}.{method.build.__name__}"
            lines += [f"   * - :func:`{name} <{place}>`", f"     - {settings or 'none'}", f"     - {method.citation}"]
        self.state_machine.insert_input(lines, "the registry of methods")
        return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, before napoleon reads the sections."""
    app.connect("autodoc-process-docstring", plain, priority=400)
    app.add_directive("command-help", Help)
    app.add_directive("registry", Registry)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
