"""The API reference names every room of the house, or it is one of those that readers need not enter."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Rooms behind the others: nobody calls them from outside.
INNER = {
    *("drawing", "drawing.colours", "drawing.fonts", "methods.settings", "model", "faithfulness"),
    *("saving", "saving.fields", "saving.strict", "solved", "calls", "calls.call"),
    *(
        f"model.{room}"
        for room in (
            *("asked", "batching", "borrowing", "check", "embedding", "kimcnn", "memory", "precision", "prefix"),
            "reader",
        )
    ),
    # The public part of experiments is listed.
    *("experiments", *(f"experiments.{room}" for room in ("cluster", "store", "making", "origin", "guard", "shelf"))),
}
# explain, explain_answer, trace, estimate and Attribution stand on the first page by the names they are called by.
CALLED = {"explainer", "calls.answer", "calls.tracing", "calls.estimate", "attribution"}


def shown():
    """Modules whose members the pages show."""
    pages = [ROOT / "book" / "api.md", *(ROOT / "book" / "api").glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf8") for page in pages)
    return re.findall(r"automodule:: udig_lab\.([\w.]+)", text)


def modules():
    package = ROOT / "udig_lab"
    names = [path.relative_to(package).with_suffix("").parts for path in package.rglob("*.py")]
    return {".".join(parts).removesuffix(".__init__") for parts in names} - {"__init__"}


def test_every_room_is_shown_once():
    found = shown()
    assert len(found) == len(set(found))
    assert set(found) | INNER | CALLED == modules()
