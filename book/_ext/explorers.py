"""Interactive figures: a directive that puts one on a page, with what is shown where no script runs.

    ```{explorer} meter
    :rule: left
    ```

becomes ``<div data-explorer="meter" data-rule="left">`` around a table from the explorer's data file, or around the
directive's own content where it has some. Options set how the explorer begins; `book/_static/explorers/` says which
there are. Scripts and styles come only to pages with such a block, written by this directive or by hand.
"""

import json
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

TITLES = {
    "path": "Path explorer",
    "meter": "Integration meter",
    "erasure": "Erasure explorer",
    "compare": "Method comparison",
    "live": "Your own sentence",
}
OPTIONS = ("sentence", "word", "baseline", "method", "methods", "rule", "steps", "step", "k")
DATA = Path("book/_static/explorers/data")  # below the folder that Jupyter Book reads
MANIFEST = Path("book/_static/live/files/manifest.json")  # what the live page loads, or why it can not


class Explorer(SphinxDirective):
    """One explorer by its name."""

    required_arguments = 1
    has_content = True
    option_spec = dict.fromkeys(OPTIONS, directives.unchanged_required)

    def run(self) -> list[nodes.Node]:
        """The block and its static content."""
        name = self.arguments[0]
        if name not in TITLES:
            raise self.error(f"no explorer {name!r}; choose one of {', '.join(TITLES)}")
        inside: list[nodes.Node] = []
        if self.content:
            holder = nodes.container()
            self.state.nested_parse(self.content, self.content_offset, holder)
            inside = holder.children
        else:
            inside = [self.table(name)]
        given = {"explorer": name, "title": TITLES[name], **self.options}
        if name == "live":
            manifest = self.manifest()
            if "missing" in manifest:
                text = f"This copy of the book was built without the live model: {manifest['missing']}."
                note = nodes.admonition("", nodes.title("", "Not in this copy"), nodes.paragraph("", text))
                return [note, *inside]
            given["bytes"] = str(manifest["bytes"])
        attributes = " ".join(f'data-{key}="{escape(value)}"' for key, value in given.items())
        return [
            nodes.raw("", f"<div {attributes}>", format="html"),
            *inside,
            nodes.raw("", "</div>", format="html"),
        ]

    def manifest(self) -> dict[str, Any]:
        """What `scripts/live.py` says of its files."""
        file = Path(self.env.srcdir) / MANIFEST
        self.env.note_dependency(str(file))
        try:
            return dict(json.loads(file.read_text(encoding="utf8")))
        except (OSError, ValueError) as error:
            raise self.error(f"{file.name} cannot be read ({error}); run scripts/live.py") from error

    def table(self, name: str) -> nodes.Node:
        """The table of the explorer's data file."""
        file = Path(self.env.srcdir) / DATA / f"{name}.json"
        self.env.note_dependency(str(file))
        try:
            data = json.loads(file.read_text(encoding="utf8"))["table"]
        except (OSError, ValueError, KeyError) as error:
            raise self.error(f"{file.name} cannot be read ({error}); run scripts/make_explorers.py") from error
        return table(data["caption"], [data["head"], *data["rows"]])


def table(caption: str, rows: list[list[str]]) -> nodes.table:
    """A table whose first row is its head."""
    width = len(rows[0])
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in range(width)), cols=width)
    head, body = nodes.thead(), nodes.tbody()
    for number, cells in enumerate(rows):
        entries = (nodes.entry("", nodes.paragraph("", "", nodes.Text(cell))) for cell in cells)
        (body if number else head).append(nodes.row("", *entries))
    group += [head, body]
    return nodes.table("", nodes.title("", "", nodes.Text(caption)), group, classes=["ul-static"])


def dress(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Scripts and styles for a page that has an explorer."""
    if "data-explorer=" in context.get("body", ""):
        app.add_css_file("explorers.css")
        app.add_js_file("explorers.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("explorer", Explorer)
    app.connect("html-page-context", dress)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
