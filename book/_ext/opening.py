"""The front page's first lines, from `scripts/explorers/opening.py`: a coloured sentence, and numbers of the ledger.

    ```{opening}
    ```

is the sentence, a line for each method. ``{counted}`published` `` is the number of published numbers; ``compared`` and
``tests`` say how many of them can be compared with ours, and on how many tests they rest.
"""

import json
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from explorers import DATA, table
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective


def read(env: BuildEnvironment) -> dict[str, Any]:
    """The data, on which the page then depends."""
    file = Path(env.srcdir) / DATA / "opening.json"
    env.note_dependency(str(file))
    return dict(json.loads(file.read_text(encoding="utf8")))


class Opening(SphinxDirective):
    """The coloured sentence."""

    def run(self) -> list[nodes.Node]:
        """What the model says, the methods' lines, what they say of one word, and the numbers in a table, folded."""
        try:
            data = read(self.env)
        except (OSError, ValueError) as error:
            raise self.error(f"opening.json cannot be read ({error}); run scripts/make_explorers.py") from error
        lines = "".join(
            f'<p class="ul-opening-line"><strong>{escape(line["title"])}</strong> <span>{line["html"]}</span></p>'
            for line in data["lines"]
        )
        sides = {side: [] for side in ("for the verdict", "against it")}
        for name, number in data["scores"].items():
            side = "for the verdict" if number >= 0 else "against it"
            sides[side].append(f"{name} {number:+.2f}".replace("-", "\u2212"))
        heard = ". ".join(f"{side.capitalize()}: {' and '.join(own)}" for side, own in sides.items() if own)
        asked = (
            f"Three methods explain one verdict: the model calls “{escape(data['sentence'])}” "
            f"{escape(data['target'])}, with probability {data['p']:.2f}."
        )
        told = (
            f"They do not tell one story. Does “{escape(data['word'])}” speak for the verdict or against it? {heard}. "
            "Orange, solid line: for the verdict; blue, dashed line: against it. Each line is coloured by its own "
            "largest score, so compare colours within a line, and methods by the numbers under “Scores”."
        )
        before = (
            f'<div class="ul-opening ul-heat"><p>{asked}</p>{lines}<p>{told}</p><details><summary>Scores</summary>'
        )
        shown = table(data["table"]["caption"], [data["table"]["head"], *data["table"]["rows"]])
        return [nodes.raw("", before, format="html"), shown, nodes.raw("", "</details></div>", format="html")]


def counted(
    role: str, raw: str, text: str, line: int, inliner: Inliner, options: Any = None, content: Any = None
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """A number of the ledger."""
    try:
        number = read(inliner.document.settings.env)["ledger"][text]
    except (OSError, ValueError, KeyError) as error:
        return [], [inliner.reporter.error(f"no number {text!r} in opening.json ({error})", line=line)]
    return [nodes.Text(f"{number:,}")], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("opening", Opening)
    app.add_role("counted", counted)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
