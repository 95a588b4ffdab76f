"""The ways of running an experiment that must not be mixed: as published, and corrected."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """What the published code does differently from what the papers describe.

    Attributes:
        name: "corrected" or "as_published".
        embed_twice: send word embeddings through the model's embedding block (positions, types,
            LayerNorm) before handing them to the model, which then applies that block again.
        moving_target: explain the largest logit of every point instead of one fixed class.
        special_tokens_compete: [CLS] and [SEP] count in the length, can be selected by the metrics
            and are then removed like words.
    """

    name: str
    embed_twice: bool
    moving_target: bool
    special_tokens_compete: bool


CORRECTED = Protocol("corrected", embed_twice=False, moving_target=False, special_tokens_compete=False)
AS_PUBLISHED = Protocol("as_published", embed_twice=True, moving_target=True, special_tokens_compete=True)

_PROTOCOLS = {p.name: p for p in (CORRECTED, AS_PUBLISHED)}


def protocol(name: str | Protocol) -> Protocol:
    """Look a protocol up by name.

    Raises:
        ValueError: no such protocol.
    """
    if isinstance(name, Protocol):
        return name
    if name not in _PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}; choose one of {', '.join(_PROTOCOLS)}")
    return _PROTOCOLS[name]
