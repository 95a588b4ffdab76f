r"""One meaning for every symbol: formulas, code cells and the package against the table of `book/notation.md`.

What a machine can hold against each other, and does here:

- a symbol of a numbered formula (`\tag`) is in the table, or its notebook introduces it: by a formula in a sentence
  that begins with it, by an equation whose left side it is, by a brace that names it, or by binding it (a sum's
  index, the variable of an integral);
- a symbol or term of the table is used in some notebook;
- a name of the column "In code" exists in the package;
- the quantities and ideas that once had several names have one (``ONE_WORD``), in prose, code and pages' scripts;
- a letter in the shape comments of the package and of code cells is one that the table lists for shapes.

A symbol is a letter with its accent (a hat, a tilde, a bar), wherever it stands, as an index too. An overline is no
accent but a mean. That one letter does not mean two things no machine can see; the page lists those that must.
"""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "udig_lab"
NOTEBOOKS = sorted(p for p in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
NAMES = [p.relative_to(ROOT / "notebooks").with_suffix("").as_posix() for p in NOTEBOOKS]

ACCENTS = ("hat", "tilde", "bar", "dot")
GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "sigma",
    "tau",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Pi",
    "Sigma",
    "Phi",
    "Psi",
    "Omega",
]
CONSTANTS = {"e", "pi", "d", "O"}  # Euler's number, the ratio, the d of an integral, Landau's O
DISPLAYED = re.compile(r"\$\$(.*?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$])\$(?!\$)([^$]+?)(?<!\\)\$(?!\$)")
WORDS = re.compile(r"\\(?:text|mathrm|operatorname\*?|mathbb|mathcal|begin|end|tag)\s*\{[^{}]*\}")
SYMBOL = re.compile(
    rf"(?:\\({'|'.join(ACCENTS)})\s*\{{?\s*)?(?:\\({'|'.join(GREEK)})(?![A-Za-z])|(?<![\\A-Za-z])([A-Za-z])(?![A-Za-z]))"
)
GLUED = re.compile(r"(?<![\\A-Za-z])([A-Za-z]{2,})(?![A-Za-z])")  # letters side by side: a product, or dt
BINDS = re.compile(
    r"\\(?:sum|prod|max|min|bigcup|iint|int|operatorname\*\{arg\\,(?:min|max)\})\s*(?:\\limits)?_\s*\{?([^{}]*)"
)


def spread(formula: str) -> str:
    """A formula without its words, letters that stand side by side set apart, primes as they are."""
    formula = WORDS.sub(" ", formula)
    formula = re.sub(r"\\[a-zA-Z]+", lambda m: m.group() + " ", formula)
    return GLUED.sub(lambda m: " ".join(m.group(1)), formula)


def symbols(formula: str) -> list[str]:
    """Letters of a formula with their accents, in order: "hat a", "gamma", "x"."""
    found = SYMBOL.finditer(spread(formula))
    return [f"{m[1]} {m[2] or m[3]}" if m[1] else str(m[2] or m[3]) for m in found]


@cache
def markdown(name: str) -> str:
    """The prose of a notebook, one cell after the other."""
    return "\n\n".join(source for kind, source in cells(name) if kind == "markdown")


@cache
def cells(name: str) -> tuple[tuple[str, str], ...]:
    """(kind, source) of a notebook's cells."""
    read = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf8"))["cells"]
    return tuple((cell["cell_type"], "".join(cell["source"])) for cell in read)


def formulas(name: str) -> tuple[list[str], list[str]]:
    """Displayed formulas, and those inside sentences."""
    text = re.sub(r"^```.*?^```", "", markdown(name), flags=re.DOTALL | re.MULTILINE)
    return DISPLAYED.findall(text), INLINE.findall(DISPLAYED.sub(" ", text))


def introduced(name: str) -> set[str]:
    """Symbols that a notebook introduces itself."""
    displayed, inline = formulas(name)
    found: set[str] = set()
    for formula in inline:
        found.update(symbols(formula)[:1])
        for side in re.split(r",\s*|\\q?quad", formula):
            found.update(symbols(side)[:1])
    for formula in displayed:
        for bound in BINDS.findall(formula):
            found.update(symbols(bound)[:1])
        found.update(re.findall(r"\bd\s*([a-z])\b", formula))
        found.update(x for x in re.findall(r"\\underbrace\{\\?([A-Za-z]+)\}_\{?\\text", formula))
        for part in re.split(r"\\q?quad|\\\\|,\s*\\;|&", formula):
            if "=" in part:
                found.update(symbols(part.split("=")[0])[:1])
    return found


def test_formulas_are_read():
    assert symbols(r"\hat a_{j,d} = \Delta\, x'_d") == ["hat a", "j", "d", "Delta", "x", "d"]
    assert symbols(r"\underbrace{2pq}_{\text{no symbol}} \tag{Q.1}") == ["p", "q"]
    assert symbols(r"\tanh(2 x_1) \, dt") == ["x", "d", "t"]


@cache
def table() -> list[list[str]]:
    """Rows of the page's tables of symbols."""
    rows, ours = [], False
    for line in (ROOT / "book" / "notation.md").read_text(encoding="utf8").splitlines():
        row = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if not line.startswith("|"):
            ours = False
        elif row[0] == "Symbol":
            ours = True
        elif ours and row[0] != "---":
            rows.append(row)
    return rows


@cache
def listed() -> frozenset[str]:
    """Symbols of the first column."""
    return frozenset(s for row in table() for formula in INLINE.findall(row[0]) for s in symbols(formula))


@pytest.mark.parametrize("name", NAMES)
def test_symbols_of_numbered_formulas_are_known(name: str):
    displayed, _ = formulas(name)
    used = {s for formula in displayed if r"\tag" in formula for s in symbols(formula)}
    unknown = used - listed() - introduced(name) - CONSTANTS
    assert not unknown, f"neither in book/notation.md nor introduced: {', '.join(sorted(unknown))}"


def test_what_the_table_lists_is_used():
    used: set[str] = set()
    for name in NAMES:
        displayed, inline = formulas(name)
        used.update(s for formula in (*displayed, *inline) for s in symbols(formula))
    prose = " ".join(markdown(name) for name in NAMES).lower()
    for row in table():
        own = [symbols(formula) for formula in INLINE.findall(row[0])]
        for found in own:
            assert found[0] in used, f"no notebook uses {row[0]}"
        if not own:
            assert row[0].lower() in prose, f"no notebook speaks of {row[0]}"


@cache
def package() -> tuple[set[str], set[str]]:
    """Dotted names of the package (Class.attribute, module.function) and its parameters, without importing it."""
    dotted, parameters = set(), set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf8"))):
            if isinstance(node, ast.FunctionDef):
                parameters.update(a.arg for a in (*node.args.args, *node.args.kwonlyargs))
                dotted.update((node.name, f"{file.stem}.{node.name}"))
            if isinstance(node, ast.ClassDef):
                fields = [n.target for n in node.body if isinstance(n, ast.AnnAssign)]
                own = [n.name for n in node.body if isinstance(n, ast.FunctionDef)]
                own += [field.id for field in fields if isinstance(field, ast.Name)]
                own += [n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)]
                dotted.update((node.name, *(f"{node.name}.{attribute}" for attribute in own)))
        dotted.add(file.stem)
    return dotted, parameters


def test_names_in_code_exist():
    dotted, parameters = package()
    for row in table():
        for name in re.findall(r"`([A-Za-z_][\w.]*)`", row[2]):
            letter = len(name) == 1 and name in shape_letters() | indices()
            assert name in dotted or name in parameters or letter, f"{row[0]}: the code knows no {name}"


@cache
def indices() -> frozenset[str]:
    """Variables of one letter in the package and in code cells."""
    sources = [p.read_text(encoding="utf8") for p in PACKAGE.rglob("*.py")]
    sources += [source for name in NAMES for kind, source in cells(name) if kind == "code"]
    return frozenset(letter for source in sources for letter in re.findall(r"(?:for|,) ([a-z])\b(?= in|,| =)", source))


def shapes(source: str) -> list[str]:
    """Letters of shapes such as `(K, L, D)` in comments and docstrings."""
    found = re.findall(r"(?:#|\"\"\"|^\s+\w+:|``)\s?\(([A-Za-z0-9_ ,+*-]+,[A-Za-z0-9_ ,+*-]*)\)", source, re.MULTILINE)
    return [w for shape in found for w in re.findall(r"(?<![A-Za-z_])[A-Z](?![A-Za-z_])", shape)]


@cache
def shape_letters() -> frozenset[str]:
    """Letters that the page lists: those in back-ticks, alone or in a shape."""
    text = (ROOT / "book" / "notation.md").read_text(encoding="utf8")
    return frozenset(letter for code in re.findall(r"`([^`\n]+)`", text) for letter in re.findall(r"\b[A-Z]\b", code))


@pytest.mark.parametrize("name", [*NAMES, "the package"])
def test_letters_of_shapes_are_listed(name: str):
    if name == "the package":
        source = "\n".join(p.read_text(encoding="utf8") for p in sorted(PACKAGE.rglob("*.py")))
    else:
        source = "\n".join(source for kind, source in cells(name) if kind == "code")
    unknown = set(shapes(source)) - shape_letters()
    assert not unknown, f"shapes use letters that book/notation.md does not list: {', '.join(sorted(unknown))}"


# What has one name: other spellings of it, where they are looked for, and the name.
TEXTS = ("*.md", "book/*.md", "notebooks/**/*.ipynb", "udig_lab/**/*.py", "scripts/**/*.py", "benchmarks/*.py")
TEXTS += ("book/_static/*.js", "book/_static/explorers/*.js", "book/_static/live/*.js")
PACKAGED = ("udig_lab/**/*.py", "scripts/**/*.py")
ONE_WORD = [
    (r"(?<!\\)\bDelta ?%|\bdelta %|\bdelta \{[^{}]*\} ?%|Δ %", TEXTS, "Δ%"),
    (r"\b_?(?:goals?|aims?|Goals?)\b", ("udig_lab/**/*.py",), "target"),
    (r"\brules: ?Protocol\b|\brules=", PACKAGED, "protocol"),
    (r"\bprotocol=(?:\w+ or )?rules\b", TEXTS, "protocol=protocol"),
    (r"\bprotocol\(", PACKAGED, "as_protocol()"),
    (r"^\s*found\b[^=]* = ", ("udig_lab/**/*.py",), "what was found"),
    (r"\bdef (?:\w+_)?agreement\(", PACKAGED, "rank_correlations"),
    (r"\.moving\b", PACKAGED, "Problem.explained, or Target.moving_target"),
    (r"\b(?:attribution|a|found)\.integral\b", PACKAGED, "Attribution.total"),
]


@pytest.mark.parametrize(("spelling", "places", "name"), ONE_WORD, ids=[name for *_, name in ONE_WORD])
def test_one_word_for_one_thing(spelling: str, places: tuple[str, ...], name: str):
    for pattern in places:
        for file in ROOT.glob(pattern):
            if file.name == "CHANGELOG.md" or "assets" in file.parts:
                continue
            for number, line in enumerate(file.read_text(encoding="utf8").splitlines(), start=1):
                assert not re.search(spelling, line), f"{file.relative_to(ROOT)}, line {number}: write {name}"
