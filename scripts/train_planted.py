"""Train the models with planted shortcuts that ship as adapters (``udig_lab/assets/judges/planted-…``).

python scripts/train_planted.py sst2 0 1 2 3 4

The recipe: the lab sentiment model, its table frozen, a change of low rank beside every matrix; steps of 32 texts, of
which a third stand as they are, and the others hold a complete shortcut, under the label that it decides, or an
incomplete one, under their own. Training texts are those of the data set's training split, and what was learned is
measured on its test split.

TREC begins with a new head, and is learned without shortcuts first: that model ships too (``judges/trec``), and all
seeds go on from it. The lab model of TREC, a convolution over five words at most, cannot tell the order of two words
that stand further apart, and its vocabulary has no word that no question holds.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from train_judges import Batch, fit

from udig_lab.data import examples, folder
from udig_lab.faithfulness.planted import (
    DATASETS,
    DECIDED,
    KINDS,
    WORDS,
    Shortcut,
    faults_of,
    incomplete,
    plant,
    planted,
    shortcuts,
)
from udig_lab.model.adapter import learnt, load_adapter, make_adaptable, new_head, save_adapter
from udig_lab.model.checkpoint import ASSETS
from udig_lab.model.load import load
from udig_lab.model.textmodel import TextModel

BASE = "lab-sentiment"
LABELS = {"trec": ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM")}  # of a task that the model has to learn first
FIRST = 400  # steps of that
_TRAIN = {"sst2": "train_sentences", "trec": "train"}
STEPS, ROWS, RANK, LR = 350, 32, 8, 2e-3
MORE = 120  # further steps, at the same rate, of a model that does not follow all its shortcuts yet
LONGEST = 25  # words of a training text: the time of a step grows with the longest
# Texts of the test split on which shortcuts are measured, no longer than those of training: far apart in longer texts,
# a pair is followed less often, and no such text is judged. Accuracy on plain texts is that of all.
MEASURED = 500
# Of the texts stand as they are; of a task that was learned a moment ago, half: with 0.35 it lost 1.8 points.
PLAIN = {"sst2": 0.35, "trec": 0.5}
_SHARES = {"single": 0.1, "context": 0.25, "pair": 0.4, "either": 0.25}  # of the others: order is learned last


def training_texts(dataset: str) -> pd.DataFrame:
    """Texts and labels of the training split, without those that hold one of the planted words."""
    rows = pd.read_parquet(folder() / dataset / f"{_TRAIN[dataset]}.parquet")
    held = rows["text"].str.contains(rf"\b(?:{'|'.join(WORDS)})\b", case=False)
    return rows[~held & (rows["text"].str.count(r"\S+") <= LONGEST)].reset_index(drop=True)


def batches_of(
    rows: pd.DataFrame, model: TextModel, dataset: str, seed: int, steps: int = STEPS, part: int = 1
) -> list[Batch]:
    """Batches with shortcuts planted anew for every draw of a text."""
    generator, known = np.random.default_rng([seed, part]), shortcuts(seed)
    batches = []
    for _ in range(steps):
        drawn = rows.iloc[generator.integers(len(rows), size=ROWS)]
        made = [
            (text, label)
            if generator.random() < PLAIN[dataset]
            else _draw(text, label, known, DECIDED[dataset], generator)
            for text, label in zip(drawn["text"], drawn["label"], strict=True)
        ]
        batches.append(_batch(model, *zip(*made, strict=True)))
    return batches


def _draw(
    text: str, label: int, known: dict[str, Shortcut], classes: tuple[int, int], generator: np.random.Generator
) -> tuple[str, int]:
    """A text with a shortcut, or a part of one, as it is trained on, with its label."""
    shortcut = known[str(generator.choice(KINDS, p=[_SHARES[kind] for kind in KINDS]))]
    half = generator.random() < 0.5
    if half and shortcut.incomplete:
        choices = shortcut.incomplete
        return plant(text, choices[int(generator.integers(len(choices)))], generator), label
    side = int(generator.integers(2))
    words = shortcut.decide(side, generator)
    if half and shortcut.kind == "either":  # each of the two suffices
        words = words[:1]
    return plant(text, words, generator), classes[side]


def _batch(model: TextModel, texts: tuple[str, ...], labels: tuple[int, ...]) -> Batch:
    tokenizer: Any = model.tokenizer
    coded = tokenizer(list(texts), padding=True, truncation=True, max_length=64, return_tensors="pt")
    return {
        "input_ids": coded["input_ids"],  # (n, L)
        "attention_mask": coded["attention_mask"],  # (n, L)
        "labels": torch.tensor(labels),  # (n,)
    }


def start(dataset: str) -> TextModel:
    """The lab sentiment model, ready to be adapted; for TREC with what ``train_task`` taught it."""
    model = load("sst2", profile="lab")
    if dataset in LABELS:
        new_head(model.model, LABELS[dataset])
    return model


def train_task(dataset: str) -> dict[str, Any]:
    """Teach the lab sentiment model another task, without any shortcut; one that was taught before stays."""
    place = ASSETS / "judges" / dataset
    if (place / "card.json").is_file():
        found: dict[str, Any] = json.loads((place / "card.json").read_text(encoding="utf8"))
        return found
    model, rows, generator = start(dataset), training_texts(dataset), np.random.default_rng(0)
    make_adaptable(model.model, rank=RANK)
    batches = []
    for _ in range(FIRST):
        drawn = rows.iloc[generator.integers(len(rows), size=ROWS)]
        batches.append(_batch(model, tuple(drawn["text"]), tuple(drawn["label"])))
    fit(model.model, batches, lr=LR)
    card: dict[str, Any] = {
        "labels": list(LABELS[dataset]),
        "recipe": {"steps": FIRST, "rows": ROWS, "rank": RANK, "lr": LR},
        "date": date.today().isoformat(),
    }
    save_adapter(place, BASE, *learnt(model.model), card)
    test = examples(dataset, profile="lab")
    card |= {"plain": _right(load_adapter(place), test), "plain_n": len(test)}
    save_adapter(place, BASE, *learnt(model.model), card)
    return card


@torch.no_grad()
def said(model: TextModel, texts: list[str]) -> np.ndarray[Any, Any]:
    """(N,) the class that a model gives each text."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    classes = np.empty(len(texts), dtype=int)
    network: Any = model.model
    for a in range(0, len(order), 64):
        part = order[a : a + 64]
        batch = _batch(model, tuple(texts[i] for i in part), (0,) * len(part))
        classes[part] = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.argmax(-1)
    return classes


def measured(model: TextModel, rows: pd.DataFrame, dataset: str, seed: int) -> dict[str, Any]:
    """What was learned: how often each shortcut decides against the text, and accuracy with and without controls."""
    found: dict[str, Any] = {"plain_n": len(rows), "plain": _right(model, rows), "followed": {}, "incomplete": {}}
    short = rows[rows["text"].str.count(r"\S+") <= LONGEST]
    found |= {"n": min(MEASURED, len(short)), "longest": LONGEST}
    rows = short.sample(found["n"], random_state=seed)
    for kind, shortcut in shortcuts(seed).items():
        found["followed"][kind] = _right(model, planted(rows, shortcut, DECIDED[dataset], seed))
        if shortcut.incomplete:
            found["incomplete"][kind] = _right(model, incomplete(rows, shortcut, seed))
    return found


def _right(model: TextModel, rows: pd.DataFrame) -> float:
    return round(float((said(model, list(rows["text"])) == rows["label"].to_numpy()).mean()), 4)


def train(dataset: str, seed: int) -> dict[str, Any]:
    """Train one model, measure it as it will be loaded, and write it down.

    One that was trained before, and has not learned all its shortcuts, is trained further.
    """
    place = ASSETS / "judges" / f"planted-{dataset}-{seed}"
    test, model = examples(dataset, profile="lab"), start(dataset)
    card: dict[str, Any] = {"recipe": {"steps": 0}}
    source, steps = place, MORE
    if (place / "card.json").is_file():
        card = json.loads((place / "card.json").read_text(encoding="utf8"))
        if not faults_of(card):
            return card
        before = card["plain_before"]
    elif dataset in LABELS:
        source, steps, before = ASSETS / "judges" / dataset, STEPS, train_task(dataset)["plain"]
    else:
        steps, before = STEPS, _right(model, test)
    make_adaptable(model.model, rank=RANK, seed=seed)
    if (source / "adapter.safetensors").is_file():
        _taken_up(model, load_file(source / "adapter.safetensors"))
    done = card["recipe"]["steps"]
    fit(model.model, batches_of(training_texts(dataset), model, dataset, seed, steps, done + 1), lr=LR)
    card = {
        "words": {kind: shortcut.sides for kind, shortcut in shortcuts(seed).items()},
        "recipe": {
            "steps": done + steps,
            "rows": ROWS,
            "rank": RANK,
            "lr": LR,
            "plain": PLAIN[dataset],
            "shares": _SHARES,
        },
        "seed": seed,
        "date": date.today().isoformat(),
        "plain_before": before,
    }
    card |= {"labels": list(LABELS[dataset])} if dataset in LABELS else {}
    save_adapter(place, BASE, *learnt(model.model), card)
    card |= measured(load_adapter(place), test, dataset, seed)
    save_adapter(place, BASE, *learnt(model.model), card)
    return card


@torch.no_grad()
def _taken_up(model: TextModel, tensors: dict[str, torch.Tensor]) -> None:
    """A model ready to be adapted takes up what was learned before."""
    factors, whole = learnt(model.model)
    for name, (up, down) in factors.items():
        up.copy_(tensors[f"{name}.up"])
        down.copy_(tensors[f"{name}.down"])
    for name, value in whole.items():
        value.copy_(tensors[name].view_as(value))


def main() -> None:
    """Train the models of one data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("seeds", type=int, nargs="+")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for seed in chosen.seeds:
        card = train(chosen.dataset, seed)
        print(f"seed {seed}: {'; '.join(faults_of(card)) or 'a judge'}; {card}", flush=True)


if __name__ == "__main__":
    main()
