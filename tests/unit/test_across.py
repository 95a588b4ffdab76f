"""The same questions to several models: who is asked, who agrees, how far seeds lie apart, and the figure."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from udig_lab.experiments.across import ASKED, FEW, ONE, OPPOSITE, SIDES, across, sides, spread
from udig_lab.experiments.forest import side_by_side

METRICS = ("comprehensiveness_20", "log_odds_pad_20", "log_odds_mask_20")


def rows(gains, n=100, seed=0):
    """Rows of IG, and of other methods that gain so much on it."""
    noise = np.random.default_rng(seed).normal(0.3, 0.02, n)
    parts = []
    for variant, gain in ({"ig": 0.0} | gains).items():
        about = {"variant": variant, "method": variant, "baseline": "mask", "protocol": "corrected", "output": None}
        frame = pd.DataFrame({"id": range(n), "probability": 1.0, **dict.fromkeys(METRICS, noise + gain)})
        frame["log_odds_pad_20"] = frame["log_odds_mask_20"] = -(noise + gain)  # low is good
        wiggle = np.random.default_rng(seed + 1).normal(0, 0.01, n)
        frame["sufficiency_20"] = -noise - gain + wiggle
        parts.append(frame.assign(cell=f"{variant}-mask-corrected", **about))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def asked():
    models = {
        "one": rows({"sig": 0.1, "udig_greedy": 0.2}),
        "two": rows({"sig": 0.1}, seed=5),
        "three": rows({"sig": -0.1, "dig_greedy": 0.1}, seed=9),
    }
    return across({m: {"sst2": own} for m, own in models.items()}, {m: {"sst2": []} for m in models})


def test_questions_are_those_that_several_models_can_be_asked(asked):
    assert set(asked["claim"]) >= {"sig-ig"}
    assert "udig-greedy-ig" not in set(asked["claim"])  # only one model has its rows
    assert (asked.groupby(ASKED)["model"].nunique() > 1).all()
    assert set(asked["dataset"]) == {"sst2"}


def test_models_agree_or_do_not(asked):
    found = sides(asked)
    line = found.loc[("sig-ig", "sst2", "[MASK]", "comprehensiveness_20")]
    assert line[["one", "two", "three", SIDES]].tolist() == ["better", "better", "worse", OPPOSITE]
    two = sides(asked[asked["model"] != "three"])
    assert two.loc[("sig-ig", "sst2", "[MASK]", "comprehensiveness_20"), SIDES] == ONE
    alone = sides(asked[asked["model"] == "one"])
    assert set(alone[SIDES]) == {FEW}  # nobody to agree with


def test_seeds_spread_by_the_deviation_of_their_means(asked):
    found = spread(asked, ["one", "two", "three"])
    line = found.loc[("sig-ig", "sst2", "[MASK]", "comprehensiveness_20")]
    assert line["seeds"] == pytest.approx(np.std([0.1, 0.1, -0.1], ddof=1))
    assert 0 <= line["texts"] < 0.01
    assert spread(asked, ["one", "four"]).empty


def test_the_figure_has_a_column_for_every_model(asked):
    picture = side_by_side(asked, caption="who agrees")
    assert "a column for each of 3 models" in picture.alt
    assert all(name in picture.alt for name in ("one:", "two:", "three:"))
    assert picture.caption == "who agrees"


def test_the_figure_has_a_block_for_every_claim_on_a_phone(asked):
    picture = side_by_side(asked)
    assert "--ul-inches" not in picture._repr_html_(), "nothing scrolls there"
    width, height = (int.from_bytes(picture.narrow["light"][at : at + 4], "big") / 110 for at in (16, 20))  # of a PNG
    assert width < 4.6
    lines = asked["claim"].nunique() * (1 + asked["model"].nunique())
    assert height > 0.2 * lines, "room for three marks one above the other"


def test_the_figure_says_what_its_signs_mean(asked, monkeypatch):
    said, places = [], []

    def legend(figure, *, handles, **more):
        said.append([h.get_label() for h in handles])
        places.append(more["bbox_to_anchor"])
        return drawn(figure, handles=handles, **more)

    drawn = Figure.legend
    monkeypatch.setattr(Figure, "legend", legend)
    side_by_side(asked)
    assert places == [(0.5, 1.0)] * 4, "above the marks, for light and dark, desk and phone"
    signs = {"comprehensiveness", "sufficiency", "log-odds", "95 % interval", "too small to matter"}
    assert signs | set(asked["outcome"]) <= set(said[0])
