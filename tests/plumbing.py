"""Which code of a notebook lays out, by its syntax: imports, drawing, tables to look at, texts of figures, printing.

Everything else derives, computes or checks, and stays open on the page.
"""

import ast
import re

FOLDED = "hide-input"  # the tag
LEAST = 4  # lines: a bar to click on is as high as fewer
DRAWING = {
    "annotate", "axhline", "axline", "axvline", "axvspan", "bar", "barh", "boxplot", "colorbar", "errorbar",
    "fill_between", "hist", "imshow", "legend", "loglog", "plot", "scatter", "semilogx", "semilogy",
    "set_title", "set_xlabel", "set_xlim", "set_xticks", "set_ylabel", "set_ylim", "set_yticks", "stem", "vlines",
}  # fmt: skip
SHOWING = {"display", "forest", "rivals", "set_caption", "show", "shown", "side_by_side", "standings"}
TABLES = {"DataFrame", "Series"}


def layout(source: str) -> tuple[int, int]:
    """Lines of a cell that lay out, and all of its lines; empty ones do not count."""
    text = re.sub(r"^( *)%.*$", r"\1pass", source, flags=re.MULTILINE)  # magics
    lines = text.splitlines()
    count = sum(bool(line.strip()) for line in lines)
    mine = 0
    for node in ast.parse(text).body:
        if lays_out(node):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
            mine += sum(bool(line.strip()) for line in lines[first - 1 : node.end_lineno])
    return mine, count


def lays_out(node: ast.stmt) -> bool:
    """Whether a statement of a cell only lays out."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.If):  # Colab's installation
        return "google.colab" in ast.unparse(node.test)
    if isinstance(node, ast.For):
        return all(map(lays_out, node.body))
    called = {_name(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
    if isinstance(node, ast.FunctionDef):
        return bool(called & (DRAWING | SHOWING))
    if isinstance(node, ast.Assign | ast.AugAssign):
        return _is_text(node.value) or bool(called & SHOWING)
    if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
        styled = any(isinstance(n, ast.Attribute) and n.attr == "style" for n in ast.walk(node))
        return styled or bool(called & (DRAWING | SHOWING | TABLES | {"print"}))
    return False


def is_layout(source: str) -> bool:
    """Whether a cell is folded: more than half of its lines lay out, they are not few, and it checks nothing."""
    mine, count = layout(source)
    return mine >= LEAST and 2 * mine > count and not re.search(r"^ *assert ", source, flags=re.MULTILINE)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_text(value: ast.expr) -> bool:
    """A text that is put together: formatted, summed or joined."""
    if isinstance(value, ast.BinOp):
        return isinstance(value.op, ast.Add) and (_is_text(value.left) or _is_text(value.right))
    if isinstance(value, ast.Call):
        return _name(value.func) == "join"
    return isinstance(value, ast.JoinedStr)
