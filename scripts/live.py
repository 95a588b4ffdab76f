"""Make what the page `book/live` loads: the model with its gradient, the embedding table, the tokenizer, the runtime.

    python scripts/live.py

The files lie in `_build/live/files/`, with a `manifest.json` that says what each weighs. Where the packages cannot be
had, the manifest says so, in words that the page shows, and the book is built without them.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from cache import Cache
from live_packages import PackagesError, packages

HOME = Path("_build/live")
FILES = HOME / "files"  # what the book gets
MANIFEST = "manifest.json"
LIMIT = 30_000_000  # bytes: more is no page, it is an installation


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the files of the live page.")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help=argparse.SUPPRESS)
    root = parser.parse_args().root.resolve()
    begin = time.perf_counter()
    shutil.rmtree(root / FILES, ignore_errors=True)
    (root / FILES).mkdir(parents=True)
    manifest = make(root)
    (root / FILES / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf8")
    seconds = time.perf_counter() - begin
    if "missing" in manifest:
        print(f"live page ... WITHOUT its packages: {manifest['missing']}", flush=True)
        return 0
    print(f"live page ... {seconds:.0f} s, {manifest['bytes'] / 1e6:.1f} MB to download", flush=True)
    return 0


def make(root: Path) -> dict[str, Any]:
    """All files, and the manifest that describes them."""
    try:
        taken = packages(root / HOME, root / "scripts" / "live", Cache(root).card("packages"))
    except PackagesError as error:
        return {"missing": str(error)}
    from live_model import assets  # here: torch takes seconds, and a page without packages needs none

    made = assets(root / "udig_lab" / "assets" / "lab-sentiment")
    files = {name: put(root / FILES, name, content) for name, content in (taken | made).items()}
    total = sum(file["bytes"] for name, file in files.items() if not name.endswith(".txt"))  # licences are for reading
    if total > LIMIT:
        raise SystemExit(f"live.py: the page would load {total / 1e6:.1f} MB; at most {LIMIT / 1e6:.0f} are allowed")
    return {"bytes": total, "files": files}


def put(folder: Path, name: str, content: bytes) -> dict[str, int]:
    """Write a file; what the manifest says of it."""
    (folder / name).write_bytes(content)
    return {"bytes": len(content)}


if __name__ == "__main__":
    sys.exit(main())
