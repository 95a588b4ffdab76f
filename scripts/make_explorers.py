"""Compute what the book's explorers show: one small JSON file each, made once, read by plain JavaScript.

    python scripts/make_explorers.py

The files lie in `_build/explorers/`. Everything in them comes from the package: the shipped sentiment model, the
mini corpora, the same functions that the chapters call. Each holds a `table` as well, which is what a page shows
where no script runs. `book/_static/explorers/` draws them, `book/_ext/explorers.py` puts them on pages.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from explorers import EXPLORERS
from explorers.common import Json, Lab

OUT = Path("_build/explorers")


def main() -> int:
    parser = argparse.ArgumentParser(description="Compute the data of the book's explorers.")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help=argparse.SUPPRESS)
    root = parser.parse_args().root.resolve()
    (root / OUT).mkdir(parents=True, exist_ok=True)
    lab = Lab.load()
    for number, (name, compute) in enumerate(EXPLORERS.items(), start=1):
        seconds, size = write(root / OUT / f"{name}.json", lab, compute)
        print(f"[{number}/{len(EXPLORERS)}] explorer {name} ... {seconds:.0f} s, {size / 1000:.0f} kB", flush=True)
    return 0


def write(path: Path, lab: Lab, compute: Callable[[Lab], Json]) -> tuple[float, int]:
    """Compute a file and put it in place whole; seconds and bytes."""
    begin = time.perf_counter()
    text = json.dumps(compute(lab), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    unfinished = path.with_suffix(".part")
    unfinished.write_text(text + "\n", encoding="utf8")
    unfinished.replace(path)
    return time.perf_counter() - begin, path.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
