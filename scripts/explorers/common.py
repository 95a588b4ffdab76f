"""What the explorers share: the model, the texts, the methods under the names that readers see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import udig_lab as ul
from udig_lab.attribution import Attribution
from udig_lab.methods import METHODS
from udig_lab.model.textmodel import TextModel

Json = dict[str, Any]
BASELINES = ("mask", "pad")


@dataclass(frozen=True)
class Way:
    """A method with its settings, and what they add to its name."""

    method: str
    settings: Json
    remark: str = ""

    @property
    def title(self) -> str:
        """The name that a reader sees."""
        return METHODS[self.method].short.replace(" x ", " × ") + self.remark  # pages have the sign


WAYS = {name: Way(name, {}) for name in ("gradient_x_input", "ig", "dig", "udig", "sig", "random")}
WAYS["udig_words"] = Way("udig", {"candidates": "words"}, ", words only")


@dataclass(frozen=True)
class Lab:
    """The shipped model and the written corpora."""

    model: TextModel
    rows: dict[str, Json]

    @classmethod
    def load(cls) -> Lab:
        """From the package's assets."""
        rows: dict[str, Json] = {}
        for corpus in ("sst2", "rotten_tomatoes"):
            frame = ul.data.examples(corpus)
            rows |= {row["id"]: row | {"corpus": corpus} for row in frame.to_dict("records")}
        return cls(ul.load("sst2"), rows)

    def explain(self, text: str, way: str, baseline: str) -> Attribution:
        """One explanation by one of ``WAYS``."""
        chosen = WAYS[way]
        return ul.explain(self.model, text, method=chosen.method, baseline=baseline, **chosen.settings)


def rounded(values: Iterable[float], digits: int = 4) -> list[float]:
    """Short enough for a page, and no -0.0."""
    return [round(v, digits) + 0.0 for v in values]
