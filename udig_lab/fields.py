"""What an attribution keeps of a tokenised text, and what each of its fields may hold when it is read back."""

from __future__ import annotations

from typing import Any

from udig_lab import saving
from udig_lab.methods.trees import Group
from udig_lab.model.inputs import Encoding


def text_fields(encoding: Encoding) -> dict[str, Any]:
    """What an attribution keeps of a tokenised text; ``Attribution.encoding`` is the way back."""
    types = encoding.token_types
    return {
        "tokens": encoding.tokens,
        "pieces": encoding.pieces,
        "input_ids": tuple(encoding.input_ids.tolist()),
        "word_ids": encoding.word_ids,
        "token_types": None if types is None else tuple(types.tolist()),
        "sequence_ids": encoding.sequence_ids,
        "special": tuple(encoding.special.tolist()),
        "segment_of": encoding.segment_of,
    }


def _group(value: Any) -> Group:
    fields = saving.some(value)
    kinds: dict[str, Any] = {"start": saving.whole, "end": saving.whole, "label": saving.text}
    return Group(**{name: kinds.get(name, saving.number)(item) for name, item in fields.items()})


PER_TOKEN = (
    "tokens",
    "pieces",
    "input_ids",
    "word_ids",
    "scores",
    "special",
    "token_types",
    "sequence_ids",
    "anchors",
    "errors",
    "segment_of",
)
_NUMBERS = saving.each(saving.maybe(saving.whole))
CHECKS = {
    "tokens": saving.each(saving.text),
    "pieces": saving.each(saving.text),
    "input_ids": saving.each(saving.whole),
    "word_ids": _NUMBERS,
    "scores": saving.each(saving.finite),
    "special": saving.each(saving.flag),
    "target": saving.nested,
    "probability": saving.maybe(saving.number),
    "token_types": saving.maybe(saving.each(saving.whole)),
    "sequence_ids": saving.maybe(_NUMBERS),
    "at": saving.maybe(saving.whole),
    "settings": saving.some,
    "segment_of": saving.maybe(saving.each(saving.maybe(saving.text))),
    "anchors": saving.maybe(saving.each(saving.maybe(saving.each(saving.text)))),
    "integrated": saving.maybe(saving.number),
    "errors": saving.maybe(saving.each(saving.number)),
    "groups": saving.maybe(saving.each(_group)),
    **dict.fromkeys(("target_name", "output", "method", "baseline", "protocol", "by"), saving.text),
    **dict.fromkeys(("f_input", "f_baseline", "seconds"), saving.number),
    **dict.fromkeys(("evaluations", "forwards"), saving.whole),
}
