"""One experiment and everything its numbers depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from udig_lab.methods import method
from udig_lab.model.protocol import as_protocol

ORACLE = "oracle"
_ORACLE_DEFAULTS = {"width": 3, "shortlist": 16}
FORMAT = 2  # of the rows; raised when their columns change


@dataclass(frozen=True)
class Cell:
    """One experiment.

    Attributes:
        dataset: a data set's name.
        method: a name in ``udig_lab.methods.METHODS``, or "oracle" for ``bounds.oracle``.
        baseline: as for ``explain``; written "none" for methods that have no use for it.
        protocol: "corrected", "as_published" or "eraser".
        settings: the method's own, where they differ from its defaults.
        output: which number of the target is explained; None takes the model's first.
        profile: where model and data come from.
        architecture: of the model, for the profile "paper".
        limit: so many examples, drawn with the seed; None takes all. A larger limit contains the smaller ones.
        max_length: texts are cut at so many tokens.
        precision: of gradient passes, "float32" or "bfloat16".
        seed: of the draw.

    Raises:
        ValueError: an unknown method or protocol.
        TypeError: a setting the method does not have.
    """

    dataset: str
    method: str
    baseline: str = "mask"
    protocol: str = "corrected"
    settings: Mapping[str, Any] = field(default_factory=dict)
    output: str | None = None
    profile: str = "lab"
    architecture: str = "bert"
    limit: int | None = None
    max_length: int | None = 256
    precision: str = "float32"
    seed: int = 42

    def __post_init__(self) -> None:
        as_protocol(self.protocol)
        if self.method == ORACLE or not method(self.method).uses_baseline:
            object.__setattr__(self, "baseline", "none")
        if self.method != ORACLE:
            method(self.method).settings(self.method, dict(self.settings))
        elif unknown := self.settings.keys() - _ORACLE_DEFAULTS.keys():
            raise TypeError(f"oracle has no setting {', '.join(sorted(unknown))}; it has width, shortlist")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit={self.limit} leaves no examples; pass at least 1, or None for all")

    @property
    def all_settings(self) -> dict[str, Any]:
        """The method's defaults overlaid with ``settings``."""
        if self.method == ORACLE:
            return _ORACLE_DEFAULTS | dict(self.settings)
        return method(self.method).settings(self.method, dict(self.settings))

    @property
    def variant(self) -> str:
        """The method's name, with its strategy where it has one."""
        strategy = self.all_settings.get("strategy")
        return f"{self.method}_{strategy}" if strategy else self.method

    @property
    def name(self) -> str:
        """File name, without ending: unique within a data set and profile."""
        return "-".join([*self._stem(), self.protocol])

    @property
    def explanation(self) -> str:
        """Name of the explanations it judges; cells that judge the same ones in different ways share it."""
        return "-".join([*self._stem(), as_protocol(self.protocol).reading])

    def _stem(self) -> list[str]:
        own = [f"{k}={v}" for k, v in sorted(self.settings.items()) if k != "strategy"]
        kind = [self.output] if self.output else []
        model = [self.architecture] if self.profile == "paper" else []
        return [self.variant, *own, *kind, *model, *([] if self.baseline == "none" else [self.baseline])]

    def fingerprint(self, *parts: str, judged: bool) -> str:
        """Key of a shard: everything its rows depend on.

        Args:
            parts: fingerprints of the weights and of the shard's examples.
            judged: whether the way of judging belongs to it.
        """
        fields = {k: v for k, v in asdict(self).items() if k not in ("limit", "settings")}
        fields["settings"] = self.all_settings
        if not judged:
            fields["protocol"] = as_protocol(self.protocol).reading
        text = json.dumps([FORMAT, judged, fields, parts], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def grid(
    dataset: str,
    methods: Sequence[str],
    *,
    baselines: Sequence[str] = ("mask",),
    protocols: Sequence[str] = ("corrected",),
    strategies: Sequence[str] = ("greedy",),
    outputs: Sequence[str | None] = (None,),
    **shared: Any,
) -> list[Cell]:
    """Cells for every combination, protocols and baselines outermost, without doubles.

    Strategies concern methods that have one; baselines those that use one. ``shared`` goes to every cell.

    >>> [cell.name for cell in grid("sst2", ["ig", "random"], baselines=["pad", "mask"])]
    ['ig-pad-corrected', 'random-corrected', 'ig-mask-corrected']
    """
    cells: dict[str, Cell] = {}
    for protocol in protocols:
        for baseline in baselines:
            for output in outputs:
                for name in methods:
                    has = name != ORACLE and "strategy" in method(name).defaults
                    for strategy in strategies if has else (None,):
                        settings = dict(shared.get("settings", {})) | ({"strategy": strategy} if strategy else {})
                        cell = Cell(
                            dataset, name, baseline, protocol, output=output, **(shared | {"settings": settings})
                        )
                        cells.setdefault(cell.name, cell)
    return list(cells.values())
