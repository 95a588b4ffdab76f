"""The table of models that were tried: a directive that shows `book/zoo.json`, which ``make zoo`` writes.

    ```{zoo} counts
    ```

is a table of how many came out how, with the versions they were tried with; ``found`` says the same in two sentences;
``classification``, ``span`` and ``causal`` name every model type with such a head.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from explorers import table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

DATA = Path("book/zoo.json")  # below the folder that Jupyter Book reads
TASKS = {"classification": "classification", "span": "answers in a text", "causal": "next words"}
RIGHT = ("works", "works one at a time")
BUGS = ("silent difference", "error without a sentence")
OUTCOMES = (*RIGHT, "no, because", *BUGS, "could not be built here")


class Zoo(SphinxDirective):
    """The counts, what they say, or one task's model types."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A table, after a paragraph of names where there are many that work."""
        file = Path(self.env.srcdir) / DATA
        self.env.note_dependency(str(file))
        try:
            data = json.loads(file.read_text(encoding="utf8"))
            what = self.arguments[0]
            if what == "found":
                return [nodes.paragraph("", found(data["counts"]))]
            return self.counts(data) if what == "counts" else self.models(what, data["rows"])
        except (OSError, ValueError, KeyError) as error:
            raise self.error(f"{file.name} cannot be shown ({error}); run make zoo") from error

    def counts(self, data: dict[str, Any]) -> list[nodes.Node]:
        """How many came out how."""
        rows = [["Outcome", *TASKS.values()]]
        rows += [[o, *(str(data["counts"][task].get(o, 0)) for task in TASKS)] for o in OUTCOMES]
        versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
        return [table(f"Model types by outcome, tried with {versions}", rows)]

    def models(self, task: str, rows: list[dict[str, Any]]) -> list[nodes.Node]:
        """Names of those that work, and a line for every other."""
        own = [row for row in rows if row["task"] == task]
        good = [row["kind"] for row in own if row["outcome"] in RIGHT and not told(row)]
        rest = [[row["kind"], row["outcome"], told(row)] for row in own if row["kind"] not in good]
        names: list[nodes.Node] = [nodes.Text("Works: ")]
        for kind in good:
            names += [nodes.Text(", ")] if len(names) > 1 else []
            names.append(nodes.literal("", kind))
        shown: list[nodes.Node] = [nodes.paragraph("", "", *names, nodes.Text("."))]
        if rest:
            shown.append(
                table(
                    f"{TASKS[task].capitalize()}: the others, and what to know",
                    [["Model type", "Outcome", "Because"], *rest],
                )
            )
        return shown


def found(counts: dict[str, dict[str, int]]) -> str:
    """What the counts say.

    >>> found({task: {"works": 2, "no, because": 1} for task in TASKS}).partition(". ")[2]
    'Silent differences and errors without a sentence: 0.'
    """
    *most, last = (
        f"{sum(counts[task].get(o, 0) for o in RIGHT)} of {sum(counts[task].values())} for {name}"
        for task, name in TASKS.items()
    )
    bugs = sum(counts[task].get(o, 0) for task in TASKS for o in BUGS)
    return (
        f"Explained by their own output are {', '.join(most)} and {last}. "
        f"Silent differences and errors without a sentence: {bugs}."
    )


def told(row: dict[str, Any]) -> str:
    """What has to be said of one model type; nothing where all is well."""
    if row["outcome"] == RIGHT[0]:
        return str(row["note"])
    if row["outcome"] == RIGHT[1]:
        return str(row["sentence"] or "texts of different lengths are read one after the other")
    return whole(str(row["sentence"]))


def whole(sentence: str) -> str:
    """Its first full sentence; the rest of an error message may have been cut.

    >>> whole("it needs a library. You can install it with pip:")
    'it needs a library.'
    """
    first, stop, _ = sentence.partition(". ")
    return f"{first}." if stop else first.rstrip(":")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("zoo", Zoo)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
