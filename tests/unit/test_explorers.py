"""What the explorers show is what the package says: their numbers, made anew by the functions that readers call."""

import sys
from pathlib import Path

import explorers
import make_explorers
import pytest
import torch
from explorers import common, compare, erasure, meter, opening, path

import udig_lab as ul
from udig_lab.experiments.ledger import NONE, ledger
from udig_lab.faithfulness.bounds import oracle
from udig_lab.model.protocol import CORRECTED
from udig_lab.quadrature import segment_rule

ROOT = Path(__file__).parents[2]
TEXT = "a gorgeous , witty , seductive movie ."


@pytest.fixture(scope="module")
def lab():
    return common.Lab.load()


@pytest.fixture(scope="module")
def slopes(lab):
    """The meter's data of one sentence, for rules with up to 12 nodes."""
    counts = range(1, 13)
    needed = {
        "uniform": [torch.arange(n + 1, dtype=torch.float64) / n for n in counts],
        "midpoint": [segment_rule("midpoint", n)[0] for n in counts],
        "gauss_legendre": [segment_rule("gauss_legendre", n)[0] for n in counts],
    }
    return meter.slopes(lab.model, TEXT, "mask", needed)


@pytest.mark.parametrize("rule", meter.RULES)
@pytest.mark.parametrize("n", [2, 7, 12])
def test_meter_adds_what_the_engine_adds(lab, slopes, rule, n):
    trace = ul.trace(lab.model, TEXT, baseline="mask", rule=rule, n_steps=n)
    expected = trace.contributions.double().sum(1)
    torch.testing.assert_close(torch.tensor(meter.sums(slopes, rule, n)).double(), expected, atol=2e-4, rtol=0)
    assert slopes["end"] == pytest.approx(trace.attribution.f_input, abs=1e-4)
    assert slopes["start"] == pytest.approx(trace.attribution.f_baseline, abs=1e-4)


@pytest.mark.parametrize("replacement", erasure.REPLACEMENTS)
def test_erasure_is_comprehensiveness(lab, replacement):
    a = lab.explain(TEXT, "ig", "mask")
    (curve,) = erasure.curves(lab.model, [a], replacement).tolist()
    n = len(curve) - 1
    assert curve[0] == pytest.approx(a.probability, abs=1e-5)
    for k in (1, 3, n):
        drop = ul.metrics.comprehensiveness(lab.model, [a], top=k / n, replacement=replacement)
        assert curve[0] - curve[k] == pytest.approx(float(drop), abs=1e-5)


def test_erased_words_are_those_that_the_metrics_select(lab):
    a = lab.explain(TEXT, "udig", "mask")
    order = erasure.ranked_units(a)
    shown = [i for i, fixed in enumerate(a.special) if not fixed]
    for k in (1, 2, 5):
        chosen = ul.metrics.selected(a, k / len(order), CORRECTED)
        assert {shown[place] for place in order[:k]} == set(chosen.nonzero()[:, 0].tolist())


def test_pieces_read_as_the_text(lab):
    a = lab.explain("what a load of pretentious hooey", "random", "mask")
    pieces = erasure.spaced(a)
    assert len(pieces) > 6, "this word was to be split"
    assert "".join(pieces).strip() == "what a load of pretentious hooey"


def test_no_order_beats_the_oracle_by_much(lab):
    """The search is a beam, not a proof, so an order may win by luck; the shown curves begin and end together."""
    found = {way: lab.explain(TEXT, way, "mask") for way in ("ig", "sig")}
    p = erasure.erased(lab.model, found, [ul.explain(lab.model, TEXT, method="random", seed=1)] * 2, "delete")
    assert p["oracle"][0] == p["ig"][0]
    assert p["oracle"][-1] == pytest.approx(p["ig"][-1], abs=1e-3)
    assert p["mean"] == pytest.approx(p["low"], abs=1e-3)
    best = oracle(lab.model, [found["ig"]], tops=[1 / (len(p["ig"]) - 1)])
    assert p["oracle"][1] == pytest.approx(p["oracle"][0] - float(best), abs=1e-3)
    assert all(p["oracle"][1] <= p[way][1] + 1e-4 for way in found)


def test_comparison_holds_the_scores(lab):
    sentence = {"by": {}}
    a = lab.explain(TEXT, "udig", "mask")
    compare.enter(sentence, "mask", "udig", a)
    assert sentence["words"] == [word for word, _ in a.words()]
    assert sentence["by"]["mask"]["scores"]["udig"] == pytest.approx([s for _, s in a.words()], abs=1e-3)
    assert sentence["by"]["mask"]["change"] == pytest.approx(a.f_input - a.f_baseline, abs=1e-4)


def test_paths_are_those_of_the_package(lab, monkeypatch):
    monkeypatch.setattr(path, "WORDS", ("witty", "dull"))
    monkeypatch.setattr(path, "ANCHORS", 5)
    monkeypatch.setattr(path, "PATHS", {"ig": "IG", "udig": "UDIG"})
    plane = path.build(lab)["planes"]["witty"]["mask"]
    trace = ul.trace(lab.model, "witty dull", method="udig", baseline="mask", n_steps=5, factor=0, rule="trapezoid")
    token = trace.attribution.tokens.index("witty")
    udig, straight = plane["paths"]["udig"], plane["paths"]["ig"]
    assert udig["anchors"] == list(reversed(trace.attribution.anchors[token][1:]))
    assert udig["nearest"][-1] == "witty"
    assert udig["away"][-1] == 0
    table = lab.model.table
    rows = lab.model.tokenizer.convert_tokens_to_ids(udig["anchors"])
    points = trace.integral.points[:, token]
    span = (points[-1] - points[0]).norm()
    bent = (points[1:-1] - table[rows]).norm(dim=1) / span
    assert udig["bent"] == pytest.approx(bent.tolist(), abs=1e-3)
    pieces = points.diff(dim=0).norm(dim=1) / span
    assert udig["longest"] == pytest.approx(float(pieces.max()), abs=1e-3)
    # A projection shortens; the straight line stays straight in it, evenly divided, and lies level.
    steps = torch.tensor(straight["points"]).diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand(6, 2), atol=3e-4, rtol=0)
    assert 0 < steps[0, 0] <= 1 / 6 + 1e-4
    assert abs(steps[0, 1]) < 1e-4
    assert 0 < sum(plane["variance"]) <= 1


def test_table_counts_corners():
    one = {
        "nearest": ["[MASK]", "[MASK]", "x", "witty"],
        "longest": 0.5,
        "anchors": ["a", "b"],
        "kinds": ["word", "piece"],
    }
    table = path.path_table({"paths": dict.fromkeys(path.PATHS, one)}, "witty", "[MASK]")
    assert table["rows"][0] == ["IG", "b, a", "1 of 2", "50 %", "2", "1", "1"]
    assert {len(row) for row in table["rows"]} == {len(table["head"])}


def test_files_are_written_whole(tmp_path, monkeypatch):
    made = {"one": lambda lab: {"text": lab}}
    monkeypatch.setattr(make_explorers, "EXPLORERS", made)
    monkeypatch.setattr(common.Lab, "load", staticmethod(lambda: "é"))
    monkeypatch.setattr(sys, "argv", ["make_explorers.py", "--root", str(tmp_path)])
    assert make_explorers.main() == 0
    folder = tmp_path / "_build" / "explorers"
    assert (folder / "one.json").read_text(encoding="utf8") == '{"text":"é"}\n'
    made["one"] = lambda lab: {"text": float("nan")}
    with pytest.raises(ValueError, match="JSON"):
        make_explorers.main()
    assert [path.name for path in folder.iterdir()] == ["one.json"]
    assert (folder / "one.json").read_text(encoding="utf8") == '{"text":"é"}\n'


SHARED = {"common", "answer", "share"}  # modules that explorers import


def test_every_explorer_has_a_script_that_draws_it():
    drawn = {path.stem for path in (ROOT / "book" / "_static" / "explorers").glob("*.js")} - SHARED
    assert set(explorers.EXPLORERS) - {"opening"} == drawn  # nothing moves on the front page
    assert {path.stem for path in (ROOT / "scripts" / "explorers").glob("*.py")} == drawn | {
        "common",
        "opening",
        "__init__",
    }


def test_the_front_page_shows_what_the_package_says(lab, monkeypatch):
    made = opening.build(lab)
    assert set(made["scores"]) == {"IG", "UDIG", "SIG"}
    signs = {score > 0 for score in made["scores"].values()}
    assert signs == {True, False}, "the methods disagree on the sign of the word"
    for name, method in (("IG", "ig"), ("SIG", "sig")):
        words = dict(ul.explain(lab.model, made["sentence"], method=method).words())
        assert made["scores"][name] == pytest.approx(words[made["word"]], abs=0.01)
    entries = ledger()
    assert made["ledger"]["published"] == len(entries)
    assert made["ledger"]["compared"] == (entries.verdict != NONE).sum()
    monkeypatch.setattr(opening, "METHODS", ("ig", "ig"))
    with pytest.raises(ValueError, match="take another sentence"):
        opening.build(lab)
