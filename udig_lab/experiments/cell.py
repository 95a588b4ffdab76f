"""One experiment and everything its numbers depend on."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from urllib.parse import quote

import numpy as np

from udig_lab.experiments.shelf import OWN, WITH_DATA, as_given, called, dataset_of
from udig_lab.methods import method
from udig_lab.model.load import DATASETS, PROFILES, require_masked
from udig_lab.model.precision import PRECISIONS
from udig_lab.model.protocol import as_protocol
from udig_lab.model.target import OUTPUTS

ORACLE = "oracle"
_ORACLE_DEFAULTS = {"width": 3, "shortlist": 16}
# Of records; raised when their columns or what their key holds change. Up to 2, cards say nothing of the code that
# made the rows, and keys nothing of labels and answers.
FORMAT = 3
WITHOUT_CODE = 2
# Settings that came when rows were recorded: while they have their default, all is as it was without them.
_LATER = {(name, setting) for name in ("dig", "udig") for setting in ("max_evaluations", "tolerance")}
_FIRST_OUTPUTS = {"squad": OUTPUTS["span"][0]}  # named in records: those of its other outputs stand next to them
_LONGEST = 150  # characters of a name: file systems allow 255 bytes, endings included


@dataclass(frozen=True)
class Cell:
    """One experiment.

    Attributes:
        dataset: a data set's name; of a file, its name without the ending.
        method: a name in ``udig_lab.methods.METHODS``, or "oracle" for ``bounds.oracle``.
        baseline: as for ``explain``; written "none" for methods that have no use for it.
        protocol: "corrected", "as_published" or "eraser".
        settings: the method's own, where they differ from its defaults.
        output: which number of the target is explained; None takes the model's first, which for SQuAD is "joint".
        profile: where model and data come from.
        architecture: of the model, for the profile "paper".
        limit: so many examples, drawn with the seed; None takes all. A larger limit contains the smaller ones.
        max_length: texts are cut at so many tokens; None cuts none.
        precision: of gradient passes, "float32" or "bfloat16".
        seed: of the draw.
        model: one of the reader's own: a folder, a name on the hub, or a data set's name for its lab model. None takes
            the data set's under the profile.
        data: a file of the reader's own for the model (``own_data.own_examples``). None takes the data set.

    Raises:
        ValueError: an unknown name, or a number that makes no sense.
        TypeError: a setting the method does not have, or one that is no plain value.
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
    model: str | None = None
    data: str | None = None

    def __post_init__(self) -> None:
        as_protocol(self.protocol)
        self._check_own()
        known: dict[str, tuple[str, tuple[str, ...]]] = {"precision": (self.precision, PRECISIONS)}
        if self.data is None:
            known |= {"data set": (self.dataset, DATASETS), "profile": (self.profile, PROFILES)}
        for kind, (name, names) in known.items():
            if name not in names:
                raise ValueError(f"unknown {kind} {name!r}; choose one of {', '.join(names)}")
        if self.profile == "masked":
            require_masked(self.dataset)
        if self.output is None and self.data is None:
            object.__setattr__(self, "output", _FIRST_OUTPUTS.get(self.dataset))
        if self.method == ORACLE or not method(self.method).uses_baseline:
            object.__setattr__(self, "baseline", "none")
        object.__setattr__(self, "settings", {name: _plain(name, value) for name, value in self.settings.items()})
        if self.method != ORACLE:
            method(self.method).settings(self.method, dict(self.settings))
        elif unknown := self.settings.keys() - _ORACLE_DEFAULTS.keys():
            raise TypeError(f"oracle has no setting {', '.join(sorted(unknown))}; it has width, shortlist")
        self._check_number("limit", 1, "leaves no examples", ", or None for all")
        self._check_number("max_length", 1, "leaves no tokens", ", or None to cut none")
        self._check_number("seed", 0, "is no seed", "")

    def _check_own(self) -> None:
        if self.model is None:
            if self.data is not None:
                raise ValueError(
                    f"the file {os.fspath(self.data)} needs a model that it is for; name a folder, one on the hub "
                    "(organisation/model), or a data set for its lab model"
                )
            return
        if not isinstance(self.model, (str, os.PathLike)) or not os.fspath(self.model):
            raise TypeError(f"model is {self.model!r}; name a folder, or a model on the hub (organisation/model)")
        object.__setattr__(self, "model", as_given(self.model))
        if self.data is None:
            if self.profile in PROFILES and self.profile not in WITH_DATA:
                raise ValueError(
                    f"profile {self.profile!r} has models of its own, and {self.model} is another; record it with "
                    f"profile {' or '.join(map(repr, WITH_DATA))}"
                )
            return
        object.__setattr__(self, "data", os.fspath(self.data))
        if self.dataset != (stem := dataset_of(self.data)):
            raise ValueError(f"{self.data} is recorded under its own name, not as {self.dataset!r}; pass {stem!r}")
        if self.profile not in (OWN, _DEFAULTS["profile"]):
            raise ValueError(f"profile {self.profile!r} has data of its own, and {self.data} is a file; leave one out")
        object.__setattr__(self, "profile", OWN)

    def _check_number(self, name: str, least: int, why: str, otherwise: str) -> None:
        value = _plain(name, getattr(self, name))
        if not (value is None and otherwise) and (type(value) is not int or value < least):
            raise ValueError(f"{name}={value!r} {why}; pass at least {least}{otherwise}")
        object.__setattr__(self, name, value)

    @property
    def _defaults(self) -> dict[str, Any]:
        return _ORACLE_DEFAULTS if self.method == ORACLE else method(self.method).defaults

    @property
    def all_settings(self) -> dict[str, Any]:
        """The method's defaults overlaid with ``settings``."""
        return self._defaults | dict(self.settings)

    @property
    def place(self) -> str:
        """The folder of its record inside the data set's: the profile's, or that of all models of the reader's own."""
        return self.profile if self.model is None else OWN

    @property
    def fields(self) -> dict[str, Any]:
        """What it says of itself, as cards hold it."""
        own = ("model", "data")
        return {name: value for name, value in asdict(self).items() if name not in own or value is not None}

    @property
    def variant(self) -> str:
        """The method's name, with its strategy where it has one."""
        strategy = self.all_settings.get("strategy")
        return f"{self.method}_{strategy}" if strategy else self.method

    @property
    def name(self) -> str:
        """File name, without ending: unique within a data set and profile, and safe whatever the settings hold.

        Everything that is not the default is in it, except for the number of examples.

        >>> Cell("sst2", "ig", settings={"n_steps": 10}, max_length=128, precision="bfloat16").name
        'ig-n_steps=10-max_length=128-bfloat16-mask-corrected'
        >>> Cell("sst2", "ig", "../x").name
        'ig-..%2Fx-corrected'
        >>> Cell("reviews", "ig", model="organisation/model", data="reviews.parquet").name
        'ig-organisation%2Fmodel-mask-corrected'
        """
        return _short([*self._stem(), as_protocol(self.protocol).name])

    @property
    def explanation(self) -> str:
        """Name of the explanations it judges; cells that judge the same ones in different ways share it."""
        return _short([*self._stem(), as_protocol(self.protocol).reading])

    def _stem(self) -> list[str]:
        own = {name: value for name, value in sorted(self.settings.items()) if name != "strategy"}
        own = {name: value for name, value in own.items() if _text(value) != _text(self._defaults[name])}
        own |= {"max_length": self.max_length} if self.max_length != _DEFAULTS["max_length"] else {}
        own |= {"draw": self.seed} if self.seed != _DEFAULTS["seed"] else {}  # methods have a seed of their own
        said = [f"{_safe(name)}={_safe(value)}" for name, value in own.items()]
        said += [_safe(value) for value in (self.precision,) if value != _DEFAULTS["precision"]]
        said += [_safe(self.output)] if self.output else []
        said += [_safe(self.architecture)] if self.profile == "paper" else []
        if self.model is not None:
            said += ["mini"] if self.profile == "mini" else []
            said += [_safe(called(self.model)).replace("=", "%3D")]  # a name with "=" has other settings
        return [_safe(self.variant), *said, *([] if self.baseline == "none" else [_safe(self.baseline)])]

    @property
    def command(self) -> str:
        """The command that records it, without its folder.

        >>> Cell("sst2", "ig", settings={"n_steps": 10}, limit=4).command
        'udig-lab run --dataset sst2 --profile lab --methods ig --set n_steps=10 --limit 4'
        """
        said = {} if self.model is None else {"model": self.model}
        said |= {"dataset": self.dataset, "profile": self.profile} if self.data is None else {"data": self.data}
        said |= {"methods": self.method}
        strategy = self.settings.get("strategy")
        said |= {"strategies": strategy} if strategy not in (None, "greedy") else {}
        said |= {"baselines": self.baseline} if self.baseline not in ("none", _DEFAULTS["baseline"]) else {}
        said |= {"protocols": self.protocol} if self.protocol != _DEFAULTS["protocol"] else {}
        said |= {"outputs": self.output} if self.output else {}
        words = [word for name, value in said.items() for word in (f"--{name}", value)]
        for name, value in sorted(self.settings.items()):
            words += ["--set", f"{name}={value}"] if name != "strategy" else []
        for name in ("architecture", "precision", "max_length", "seed", "limit"):
            if (value := getattr(self, name)) != _DEFAULTS[name]:
                words += [f"--{name.replace('_', '-')}", "none" if value is None else str(value)]
        return shlex.join(["udig-lab", "run", *words])

    def fingerprint(self, *parts: str, judged: bool, form: int = FORMAT) -> str:
        """Key of a shard: everything its rows depend on, but for the code that makes them.

        Args:
            parts: fingerprints of the weights and of the shard's examples.
            judged: whether the way of judging belongs to it.
            form: the format of the record that the key is compared with.
        """
        # A model and a file of the reader's own may move: what they hold is among the parts.
        depends = {k: v for k, v in asdict(self).items() if k not in ("limit", "settings", "model", "data")}
        settings, defaults = self.all_settings, self._defaults
        later = {name for name in settings if (self.method, name) in _LATER and settings[name] == defaults[name]}
        depends["settings"] = {name: value for name, value in settings.items() if name not in later}
        if not judged:
            depends["protocol"] = as_protocol(self.protocol).reading
        text = json.dumps([form, judged, depends, parts], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


_DEFAULTS = {field.name: field.default for field in fields(Cell)}


def _plain(name: str, value: Any) -> Any:
    """A setting as it can be written down: numbers of other libraries as Python's, no arrays and no objects.

    Raises:
        TypeError: a tensor, say, of which the text in a key would leave out the middle.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return type(value)([_plain(name, item) for item in value])
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(
        f"{name} is a {type(value).__name__}, which a record cannot hold; pass a number, a text, or a list of them"
    )


def _text(value: Any) -> str:
    return json.dumps(value, default=str)


def _safe(value: Any) -> str:
    """A part of a file name; the hyphen, which parts names, is written as other unsafe characters are."""
    return quote(str(value), safe="=,()' ", errors="surrogatepass").replace("-", "%2D")


def _short(parts: Sequence[str]) -> str:
    """Parts of a name together; where that is too long for a file system, its beginning and a fingerprint of it."""
    name = "-".join(parts)
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 13]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"


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
