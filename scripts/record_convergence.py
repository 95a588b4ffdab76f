"""Record what becomes of Integrated Gradients on models of real size: ``results/convergence/``.

python scripts/record_convergence.py agreement smollm2     which noun the scores name, for every method
python scripts/record_convergence.py rules smollm2         how far every rule is from convergence
python scripts/record_convergence.py paths smollm2         F along the line, and with fewer layers
python scripts/record_convergence.py captum smollm2        the same prompts by captum and by us, with seconds
python scripts/record_convergence.py rules FOLDER          the same of a classifier on SST-2 (``UDIG_LAB_DATA``)

Rows are written after every explanation. A run that was stopped goes on where it was, if model, settings and code
are the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from agreement import PROMPTS
from captum.attr import (
    FeatureAblation,
    LayerIntegratedGradients,
    LLMAttribution,
    LLMGradientAttribution,
    TextTokenInput,
)

from udig_lab.attribution import Attribution
from udig_lab.data import examples
from udig_lab.experiments.claims import registered_claims
from udig_lab.experiments.code import source_sha256
from udig_lab.experiments.records import results_folder, whole_record, write_record
from udig_lab.experiments.shelf import configuration_sha256
from udig_lab.experiments.store import locked
from udig_lab.explainer import explain
from udig_lab.model.gguf import SMOLLM2
from udig_lab.model.load import load
from udig_lab.model.textmodel import TextModel, left_as_found
from udig_lab.problem import posed

Row = dict[str, Any]
Task = tuple[int, Any]
KEYS = {
    "agreement": ("prompt", "method"),
    "rules": ("text", "rule"),
    "paths": ("text", "layers"),
    "captum": ("prompt", "method"),
}
MARKS = 513  # points at which F is read along a line
METHODS: dict[str, Row] = {
    "ig": {"rule": "controlled", "n_steps": 100},
    "udig": {},
    "dig": {},
    "sig": {},
    "both_ends": {},
}
QUICK = ("sig", "both_ends")  # those that only read forward
RULES: dict[str, Row] = {
    "reference": {"rule": "controlled", "n_steps": 500, "tolerance": 0.3},
    "left, 20": {"rule": "left", "n_steps": 20},
    "left, 50": {"rule": "left", "n_steps": 50},
    "Gauss-Legendre, 50": {"n_steps": 50},
    "Gauss-Legendre, 100": {"n_steps": 100},
    "Gauss-Legendre, 200": {"n_steps": 200},
    "adaptive, 100": {"rule": "adaptive", "n_steps": 100},
    "controlled, 50": {"rule": "controlled", "n_steps": 50},
    "controlled, 100": {"rule": "controlled", "n_steps": 100},
    "IDGI, 50": {"method": "idgi", "n_steps": 50},
    "Gauss-Legendre, 50, bfloat16": {"n_steps": 50, "precision": "bfloat16"},
    "controlled, 100, bfloat16": {"rule": "controlled", "n_steps": 100, "precision": "bfloat16"},
}
OURS: dict[str, Row] = {"sig": {"method": "sig"}, "ig": {"method": "ig", "n_steps": 50}}
_WORDS = 12  # at most, of a sentence that is explained by every rule
_LAYERS = (1, 2, 4, 8, 15, 22, 30)
_state: Row = {}


def made_of(a: Attribution) -> Row:
    """What is kept of an explanation."""
    return {
        "scores": [score for _, score in a.words()],
        "tokens": list(a.scores),
        "errors": None if a.errors is None else list(a.errors),
        "f_input": a.f_input,
        "f_baseline": a.f_baseline,
        "evaluations": a.evaluations,
        "forwards": a.forwards,
        "seconds": round(a.seconds, 2),
    }


def on_prompt(task: Task, model: TextModel) -> list[Row]:
    """A method on one prompt, for the verb that agrees and for the one that does not."""
    number, name = task
    prompt, rows = PROMPTS[number], []
    about = {"prompt": number, "pair": prompt.pair, "plural": prompt.plural, "other_plural": prompt.other_plural}
    for agrees, verb in zip((True, False), prompt.verbs, strict=True):
        a = explain(model, prompt.text, method=name, target=verb, progress=False, **METHODS[name])
        words = [word for word, _ in a.words()]
        rows.append(about | {"method": name, "verb": verb.strip(), "agrees": agrees, "words": words} | made_of(a))
    return rows


def texts_of(model: TextModel, n: int) -> list[tuple[str, Row]]:
    """Texts, and how they are explained: prompts, or short sentences of SST-2; a larger n only adds some."""
    if model.task == "causal":
        return [(p.text, {"target": p.verbs[0]}) for p in PROMPTS[:n]]
    texts = [text for text in examples("sst2", profile="lab")["text"] if len(text.split()) <= _WORDS]
    return [(texts[i], {"baseline": "mask"}) for i in np.random.default_rng(0).permutation(len(texts))[:n]]


def rules(task: Task, model: TextModel, n: int) -> list[Row]:
    """A rule on one text."""
    number, name = task
    text, options = texts_of(model, n)[number]
    a = explain(model, text, progress=False, **options, **RULES[name])
    return [{"text": number, "rule": name} | made_of(a)]


def along(model: TextModel, text: str, options: Row) -> list[float]:
    """F at ``MARKS`` evenly spaced points of the line."""
    encodings, _ = model.encode([text])
    t = torch.linspace(0, 1, MARKS)
    with posed(model, encodings, check=False, **options) as problem:
        x, start = problem.ends(0)
        return [round(f, 5) for f in problem.values(lambda r: start + t[r] * (x - start), [0] * MARKS).tolist()]


def paths(task: Task, model: TextModel, n: int) -> list[Row]:
    """F along the line of one text; with a number of layers, by the first of the model's layers alone."""
    number, depth = task
    text, options = texts_of(model, n)[number]
    inner: Any = getattr(model.model, "model", None)
    layers = getattr(inner, "layers", None)
    if layers is None:
        if depth:
            return []
        layers = ()
    with left_as_found(model.model):
        if depth:
            inner.layers = layers[:depth]
        try:
            return [{"text": number, "layers": depth, "f": along(model, text, options)}]
        finally:
            if depth:
                inner.layers = layers


def on_captum(task: Task, model: TextModel) -> list[Row]:
    """A prompt by captum's FeatureAblation or integrated gradients, or by our method that computes the same."""
    number, name = task
    prompt = PROMPTS[number]
    begun = time.perf_counter()
    if name in OURS:
        a = explain(model, prompt.text, target=prompt.verbs[0], progress=False, **OURS[name])
        tokens, change = list(a.scores), a.f_input - a.f_baseline
    else:
        network, tokenizer = model.model, cast(Any, model.tokenizer)
        asked = TextTokenInput(prompt.text, tokenizer, baselines=tokenizer.pad_token_id)
        if name == "FeatureAblation":
            by, settings = LLMAttribution(FeatureAblation(network), tokenizer), {}
        else:
            gradients = LayerIntegratedGradients(network, cast(Any, network).get_input_embeddings())
            by, settings = (
                LLMGradientAttribution(gradients, tokenizer),
                {"n_steps": 50, "internal_batch_size": 16},
            )
        tokens, change = by.attribute(asked, target=prompt.verbs[0], **settings).seq_attr.tolist(), math.nan
    return [
        {
            "prompt": number,
            "method": name,
            "tokens": tokens,
            "change": change,
            "seconds": round(time.perf_counter() - begun, 3),
        }
    ]


def tasks_of(part: str, n: int) -> list[Task]:
    """What is to be done, in order: the quick methods first, and then one text after the other."""
    if part == "agreement":
        quick = list(product(range(len(PROMPTS)), QUICK))
        return quick + list(product(range(len(PROMPTS)), [name for name in METHODS if name not in QUICK]))
    if part == "rules":
        return list(product(range(n), RULES))
    if part == "captum":
        return list(product(range(n), ("sig", "FeatureAblation", "ig", "LayerIntegratedGradients")))
    return [*product(range(n), (0,)), *product(range(min(n, 4)), _LAYERS)]


def _open(name: str, threads: int) -> None:
    torch.set_num_threads(threads)
    _state["model"] = load(name)


def _work(work: Callable[..., list[Row]], task: Task) -> list[Row]:
    return work(task, _state["model"])


def main() -> None:
    """Record one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=KEYS)
    parser.add_argument("model", help="'smollm2', or a folder with a classifier of sentences")
    parser.add_argument("--n", type=int, default=16, help="texts, of rules and paths")
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    works: dict[str, Callable[..., list[Row]]] = {
        "agreement": on_prompt,
        "rules": partial(rules, n=chosen.n),
        "paths": partial(paths, n=chosen.n),
        "captum": on_captum,
    }
    name = SMOLLM2 if chosen.model == SMOLLM2 else Path(chosen.model).name
    file = results_folder() / "convergence" / name / f"{chosen.part}.parquet"
    model = load(chosen.model)
    card = {
        "format": "convergence 1",
        "cell": {"model": name, "part": chosen.part},
        "settings": {"agreement": METHODS, "rules": RULES, "paths": {"marks": MARKS}, "captum": OURS}[chosen.part],
        "model_sha256": weights_sha256(model),
        "configuration_sha256": configuration_sha256(model),
        "source_sha256": source_sha256(),
        "claims": registered_claims(),
        "versions": {p: version(p) for p in ("udig-lab", "torch", "transformers", "numpy", "captum")},
    }
    rows, card["claims"] = recorded_before(file, card)
    key = itemgetter(*KEYS[chosen.part])
    done = {key(row) for row in rows}
    due = [task for task in tasks_of(chosen.part, chosen.n) if task not in done]
    work = partial(_work, works[chosen.part])
    with ExitStack() as stack:
        if chosen.workers > 1:
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(context.Pool(chosen.workers, _open, (chosen.model, 1)))
            made: Iterable[list[Row]] = pool.imap_unordered(work, due)
        else:
            torch.set_num_threads(1)
            _state["model"] = model
            made = map(work, due)
        for more in made:
            rows = sorted(rows + more, key=itemgetter(KEYS[chosen.part][0]))
            with locked(file):
                write_record(file, pd.DataFrame(rows), card | {"n": len(rows)})
            print(f"{chosen.part} {name}: {len(rows)} rows", flush=True)


def recorded_before(file: Path, card: Row) -> tuple[list[Row], Any]:
    """Rows of an earlier run with the same card, and the claims that were registered before the first of them."""
    found = whole_record(file)
    if found is None or any(
        found[1].get(key) != json.loads(json.dumps(card[key])) for key in card.keys() - {"claims"}
    ):
        return [], card["claims"]
    rows: Any = found[0].to_dict("records")
    return list(rows), found[1]["claims"]


def weights_sha256(model: TextModel) -> str:
    """SHA-256 of a model's weights, by name."""
    digest = hashlib.sha256()
    for key, tensor in sorted(model.model.state_dict().items()):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().float().numpy()).tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
