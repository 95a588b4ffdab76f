"""The build itself, on a small book of its own: caching, failures, and what is published."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.xdist_group("build")  # one small book for all of them


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of one page and one notebook, built once."""
    root = tmp_path_factory.mktemp("small")
    (root / "_config.yml").write_text("title: small\nexecute: {execute_notebooks: 'off'}\n")
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n  - file: notebooks/one\n")
    (root / "book").mkdir()
    (root / "book" / "index.md").write_text("# A small book\n\nText.\n")
    write(root, 'print("profile", PROFILE)')
    done = build(root)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def write(root: Path, *sources: str) -> None:
    cells = [nbformat.v4.new_markdown_cell("# One", id="title")]
    sources = ('PROFILE: str = "mini"\nSEED = 0', *sources)
    cells += [nbformat.v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(sources)]
    cells[1].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, root / "notebooks" / "one.ipynb")


def build(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "build_book.py"), "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


@pytest.fixture
def book(small: Path, tmp_path: Path) -> Path:
    """A copy of the small book that a test may break."""
    return Path(shutil.copytree(small, tmp_path / "book"))


def page(root: Path) -> str:
    return (root / "_build" / "html" / "notebooks" / "one.html").read_text(encoding="utf8")


def test_unchanged_book_is_not_built_again(book: Path):
    before = (book / "_build" / "html" / "index.html").stat().st_mtime_ns
    done = build(book)
    assert done.returncode == 0
    assert "one ... unchanged" in done.stdout
    assert "up to date" in done.stdout
    assert (book / "_build" / "html" / "index.html").stat().st_mtime_ns == before


def test_changed_package_executes_notebooks_again(book: Path):
    write(book, "if False:\n    import udig_lab.paths")
    (book / "udig_lab").mkdir()
    for name, unchanged in (("paths", False), ("cli", True), ("__init__", False)):
        (book / "udig_lab" / f"{name}.py").write_text("x = 1\n")
        done = build(book, "--only", "notebooks/one.ipynb")
        assert done.returncode == 0
        assert ("unchanged" in done.stdout) == unchanged, name
        assert "Jupyter Book" not in done.stdout


def test_profile_reaches_the_page_and_its_cell_is_hidden(book: Path):
    done = build(book, "--profile", "lab")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "profile lab" in page(book)
    executed = json.loads((book / "_build" / "executed" / "notebooks" / "one.ipynb").read_text())
    injected = [c for c in executed["cells"] if "injected-parameters" in c["metadata"].get("tags", [])]
    assert [c["metadata"]["tags"] for c in injected] == [["injected-parameters", "remove-cell"]]
    assert str(book) not in json.dumps(executed), "papermill's paths are still in the executed copy"


def test_unknown_parameter_is_refused(book: Path):
    done = build(book, "--only", "notebooks/one.ipynb", "-p", "SEEED=1")
    assert done.returncode == 1
    assert "notebooks/one.ipynb has no parameter SEEED" in done.stderr


def test_failing_cell_is_named_and_nothing_is_published(book: Path):
    before = page(book)
    write(book, "1 + 1", 'raise ValueError("the gap is 0.3")')
    done = build(book)
    assert done.returncode == 1
    assert "notebooks/one.ipynb, cell 4 (raise ValueError(" in done.stdout
    assert "ValueError: the gap is 0.3" in done.stdout
    assert page(book) == before
    again = build(book)  # a failure is not cached
    assert again.returncode == 1


def test_dead_kernel_is_named(book: Path):
    write(book, "import os", "os._exit(1)")
    done = build(book)
    assert done.returncode == 1
    assert "notebooks/one.ipynb, cell 4 (os._exit(1))" in done.stdout
    assert "DeadKernelError" in done.stdout


def test_expected_exception_is_shown(book: Path):
    path = book / "notebooks" / "one.ipynb"
    write(book, 'raise ValueError("as announced")', 'print("and on it goes")')
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].metadata["tags"] = ["raises-exception"]
    nbformat.write(notebook, path)
    done = build(book)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as announced" in page(book)
    assert "and on it goes" in page(book)
    assert "papermill-error-cell" not in page(book)


def test_warning_of_jupyter_book_is_an_error_and_nothing_is_published(book: Path):
    before = page(book)
    (book / "book" / "index.md").write_text("# A small book\n\n[nowhere](nowhere.md)\n")
    done = build(book)
    assert done.returncode == 1
    assert "book/index.md" in done.stderr
    assert "nowhere" in done.stderr
    assert page(book) == before


def test_missing_page_is_named(book: Path):
    (book / "book" / "index.md").unlink()
    done = build(book)
    assert done.returncode == 1
    assert "_toc.yml names book/index" in done.stderr


STUB = '''def double(x):
    """Twice x."""
    {body}


with attempt("Exercise 1"):
    got = [double(1), double(3)]
    assert got == [2, 6], f"twice 1 and 3 is 2 and 6, yours is {{got}}"
'''
SOLUTION = """<details><summary>Solution</summary>

Add it to itself.

```python
def double(x):
    global y
    y = 99
    return {value}
```

</details>"""


def exercise(root: Path, body: str = "raise NotImplementedError", solution: str | None = SOLUTION) -> None:
    """Give the small book's notebook an exercise; the cell after it tells which names it finds.

    The package shrinks to the one file that exercises need: importing all of it takes longer than the test.
    """
    (root / "notebooks" / "udig_lab").mkdir()
    (root / "notebooks" / "udig_lab" / "__init__.py").touch()
    shutil.copy(ROOT / "udig_lab" / "exercises.py", root / "notebooks" / "udig_lab")
    write(root, "from udig_lab.exercises import attempt\ny = 1", STUB.format(body=body), "print('y is', y)\n1 / y")
    path = root / "notebooks" / "one.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[3].metadata["tags"] = ["exercise"]
    notebook.cells.insert(4, nbformat.v4.new_markdown_cell((solution or "None.").replace("{value}", "x + x"), id="s"))
    nbformat.write(notebook, path)


def test_exercise_is_proven_and_the_proof_is_hidden(book: Path):
    exercise(book)
    done = build(book)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Exercise 1: not yet. The function is still empty." in page(book)
    assert "Exercise 1: solved." not in page(book)
    assert "y is 1\n" in page(book), "the solution's names reached the cells after it"
    executed = json.loads((book / "_build" / "executed" / "notebooks" / "one.ipynb").read_text())
    assert "_prove" not in json.dumps(executed)
    code = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [1, 2, 3, 4]
    assert code[-1]["outputs"][-1]["execution_count"] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"body": "return x + x"}, "the stub passes its own check"),
        (
            {"solution": SOLUTION.replace("{value}", "x + 1")},
            "the solution does not pass: twice 1 and 3 is 2 and 6, yours is [2, 4]",
        ),
        ({"solution": SOLUTION.replace("{value}", "nothing")}, "the solution does not pass: It ended with NameError"),
        ({"solution": SOLUTION.replace("return {value}", "return (")}, "the solution does not pass: SyntaxError"),
        ({"solution": None}, "no solution block"),
        ({"solution": SOLUTION.replace("```python", "```")}, "no solution block"),
    ],
    ids=["stub passes", "wrong answer", "error", "not Python", "no fold-out", "no Python"],
)
def test_exercise_that_proves_nothing_is_named(book: Path, change: dict, message: str):
    before = page(book)
    exercise(book, **change)
    done = build(book, "--only", "notebooks/one.ipynb")
    assert done.returncode == 1
    assert f"notebooks/one.ipynb, cell 4 (Exercise 1):\n    {message}" in done.stdout
    assert page(book) == before


def test_cells_after_a_proof_keep_their_numbers(book: Path):
    exercise(book)
    path = book / "notebooks" / "one.ipynb"
    path.write_text(path.read_text().replace("1 / y", "1 / (y - 1)"))
    done = build(book, "--only", "notebooks/one.ipynb")
    assert done.returncode == 1
    assert "notebooks/one.ipynb, cell 6 (print('y is', y)):\n    ZeroDivisionError" in done.stdout


def test_book_without_the_packages_of_the_live_page_says_so(book: Path):
    """No npm, and no registry for pip: the page keeps its static content and tells the reason."""
    shutil.copytree(ROOT / "book" / "_ext", book / "book" / "_ext")
    shutil.copytree(ROOT / "book" / "_static" / "live", book / "book" / "_static" / "live")
    shutil.copytree(ROOT / "scripts" / "live", book / "scripts" / "live")
    with (book / "_config.yml").open("a") as config:
        config.write("sphinx: {local_extensions: {explorers: book/_ext}}\n")
    (book / "book" / "index.md").write_text("# A small book\n\n```{explorer} live\nWithout scripts.\n```\n")
    done = build(book, PATH=str(book), PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WITHOUT its packages" in done.stdout
    text = (book / "_build" / "html" / "book" / "index.html").read_text(encoding="utf8")
    assert "built without the live model: pip could not fetch them" in text
    assert "Without scripts." in text
    assert "data-explorer" not in text


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_is_one_sentence(book: Path, times: int):
    """Pressed in a terminal: the whole group of processes gets it."""
    before = page(book)
    write(book, "import os, time, pathlib", "pathlib.Path('running').write_text(str(os.getpid()))\ntime.sleep(600)")
    command = [sys.executable, str(ROOT / "scripts" / "build_book.py"), "--root", str(book)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0, preexec_fn=_hearing
    )
    running = book / "notebooks" / "running"
    while not (running.is_file() and running.read_text()):
        assert process.poll() is None
        time.sleep(0.1)
    begin = time.monotonic()
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.strip() == (
        "build_book: stopped; the former book is as it was, and what is executed is not executed again"
    )
    assert time.monotonic() - begin < 10
    assert page(book) == before
    kernel = int(running.read_text())
    assert not psutil.pid_exists(kernel) or psutil.Process(kernel).status() == psutil.STATUS_ZOMBIE


def _hearing() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it runs in the background ignore it
