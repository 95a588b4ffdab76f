"""The examples of the docstrings, which the book's API reference shows, give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import udig_lab

MODULES = sorted(m.name for m in pkgutil.walk_packages(udig_lab.__path__, "udig_lab.") if not m.ispkg)
MODULES += ["udig_lab", *(m.name for m in pkgutil.iter_modules(udig_lab.__path__, "udig_lab.") if m.ispkg)]
# What a reader meets first has an example.
SHOWN = (
    *("model.load.load", "explainer.explain", "calls.tracing.Trace", "attribution.Attribution", "plots.compare"),
    *("methods.method", "paths.straight", "paths.polyline", "paths.segments", "paths.monotone", "paths.upscale"),
    *("quadrature.segment_rule", "quadrature.polyline_rule", "engine.integrate", "model.vocabulary.Vocabulary"),
    *(f"faithfulness.{name}" for name in ("metrics.evaluate", "metrics.comprehensiveness", "bounds.oracle")),
    *(f"faithfulness.{name}" for name in ("wae.word_approximation_error", "sanity.rank_correlation")),
    *(f"faithfulness.statistics.{name}" for name in ("interval", "paired")),
    *(f"experiments.{name}" for name in ("tables.summary", "tables.against", "cell.grid", "ledger.published")),
    *("data.examples", "methods.trees.spans", "exercises.attempt", "cli.main"),
)


def examples(name):
    """Docstrings of a module that hold examples."""
    return [test for test in doctest.DocTestFinder().find(importlib.import_module(name)) if test.examples]


@pytest.mark.parametrize("name", [name for name in MODULES if examples(name)])
def test_examples_give_what_they_say(name):
    told = []
    runner = doctest.DocTestRunner(verbose=False)
    for test in examples(name):
        runner.run(test, out=told.append)
    assert not runner.failures, "".join(told)


def test_main_names_have_an_example():
    have = {test.name.removeprefix("udig_lab.") for name in MODULES for test in examples(name)}
    assert set(SHOWN) <= have
