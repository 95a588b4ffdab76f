"""udig-lab beside its peers and beside the bare model: one run, one machine, written to peers.json.

    make bench

Peers that are not installed are left out and named. With UDIG_LAB_DATA the texts are SST-2 test sentences, without it
the written corpus. Nothing here is a test: times depend on the machine, so only ratios of one run are kept.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from contestants import Texts, bare, captum_ig, interpreto_ig, tint_dig, tint_neighbours, tint_sig
from timing import ratio, side_by_side
from transformers import BertConfig, BertForSequenceClassification

import udig_lab as ul
from udig_lab.methods.anchors import STRATEGIES, AnchorSearch
from udig_lab.methods.walk import DigSearch
from udig_lab.model.textmodel import TextModel

HERE = Path(__file__).parent
BUDGETS = (1024, 2048)
PRECISIONS = ("float32", "bfloat16")
# Gradient methods and the settings with which each walks its path in the benchmark.
METHODS: dict[str, dict[str, Any]] = {
    "ig": {"n_steps": 50},
    "dig": {},
    "udig": {},
    "sig": {"rule": "gauss_legendre", "n_steps": 50},
    "sequential_dig": {},
    "sequential_udig": {},
    "gradient_shap": {"n_samples": 50},
    "expected_gradients": {"n_samples": 50},
    "idg": {"n_steps": 50},
}


ONE_AT_A_TIME = ("sig", "sequential_dig", "sequential_udig")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE / "peers.json")
    parser.add_argument("--resume", action="store_true", help="keep the sections that a stopped run has finished")
    options = parser.parse_args()
    profile = "lab" if os.environ.get("UDIG_LAB_DATA") else "mini"
    lab = ul.load("sst2")
    sentences = ul.data.examples("sst2", profile=profile, limit=200, seed=42)["text"].tolist()
    found: dict[str, Any] = {"machine": machine(), "texts": profile, "missing": missing()}
    if options.resume:
        found = json.loads(options.output.read_text())
    else:
        found["matrix product"] = matrix_product(options.rounds)
        settings = [(m, s) for m in ("dig", "udig") for s in STRATEGIES]
        found["path search"] = [path_search(lab, sentences, *setting) for setting in settings]
    for name, model, n in [("lab-sentiment", lab, 12), ("bert-base, random", bert_base(lab), 2)]:
        if name in found:
            continue
        texts = Texts(model, sentences[:n])
        rounds = options.rounds if model is lab else 2
        print(f"{name}: {n} texts, {sum(map(len, texts.encodings))} tokens", flush=True)
        few = Texts(model, sentences[: max(1, n // 3)])
        found[name] = {
            "tokens": [len(e) for e in texts.encodings],
            "ig": against_captum(texts, rounds),
            "sig": against_tint_sig(few, 2 if model is lab else 1),
            "bare": against_bare(few, min(rounds, 3), METHODS if model is lab else ["ig"]),
        }
        if model is lab:
            found[name]["dig"] = against_tint_dig(texts)
        options.output.write_text(json.dumps(found, indent=2) + "\n")
    found["adaptive"] = adaptive(lab, sentences)
    found["bfloat16"] = rounding(lab, sentences[:60])
    options.output.write_text(json.dumps(found, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What the ratios were measured on."""
    names = ("udig-lab", "torch", "transformers", "captum", "time_interpret", "interpreto", "scikit-learn")
    installed = {n: version(n) for n in names if importlib.util.find_spec(MODULES.get(n, n.replace("-", "_")))}
    return {"processor": platform.machine(), "threads": torch.get_num_threads(), "versions": installed}


MODULES = {"time_interpret": "tint", "scikit-learn": "sklearn"}


def missing() -> list[str]:
    """Peers that cannot be timed here."""
    return [name for name in ("tint", "interpreto") if importlib.util.find_spec(name) is None]


def bert_base(lab: TextModel) -> TextModel:
    """BERT base with random weights, the lab model's tokenizer, and its embedding table repeated to the new width."""
    torch.manual_seed(0)
    model: Any = BertForSequenceClassification(BertConfig(vocab_size=len(lab.table)))
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(lab.table.repeat(1, 2))
    return TextModel(model, lab.tokenizer, "bert-base, random")


def matrix_product(rounds: int) -> dict[str, Any]:
    """How much faster this processor multiplies matrices in bfloat16: the limit of what autocast can gain."""
    a, b = torch.randn(2048, 384), torch.randn(384, 1536)
    half = a.bfloat16(), b.bfloat16()

    def times(x: torch.Tensor, y: torch.Tensor) -> None:
        for _ in range(50):
            x @ y

    timed = side_by_side({"float32": lambda: times(a, b), "bfloat16": lambda: times(*half)}, rounds)
    return timed | {"ratio": ratio(timed, "float32", "bfloat16")}


def path_search(model: TextModel, sentences: list[str], method: str, strategy: str) -> dict[str, Any]:
    """Seconds of explaining sentences of which no word is known, and of the search for their words in it."""
    model.vocabulary.searches.clear()
    begin = perf_counter()
    ul.explain(model, sentences, method=method, strategy=strategy, progress=False)
    total = perf_counter() - begin
    (search,) = model.vocabulary.searches.values()
    assert isinstance(search, AnchorSearch)
    encodings, _ = model.encode(sentences)
    words = torch.tensor(sorted({row for e in encodings for row in e.input_ids[~e.special].tolist()}))
    again = replace(search)  # the same settings, nothing remembered
    begin = perf_counter()
    again.anchors(words)
    seconds = perf_counter() - begin
    return {
        "method": method,
        "strategy": strategy,
        "sentences": len(sentences),
        "words": len(words),
        "ranked anchors": len(again) if isinstance(again, DigSearch) else None,
        "seconds": total,
        "seconds of search": seconds,
        "share": seconds / total,
    }


def against_captum(texts: Texts, rounds: int) -> dict[str, Any]:
    """IG at equal nodes and Δ%."""
    model, t = texts.model, texts.texts
    contestants = {
        "captum, 50 nodes": captum_ig(texts, 50),
        "udig-lab, 50 nodes": lambda: ul.explain(model, t, n_steps=50),
        "udig-lab, 50 nodes, one by one": lambda: [ul.explain(model, x, n_steps=50) for x in t],
        "udig-lab, 50 nodes, bfloat16": lambda: ul.explain(model, t, n_steps=50, precision="bfloat16"),
        "udig-lab, adaptive": lambda: ul.explain(model, t, rule="adaptive"),
        "udig-lab, adaptive, bfloat16": lambda: ul.explain(model, t, rule="adaptive", precision="bfloat16"),
    }
    if importlib.util.find_spec("interpreto"):
        contestants["interpreto, 50 points"] = interpreto_ig(texts, 50)
    timed = side_by_side(contestants, rounds)
    return timed | {"ratio": {name: ratio(timed, "captum, 50 nodes", name) for name in contestants}}


def against_tint_sig(texts: Texts, rounds: int) -> dict[str, Any]:
    """SIG with 50 nodes, and in closed form."""
    model, t = texts.model, texts.texts
    keywords = {"method": "sig", "rule": "gauss_legendre", "n_steps": 50}
    contestants: dict[str, Any] = {
        "udig-lab, closed form": lambda: ul.explain(model, t, method="sig"),
        "udig-lab, 50 nodes": lambda: ul.explain(model, t, **keywords),
        "udig-lab, 50 nodes, bfloat16": lambda: ul.explain(model, t, **keywords, precision="bfloat16"),
    }
    if importlib.util.find_spec("tint"):
        contestants = {"time-interpret, 50 nodes": tint_sig(texts, 50)} | contestants
    timed = side_by_side(contestants, rounds)
    slowest = next(iter(contestants))
    return timed | {"ratio": {name: ratio(timed, slowest, name) for name in contestants}}


def against_tint_dig(texts: Texts) -> dict[str, Any]:
    """DIG, greedy, 30 steps, 500 neighbours, path search included."""
    model, t = texts.model, texts.texts

    def afresh() -> None:
        model.vocabulary.searches.clear()
        ul.explain(model, t, method="dig")

    contestants: dict[str, Any] = {
        "udig-lab, no word known": afresh,
        "udig-lab, words known": lambda: ul.explain(model, t, method="dig"),
    }
    graph_seconds = None
    if importlib.util.find_spec("tint"):
        begin = perf_counter()
        graph = tint_neighbours(texts, 500)()
        graph_seconds = perf_counter() - begin
        contestants = {"time-interpret": tint_dig(texts, graph, 30, "greedy")} | contestants
    timed = side_by_side(contestants, 1)
    slowest = next(iter(contestants))
    more = {"ratio": {name: ratio(timed, slowest, name) for name in contestants}}
    return timed | more | {"time-interpret's neighbour graph, once": graph_seconds}


def against_bare(texts: Texts, rounds: int, methods: Iterable[str]) -> dict[str, Any]:
    """Every gradient method beside the bare model over as many points, at the bare model's best batch size."""
    found: dict[str, Any] = {}
    first = Texts(texts.model, texts.texts[:1])
    for method in methods:
        # Paths on which one token moves at a time have thousands of points: one text will do.
        several = texts if method not in ONE_AT_A_TIME else first
        explain: Any = partial(ul.explain, texts.model, several.texts, method=method, **METHODS[method])
        points = [a.evaluations for a in explain()]
        contestants: dict[str, Any] = {}
        for p in PRECISIONS:
            contestants |= {f"bare, {p}, {b}": bare(several, points, p, b) for b in BUDGETS}
            contestants[p] = partial(explain, precision=p)
        timed = side_by_side(contestants, rounds)
        best = {p: min(timed[f"bare, {p}, {b}"]["median"] for b in BUDGETS) for p in PRECISIONS}
        found[method] = timed | {"ratio": {p: timed[p]["median"] / best[p] for p in PRECISIONS}}
        print(method, {p: round(r, 3) for p, r in found[method]["ratio"].items()}, flush=True)
    return found


def adaptive(model: TextModel, sentences: list[str]) -> dict[str, Any]:
    """Gradients the adaptive rule takes to Δ% <= 1, by baseline."""
    found = {}
    for baseline in ("mask", "pad"):
        a = ul.explain(model, sentences, rule="adaptive", baseline=baseline, progress=False)
        found[baseline] = {
            "sentences": len(a),
            "gradients, mean": float(np.mean([x.evaluations for x in a])),
            "gradients, 95 % quantile": float(np.quantile([x.evaluations for x in a], 0.95)),
            "forward passes, mean": float(np.mean([x.forwards for x in a])),
            "share with Δ% <= 1": float(np.mean([x.delta_percent <= 1 for x in a])),
        }
    return found


def rounding(model: TextModel, sentences: list[str]) -> dict[str, Any]:
    """What bfloat16 does to the scores: rank correlation with float32, and the largest change."""
    exact, rough = (ul.explain(model, sentences, precision=p, progress=False) for p in PRECISIONS)
    ranks, errors = [], []
    for a, b in zip(exact, rough, strict=True):
        s, t = (np.array(x.scores)[~np.array(x.special)] for x in (a, b))
        errors.append(np.abs(s - t).max() / np.abs(s).max())
        if len(s) > 2:
            ranks.append(np.corrcoef(s.argsort().argsort(), t.argsort().argsort())[0, 1])
    return {
        "sentences": len(sentences),
        "rank correlation, mean": float(np.mean(ranks)),
        "rank correlation, smallest": float(np.min(ranks)),
        "largest change of a score, share of the largest score, median": float(np.median(errors)),
    }


if __name__ == "__main__":
    main()
