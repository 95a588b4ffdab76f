"""Put the built book into one file to take along: `_build/udig-lab-book.zip`.

It holds the pages (open `html/index.html`, no network needed), the executed notebooks, and the licences. The same
book gives the same bytes.
"""

import argparse
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

NAME = "udig-lab-book"
FOLDERS = {"_build/html": "html", "_build/executed/notebooks": "notebooks"}
FILES = ("LICENSE", "LICENSE-TEXT", "CITATION.cff")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # of every file, so that archives can be compared
_PACKED = {".png", ".jpg", ".woff", ".woff2", ".zip", ".gz"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Put the built book into one file.")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help=argparse.SUPPRESS)
    root = parser.parse_args().root.resolve()
    if not (root / "_build" / "html" / "index.html").is_file():
        print("archive_book: there is no built book; make one with: make book", file=sys.stderr)
        return 1
    target = root / "_build" / f"{NAME}.zip"
    partial = target.with_suffix(".part")
    with zipfile.ZipFile(partial, "w") as archive:
        for file, name in contents(root):
            entry = zipfile.ZipInfo(f"{NAME}/{name}", _LONG_AGO)
            packed = file.suffix in _PACKED
            entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    partial.replace(target)
    print(f"{target.relative_to(root)}, {target.stat().st_size / 1e6:.0f} MB")
    return 0


def contents(root: Path) -> Iterator[tuple[Path, str]]:
    """Files, and their names in the archive."""
    for name in FILES:
        if (root / name).is_file():
            yield root / name, name
    for folder, name in FOLDERS.items():
        for file in sorted((root / folder).rglob("*")):
            inside = file.relative_to(root / folder)
            if file.is_file() and inside.name != ".buildinfo":
                yield file, f"{name}/{inside.as_posix()}"


if __name__ == "__main__":
    sys.exit(main())
