"""A checkpoint in hub format, loaded: model and tokenizer, or one sentence that says what is wrong with it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.utils import logging as transformers_logging

from udig_lab.model import kimcnn  # noqa: F401  # with it, transformers knows how to load that network
from udig_lab.model.gguf import is_gguf, no_bar, require_gguf
from udig_lab.model.textmodel import TextModel

ASSETS = Path(__file__).parents[1] / "assets"
_HEADS: dict[str, Any] = {
    "classification": AutoModelForSequenceClassification,
    "span": AutoModelForQuestionAnswering,
    "causal": AutoModelForCausalLM,
}
LOADED = tuple(_HEADS)  # the tasks whose heads are loaded
_FOLDER = "name a folder that save_pretrained wrote, its weights in safetensors"
_LAYER = re.compile(r"\.(layers?|h)\.\d+\.(?!.*rotary)")  # a weight in one of the model's layers
_LOADING = threading.Lock()  # the library's reports are switched off and on for all threads


def card_scores(name: str) -> dict[str, str]:
    """The scores of a shipped checkpoint, as the table of its card (``README.md`` in its folder) states them.

    >>> list(card_scores("lab-squad"))
    ['exact match', 'F1']

    Args:
        name: a folder of ``ASSETS``, such as "lab-sentiment".

    Returns:
        what was scored (a test set, or a measure), and the score as it is written there, such as "89.5 %".

    Raises:
        OSError: no checkpoint of that name is shipped.
    """
    card = (ASSETS / name / "README.md").read_text(encoding="utf8")
    table = card.partition("\n## Scores\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return {line[0].strip(): line[-1].strip() for line in lines[2:]}  # below the head and its rule


def as_device(device: str | torch.device) -> torch.device:
    """The device that was asked for, tried before anything is loaded.

    Raises:
        ValueError: torch has none of that name here.
    """
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
        with no_bar():
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def read_checkpoint(source: str, task: str, name: str, device: torch.device) -> TextModel:
    """Load a folder, a name on the hub, or a language model that is one file in the format GGUF.

    Args:
        source: folder, name or file.
        task: "classification", "span" or "causal", for which the checkpoint must hold a trained head.
        name: of the model, for tables and figures.
        device: where it computes.

    Raises:
        OSError: it cannot be had, is damaged, or does not fit together.
        ValueError: it has no head for the task.
    """
    model = None
    one: dict[str, str] = {}  # where the checkpoint is one file, its name
    place = source
    if is_gguf(source):
        require_gguf(Path(source))
        place, one = str(Path(source).parent), {"gguf_file": Path(source).name}
    try:
        with _LOADING, _quiet():
            # No code of theirs is run, and a checkpoint that is a pickle is read by torch's reader of weights only.
            model, info = _HEADS[task].from_pretrained(
                place,
                **one,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # they are named below
            )
            tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **one)
            if len(tokenizer) <= len(tokenizer.all_special_ids):
                raise OSError("no vocabulary")  # transformers takes the lack of its file for an empty one
    except ImportError:
        raise  # its own sentence: what has to be installed
    except (OSError, ValueError, SafetensorError) as error:  # transformers raises any, by what it finds
        if one:
            raise _no_whole_file(source, error) from error
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
        if one:
            raise _no_whole_file(source, error) from error
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
    if lost := sorted(key for key in info["unexpected_keys"] if _LAYER.search(key)):
        raise OSError(
            f"cannot load {source!r}: its configuration has no place for {lost[0]}, which its weights hold; {_FOLDER}"
        )
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"]))
        raise ValueError(f"{source!r} is not a {task} checkpoint: it holds no {missing}; name one with a trained head")
    return TextModel(model.eval().to(device), tokenizer, name, task)


def _no_whole_file(source: str, error: Exception) -> OSError:
    return OSError(
        f"cannot load {source!r}: the file is cut short, damaged, or of a kind of model that transformers does not "
        f"read from GGUF ({_first_words(error)}); fetch it again, or name another one"
    )


def _first_words(error: Exception) -> str:
    """What a library said, without the report that follows."""
    said = f"{type(error).__name__}: {str(error).strip() or 'no reason given'}".splitlines()[0]
    return said if len(said) < 120 else f"{said[:117]}…"
