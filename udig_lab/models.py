"""Which model goes with a data set under a profile, and how it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from udig_lab.textmodel import TextModel

ASSETS = Path(__file__).parent / "assets"
PROFILES = ("mini", "lab", "paper")
DATASETS = ("sst2", "imdb", "rotten_tomatoes", "squad")

# The checkpoints the papers' code names (Sanyal & Ren 2021, Enguehard 2023, Sinha Roy & Kundu 2024).
PAPER_CHECKPOINTS = {
    ("sst2", "distilbert"): "distilbert-base-uncased-finetuned-sst-2-english",
    ("sst2", "bert"): "textattack/bert-base-uncased-SST-2",
    ("sst2", "roberta"): "textattack/roberta-base-SST-2",
    ("imdb", "distilbert"): "textattack/distilbert-base-uncased-imdb",
    ("imdb", "bert"): "textattack/bert-base-uncased-imdb",
    ("imdb", "roberta"): "textattack/roberta-base-imdb",
    ("rotten_tomatoes", "distilbert"): "textattack/distilbert-base-uncased-rotten-tomatoes",
    ("rotten_tomatoes", "bert"): "textattack/bert-base-uncased-rotten-tomatoes",
    ("rotten_tomatoes", "roberta"): "textattack/roberta-base-rotten-tomatoes",
    ("squad", "bert"): "deepset/bert-base-cased-squad2",
}


def load(name: str, *, profile: str = "mini", architecture: str = "bert") -> TextModel:
    """Load a model with its tokenizer.

    Args:
        name: a data set ("sst2", "imdb", "rotten_tomatoes", "squad"), or a folder with a sequence classifier in hub
            format.
        profile: "mini" and "lab" use the lab checkpoints shipped with the package; "paper" the papers' checkpoints
            from the hub.
        architecture: with "paper": "bert", "distilbert" or "roberta".

    Raises:
        ValueError: an unknown name, profile or architecture, or a checkpoint without the head that is needed.
        OSError: the checkpoint cannot be had.
    """
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    if name not in DATASETS:
        if not Path(name).is_dir():
            raise ValueError(f"unknown model {name!r}; choose one of {', '.join(DATASETS)} or name a folder")
        return _load(name, "classification", Path(name).name)
    task = "span" if name == "squad" else "classification"
    if profile != "paper":
        folder = ASSETS / ("lab-squad" if name == "squad" else "lab-sentiment")
        return _load(str(folder), task, folder.name)
    if (name, architecture) not in PAPER_CHECKPOINTS:
        known = ", ".join(a for d, a in PAPER_CHECKPOINTS if d == name)
        raise ValueError(f"no published checkpoint for {name} with architecture {architecture!r}; choose {known}")
    return _load(PAPER_CHECKPOINTS[name, architecture], task, PAPER_CHECKPOINTS[name, architecture])


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and reports of the library while a checkpoint loads: what is wrong with it, we say ourselves."""
    logging: Any = transformers_logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _load(source: str, task: str, name: str) -> TextModel:
    head: Any = AutoModelForSequenceClassification if task == "classification" else AutoModelForQuestionAnswering
    try:
        with _quiet():
            model, info = head.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
            tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:  # transformers raises either, by what it finds
        raise OSError(
            f"cannot load {source!r}: no checkpoint in hub format there, in the cache or on the hub; "
            "connect to the internet, or point HF_HOME at a cache that holds it, or use profile='mini'"
        ) from error
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"]))
        raise ValueError(f"{source!r} is not a {task} checkpoint: it holds no {missing}; name one with a trained head")
    return TextModel(model.eval(), tokenizer, name, task)
