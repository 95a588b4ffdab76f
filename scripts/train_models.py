"""Fine-tune the further models of ``notebooks/experiments/models.ipynb`` on SST-2; their weights are not committed.

    UDIG_LAB_DATA=path/to/data python scripts/train_models.py seed-1 --base path/to/all-MiniLM-L6-v2
    UDIG_LAB_DATA=path/to/data python scripts/train_models.py mpnet --base path/to/all-mpnet-base-v2

The loop is that of ``notebooks/appendix/train-lab-checkpoints.ipynb``: AdamW, one pass, warm-up and linear decay,
products in bfloat16, no dropout. Training texts that stand inside a test sentence are left out, as there. The two
seeds differ from lab-sentiment in nothing but the seed.
"""

from __future__ import annotations

import argparse
import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
from train_judges import batches, fit, leaks, scores, sentiment_rows

from udig_lab import data

_SENTIMENT = {"num_labels": 2, "id2label": {0: "negative", 1: "positive"}, "label2id": {"negative": 0, "positive": 1}}


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        layers: encoder layers of the base that are kept.
        seed: of the head, of the order of the texts and of the batches.
        texts: "all", as lab-sentiment; or "train_phrases" or "train_sentences" of SST-2.
        size: texts of a batch.
        lr: the peak of the learning rate.
    """

    layers: int
    seed: int
    texts: str
    size: int
    lr: float


RECIPES = {
    "seed-1": Recipe(layers=3, seed=1, texts="all", size=64, lr=1e-4),
    "seed-2": Recipe(layers=3, seed=2, texts="all", size=64, lr=1e-4),
    "minilm": Recipe(layers=6, seed=0, texts="train_phrases", size=64, lr=1e-4),
    "mpnet": Recipe(layers=12, seed=0, texts="train_sentences", size=32, lr=3e-5),
}


def training_rows(folder: Path, texts: str) -> pd.DataFrame:
    """text, label: training texts without those that stand inside a dev or test sentence."""
    if texts == "all":
        return sentiment_rows(folder)
    rows = pd.read_parquet(folder / "sst2" / f"{texts}.parquet", columns=["text", "label"])
    held_out = pd.concat([pd.read_parquet(folder / "sst2" / f"{name}.parquet")["text"] for name in ("dev", "test")])
    return rows[~leaks(rows["text"], held_out)].reset_index(drop=True)


def begin(base: str, recipe: Recipe) -> Any:
    """The base with its first layers, no dropout, and a new head."""
    torch.manual_seed(recipe.seed)
    config = transformers.AutoConfig.from_pretrained(base, **_SENTIMENT)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config.num_hidden_layers = recipe.layers  # later layers of the base are left where they are
    return transformers.AutoModelForSequenceClassification.from_pretrained(
        base, config=config, dtype=torch.float32, attn_implementation="eager"
    )


def train(name: str, base: str, output: Path) -> None:
    """Train, save as a hub-format folder, and write its card of scores."""
    recipe, folder = RECIPES[name], data.folder()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(base)
    model = begin(base, recipe)
    rows = training_rows(folder, recipe.texts)
    steps = -(-len(rows) // recipe.size)
    plan = list(batches(rows, tokenizer, steps=steps, seed=recipe.seed, size=recipe.size))
    losses = fit(model, plan, lr=recipe.lr)
    print(f"loss {np.mean(losses[:50]):.3f} -> {np.mean(losses[-50:]):.3f}", flush=True)
    place = output / f"{name}-sst2"
    model.save_pretrained(place)
    tokenizer.backend_tokenizer.no_truncation()  # else the last call's limit is stored
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(place)
    test = data.examples("sst2", profile="lab")
    card = {
        "recipe": vars(recipe),
        "texts": len(rows),
        "steps": len(plan),
        "loss": [round(float(np.mean(part)), 4) for part in (losses[:50], losses[-50:])],
        "scores": scores(model, tokenizer, test),
        "date": datetime.date.today().isoformat(),
    }
    (place / "training.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf8")
    print(card["scores"], flush=True)


def main() -> None:
    """Train what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=RECIPES)
    parser.add_argument("--base", required=True, help="folder or hub name of the base checkpoint")
    parser.add_argument("--output", type=Path, default=Path("models"))
    options = parser.parse_args()
    train(options.model, options.base, options.output)


if __name__ == "__main__":
    main()
