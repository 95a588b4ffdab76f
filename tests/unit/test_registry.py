"""The registry says of every method what others ask of it: names, sources, which baselines it takes."""

import pytest
from conftest import QUICK

import udig_lab as ul
from udig_lab.experiments import Cell
from udig_lab.experiments.ledger import published
from udig_lab.methods import METHODS, Method, registered

ELSEWHERE = {"enhanced_ig", "geodesic_ig", "pace"}  # published methods that are not part of this project


def test_a_method_without_a_short_name_goes_by_its_title():
    assert (METHODS["udig"].title, METHODS["udig"].short) == ("Uniform Discretized IG", "UDIG")
    assert METHODS["deep_lift"].short == METHODS["deep_lift"].title == "DeepLIFT"


def test_names_are_told_apart():
    called = [name for entry in METHODS.values() for name in {entry.title, entry.short}]
    assert len(called) == len(set(called))
    aliases = [alias for entry in METHODS.values() for alias in entry.aliases]
    assert not set(aliases) & METHODS.keys()
    assert len(aliases) == len(set(aliases))


def test_an_alias_is_found_in_what_was_registered_later(monkeypatch):
    assert registered("detour") == "detour"
    monkeypatch.setitem(METHODS, "bend", Method("Bend", METHODS["ig"].build, "none", aliases=("detour",)))
    assert registered("detour") == "bend"
    assert registered("bend") == "bend"


def test_every_published_method_is_known_or_named_as_foreign():
    names = {name.removesuffix("_greedy").removesuffix("_maxcount") for name in published()["method"]}
    assert {registered(name) for name in names} - METHODS.keys() == ELSEWHERE


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_the_baselines_that_the_registry_says(lab, name):
    def scores(baseline):
        return ul.explain(lab, "quite dull", method=name, baseline=baseline, **QUICK[name]).scores

    entry = METHODS[name]
    assert (scores("mask") != scores("zero")) == entry.uses_baseline
    each = lab.table[200:204]  # (L, D), a row for every token
    if entry.baseline == "row":
        with pytest.raises(ValueError, match="need one baseline row for all tokens"):
            scores(each)
    else:
        assert (scores(each) != scores("mask")) == (entry.baseline == "any")
    assert ("baselines" in entry.defaults) == (entry.baseline == "several")


def test_a_recorded_run_names_a_baseline_only_where_its_numbers_depend_on_it():
    for name, entry in METHODS.items():
        assert Cell("sst2", name, baseline="pad").baseline == ("pad" if entry.uses_baseline else "none")
    assert Cell("sst2", "oracle", baseline="pad").baseline == "none"
