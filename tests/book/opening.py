"""How pages open: the finding of an executed notebook, and where its numbers are proved."""

import ast
import contextlib
import io
import re
from typing import Any

import yaml
from bs4 import BeautifulSoup
from built import ROOT

from udig_lab.experiments.findings import NUMBER, Finding

PARTS = ("Faithfulness", "Experiments")  # whose pages open with what they found
Cell = dict[str, Any]


def pages() -> list[str]:
    """The pages of these parts."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    return [c["file"] for part in toc["parts"] if part["caption"] in PARTS for c in part["chapters"]]


def is_finding(cell: Cell) -> bool:
    """Whether a cell is tagged so."""
    return "finding" in cell["metadata"].get("tags", [])


def said(cell: Cell) -> str:
    """The sentences that a finding's cell shows."""
    (text,) = [o["data"]["text/markdown"] for o in cell["outputs"] if "text/markdown" in o.get("data", {})]
    return "".join(text)


def shown(cell: Cell) -> str:
    """All text that a cell prints or shows, without the alt texts of its figures."""
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "text/html" in data:
            texts.append(BeautifulSoup("".join(data["text/html"]), "html.parser").get_text(" "))
        else:
            texts.append("".join(output.get("text", data.get("text/markdown", data.get("text/plain", "")))))
    return "\n".join(texts)


def unproved(cells: list[Cell]) -> list[str]:
    """Numbers of the finding that no later cell of the notebook shows."""
    (at,) = [i for i, cell in enumerate(cells) if is_finding(cell)]
    below = {n.lstrip("+") for cell in cells[at + 1 :] for n in NUMBER.findall(shown(cell).replace("\n", " "))}
    return [n for n in Finding(said(cells[at])).numbers if n.lstrip("+") not in below]


def computed(cells: list[Cell]) -> str:
    """The finding as today's rows make it: the cells up to it, run once more."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse(re.sub(r"^( +)%pip.*$", r"\1pass", "".join(cell["source"]), flags=re.MULTILINE))
        last = ast.Expression(tree.body.pop().value) if is_finding(cell) else None  # type: ignore[attr-defined]
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(tree, "<cell>", "exec"), names)
        if last:
            return str(eval(compile(last, "<finding>", "eval"), names))
    raise AssertionError("no cell is tagged `finding`")
