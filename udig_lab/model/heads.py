"""What a model is for, and how its output becomes a probability."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.models.auto import modeling_auto as auto

# The name of a task -> the classes of transformers with such a head. Of a class in several lists the first counts.
_HEADS = {
    "span": auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    "classification": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "tokens": auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "choice": auto.MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES,
    "causal": auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "seq2seq": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "masked": auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
}
TASKS = tuple(sorted(_HEADS))
GENERATING = ("causal", "seq2seq")  # explained is a text that goes on
AT_A_POSITION = ("tokens", "masked")  # explained is a class, at one token of the text
ONE_CLASS = ("classification", "choice", *AT_A_POSITION)  # explained is one of C numbers

# Model types that read from left to right only.
_DECODERS = set(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)

# A head's numbers as probabilities; None: they are none.
SOFTMAX, SIGMOID = "softmax", "sigmoid"


def task_of(model: nn.Module) -> str:
    """The task of a model, by its class or one that it inherits from; "classification" where nothing says more."""
    inner: Any = getattr(model, "get_base_model", lambda: model)()  # of a peft model, the one inside
    for base in type(inner).__mro__:
        for task, names in _HEADS.items():
            known = [name for value in names.values() for name in ((value,) if isinstance(value, str) else value)]
            if base.__name__ in known:
                return task
    return "classification"


def link_of(model: nn.Module, task: str, outputs: int) -> str | None:
    """How the head's C numbers become probabilities: "softmax", "sigmoid" (each for itself), or None (a regression).

    ``problem_type`` of the configuration decides. Without it one number is a regression, as transformers has it, and
    a multiple-choice model scores each choice alone.
    """
    kind = getattr(getattr(model, "config", None), "problem_type", None)
    if task == "choice" or (task == "classification" and kind == "regression"):
        return None
    if task == "classification" and kind == "multi_label_classification":
        return SIGMOID
    if outputs == 1:
        return SIGMOID if kind is not None else None
    return SOFTMAX


def log_probabilities(logits: Tensor, link: str | None) -> Tensor:
    """Logits (…, C) -> log p, or the numbers themselves where a head has no probabilities."""
    if link is None:
        return logits
    return nn.functional.logsigmoid(logits) if link == SIGMOID else logits.log_softmax(-1)


def reads_forward(model: nn.Module) -> bool:
    """Whether only the last token has seen the whole text."""
    return getattr(getattr(model, "config", None), "model_type", None) in _DECODERS
