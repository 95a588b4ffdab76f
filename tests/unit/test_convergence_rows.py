"""What was recorded of models of real size is whole, and the prompts are what the chapter says they are."""

import numpy as np
import pytest
from agreement import PROMPTS, VERBS

from udig_lab.experiments.records import results_folder, whole_record

FILES = sorted((results_folder() / "convergence").rglob("*.parquet"))


def test_every_prompt_is_flipped_by_another():
    assert len(set(PROMPTS)) == len({p.text for p in PROMPTS}) == 64
    for prompt in PROMPTS:
        subject, other = prompt.flipped()
        assert subject in PROMPTS
        assert other in PROMPTS
        assert subject.verbs == prompt.verbs[::-1]
        assert other.verbs == prompt.verbs
        assert prompt.text.split()[1] == prompt.subject
        assert prompt.text.split()[-1] == prompt.other
    assert {p.verbs[0] for p in PROMPTS} == set(VERBS)


def test_the_first_prompts_are_of_all_pairs_and_kinds():
    assert {p.pair for p in PROMPTS[:16]} == set(range(16))
    assert {(p.plural, p.other_plural) for p in PROMPTS[:8]} == {(a, b) for a in (False, True) for b in (False, True)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_rows_agree_with_their_card(file):
    found = whole_record(file)
    assert found is not None
    rows, card = found
    assert card["n"] == len(rows)
    assert card["cell"] == {"model": file.parent.name, "part": file.stem}


@pytest.mark.parametrize("file", [f for f in FILES if f.stem == "rules"], ids=lambda file: file.parent.name)
def test_what_is_called_complete_is_complete(file):
    rows = whole_record(file)[0]
    change = rows["f_input"] - rows["f_baseline"]
    gap = (rows["tokens"].map(np.sum) - change).abs()
    controlled = rows["errors"].notna()
    assert controlled.any()
    assert gap[controlled].max() < 1e-3
    assert gap[~controlled].max() > 1  # the others are not, on a model of this size
    assert rows["errors"][controlled].map(np.max).map(np.isfinite).all()
