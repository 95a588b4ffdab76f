"""What explanations cost: every method, model sizes, lengths, workers. One run, one machine, written to scale.json.

    make bench

Short work is timed as it is. From it come two prices, of a gradient and of a forward pass, for every model size and
length; with the number of them that each method needs, which is known exactly, they predict what is too long to time.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification

import udig_lab as ul
from udig_lab.experiments import Cell, run
from udig_lab.methods import METHODS
from udig_lab.model.textmodel import TextModel

HERE = Path(__file__).parent
LENGTHS = (16, 32, 64, 128, 256)  # tokens, special ones included
SIZES = {"lab": (3, 384), "MiniLM-L6": (6, 384), "DistilBERT": (6, 768), "BERT-base": (12, 768)}  # layers, width
BATCH = 1024  # tokens in the batches that prices are measured on
LONGEST = 3.0  # seconds that one timed explanation and its warm-up may take
WORKERS = (1, 2, 4, 8, 16)
_IG2 = {"n_steps": 50, "step_size": 0.02}  # what the lab model needs; the paper's 500 steps cost ten times as much


def main() -> None:
    torch.manual_seed(0)
    models = {name: sized(*size) for name, size in SIZES.items()}
    prices = {name: [price(model, length) for length in LENGTHS] for name, model in models.items()}
    found = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "lengths": LENGTHS,
        "sizes": SIZES,
        "prices": prices,
        "methods": [line for name, model in models.items() for line in methods(name, model, prices[name])],
        "workers": list(workers()),
    }
    (HERE / "scale.json").write_text(json.dumps(found, indent=1) + "\n")


def sized(layers: int, width: int) -> TextModel:
    """An untrained classifier of a size, with the lab tokenizer; the lab model itself where the size is its own."""
    lab = ul.load("sst2")
    if (layers, width) == SIZES["lab"]:
        return lab
    config = BertConfig(
        vocab_size=len(lab.table),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=4 * width,
    )
    return TextModel(BertForSequenceClassification(config), lab.tokenizer, f"{layers}x{width}")


def ids(length: int, seed: int) -> list[int]:
    """A text of ordinary words, as token ids: what is timed depends on its length, not on its sense."""
    generator = torch.Generator().manual_seed(seed)
    return [101, *torch.randint(2000, 20000, (length - 2,), generator=generator).tolist(), 102]


def price(model: TextModel, length: int) -> dict[str, float]:
    """Seconds of one gradient, by IG, and of one forward pass, of the bare model, at a length in full batches."""
    gradients = timed(model, length, "ig", n_steps=max(8, BATCH // length))
    batch = torch.tensor([ids(length, seed) for seed in range(max(8, BATCH // length))])  # (N, L)
    for _ in range(2):  # the first warms up
        begin = perf_counter()
        with torch.inference_mode():
            model.model(input_ids=batch)
        seconds = perf_counter() - begin
    return {
        "tokens": length,
        "gradient": gradients["seconds"] / (gradients["evaluations"] + 1),
        "forward": seconds / len(batch),
    }


def timed(model: TextModel, length: int, method: str, **settings: Any) -> dict[str, float]:
    """One explanation of a text nobody has seen, after one of another to warm up."""
    for seed in (0, 1):
        begin = perf_counter()
        a = ul.explain(model, input_ids=ids(length, 100 * length + seed), method=method, **settings)
        seconds = perf_counter() - begin
    return {"seconds": seconds, "evaluations": a.evaluations, "forwards": a.forwards}


def methods(name: str, model: TextModel, prices: list[dict[str, float]]) -> Iterator[dict[str, Any]]:
    """Every method at every length: predicted always, timed where that is short."""
    [likely] = ul.explain(model, input_ids=[ids(8, 0)], method="random")
    assert isinstance(likely.target, int)
    unlikely = 1 - likely.target  # IG2 needs texts of another class
    for method in METHODS:
        settings = _IG2 | {"target": unlikely} if method == "ig2" else {}
        counts = timed(model, 8, method, **settings)
        for at in prices:
            length = int(at["tokens"])
            needs = counted(method, length, counts)
            predicted = needs["evaluations"] * at["gradient"] + (needs["forwards"] + 2) * at["forward"]
            line = {"size": name, "method": method, "tokens": length, **needs, "predicted": predicted}
            if 2 * predicted < LONGEST:
                line["seconds"] = timed(model, length, method, **settings)["seconds"]
            yield line
        print(f"{name:12} {method:20} {length} tokens: {predicted:.2f} s", flush=True)


def counted(method: str, length: int, at_eight: dict[str, float]) -> dict[str, float]:
    """Gradients and forward passes at a length, from those at 8 tokens (6 that move)."""
    per_token = method in ("sequential_dig", "sequential_udig")
    evaluations = at_eight["evaluations"] * ((length - 2) / 6 if per_token else 1)
    forwards = at_eight["forwards"]
    if method == "sig":
        forwards = length - 1
    if method == "shapley_sampling":
        forwards = (forwards - 1) / 7 * (length - 1) + 1
    return {"evaluations": evaluations, "forwards": forwards}


def workers() -> Iterator[dict[str, Any]]:
    """The same cell by 1 worker, and by more up to the number of cores."""
    cell = Cell("sst2", "ig", profile="mini", settings={"n_steps": 50})
    for number in WORKERS:
        if number > (os.cpu_count() or 1):
            break
        with tempfile.TemporaryDirectory() as folder:
            begin = perf_counter()
            run(cell, Path(folder), workers=number, progress=False)
            seconds = perf_counter() - begin
            card = json.loads(next(Path(folder).rglob("*.json")).read_text())
        yield {"workers": number, "seconds": seconds, "inside": card["seconds"], "n": card["n"]}


if __name__ == "__main__":
    main()
