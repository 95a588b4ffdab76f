"""Parity with the published implementations."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import GOLDEN

import udig_lab as ul
from udig_lab.attribution import Attribution
from udig_lab.methods.anchors import udig_anchors
from udig_lab.methods.walk import DigSearch
from udig_lab.model.protocol import PROTOCOLS
from udig_lab.paths import monotone, upscale

DIG_CASES, UDIG_CASES = range(16), range(16, 32)
SPECIAL = [0, 1, 2, 3]


def load(name):
    return json.loads((GOLDEN / name).read_text())


def dig_search(vocabulary, row, case):
    """DIG's search with the settings of a golden case."""
    return DigSearch(
        vocabulary, vocabulary.table[row], row, case["steps"], case["neighbours"], case["strategy"], "all"
    )


def assert_same_path(path, expected):
    assert path.shape == expected.shape
    assert (path - expected).abs().max() < 1e-6


@pytest.mark.parametrize("number", UDIG_CASES)
def test_udig_anchors_and_paths_are_the_published_ones(number, golden_paths, vocabulary):
    arrays, special, cases = golden_paths
    case = cases[number]
    assert case["method"] == "udig"
    ids = torch.tensor(arrays["input_ids"])
    fixed = (ids == special["cls"]) | (ids == special["sep"])
    ends = torch.where(fixed, ids, torch.tensor(special[case["baseline"]]))
    baseline = vocabulary.table[ends]
    anchors = udig_anchors(
        vocabulary,
        ids,
        baseline,
        baseline_ids=ends,
        n_steps=case["steps"],
        n_neighbors=case["neighbours"],
        strategy=case["strategy"],
    )
    assert torch.equal(anchors, torch.tensor(arrays[f"anchors_{number}"]))
    path = upscale(monotone(vocabulary.table[anchors], baseline), case["factor"]).transpose(0, 1)
    expected = torch.tensor(arrays[f"path_{number}"])
    assert_same_path(path, expected)


@pytest.mark.parametrize("number", DIG_CASES)
def test_dig_anchors_and_paths_are_the_published_ones(number, golden_paths, vocabulary):
    arrays, special, cases = golden_paths
    case = cases[number]
    assert case["method"] == "dig"
    ids = torch.tensor(arrays["input_ids"])
    moving = (ids != special["cls"]) & (ids != special["sep"])
    row = special[case["baseline"]]
    search = dig_search(vocabulary, row, case)
    assert torch.equal(search.anchors(ids[moving]), torch.tensor(arrays[f"anchors_{number}"])[moving])
    path = search.vertices(ids[moving], case["factor"])
    expected = torch.tensor(arrays[f"path_{number}"])[:, moving]
    assert_same_path(path, expected)


@pytest.mark.parametrize("number", [0, 3, 9, 14])
def test_dig_equals_time_interpret(number, golden_paths, vocabulary):
    """Where that package is installed: `make bench` does it."""
    generator = pytest.importorskip("tint.attr.models.path_generator")
    neighbors = pytest.importorskip("sklearn.neighbors")
    arrays, special, cases = golden_paths
    case, ids, row = cases[number], arrays["input_ids"], special[cases[number]["baseline"]]
    graph = neighbors.kneighbors_graph(arrays["table"], case["neighbours"], mode="distance")
    names = {"[CLS]": special["cls"], "[SEP]": special["sep"]}
    words = [int(i) for i in ids if i not in names.values()]
    path = generator.scale_inputs(
        words,
        [row] * len(words),
        "cpu",
        (names, arrays["table"], graph),
        steps=case["steps"],
        factor=case["factor"],
        strategy=case["strategy"],
    )
    search = dig_search(vocabulary, row, case)
    torch.testing.assert_close(search.vertices(torch.tensor(words), case["factor"]), path.detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("protocol", ["as_published", "corrected"])
@pytest.mark.parametrize("case", load("attributions.json"), ids=lambda c: f"{c['method']}-{c['strategy']}")
def test_attributions_of_paths_through_words(case, protocol, tiny):
    found = ul.explain(
        tiny,
        input_ids=case["input_ids"],
        special_ids=SPECIAL,
        baseline=SPECIAL[3],
        method=case["method"],
        protocol=replace(PROTOCOLS[protocol], special_tokens_compete=True),  # the reference's search knows no others
        n_steps=case["steps"],
        n_neighbors=case["neighbours"],
        factor=case["factor"],
        strategy=case["strategy"],
    )
    expected = case[protocol]
    torch.testing.assert_close(
        torch.tensor(found.scores), torch.tensor(expected["scores"]), atol=1e-5, rtol=0, check_dtype=False
    )
    assert found.delta == pytest.approx(expected["delta"], abs=1e-5)


def judged(case):
    """An attribution with the scores of a golden case."""
    n = len(case["input_ids"])
    return Attribution(
        tokens=("x",) * n,
        pieces=("x",) * n,
        input_ids=tuple(case["input_ids"]),
        word_ids=tuple(range(n)),
        scores=tuple(case["scores"]),
        special=tuple(i in SPECIAL for i in case["input_ids"]),
        target=case["predicted"],
        target_name="",
        output="logit",
        probability=0.0,
        f_input=0.0,
        f_baseline=0.0,
        method="golden",
        baseline="",
    )


@pytest.mark.parametrize("name", ["log_odds", "comprehensiveness", "sufficiency"])
@pytest.mark.parametrize("replacement", ["pad", "mask"])
def test_metrics_as_published(name, replacement, tiny):
    cases = [c for c in load("metrics.json") if c["replacement"] == replacement]
    keywords = {"replacement": SPECIAL[0 if replacement == "pad" else 3]} if name == "log_odds" else {}
    found = getattr(ul.metrics, name)(tiny, [judged(c) for c in cases], protocol="as_published", **keywords)
    assert len(cases) == 12
    torch.testing.assert_close(found, torch.tensor([c[name] for c in cases]), atol=1e-5, rtol=0)
