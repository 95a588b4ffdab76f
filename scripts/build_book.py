"""Build the book: execute every notebook of `_toc.yml`, compute what the explorers show, run Jupyter Book on it all.

    python scripts/build_book.py                 what changed, with the notebooks' own parameters
    python scripts/build_book.py --profile lab      the same with PROFILE = "lab" in every notebook
    python scripts/build_book.py --only notebooks/quickstart.ipynb    execute this, build no book
    python scripts/build_book.py --no-cache         execute all notebooks anew

The result is `_build/html/`. It is replaced only by a complete book: a failing cell, a warning of
Jupyter Book or a missing page ends the build with exit status 1 and leaves the former one in place, as
does Ctrl-C, with 130.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from cache import EXECUTED, HTML, STAGED, Cache, Card
from filelock import FileLock
from run_notebooks import QUIET, cores, plan, run
from stopping import answer_ctrl_c

STAGE = Path("_build/stage")
WORK = Path("_build/work")
LOG = Path("_build/sphinx.log")
# Scripts that make data for pages with figures that move, by the name of what they make; and where the pages' own
# scripts lie, without which a book has no use for it.
BESIDE = {
    "live": ("live.py", Path("book/_static/live")),
    "explorers": ("make_explorers.py", Path("book/_static/explorers")),
}


class BookError(Exception):
    """Something that ends the build; its text is all that the reader gets to see."""


def main() -> int:
    answer_ctrl_c("build_book: stopped; the former book is as it was, and what is executed is not executed again")
    arguments = parse()
    root = arguments.root.resolve()
    (root / "_build").mkdir(exist_ok=True)
    try:
        with FileLock(root / "_build" / "lock"):  # two builds at once would stage into each other
            build(root, arguments)
    except (BookError, ValueError) as error:
        print(f"build_book: {error}", file=sys.stderr)
        return 1
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Execute the notebooks and build the book.")
    parser.add_argument("--profile", choices=("mini", "lab", "paper"), help="value for every notebook's PROFILE")
    parser.add_argument("--only", action="append", metavar="NOTEBOOK", help="execute this notebook, build no book")
    parser.add_argument(
        "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE",
        help="a notebook parameter; VALUE is read as JSON, or else as a string",
    )  # fmt: skip
    parser.add_argument("--no-cache", action="store_true", help="execute notebooks that have not changed, too")
    parser.add_argument("--workers", type=int, default=cores(), help="notebooks at a time (default: cores)")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help=argparse.SUPPRESS)
    return parser.parse_args()


def build(root: Path, arguments: argparse.Namespace) -> None:
    started = time.perf_counter()
    pages, notebooks = table_of_contents(root)
    if arguments.only:
        notebooks = [as_name(root, path) for path in arguments.only]
    cache, use_cache = Cache(root), not arguments.no_cache
    jobs = plan(cache, notebooks, parameters(arguments))
    stale = [] if arguments.only else [name for name in BESIDE if is_stale(cache, name, use_cache)]
    with ThreadPoolExecutor() as pool:  # scripts and notebooks work in processes of their own
        scripts = [pool.submit(beside, root, name, cache.card(name)) for name in stale]
        failures = run(jobs, arguments.workers, use_cache=use_cache)
    if failures:
        raise BookError(f"{len(failures)} of {len(jobs)} notebooks failed; no book was built.")
    for script in scripts:
        script.result()
    if arguments.only:
        return
    card = Cache(root).card("html")  # another cache: files were written since
    if card.fresh:
        print(f"{HTML} is up to date.")
        return
    stage(root, notebooks)
    jupyter_book(root)
    seconds = time.perf_counter() - started
    publish(root, card, seconds)
    print(f"{len(pages) + len(notebooks)} pages, {seconds:.0f} s. Open {HTML / 'index.html'}")


def table_of_contents(root: Path) -> tuple[list[str], list[str]]:
    """Pages (.md) and notebooks (.ipynb) that `_toc.yml` names, in its order."""
    pages, notebooks = [], []
    for name in _entries(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf8"))):
        if (root / f"{name}.ipynb").is_file():
            notebooks.append(f"{name}.ipynb")
        elif (root / f"{name}.md").is_file():
            pages.append(f"{name}.md")
        else:
            raise BookError(f"_toc.yml names {name}, but neither {name}.ipynb nor {name}.md exists.")
    return pages, notebooks


def _entries(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _entries(item)]
    if not isinstance(node, dict):
        return []
    own = [node[key] for key in ("root", "file") if key in node]
    return own + [name for value in node.values() for name in _entries(value)]


def as_name(root: Path, path: str) -> str:
    """A notebook given on the command line, relative to the root."""
    for candidate in (root / path, Path(path).resolve()):
        if candidate.is_file() and candidate.suffix == ".ipynb" and candidate.is_relative_to(root):
            return candidate.relative_to(root).as_posix()
    raise BookError(f"--only {path}: no such notebook in {root.name}/.")


def parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """Papermill parameters from --profile and --parameter."""
    values: dict[str, Any] = {"PROFILE": arguments.profile} if arguments.profile else {}
    for item in arguments.parameter:
        name, equals, value = item.partition("=")
        if not equals:
            raise BookError(f"--parameter {item}: write NAME=VALUE.")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def is_stale(cache: Cache, name: str, use_cache: bool) -> bool:
    """Whether a script of ``BESIDE`` has something to make: this book has pages for it, and it is not there yet."""
    if not (cache.root / BESIDE[name][1]).is_dir():
        return False
    if use_cache and cache.card(name).fresh:
        print(f"{name} ... unchanged", flush=True)
        return False
    return True


def beside(root: Path, name: str, card: Card) -> None:
    """Let a script of ``BESIDE`` make what it makes.

    In a process of its own, as notebooks are: torch and the models would stay in this one's memory. On one core:
    the notebooks have the others.
    """
    card.remove()
    begin = time.perf_counter()
    script = BESIDE[name][0]
    command = [sys.executable, str(Path(__file__).with_name(script)), "--root", str(root)]
    environment = os.environ | QUIET | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if subprocess.run(command, env=environment, check=False, process_group=0).returncode:
        raise BookError(f"{script} failed; no book was built.")
    card.write(time.perf_counter() - begin)


def stage(root: Path, notebooks: list[str]) -> None:
    """Copy what Jupyter Book shall see, executed notebooks in the place of the committed ones."""
    target = root / STAGE
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, place in STAGED.items():
        if (root / name).is_dir() and (target / place).parent.is_dir():
            shutil.copytree(root / name, target / place)
        elif (root / name).is_file():
            shutil.copy(root / name, target / place)
    for name in notebooks:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / EXECUTED / name, target / name)


def jupyter_book(root: Path) -> None:
    """Run Jupyter Book on the staged pages, every warning an error; always from scratch.

    Sphinx could keep pages between builds, but it repeats no warning for a page that it kept: a
    second run of a broken book would pass.
    """
    shutil.rmtree(root / WORK, ignore_errors=True)
    print("Jupyter Book ...", flush=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", "-W", "--keep-going", "--path-output", str(root / WORK), str(root / STAGE)]
    environment = os.environ | {"COLUMNS": "120"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, process_group=0)
    output = re.sub("\x1b\\[[0-9;]*m", "", done.stdout + done.stderr)  # colours
    output = output.replace(f"{root / STAGE}{os.sep}", "")
    (root / LOG).write_text(output, encoding="utf8")
    if done.returncode:
        marks = ("WARNING", "ERROR", "Error", "Exception")
        told = [line for line in output.splitlines() if any(mark in line for mark in marks)]
        raise BookError("\n".join([*told[:40], f"Jupyter Book refused the pages; the whole log is {LOG}."]))


def publish(root: Path, card: Card, seconds: float) -> None:
    """Put the finished book in the place of the former one."""
    card.remove()
    shutil.rmtree(root / HTML, ignore_errors=True)
    (root / WORK / "_build" / "html").rename(root / HTML)
    card.write(seconds)
    shutil.rmtree(root / WORK)


if __name__ == "__main__":
    sys.exit(main())
