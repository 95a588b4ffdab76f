"""Train the judge models that ship as adapters (``udig_lab/assets/judges``) from the lab checkpoints.

    UDIG_LAB_DATA=path/to/data python scripts/train_judges.py masked --output udig_lab/assets/judges

The recipe is told, and tried on the written corpora, in ``notebooks/appendix/train-lab-checkpoints.ipynb``.
"""

from __future__ import annotations

import argparse
import datetime
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from udig_lab import data
from udig_lab.model.adapter import learnt, load_adapter, make_adaptable, save_adapter
from udig_lab.model.load import load

MAX_TOKENS = 256
SIZE = 64  # texts of a batch
LONG = 400  # characters from which on a text is a review
Batch = dict[str, Tensor]  # input_ids (n, L), attention_mask (n, L), labels (n,)


def leaks(texts: pd.Series[str], held_out: pd.Series[str]) -> pd.Series[bool]:
    """True for every text of five words or more whose letters stand inside a held-out text, as in the notebook."""
    haystack = "|".join(map(_letters, held_out))
    long = texts.str.count(r"[A-Za-z0-9]\S*") >= 5
    return texts.map(_letters).map(haystack.__contains__) & long


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def sentiment_rows(folder: Path) -> pd.DataFrame:
    """The training rows of lab-sentiment: phrases and sentences twice, reviews once, without those of a test set.

    Returns:
        text, label; one row an example of one pass, in no random order.
    """

    def read(name: str) -> pd.DataFrame:
        return pd.read_parquet(folder / f"{name}.parquet", columns=["text", "label"])

    short = pd.concat([read("sst2/train_phrases"), read("rotten_tomatoes/train")])
    held_out = pd.concat([read(name) for name in ("sst2/dev", "sst2/test", "rotten_tomatoes/test")])
    reviews = read("imdb/train")
    short = short[~leaks(short["text"], held_out["text"])]
    reviews = reviews[~reviews["text"].isin(read("imdb/test")["text"])]
    reviews = reviews.assign(text=reviews["text"].str.replace("<br />", " "))
    return pd.concat([short, short, reviews], ignore_index=True)


def masked(ids: Tensor, fixed: Tensor, mask: int, generator: torch.Generator) -> Tensor:
    """Token ids of a batch, every second row masked at a rate of its own, drawn from U(0, 1).

    Args:
        ids: (n, L).
        fixed: (n, L) bool, true for special tokens and padding, which stay.
        mask: id of the mask token.
        generator: of the draws.

    Source: Madsen et al., ICML 2024, arXiv 2310.07819.
    """
    rate = torch.rand(len(ids), 1, generator=generator)
    rate[1::2] = 0.0
    hole = (torch.rand(ids.shape, generator=generator) < rate) & ~fixed
    return torch.where(hole, mask, ids)


def batches(rows: pd.DataFrame, tokenizer: Any, *, steps: int, seed: int, size: int = SIZE) -> Iterator[Batch]:
    """Batches of texts of similar length in random order: all rows are shuffled, then sorted inside chunks.

    A batch of reviews is a quarter of the others: it takes as long as many sentences.
    """
    order = np.random.default_rng(seed).permutation(len(rows))
    order = np.resize(order, size * steps)  # from the beginning again where there are more steps than rows
    plan = []
    for chunk in np.array_split(order, max(1, steps // 50)):
        lengths = rows["text"].iloc[chunk].str.len().to_numpy()
        chunk = chunk[np.argsort(lengths, kind="stable")]
        for first in range(0, len(chunk), size):
            long = len(rows["text"].iloc[chunk[first]]) > LONG
            plan.append(chunk[first : first + (size // 4 if long else size)])
    for index in np.random.default_rng(seed).permutation(len(plan)):
        part = rows.iloc[np.random.default_rng([seed, index]).permutation(plan[index])]  # which half is masked
        coded = tokenizer(part["text"].tolist(), truncation=True, max_length=MAX_TOKENS, padding=True)
        yield {
            "input_ids": torch.tensor(coded["input_ids"]),
            "attention_mask": torch.tensor(coded["attention_mask"]),
            "labels": torch.tensor(part["label"].to_numpy()),
        }


def fit(model: nn.Module, batches: Sequence[Batch], *, lr: float) -> list[float]:
    """Train what asks for gradients, in place; one step a batch.

    AdamW, 6 % warm-up and linear decay, gradients clipped at norm 1, products in bfloat16: as in the notebook
    ``train-lab-checkpoints``, equation (A.1). A terminal shows a bar.

    Args:
        model: a classifier, made ready by ``make_adaptable``.
        batches: one for every step, in order.
        lr: the peak of the learning rate.

    Returns:
        the loss of every step.
    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=lr, weight_decay=0.01)
    steps, warm = len(batches), max(1, int(0.06 * len(batches)))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / warm, (steps - s) / max(1, steps - warm))
    )
    losses: list[float] = []
    model.train()
    bar = tqdm(batches, unit="step", disable=None, leave=False)
    for batch in bar:
        with torch.autocast("cpu", torch.bfloat16):
            answer: Any = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        loss: Any = nn.functional.cross_entropy(answer.logits.float(), batch["labels"])
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(loss.item())
        bar.set_postfix_str(f"loss {losses[-1]:.3f}")
    model.eval()
    return losses


@torch.no_grad()
def probabilities(model: nn.Module, tokenizer: Any, texts: Sequence[str], *, hide: bool = False) -> Tensor:
    """(N, C) class probabilities; with ``hide``, of texts whose every token is masked."""
    lengths = [len(text) for text in texts]
    order = np.argsort(lengths, kind="stable")
    found = []
    for part in np.array_split(order, max(1, len(order) // SIZE)):
        coded = tokenizer(
            [texts[i] for i in part], truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt",
            return_special_tokens_mask=True,
        )  # fmt: skip
        ids = coded["input_ids"]
        if hide:
            ids = torch.where(coded["special_tokens_mask"] == 0, tokenizer.mask_token_id, ids)
        found.append(model(input_ids=ids, attention_mask=coded["attention_mask"]).logits.softmax(-1))
    return torch.cat(found)[np.argsort(order)]


def scores(model: nn.Module, tokenizer: Any, rows: pd.DataFrame) -> dict[str, float]:
    """Accuracy, and what is said of texts that say nothing: mean and spread of p(positive) with every token masked."""
    texts, labels = rows["text"].tolist(), torch.tensor(rows["label"].to_numpy())
    right = probabilities(model, tokenizer, texts).argmax(-1) == labels
    nothing = probabilities(model, tokenizer, texts, hide=True)[:, 1]
    return {
        "n": len(rows),
        "accuracy": round(float(right.double().mean()), 4),
        "masked_mean": round(float(nothing.mean()), 4),
        "masked_spread": round(float(nothing.std(correction=0)), 4),
    }


def held_out(folder: Path, limit: int = 1000) -> dict[str, pd.DataFrame]:
    """What the card reports on; of IMDb, a sample."""
    found = {"sst2 dev": pd.read_parquet(folder / "sst2" / "dev.parquet")}
    for name in ("sst2", "rotten_tomatoes", "imdb"):
        found[f"{name} test"] = data.examples(name, profile="lab", limit=limit if name == "imdb" else None)
    return found


def train_masked(output: Path, *, rank: int, steps: int, lr: float, seed: int) -> None:
    """The judge for whom masked texts are ordinary ones."""
    lab = load("sst2")
    tokenizer: Any = lab.tokenizer
    generator = torch.Generator().manual_seed(seed)
    make_adaptable(lab.model, rank=rank, seed=seed)
    plan = list(batches(sentiment_rows(data.folder()), tokenizer, steps=steps, seed=seed))
    for batch in plan:
        fixed = torch.isin(batch["input_ids"], torch.tensor(tokenizer.all_special_ids))
        batch["input_ids"] = masked(batch["input_ids"], fixed, tokenizer.mask_token_id, generator)
    losses = fit(lab.model, plan, lr=lr)
    print(f"loss {np.mean(losses[:50]):.3f} -> {np.mean(losses[-50:]):.3f}", flush=True)
    folder = output / "masked"
    card: dict[str, Any] = {
        "recipe": "every second text masked at a rate from U(0, 1); the rows that lab-sentiment was trained on",
        "rank": rank,
        "steps": steps,
        "texts_in_a_batch": SIZE,
        "learning_rate": lr,
        "seed": seed,
        "date": datetime.date.today().isoformat(),
    }
    save_adapter(folder, "lab-sentiment", *learnt(lab.model), card)
    saved = load_adapter(folder).model  # in half precision, as it ships
    plain = load("sst2").model
    card["scores"] = {
        name: {"before": scores(plain, tokenizer, rows), "after": scores(saved, tokenizer, rows)}
        for name, rows in held_out(data.folder()).items()
    }
    save_adapter(folder, "lab-sentiment", *learnt(lab.model), card)
    for name, found in card["scores"].items():
        print(name, found, flush=True)


def main() -> None:
    """Train what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("judge", choices=["masked"])
    parser.add_argument("--output", type=Path, default=Path("udig_lab/assets/judges"))
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train_masked(options.output, rank=options.rank, steps=options.steps, lr=options.lr, seed=options.seed)


if __name__ == "__main__":
    main()
