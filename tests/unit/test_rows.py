"""Which of the recorded rows are meant, and two methods on the same examples."""

import math

import numpy as np
import pandas as pd
import pytest

from udig_lab.experiments.draws import averaged
from udig_lab.experiments.rows import aligned, change, difference, largest, under
from udig_lab.experiments.tables import contrast


def rows(variant, baseline, values, ids=None, **columns):
    """Rows of one cell, named as cells are."""
    ids = range(len(values)) if ids is None else ids
    settings = columns.pop("settings", "")
    protocol = columns.pop("protocol", "corrected")
    parts = [variant, settings, *([] if baseline == "none" else [baseline]), protocol]
    plain = {"id": list(ids), "variant": variant, "method": variant.split("_")[0], "baseline": baseline}
    cell = "-".join(part for part in parts if part)
    return pd.DataFrame(plain | {"protocol": protocol, "cell": cell, "drop": values} | columns)


TABLE = pd.concat(
    [
        rows("ig", "mask", [0.1, 0.2, 0.3]),
        rows("ig", "pad", [0.4, 0.5, 0.6]),
        rows("ig", "mask", [0.0, 0.0, 0.0], settings="n_steps=5"),
        rows("ig", "mask", [0.7, 0.8], protocol="as_published"),
        rows("udig_greedy", "mask", [0.3, 0.1, 0.4], ids=[2, 0, 3]),
        rows("random", "none", [0.0, 0.1, 0.0]),
        rows("oracle", "none", [0.9], settings="shortlist=8-width=1"),
    ],
    ignore_index=True,
)


def chosen(**conditions):
    return under(TABLE, **conditions)["cell"].unique().tolist()


def test_what_has_no_baseline_stands_under_every_one():
    assert chosen(baseline="pad") == ["ig-pad-corrected", "random-corrected", "oracle-shortlist=8-width=1-corrected"]
    assert chosen(baseline="zero") == ["random-corrected", "oracle-shortlist=8-width=1-corrected"]


def test_conditions_hold_together_and_none_means_any():
    assert chosen(protocol="as_published") == ["ig-mask-as_published"]
    assert chosen(protocol="as_published", baseline="pad") == []
    assert under(TABLE) is not TABLE
    pd.testing.assert_frame_equal(under(TABLE), TABLE)
    both = pd.concat([TABLE.assign(output="start"), TABLE.assign(output="end")])
    assert set(under(both, output="end")["output"]) == {"end"}


def test_other_settings_are_left_out_but_not_a_strategy_or_the_oracle():
    found = chosen(defaults=True, protocol="corrected", baseline="mask")
    assert found == [
        "ig-mask-corrected",
        "udig_greedy-mask-corrected",
        "random-corrected",
        "oracle-shortlist=8-width=1-corrected",
    ]


def test_the_largest_cells():
    assert set(largest(TABLE)["cell"]) == set(TABLE["cell"]) - {
        "ig-mask-as_published",
        "oracle-shortlist=8-width=1-corrected",
    }
    assert largest(TABLE[:0]).empty


def test_two_cells_are_aligned_by_their_examples():
    ig = under(TABLE, protocol="corrected", baseline="mask", defaults=True).query("variant == 'ig'")
    udig = TABLE[TABLE["variant"] == "udig_greedy"]  # examples 2, 0 and 3
    one, other = aligned(udig, ig)
    assert list(one.index) == list(other.index) == [2, 0]
    assert one["drop"].tolist() == [0.3, 0.1]
    assert other["drop"].tolist() == [0.3, 0.1]


def test_a_difference_is_that_of_the_paired_examples():
    some = under(TABLE, protocol="corrected", baseline="mask", defaults=True)
    found = difference(some, "ig", "random", "drop")
    assert found.mean == pytest.approx(np.mean([0.1, 0.1, 0.3]))
    assert found.n == 3
    assert difference(some, "random", "ig", "drop").mean == pytest.approx(-found.mean)
    assert difference(some, "udig_greedy", "ig", "drop").n == 2
    table = contrast(some, ["drop"], of="variant", one="ig", other="random", by=("protocol",))
    assert table.loc["corrected", "drop"] == found  # one question alone is not corrected


def test_what_cannot_be_paired_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"ig-mask-corrected, ig-pad-corrected.* cannot be paired.*choose with under"):
        difference(TABLE, "ig", "random", "drop")
    with pytest.raises(ValueError, match="no example was recorded for both 'udig_greedy' and 'oracle'"):
        difference(TABLE[TABLE["id"].ne(0) | TABLE["variant"].ne("udig_greedy")], "udig_greedy", "oracle", "drop")
    with pytest.raises(ValueError, match="no example was recorded for both 'ig' and 'sig'"):
        difference(under(TABLE, baseline="pad"), "ig", "sig", "drop")
    holes = under(TABLE, baseline="pad").assign(drop=math.nan)
    with pytest.raises(ValueError, match="needs finite values"):
        difference(holes, "ig", "random", "drop")


def test_random_scores_are_means_over_their_draws():
    rows = pd.DataFrame(
        {
            "variant": ["ig", "random", "random", "random"],
            "protocol": ["corrected", "corrected", "corrected", "eraser"],
            "output": None,
            "id": [0, 0, 1, 0],
            "cell": ["ig", "random-corrected", "random-corrected", "random-eraser"],
            "comprehensiveness_20": [0.9, 0.1, 0.3, 0.7],
            "seconds": [1.0, 2.0, 2.0, 2.0],
        }
    )
    draws = [rows[1:2].assign(cell=f"random-seed={k}", comprehensiveness_20=0.1 + k, seconds=9.0) for k in (1, 2)]
    found = averaged(rows, pd.concat(draws))
    assert found["comprehensiveness_20"].tolist() == pytest.approx([0.9, 1.1, 0.3, 0.7])
    assert found["draws"].tolist() == [1, 3, 1, 1]
    assert found["seconds"].tolist() == [1.0, 2.0, 2.0, 2.0]
    assert rows["comprehensiveness_20"].iloc[1] == 0.1  # what was passed stays as it was


def test_a_change_is_paired_between_two_cells():
    rows = pd.DataFrame({"cell": ["a", "a", "b", "b"], "id": [1, 2, 2, 1], "drop": [0.5, 0.9, 0.2, 0.4]})
    found = change(rows, "a", "b", "drop")
    assert found.mean == pytest.approx(0.4)
    assert found.n == 2
    with pytest.raises(ValueError, match="no rows of the cell c; there are a, b"):
        change(rows, "a", "c", "drop")
