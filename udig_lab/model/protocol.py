"""The ways of running an experiment that must not be mixed: corrected, as published, and ERASER's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """Where ways of judging scores, and of reading the model, differ.

    Attributes:
        name: "corrected", "as_published" or "eraser".
        embed_twice: send word embeddings through the model's embedding block (positions, types,
            LayerNorm) before handing them to the model, which then applies that block again.
        moving_target: explain the largest logit of every point instead of one fixed class.
        special_tokens_compete: [CLS] and [SEP] count in the length, can be selected by the metrics
            and are then removed like words.
        whole_words: words are removed and kept whole, with the sum of their pieces' scores; otherwise each token of
            the tokenizer stands for itself.
        rounding: how a share of the units becomes a whole number of them: "down" (which can be none), "nearest" or
            "up" (both at least one).
        shares: of the units, over which the area over the perturbation curve is a mean.
    """

    name: str
    embed_twice: bool
    moving_target: bool
    special_tokens_compete: bool
    whole_words: bool
    rounding: str
    shares: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5)

    @property
    def reading(self) -> str:
        """The protocol whose explanations are the same: ERASER judges words, but explains like "corrected"."""
        return AS_PUBLISHED.name if self.embed_twice else CORRECTED.name


CORRECTED = Protocol(
    "corrected",
    embed_twice=False,
    moving_target=False,
    special_tokens_compete=False,
    whole_words=False,
    rounding="nearest",
)
AS_PUBLISHED = Protocol(
    "as_published",
    embed_twice=True,
    moving_target=True,
    special_tokens_compete=True,
    whole_words=False,
    rounding="down",
)
# DeYoung et al. 2020: documents are lists of words, scores are judged in bins of 1, 5, 10, 20 and 50 % of them. Their
# code (rationale_benchmark/metrics.py, _instances_aopc) takes the plain mean over these five: k = 0 does not count. A
# mean that counted it would be 5/6 as large for comprehensiveness, where nothing is lost by erasing nothing.
ERASER = Protocol(
    "eraser",
    embed_twice=False,
    moving_target=False,
    special_tokens_compete=False,
    whole_words=True,
    rounding="up",
    shares=(0.01, 0.05, 0.1, 0.2, 0.5),
)

PROTOCOLS = {p.name: p for p in (CORRECTED, AS_PUBLISHED, ERASER)}


def as_protocol(name: str | Protocol) -> Protocol:
    """A protocol, or the one of that name.

    >>> as_protocol("as_published").moving_target, as_protocol("eraser").reading
    (True, 'corrected')

    Raises:
        ValueError: no such protocol.
    """
    if isinstance(name, Protocol):
        return name
    if name not in PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
