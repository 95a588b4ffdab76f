"""The fault campaign: what was once done to the package by hand, replayed and counted.

    python tests/faults/campaign.py                       the whole of it, about a quarter of an hour
    python tests/faults/campaign.py --share               two minutes of it, as in `make test`
    python tests/faults/campaign.py --only "flipped bits"

Its table goes to standard output and, with `--record`, into `benchmarks/faults.json`, from which the book shows it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import inputs
import stores
from tally import Tally, save, table

RECORD = Path(__file__).parents[2] / "benchmarks" / "faults.json"

# How often: in the whole campaign, and in its share.
STORES: dict[str, tuple[Callable[[Tally, int, stores.Stage], None], int, int]] = {
    "kill -9 of a run": (stores.kills, 40, 3),
    "Ctrl-C in a run": (stores.interrupts, 25, 2),
    "flipped bits in records, cards and shards": (stores.flipped_bits, 3000, 60),
    "a full disk": (stores.full_disks, 20, 2),
    "no inodes left": (stores.no_inodes, 20, 2),
    "clocks years off": (stores.clocks, 20, 2),
    "two clients on one folder": (stores.two_clients, 20, 2),
    "dying workers": (stores.dying_workers, 8, 1),
}
INPUTS: dict[str, tuple[Callable[[Tally, int], None], int, int]] = {
    "fuzzed texts, settings and targets": (inputs.texts_and_settings, 10_000, 300),
    "spoilt saved results": (inputs.saved_results, 5000, 500),
    "fuzzed command lines": (inputs.command_lines, 1000, 60),
}

MOUNTS = ("a full disk", "no inodes left")


def campaign(names: Sequence[str], *, share: bool) -> list[Tally]:
    """Run it; one tally a fault."""
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory() as folder:
        stage = stores.Stage(Path(folder)) if set(names) & set(STORES) else None
        for name in names:
            if name in MOUNTS and not may_mount():
                print(f"{name}: left out, since only root may mount a file system", file=sys.stderr)
                continue
            tally = Tally(name)
            begin = time.monotonic()
            if stage is not None and name in STORES:
                befall, whole, some = STORES[name]
                befall(tally, some if share else whole, stage)
            else:
                happen, whole, some = INPUTS[name]
                happen(tally, some if share else whole)
            tallies.append(tally)
            words = f"{name}: {tally.tries} tries, {time.monotonic() - begin:.0f} s"
            print(words, *tally.notes, sep="\n  ", file=sys.stderr, flush=True)
    return tallies


def beside(names: Sequence[str], file: Path, *, share: bool) -> "subprocess.Popen[bytes]":
    """The same in a process of its own, recorded into a file."""
    only = [word for name in names for word in ("--only", name)]
    command = [sys.executable, __file__, *only, *(["--share"] if share else []), "--record", str(file)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def may_mount() -> bool:
    """Whether a file system of a few pages can be had here."""
    return sys.platform == "linux" and os.geteuid() == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", action="store_true", help="two minutes of it")
    parser.add_argument("--only", action="append", default=[], choices=[*STORES, *INPUTS])
    parser.add_argument(
        "--record", type=Path, nargs="?", const=RECORD, help="where its record goes; only those lines, with --only"
    )
    options = parser.parse_args()
    begin = time.monotonic()
    if options.only:
        tallies = campaign(options.only, share=options.share)
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "inputs.json"
            other = beside(list(INPUTS), file, share=options.share)  # input needs no stores: two cores, two processes
            tallies = campaign(list(STORES), share=options.share)
            other.wait()
            tallies += [Tally(**t) for t in json.loads(file.read_text(encoding="utf8"))["tallies"]]
    print(table([asdict(tally) for tally in tallies]))
    if options.record:
        about = {"date": time.strftime("%Y-%m-%d"), "seconds": round(time.monotonic() - begin)}
        about |= {"system": f"{platform.system()}, {platform.machine()}", "python": platform.python_version()}
        if options.only and options.record.is_file():  # the other lines stay
            before = json.loads(options.record.read_text(encoding="utf8"))
            about["seconds"] += before["seconds"]
            known = {t["fault"]: Tally(**t) for t in before["tallies"]} | {tally.fault: tally for tally in tallies}
            tallies = [known[name] for name in (*STORES, *INPUTS) if name in known]
        save(tallies, options.record, **about, udig_lab=version("udig-lab"))
    return int(not all(tally.good for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
