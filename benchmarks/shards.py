"""Where the time of a recorded shard goes, and what the bare model needs for the same passes; written to shards.json.

    UDIG_LAB_DATA=path/to/data python benchmarks/shards.py

One shard of every data set and method is made as ``udig-lab run`` makes it. Every pass through the model is noted: its
rows, its tokens, and whether a gradient was taken. Then the bare model makes these passes again, and nothing else.
Seconds are those of the processor, on one thread, so that other work on the machine counts little.
"""

from __future__ import annotations

import json
import platform
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from udig_lab.experiments import making
from udig_lab.experiments.cell import Cell
from udig_lab.experiments.origin import model_of, ordered_examples
from udig_lab.experiments.store import write_rows
from udig_lab.experiments.work import shard_size
from udig_lab.faithfulness.wae import word_approximation_error
from udig_lab.methods.anchors import AnchorSearch
from udig_lab.model.textmodel import TextModel

HERE = Path(__file__).parent
METHODS = ("ig", "dig", "udig", "sig", "both_ends")
DATASETS = ("sst2", "rotten_tomatoes", "imdb", "squad")


class Pass(NamedTuple):
    """One call of the model: its token ids (n, L), its other inputs, whether a gradient was taken, in bfloat16."""

    ids: Tensor
    inputs: dict[str, Any]
    gradient: bool
    half: bool


class Clock:
    """Seconds by the kind of work they went into, each second once: inner work is taken off the outer."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = process_time()

    def _switch(self) -> None:
        now = process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Work of this kind, until something inside has a name of its own."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def around(self, work: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The same work, its seconds noted under a name; passes are told apart by what they are made for."""

        def timed(*arguments: Any, **keywords: Any) -> Any:
            judging = name == "passes" and "judging" in self._open
            with self.phase("passes of judging" if judging else name):
                return work(*arguments, **keywords)

        return timed


def shard(cell: Cell, folder: Path) -> tuple[dict[str, float], list[Pass]]:
    """The first shard of a cell, made from nothing: seconds by kind, and the passes of its model."""
    model, examples = model_of(cell), ordered_examples(cell)[: shard_size(cell)]
    clock, passes = Clock(), []

    def note(module: Any, arguments: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        kept = {k: v for k, v in inputs.items() if k != "input_ids"}
        ids = inputs["input_ids"] if "input_ids" in inputs else arguments[0]
        half = torch.is_autocast_enabled("cpu")
        passes.append(Pass(ids, kept, torch.is_grad_enabled(), half))

    wrapped = [
        patch.object(model.model, "forward", clock.around(model.model.forward, "passes")),
        patch.object(torch.autograd, "grad", clock.around(torch.autograd.grad, "passes")),
        patch.object(AnchorSearch, "anchors", clock.around(AnchorSearch.anchors, "search")),
        patch.object(AnchorSearch, "vertices", clock.around(AnchorSearch.vertices, "search")),
        patch.object(making, "word_approximation_error", clock.around(word_approximation_error, "errors of words")),
    ]
    handle = model.model.register_forward_pre_hook(note, with_kwargs=True)
    for one in wrapped:
        one.start()
    try:
        with clock.phase("explaining, other"):
            rows = making.explained_rows(cell, model, examples)
        with clock.phase("judging"):
            judged = making.judged_rows(cell, model, examples, rows, wae=True, known={})
        with clock.phase("Parquet"):
            write_rows(folder / "explained.parquet", rows, {})
            write_rows(folder / "judged.parquet", judged, {})
    finally:
        for one in wrapped:
            one.stop()
        handle.remove()
    return dict(clock.seconds), passes


def bare(model: TextModel, passes: list[Pass]) -> float:
    """Seconds of the model alone for the same passes."""
    inner: Any = model.model
    begin = process_time()
    for ids, inputs, gradient, half in passes:
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext(), torch.set_grad_enabled(gradient):
            if not gradient:
                inner(input_ids=ids, **inputs)
                continue
            points = inner.get_input_embeddings()(ids).detach().requires_grad_(True)  # (n, L, D)
            with sdpa_kernel(SDPBackend.MATH) if half else nullcontext():  # the faster one there
                output = inner(inputs_embeds=points, **inputs)
                torch.autograd.grad(output[0].max(-1).values.sum(), points)
    return process_time() - begin


def line(cell: Cell) -> dict[str, Any]:
    """What is known of one cell's shard."""
    model = model_of(cell)
    with tempfile.TemporaryDirectory() as folder:
        seconds, passes = shard(cell, Path(folder))  # once: words that were searched for cost nothing again
    alone = bare(model, passes)
    rows = {kind: sum(len(p.ids) for p in passes if p.gradient == kind) for kind in (True, False)}
    total = sum(seconds.values())
    print(
        f"{cell.dataset:16} {cell.method:10} {cell.precision:9} {total:7.1f} s, {total / alone:.2f} times bare passes"
    )
    return {
        "dataset": cell.dataset,
        "method": cell.method,
        "precision": cell.precision,
        "examples": min(shard_size(cell), len(ordered_examples(cell))),
        "gradients": rows[True],
        "forwards": rows[False],
        "bare": alone,
        "seconds": seconds,
    }


def main() -> None:
    torch.set_num_threads(1)
    about = {"machine": f"{platform.machine()}, 1 thread", "torch": torch.__version__}
    lines = []
    for dataset in DATASETS:
        bare(
            model_of(Cell(dataset, "random")), shard(Cell(dataset, "random"), Path(tempfile.mkdtemp()))[1]
        )  # warms up
        for method in METHODS:
            gradients = method in ("ig", "dig", "udig")
            for precision in ("float32", "bfloat16") if gradients else ("float32",):
                lines.append(
                    line(Cell(dataset, method, baseline="mask", profile="lab", precision=precision, output=None))
                )
                (HERE / "shards.json").write_text(json.dumps(about | {"shards": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
