"""Which model goes with a data set under a profile, and how it is loaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from udig_lab.model import kimcnn  # noqa: F401  # with it, transformers knows how to load that network
from udig_lab.model.textmodel import TextModel

ASSETS = Path(__file__).parents[1] / "assets"
PROFILES = ("mini", "lab", "paper")
DATASETS = ("sst2", "imdb", "rotten_tomatoes", "squad", "trec")
_TASKS = ("classification", "span")  # whose heads are loaded
_FOLDER = "name a folder that save_pretrained wrote, its weights in safetensors"
_LOADING = threading.Lock()  # the library's reports are switched off and on for all threads
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
        name: a data set ("sst2", "imdb", "rotten_tomatoes", "squad", "trec"), a folder with a model in hub format,
            or the name of one on the hub ("organisation/model").
        profile: "mini" and "lab" use the lab checkpoints shipped with the package; "paper" the papers' checkpoints
            from the hub.
        architecture: with "paper": "bert", "distilbert" or "roberta".
        task: of a folder or a model on the hub: "classification" or "span", the head that is loaded.
        device: where the model computes. None is the CPU; with "paper", a GPU where torch finds one.

    Raises:
        ValueError: an unknown name, profile, architecture, task or device, or a checkpoint without the head that is
            needed.
        OSError: the checkpoint cannot be had.
    """
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    if task not in _TASKS:
        raise ValueError(f"unknown task {task!r}; choose one of {', '.join(_TASKS)}")
    place = _device(device, profile)
    if name not in DATASETS:
        local = Path(name).is_dir()
        if not local and "/" not in name:
            raise ValueError(
                f"unknown model {name!r}; choose one of {', '.join(DATASETS)}, or name a folder, "
                "or a model on the hub (organisation/model)"
            )
        return _load(name, task, Path(name).name if local else name, place)
    task = "span" if name == "squad" else "classification"
    if profile != "paper":
        folder = ASSETS / _LAB.get(name, "lab-sentiment")
        return _load(str(folder), task, folder.name, place)
    if name == "trec":
        raise ValueError(
            "the weights of the network that IG2 explained on trec were never published; use profile='lab'"
        )
    if (name, architecture) not in PAPER_CHECKPOINTS:
        known = ", ".join(a for d, a in PAPER_CHECKPOINTS if d == name)
        raise ValueError(f"no published checkpoint for {name} with architecture {architecture!r}; choose {known}")
    checkpoint = PAPER_CHECKPOINTS[name, architecture]
    return _load(checkpoint, task, checkpoint, place)


def _device(device: str | torch.device | None, profile: str) -> torch.device:
    """The device that was asked for, tried before anything is loaded."""
    if device is None:
        device = "cuda" if profile == "paper" and torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # torch raises the second where it was built without CUDA
        raise ValueError(f"torch has no device {str(device)!r} here; pass device='cpu'") from error


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


def _load(source: str, task: str, name: str, device: torch.device) -> TextModel:
    model = None
    head: Any = AutoModelForSequenceClassification if task == "classification" else AutoModelForQuestionAnswering
    try:
        with _LOADING, _quiet():
            # No code of theirs is run, and a checkpoint that is a pickle is read by torch's reader of weights only.
            model, info = head.from_pretrained(
                source,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # they are named below
            )
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            if len(tokenizer) <= len(tokenizer.all_special_ids):
                raise OSError("no vocabulary")  # transformers takes the lack of its file for an empty one
    except ImportError:
        raise  # its own sentence: what has to be installed
    except (OSError, ValueError, SafetensorError) as error:  # transformers raises any, by what it finds
        if Path(source).is_dir():
            lacking = "" if model is None else ", as its tokenizer is missing or damaged: save that beside it"
            raise OSError(
                f"cannot load {source!r}: no whole checkpoint in hub format there{lacking}; {_FOLDER}"
            ) from error
        raise OSError(
            f"cannot load {source!r}: no whole checkpoint in hub format there, in the cache or on the hub; "
            "connect to the internet, or point HF_HOME at a cache that holds it, or use profile='mini'"
        ) from error
    except UnpicklingError as error:
        raise OSError(
            f"cannot load {source!r}: its weights are a pickle that is damaged or holds more than weights; {_FOLDER}"
        ) from error
    except Exception as error:  # whatever a file of somebody else's makes of the libraries that read it
        raise OSError(
            f"cannot load {source!r}: its configuration, weights and tokenizer do not fit together, or one of them is "
            f"damaged ({_first_words(error)}); {_FOLDER}"
        ) from error
    if info["mismatched_keys"]:
        key, stored, wanted = sorted(info["mismatched_keys"])[0]
        raise OSError(
            f"cannot load {source!r}: its weights hold {key} of the shape {tuple(stored)}, its configuration wants "
            f"{tuple(wanted)}; {_FOLDER}"
        )
    if lost := sorted(key for key in info["unexpected_keys"] if ".layer." in key):
        raise OSError(
            f"cannot load {source!r}: its configuration has no place for {lost[0]}, which its weights hold; {_FOLDER}"
        )
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"]))
        raise ValueError(f"{source!r} is not a {task} checkpoint: it holds no {missing}; name one with a trained head")
    return TextModel(model.eval().to(device), tokenizer, name, task)


def _first_words(error: Exception) -> str:
    """What a library said, without the report that follows."""
    said = f"{type(error).__name__}: {str(error).strip() or 'no reason given'}".splitlines()[0]
    return said if len(said) < 120 else f"{said[:117]}…"
