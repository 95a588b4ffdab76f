"""What an attribution keeps of a tokenised text, and what each of its fields may hold when it is read back."""

from __future__ import annotations

from typing import Any

from udig_lab.methods.trees import Group
from udig_lab.model.inputs import Encoding
from udig_lab.saving import strict


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
    fields = strict.some(value)
    kinds: dict[str, Any] = {"start": strict.whole, "end": strict.whole, "label": strict.text}
    return Group(**{name: kinds.get(name, strict.number)(item) for name, item in fields.items()})


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
_NUMBERS = strict.each(strict.maybe(strict.whole))
CHECKS = {
    "tokens": strict.each(strict.text),
    "pieces": strict.each(strict.text),
    "input_ids": strict.each(strict.whole),
    "word_ids": _NUMBERS,
    "scores": strict.each(strict.finite),
    "special": strict.each(strict.flag),
    "target": strict.nested,
    "probability": strict.maybe(strict.number),
    "token_types": strict.maybe(strict.each(strict.whole)),
    "sequence_ids": strict.maybe(_NUMBERS),
    "at": strict.maybe(strict.whole),
    "settings": strict.some,
    "segment_of": strict.maybe(strict.each(strict.maybe(strict.text))),
    "anchors": strict.maybe(strict.each(strict.maybe(strict.each(strict.text)))),
    "integrated": strict.maybe(strict.number),
    "errors": strict.maybe(strict.each(strict.number)),
    "groups": strict.maybe(strict.each(_group)),
    **dict.fromkeys(("target_name", "output", "method", "baseline", "protocol", "by"), strict.text),
    **dict.fromkeys(("f_input", "f_baseline", "seconds"), strict.number),
    **dict.fromkeys(("evaluations", "forwards"), strict.whole),
}
