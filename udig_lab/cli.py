"""The command line: ``udig-lab explain`` and ``udig-lab run``."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from udig_lab.anchors import STRATEGIES
from udig_lab.data import examples
from udig_lab.experiments import Cell, results_folder, run
from udig_lab.explainer import explain
from udig_lab.heatmap import to_terminal
from udig_lab.methods import METHODS
from udig_lab.models import DATASETS, PROFILES, load


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. Wrong input is one sentence on stderr and status 2."""
    options = _parser().parse_args(arguments)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else the tokenizer warns between our lines
    try:
        return int(options.command(options))
    except (ValueError, TypeError, OSError) as error:
        print(f"udig-lab: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="udig-lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    one = commands.add_parser("explain", help="explain one text with a coloured heat map")
    one.add_argument("text")
    one.add_argument("--method", default="ig", choices=METHODS)
    one.add_argument("--baseline", help="pad, mask, unk, zero, mean or a token (default: mask)")
    one.add_argument("--target", help="class to explain (default: the predicted one)")
    one.add_argument("--model", default="sst2", help="a data set's lab model, or a folder (default: sst2)")
    one.add_argument("--json", action="store_true", help="print the attribution as JSON")
    one.set_defaults(command=_explain)

    many = commands.add_parser("run", help="run an experiment and record its rows")
    many.add_argument("--dataset", required=True, choices=[d for d in DATASETS if d != "squad"])
    many.add_argument("--methods", default="ig,udig,random", help=f"of {', '.join(METHODS)}")
    many.add_argument("--strategies", default="greedy", help=f"for paths through words: {', '.join(STRATEGIES)}")
    many.add_argument("--baselines", default="mask", help="pad, mask, …")
    many.add_argument("--protocols", default="corrected", help="corrected, as_published")
    many.add_argument("--profile", default="mini", choices=PROFILES)
    many.add_argument("--limit", type=int, help="at most so many examples, drawn with a fixed seed")
    many.add_argument("--output", type=Path, help="folder of the records (default: results)")
    many.set_defaults(command=_run)
    return parser


def _explain(options: argparse.Namespace) -> int:
    target = int(options.target) if options.target and options.target.isdigit() else options.target
    found = explain(load(options.model), options.text, method=options.method, baseline=options.baseline, target=target)
    if options.json:
        print(found.to_json())
        return 0
    console = Console()
    line, table = to_terminal(found.words())
    console.print(line)
    console.print(table)
    console.print(
        f"{found.method}, baseline {found.baseline}: {found.target_name} with probability {found.probability:.3f}; "
        f"sum {found.integral:+.3f}, F(x) - F(x') = {found.f_input - found.f_baseline:+.3f} "
        f"(Delta {found.delta_percent:.1f} %), {found.evaluations} gradients",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _run(options: argparse.Namespace) -> int:
    folder = options.output or results_folder()
    examples(options.dataset, profile=options.profile, limit=1)  # say at once when the data are missing
    lists = [value.split(",") for value in (options.methods, options.baselines, options.protocols, options.strategies)]
    for method, baseline, protocol, strategy in itertools.product(*lists):
        chosen = strategy if method in METHODS and "strategy" in METHODS[method].defaults else None
        if chosen is None and strategy != lists[3][0]:
            continue  # strategies concern paths through words only
        cell = Cell(options.dataset, method, baseline, protocol, chosen, options.profile, options.limit)
        print(run(cell, folder, progress=sys.stderr.isatty()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
