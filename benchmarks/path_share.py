"""How much of UDIG's time goes into its path search, beside the bare model on the same points.

    python benchmarks/path_share.py [--sentences 100]

For the same texts, in one run on one machine: the anchor search (once per unique word), the bending of anchors into
polylines, the whole of ``explain``, and the model alone (forward and backward over as many points, nothing else).
"""

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import torch

import udig_lab as ul
from udig_lab.baseline import as_baseline
from udig_lab.engine import TOKEN_BUDGET
from udig_lab.inputs import encode
from udig_lab.methods import METHODS, Explicands, Paths
from udig_lab.paths import STRATEGIES
from udig_lab.target import TextModel, left_as_found, pad_embeddings

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description="Share of UDIG's time that is spent on paths.")
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--profile", default="mini", help="mini: the written corpus; lab: SST-2 test sentences")
    options = parser.parse_args()
    data = ul.data.examples("sst2", profile=options.profile, limit=options.sentences)
    texts = data.text.tolist()
    print(f"{len(texts)} texts ({options.profile}), {torch.get_num_threads()} threads")
    for strategy in STRATEGIES:
        report(texts, strategy)


def report(texts: list[str], strategy: str) -> None:
    """Time one strategy and print the shares."""
    keywords = {"method": "udig", "n_steps": 30, "n_neighbors": 50, "factor": 1, "strategy": strategy}
    model = ul.load("sst2")
    model.vocabulary.squared_norms  # noqa: B018  (part of loading, not of the search)
    ul.explain(model, texts[:2], **keywords)  # warm up
    model.vocabulary.searches.clear()
    total, found = timed(lambda: ul.explain(model, texts, progress=False, **keywords))
    model.vocabulary.searches.clear()
    search, paths = timed(lambda: build_paths(model, texts, strategy))
    bend, _ = timed(lambda: [paths.integral(i) for i in range(len(texts))])
    rows = [len(a) for a in found for _ in range(a.evaluations)]
    bare, _ = timed(lambda: bare_passes(model, rows))
    words = len({i for a in found for i, fixed in zip(a.input_ids, a.special, strict=True) if not fixed})
    print(f"\n{strategy}: {words} unique words, {len(rows)} points, {sum(rows)} tokens")
    print(f"  explain                 {total:7.2f} s   {total / bare:5.2f} x the bare model")
    print(f"  of it, anchor search    {search:7.2f} s   {100 * search / total:5.1f} %")
    print(f"  of it, bending          {bend:7.2f} s   {100 * bend / total:5.1f} %")
    print(f"  paths together          {search + bend:7.2f} s   {100 * (search + bend) / total:5.1f} %")
    print(f"  bare forward, backward  {bare:7.2f} s   {1e6 * bare / sum(rows):5.0f} us a token")


def build_paths(model: TextModel, texts: list[str], strategy: str) -> Paths:
    """The paths of all texts, anchors searched for."""
    encodings = encode(texts, model.tokenizer, limit=None, truncate=False)
    explicands = Explicands(model, encodings, as_baseline("mask", model))
    return METHODS["udig"].build(explicands, strategy=strategy)


def bare_passes(model: TextModel, lengths: list[int]) -> None:
    """Forward and backward of the model alone over rows of these lengths, at the engine's batch size."""
    ordered = sorted(lengths, reverse=True)
    with left_as_found(model.model):
        while ordered:
            size = max(1, TOKEN_BUDGET // ordered[0])
            batch, ordered = ordered[:size], ordered[size:]
            points, mask = pad_embeddings([torch.zeros(n, model.table.shape[1]) for n in batch])
            points.requires_grad_(True)
            logits = model.model(inputs_embeds=points, attention_mask=mask).logits
            torch.autograd.grad(logits[:, 0].sum(), points)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds and result."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


if __name__ == "__main__":
    main()
