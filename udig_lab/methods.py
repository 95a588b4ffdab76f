"""The registry of methods: name -> path builder, defaults, citation. A new method is one function here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from udig_lab.baseline import Baseline
from udig_lab.inputs import Encoding
from udig_lab.paths import BASELINE_ANCHOR, AnchorSearch, LineIntegral, polyline, straight
from udig_lab.target import TextModel


@dataclass(frozen=True)
class Explicands:
    """What a method needs to build its paths."""

    model: TextModel
    encodings: Sequence[Encoding]
    baseline: Baseline

    def ends(self, i: int) -> tuple[Tensor, Tensor]:
        """Explicand x (L, D) and baseline x' (L, D) of text i."""
        table = self.model.table
        encoding = self.encodings[i]
        return table[encoding.input_ids.to(table.device)], self.baseline.embeddings(encoding, table)


@dataclass(frozen=True)
class Paths:
    """The line integral of every text, and for paths through words the anchors of its tokens."""

    integral: Callable[[int], LineIntegral]
    anchors: Callable[[int], tuple[tuple[str, ...] | None, ...]] | None = None


def ig(explicands: Explicands, *, n_steps: int = 50, rule: str = "gauss_legendre") -> Paths:
    """Integrated Gradients: the straight line from the baseline to the input.

    Args:
        explicands: texts and baseline.
        n_steps: nodes of the quadrature rule.
        rule: "gauss_legendre", "left", "right", "midpoint" or "trapezoid".

    Source: Sundararajan, Taly & Yan, ICML 2017, eq. 1. The defaults are those of the runs in Enguehard, Findings of
    ACL 2023.
    """
    return Paths(lambda i: straight(*explicands.ends(i), n_steps=n_steps, rule=rule))


def udig(
    explicands: Explicands,
    *,
    n_steps: int = 30,
    n_neighbors: int = 50,
    factor: int = 1,
    strategy: str = "greedy",
    rule: str = "left",
    candidates: str = "all",
) -> Paths:
    """Uniform Discretized IG: through words near evenly spaced points of the straight line, made monotone.

    Args:
        explicands: texts and baseline (one row for all tokens).
        n_steps: m, interpolation points and so anchors per token.
        n_neighbors: candidate words per interpolation point.
        factor: f, how often every piece of the path is halved; 2^f (m + 1) + 1 points in all.
        strategy: "greedy" or "maxcount".
        rule: "left" as published, "right", "midpoint" or "trapezoid".
        candidates: "all" rows of the table, or "words".

    Source: Sinha Roy & Kundu, arXiv 2412.03886; settings of its recorded DistilBERT run.
    """
    baseline, vocabulary = explicands.baseline, explicands.model.vocabulary
    if baseline.value.ndim != 1:
        raise ValueError("udig needs one baseline row for all tokens; pass a token, a name or a (D,) tensor")
    settings = (n_steps, n_neighbors, strategy, candidates)
    key = ("udig", *settings, baseline.row if baseline.row is not None else tuple(baseline.value.tolist()))
    search = vocabulary.searches.get(key)
    if not isinstance(search, AnchorSearch):
        search = AnchorSearch(vocabulary, baseline.value, baseline.row, *settings)
        vocabulary.searches[key] = search
    words = [e.input_ids[~e.special].to(vocabulary.table.device) for e in explicands.encodings]
    search.anchors(torch.cat(words))  # all unknown words of all texts in one go

    def integral(i: int) -> LineIntegral:
        explicand, _ = explicands.ends(i)
        moving = ~explicands.encodings[i].special.to(explicand.device)
        paths = search.vertices(words[i], factor)  # (P, words, D)
        vertices = explicand.expand(len(paths), -1, -1).clone()  # special tokens stand still
        vertices[:, moving] = paths
        return polyline(vertices, rule=rule)

    def anchors(i: int) -> tuple[tuple[str, ...] | None, ...]:
        rows = iter(search.anchors(words[i]).tolist())
        return tuple(
            None if fixed else tuple(_name(vocabulary.name, baseline, row) for row in next(rows))
            for fixed in explicands.encodings[i].special.tolist()
        )

    return Paths(integral, anchors)


def _name(name: Callable[[int], str], baseline: Baseline, row: int) -> str:
    return f"<{baseline.name}>" if row == BASELINE_ANCHOR else name(row)


@dataclass(frozen=True)
class Method:
    """An entry of the registry."""

    title: str
    build: Callable[..., Paths]
    citation: str

    @property
    def defaults(self) -> dict[str, Any]:
        """Settings and their default values."""
        parameters = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def settings(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """Defaults overlaid with what was given.

        Raises:
            TypeError: a setting this method does not have.
        """
        unknown = given.keys() - self.defaults.keys()
        if unknown:
            raise TypeError(f"{name} has no setting {', '.join(sorted(unknown))}; it has {', '.join(self.defaults)}")
        return self.defaults | given


METHODS = {
    "ig": Method("Integrated Gradients", ig, "Sundararajan, Taly & Yan 2017, arXiv 1703.01365"),
    "udig": Method("Uniform Discretized IG", udig, "Sinha Roy & Kundu 2024, arXiv 2412.03886"),
}
