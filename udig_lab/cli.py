"""The command line: ``udig-lab explain``, ``udig-lab run`` and ``udig-lab ledger``."""

from __future__ import annotations

import argparse
import ast
import io
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

from udig_lab.drawing.heatmap import to_terminal, visible
from udig_lab.experiments import grid, own_folder, run
from udig_lab.experiments.ledger import ledger
from udig_lab.experiments.origin import working_device
from udig_lab.experiments.shelf import dataset_of
from udig_lab.explainer import explain
from udig_lab.methods import METHODS
from udig_lab.methods.anchors import STRATEGIES
from udig_lab.model.load import DATASETS, PROFILES, load
from udig_lab.model.precision import AUTO, PRECISIONS, settled
from udig_lab.model.protocol import PROTOCOLS
from udig_lab.model.segments import SEGMENT, TOKEN

INTERRUPTED = 130  # the status that shells give to a process that was interrupted


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. Wrong input is one sentence on stderr and status 2; Ctrl-C, 130.

    >>> main(["run", "--dataset", "sst2", "--methods", "udig", "--protocols", "loose"])  # says why, on stderr
    2
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else the tokenizer warns between our lines
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks is shown, too
    with _remarks():
        try:
            options = _parser().parse_args(arguments)
            return int(options.command(options))
        except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
            return _refused(error)
        except KeyboardInterrupt:
            _say("stopped")
            return INTERRUPTED


def _refused(error: Exception) -> int:
    """Say why there is nothing."""
    if isinstance(error, BrokenPipeError):  # who reads our lines has had enough of them; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor shall Python complain when it ends
        return 141  # as shells have it for a broken pipe
    if isinstance(error, OSError) and error.strerror and error.filename:
        _say(f"{error.filename}: {error.strerror}; name another place, or free this one")
    else:
        _say(str(error))
    return 2


def _say(sentence: str) -> None:
    print(f"udig-lab: {visible(sentence)}", file=sys.stderr)


class _Remarks(logging.Handler):
    """What the package logs is a sentence like any other."""

    def emit(self, record: logging.LogRecord) -> None:
        _say(record.getMessage())


@contextmanager
def _remarks() -> Iterator[None]:
    handler, logger = _Remarks(), logging.getLogger("udig_lab")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Parser(argparse.ArgumentParser):
    """One that answers in a sentence."""

    def error(self, message: str) -> NoReturn:
        _say(f"{message}; see: {self.prog} --help")
        self.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="udig-lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    one = commands.add_parser("explain", help="explain one text with a coloured heat map")
    one.add_argument("text")
    one.add_argument("--method", default="ig", choices=METHODS)
    one.add_argument("--baseline", help="pad, mask, unk, zero, mean or a token (default: mask)")
    one.add_argument("--target", help="class to explain (default: the predicted one)")
    one.add_argument("--model", default="sst2", help="a data set's lab model, or a folder (default: sst2)")
    one.add_argument(
        "--segment",
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="a part of the text, and what to call it; all outside of such parts stays as it is. Again for each part",
    )
    one.add_argument(
        "--by",
        default=TOKEN,
        choices=(TOKEN, SEGMENT),
        help="what methods that take tokens out move as one, and what is shown with its score (default: token)",
    )
    one.add_argument("--json", action="store_true", help="print the attribution as JSON")
    one.set_defaults(command=_explain)

    many = commands.add_parser("run", help="run an experiment and record its rows")
    many.add_argument("--dataset", choices=DATASETS)
    many.add_argument(
        "--model", help="one of your own: a folder, a name on the hub, or a data set's name for its lab model"
    )
    many.add_argument(
        "--data",
        metavar="FILE",
        help="your own texts in place of a data set: .parquet, .csv or .jsonl with text and label, "
        "or question, context and answers; id, label and answers may be missing",
    )
    many.add_argument("--methods", default="ig,udig,sig,random", help=f"of {', '.join(METHODS)}, oracle")
    many.add_argument("--strategies", default="greedy", help=f"for paths through words: {', '.join(STRATEGIES)}")
    many.add_argument("--baselines", default="mask", help="pad, mask, … (default: mask)")
    many.add_argument("--protocols", default="corrected", help=f"of {', '.join(PROTOCOLS)} (default: corrected)")
    many.add_argument("--outputs", help="of SQuAD: joint, start, end (default: joint)")
    many.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the methods")
    many.add_argument("--profile", choices=PROFILES, help="of --dataset (default: mini)")
    many.add_argument("--architecture", default="bert", help="of the paper profile: bert, distilbert, roberta")
    many.add_argument("--precision", default="float32", choices=(*PRECISIONS, AUTO), help="of gradient passes")
    many.add_argument("--limit", type=int, help="at most so many examples, drawn with a fixed seed")
    many.add_argument("--seed", type=int, default=42, help="of the draw of examples (default: 42)")
    many.add_argument(
        "--max-length",
        type=_length,
        default=256,
        metavar="TOKENS",
        help="cut texts there (default: 256), or none",
    )
    many.add_argument("--workers", type=int, help="processes of the local cluster (default: one a core); 0: none")
    many.add_argument("--scheduler", help="address of a Dask cluster to join, such as tcp://host:8786")
    many.add_argument("--output", type=Path, help="folder of the records (default: results, or your data folder)")
    many.add_argument(
        "--force", action="store_true", help="make anew what was made from other data, weights, settings or code"
    )
    many.set_defaults(command=_run)

    both = commands.add_parser("ledger", help="published numbers next to the recorded ones")
    both.add_argument("--dataset", choices=DATASETS, help="one data set (default: all)")
    both.add_argument("--results", type=Path, help="folder of the records (default: results)")
    both.set_defaults(command=_ledger)
    return parser


def _explain(options: argparse.Namespace) -> int:
    target = int(options.target) if re.fullmatch("[0-9]{1,9}", options.target or "") else options.target
    segments = _segments(options.segment)
    if options.by == SEGMENT and segments is None:
        raise ValueError("--by segment needs parts of the text; name each with --segment NAME=TEXT")
    how = {"method": options.method, "baseline": options.baseline, "target": target}
    result = explain(load(options.model), options.text, segments=segments, by=options.by, **how)
    if options.json:
        print(json.dumps(json.loads(result.to_json())))  # in ASCII, which every terminal and file takes
        return 0
    console = Console()
    line, table = to_terminal(result.shown(), "word" if result.by == TOKEN else result.by)
    console.print(line)
    console.print(table)
    if segments is not None and result.by == TOKEN:
        console.print(to_terminal(list(result.segments().items()), SEGMENT)[1])
    likely = "" if result.probability is None else f" with probability {result.probability:.3f}"
    console.print(
        f"{result.method}, baseline {visible(result.baseline)}: {visible(result.target_name)}{likely}; "
        f"{result.balance}; {result.evaluations} gradients",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _run(options: argparse.Namespace) -> int:
    dataset, source = _source(options)
    precision = settled(options.precision, working_device())
    if options.precision == AUTO:
        print(f"precision: {precision}, the faster one here", flush=True)
    cells = grid(
        dataset,
        options.methods.split(","),
        baselines=options.baselines.split(","),
        protocols=options.protocols.split(","),
        strategies=options.strategies.split(","),
        outputs=options.outputs.split(",") if options.outputs else (None,),
        settings=dict(_setting(text) for text in options.set),
        architecture=options.architecture,
        precision=precision,
        limit=options.limit,
        max_length=options.max_length,
        seed=options.seed,
        **source,
    )
    folder = options.output or own_folder()
    if options.output is None:
        print(f"records: {folder}", flush=True)
    how = {"scheduler": options.scheduler, "workers": options.workers, "force": options.force}
    try:
        files = run(cells, folder, progress=sys.stderr.isatty(), **how)
    except KeyboardInterrupt:
        _say("stopped; finished shards are kept, run the same command again to go on")
        return INTERRUPTED
    print("\n".join(visible(str(file)) for file in files))
    return 0


def _source(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The data set's name, and what else says where model and texts come from."""
    if options.data is None:
        if options.dataset is None:
            raise ValueError("there are no texts to record; name --dataset, or a file with --data and its --model")
        return options.dataset, {"profile": options.profile or "mini", "model": options.model}
    for name in ("dataset", "profile"):
        if getattr(options, name) is not None:
            raise ValueError(
                f"--{name} {getattr(options, name)} says where texts come from, and --data {options.data} says so, "
                "too; leave one of them out"
            )
    return dataset_of(options.data), {"model": options.model, "data": options.data}


def _ledger(options: argparse.Namespace) -> int:
    entries = ledger(options.results)
    if options.dataset:
        entries = entries[entries["dataset"] == options.dataset]
    names = ("dataset", "model", "method", "baseline", "metric", "value", "ours", "verdict", "why")
    table = Table(*names, box=None)
    for entry in entries[list(names)].itertuples(index=False):
        table.add_row(*("–" if value is None else Text(visible(str(value))) for value in entry))
    Console().print(table)
    return 0


def _segments(pairs: Sequence[str]) -> dict[str, str] | None:
    """Parts of a text by their names; None where there are none."""
    segments: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{pair!r} names no part of the text; write --segment NAME=TEXT")
        if name in segments:
            raise ValueError(f"--segment {name} is given twice; let each part have a name of its own")
        segments[name] = text
    return segments or None


def _length(text: str) -> int | None:
    """A number of tokens, or none."""
    return None if text == "none" else int(text)


def _setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value a number where it reads as one."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is no setting; write NAME=VALUE, such as n_steps=50")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # the last two by a thousand brackets
        return name, value


if __name__ == "__main__":
    sys.exit(main())
