"""The registry of methods: name -> builder, defaults, citation. A new method is one function in a file here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from udig_lab.methods.controls import deep_lift, random
from udig_lab.methods.counterfactual import ig2
from udig_lab.methods.cube import both_ends, owen, permutations
from udig_lab.methods.groups import idg
from udig_lab.methods.guided import guided_ig
from udig_lab.methods.important import idgi
from udig_lab.methods.lines import expected_gradients, gradient_shap, gradient_x_input, ig
from udig_lab.methods.removal import shapley_sampling, sig
from udig_lab.methods.settings import UNFORESEEN, checked
from udig_lab.methods.solution import Passes, Paths, Solution
from udig_lab.methods.surrogates import kernel_shap, lime
from udig_lab.methods.words import dig, sequential_dig, sequential_udig, udig
from udig_lab.problem import Problem

__all__ = ["METHODS", "Method", "Passes", "Paths", "Solution", "method", "registered"]


@dataclass(frozen=True)
class Method:
    """An entry of the registry.

    Attributes:
        title: its name in full.
        build: a problem and settings -> paths to follow, passes to make, or a solution.
        citation: its source.
        short: its name in tables and figures; the title where none is given.
        aliases: what published sources call it, where that is not its name here.
        baseline: which baselines ``explain`` may give it: "any"; "row", one row for all tokens. "several": it takes
            some as a setting instead; "none": it has no use for one, or finds its own.
        every: whether it explains every class in one go; otherwise one after the other.
        linear: whether the scores of a difference of two functions are the difference of their scores.
    """

    title: str
    build: Callable[..., Paths | Passes | Solution]
    citation: str
    short: str = ""
    aliases: tuple[str, ...] = ()
    baseline: Literal["any", "row", "several", "none"] = "any"
    every: bool = True
    linear: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "short", self.short or self.title)

    @property
    def uses_baseline(self) -> bool:
        """Whether its scores depend on the baseline that ``explain`` is given."""
        return self.baseline in ("any", "row")

    @property
    def defaults(self) -> dict[str, Any]:
        """Settings and their default values."""
        parameters = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def serves_all(self, settings: Mapping[str, Any]) -> bool:
        """Whether one walk serves every class, or token of an answer: not where each asks for nodes of its own."""
        return self.every and settings.get("rule") not in UNFORESEEN

    def settings(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """Defaults overlaid with what was given.

        Raises:
            TypeError: a setting this method does not have, or a value of another kind than its default.
            ValueError: a number that is not finite, or more work than can end.
        """
        unknown = given.keys() - self.defaults.keys()
        if unknown:
            has = f"it has {', '.join(self.defaults)}" if self.defaults else "it has none"
            raise TypeError(f"{name} has no setting {', '.join(sorted(unknown))}; {has}")
        return self.defaults | checked(self.defaults, given)

    def paths(self, name: str, problem: Problem, settings: dict[str, Any]) -> Paths:
        """The line integrals that the method would have evaluated.

        Raises:
            ValueError: it follows no path, always or with these settings.
        """
        built = self.build(problem, **settings)
        if not isinstance(built, Paths):
            usual = "left" if self.defaults.get("rule") == "left" else "gauss_legendre"
            hint = f'; pass rule="{usual}"' if settings.get("rule") in ("exact", *UNFORESEEN) else ""
            raise ValueError(f"{name} follows no path with these settings, so there is nothing to trace{hint}")
        return built


def method(name: str) -> Method:
    """Look a method up by name.

    >>> method("ig").title, method("ig").defaults["n_steps"]
    ('Integrated Gradients', 50)

    Raises:
        ValueError: no such method.
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]


def registered(name: str) -> str:
    """The registry's name for what a published source calls a method; a name it does not know comes back as it is.

    >>> registered("deeplift"), registered("pace")
    ('deep_lift', 'pace')
    """
    return next((own for own, entry in METHODS.items() if name in entry.aliases), name)


METHODS = {
    "gradient_x_input": Method("Gradient x input", gradient_x_input, "Shrikumar et al. 2016, arXiv 1605.01713"),
    "ig": Method("Integrated Gradients", ig, "Sundararajan, Taly & Yan 2017, arXiv 1703.01365", "IG"),
    "dig": Method("Discretized IG", dig, "Sanyal & Ren 2021, arXiv 2108.13654", "DIG", baseline="row"),
    "udig": Method("Uniform Discretized IG", udig, "Sinha Roy & Kundu 2024, arXiv 2412.03886", "UDIG", baseline="row"),
    "sig": Method("Sequential IG", sig, "Enguehard 2023, arXiv 2305.15853", "SIG"),
    "sequential_dig": Method("Sequential DIG", sequential_dig, "Enguehard 2023, arXiv 2305.15853", baseline="row"),
    "sequential_udig": Method("Sequential UDIG", sequential_udig, "this project", baseline="row"),
    "ig2": Method("IG2", ig2, "Zhuo & Ge 2024, arXiv 2406.10852", baseline="none", every=False, linear=False),
    "idg": Method(
        "Integrated Directional Gradients",
        idg,
        "Sikdar, Bhattacharya & Heese 2021, ACL, pp. 865-878",
        "IDG",
        every=False,
        linear=False,
    ),
    "idgi": Method(
        "Important Direction Gradient Integration",
        idgi,
        "Yang, Wang & Bilgic 2023, arXiv 2303.14242",
        "IDGI",
        linear=False,
    ),
    "guided_ig": Method(
        "Guided Integrated Gradients",
        guided_ig,
        "Kapishnikov et al. 2021, arXiv 2106.09788",
        "Guided IG",
        every=False,
        linear=False,
    ),
    "gradient_shap": Method("GradientSHAP", gradient_shap, "Lundberg & Lee 2017, arXiv 1705.07874"),
    "expected_gradients": Method(
        "Expected gradients", expected_gradients, "Erion et al. 2021, arXiv 1906.10670", baseline="several"
    ),
    "deep_lift": Method(
        "DeepLIFT",
        deep_lift,
        "Shrikumar, Greenside & Kundaje 2017, arXiv 1704.02685",
        aliases=("deeplift",),
        every=False,
    ),
    "both_ends": Method(
        "Both ends", both_ends, "Owen 1972; Moulin 1985; Driessen & Funaki 1991; Hiraki et al. 2026, arXiv 2603.00496"
    ),
    "owen": Method("Owen sampling", owen, "Owen 1972; Okhrati & Lipani 2021, arXiv 2010.12082"),
    "permutations": Method(
        "Permutations", permutations, "Castro, Gomez & Tejada 2009; Mitchell et al. 2022, arXiv 2104.12199"
    ),
    "shapley_sampling": Method("Shapley value sampling", shapley_sampling, "Castro, Gomez & Tejada 2009", every=False),
    "kernel_shap": Method(
        "KernelSHAP", kernel_shap, "Lundberg & Lee 2017, arXiv 1705.07874", every=False, linear=False
    ),
    "lime": Method("LIME", lime, "Ribeiro, Singh & Guestrin 2016, arXiv 1602.04938", every=False, linear=False),
    "random": Method("Random scores", random, "none: the control", baseline="none", every=False, linear=False),
}
