"""The arguments of a call of ``explain``, for what asks about such a call, or makes it in its own way."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from udig_lab.explainer import explain
from udig_lab.methods import Method
from udig_lab.methods import method as method_named
from udig_lab.model.inputs import Encoding
from udig_lab.model.protocol import as_protocol
from udig_lab.model.textmodel import TextModel, as_text_model
from udig_lab.problem import posed


class Call(NamedTuple):
    """The arguments of one call of ``explain``, read."""

    model: TextModel
    entry: Method
    settings: dict[str, Any]
    encodings: list[Encoding]
    single: bool
    given: dict[str, Any]
    posing: dict[str, Any]


def call_of(model: Any, texts: Any, **options: Any) -> Call:
    """What ``explain`` would do with its arguments, for what asks about such a call, or makes it in its own way.

    Returns:
        the model, the method and its settings, the encoded texts and whether there was one, all arguments with their
        defaults, and those of them that ``posed`` takes.

    Raises:
        ValueError, TypeError: as for ``explain``.
    """
    call = inspect.signature(explain).bind(model, texts, **options)
    call.apply_defaults()
    given = call.arguments
    text_model, entry = as_text_model(model, given["tokenizer"]), method_named(given["method"])
    names = ("input_ids", "special_ids", "max_length", "segments")
    encodings, single = text_model.encode(texts, **{name: given[name] for name in names})
    posing = {name: given[name] for name in inspect.signature(posed).parameters.keys() & given.keys() - {"model"}}
    posing["protocol"] = as_protocol(given["protocol"])
    settings = entry.settings(given["method"], given["settings"])
    return Call(text_model, entry, settings, encodings, single, given, posing)
