"""What the page of explorers says it saw, held against the numbers that it shows."""

import json
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest


@pytest.fixture(scope="module")
def data(html: Path) -> dict:
    """The explorers' files, by name."""
    folder = html / "_static" / "explorers" / "data"
    return {file.stem: json.loads(file.read_text(encoding="utf8")) for file in folder.glob("*.json")}


@pytest.fixture(scope="module")
def paths(data: dict) -> list[tuple[str, str, str, dict]]:
    """(word, baseline, method, path) of all that the path explorer shows."""
    return [
        (word, f"[{baseline.upper()}]", method, path)
        for word, planes in data["path"]["planes"].items()
        for baseline, plane in planes.items()
        for method, path in plane["paths"].items()
    ]


def test_published_anchors_are_hardly_ever_words(paths: list):
    for word, _, method, path in paths:
        if method in ("dig", "udig"):
            named = sum(kind in ("word", "piece", "number") for kind in path["kinds"])
            assert named <= 0.2 * len(path["kinds"]), word


def test_bending_moves_every_point_and_leaves_a_leap(paths: list):
    for word, baseline, method, path in paths:
        if method != "ig":
            assert min(path["bent"]) > 0.2, (word, baseline, method)
            assert path["longest"] > 5 / len(path["points"]), (word, baseline, method)


def test_no_path_comes_close_to_another_word(paths: list):
    for word, baseline, method, path in paths:
        assert set(path["nearest"]) <= {word, baseline, "[MASK]"}, (word, baseline, method)
        if method != "ig":
            assert path["nearest"].count(baseline) > 0.5 * len(path["nearest"]), (word, baseline, method)


def gap(data: dict, case: dict, rule: str, n: int) -> float:
    """The sum of a rule less F(x) - F(x')."""
    slopes = case["slopes"]
    if rule == "gauss_legendre":
        terms = zip(slopes[rule][n - 1], data["meter"]["gauss"]["weights"][n - 1], strict=True)
        total = sum(s * w for s, w in terms)
    elif rule == "midpoint":
        total = sum(slopes[rule][n - 1]) / n
    else:
        even = slopes["uniform"][n - 1]
        total = sum(even[:-1] if rule == "left" else even[1:]) / n
    return total - (case["end"] - case["start"])


def test_rules_converge_as_told(data: dict):
    for case in data["meter"]["cases"]:
        left, right, middle = (gap(data, case, rule, 64) for rule in ("left", "right", "midpoint"))
        assert left * right < 0, "they err in opposite directions"
        assert abs(middle) < 0.3 * min(abs(left), abs(right))
        assert abs(gap(data, case, "gauss_legendre", 24)) < abs(middle) + 1e-3
        gaps = [abs(gap(data, case, "gauss_legendre", n)) for n in range(1, 17)]
        assert any(later > earlier for earlier, later in pairwise(gaps)), "one step more, a larger gap"


def test_slope_is_steep_early_from_mask_and_later_from_pad(data: dict):
    steepest: dict[str, dict[str, int]] = {}
    for case in data["meter"]["cases"]:
        even = [abs(slope) for slope in case["slopes"]["uniform"][63]]
        steepest.setdefault(case["text"], {})[case["baseline"]] = even.index(max(even))
        if case["baseline"] == "mask":
            assert even[64] < 0.1 * max(even), case["text"]
    for text, at in steepest.items():
        assert at["mask"] < 64 / 3, text
        assert at["mask"] < at["pad"], text


def test_sums_are_kept_by_ig_only(data: dict):
    def missed(method: str) -> float:
        """Median gap in percent, baseline [MASK]."""
        gaps = []
        for sentence in data["compare"]["sentences"]:
            place = sentence["by"]["mask"]
            gaps.append(100 * abs(sum(place["scores"][method]) / place["change"] - 1))
        return median(gaps)

    assert missed("ig") < 1
    assert missed("udig") > 10
    assert missed("sig") > 25
    assert missed("gradient_x_input") > 75


def test_with_all_words_gone_every_order_ends_alike(data: dict):
    ends: dict[str, set[float]] = {}
    for text in data["erasure"]["texts"]:
        p = text["p"]["delete"]
        ends.setdefault(text["target"], set()).update(round(p[way][-1], 3) for way in (*text["orders"], "oracle"))
    assert all(max(values) - min(values) < 0.01 for values in ends.values())
    assert max(ends["negative"]) < 0.5 < min(ends["positive"]), "an empty sentence is called positive"


def test_double_negation_misleads_ig_and_udig(data: dict):
    (text,) = [t for t in data["erasure"]["texts"] if t["text"].startswith("the humor never sours")]
    p = text["p"]["delete"]
    for k in (2, 3, 4):
        assert min(p["ig"][k], p["udig"][k]) > p["mean"][k]
    assert p["sig"][1] < 0.5 * p["mean"][1]
    oracle = p["oracle"][1]
    assert p["sig"][1] == pytest.approx(oracle, abs=0.01)


def test_few_words_carry_most_sentences(data: dict):
    """The oracle needs at most four of them to overturn the decision."""
    left = [text["p"]["delete"]["oracle"][4] for text in data["erasure"]["texts"]]
    assert median(left) < 0.5


def test_oracle_is_ahead(data: dict):
    for text in data["erasure"]["texts"]:
        for p in text["p"].values():
            for way in text["orders"]:
                assert all(o <= v + 0.02 for o, v in zip(p["oracle"], p[way], strict=True)), (text["text"], way)
