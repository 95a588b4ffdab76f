"""Word approximation error against distances to every row of the table."""

import pytest
import torch
from conftest import QUICK

import udig_lab as ul
from udig_lab.faithfulness.wae import TOKENWISE, word_approximation_error

TEXTS = ["a quiet , moving film", "unputdownable and quiet", "dull"]
SETTINGS = {"ig": {"n_steps": 7}, "dig": QUICK["dig"], "udig": QUICK["udig"]}


@pytest.fixture(scope="module")
def corpus(lab):
    """The three methods on the same texts, with as many points each."""
    texts = ["a quiet , moving film", "quiet and unputdownable", "a film"]
    words = {"n_steps": 12, "n_neighbors": 20}
    settings = {"ig": {"n_steps": 13, "rule": "left"}, "dig": words, "udig": words}
    return {name: ul.explain(lab, texts, method=name, **settings[name]) for name in TOKENWISE}


@pytest.fixture(scope="module")
def rows(lab):
    """The table in double precision."""
    return lab.table.double()


def by_brute_force(model, rows, text, method, baseline, settings):
    """Every point of every moving token, and its nearest row by comparing with all of them."""
    found = ul.trace(model, text, method=method, baseline=baseline, **settings)
    moving = ~torch.tensor(found.attribution.special)
    points = found.integral.points[:, moving].flatten(0, 1).double()
    return float(torch.cdist(points, rows).min(1).values.mean())


@pytest.mark.parametrize("method", TOKENWISE)
@pytest.mark.parametrize("baseline", ["mask", "pad", "the"])
def test_it_is_the_distance_to_the_nearest_row(lab, rows, method, baseline):
    explained = ul.explain(lab, TEXTS, method=method, baseline=baseline, **SETTINGS[method])
    found = word_approximation_error(lab, explained)
    for text, value in zip(TEXTS, found.tolist(), strict=True):
        assert value == pytest.approx(by_brute_force(lab, rows, text, method, baseline, SETTINGS[method]), abs=1e-4)


def test_both_ends_of_a_straight_line_are_words(lab):
    def error(**settings):
        return word_approximation_error(lab, ul.explain(lab, TEXTS, **settings))

    assert error(n_steps=1, rule="left").max() < 1e-6  # the mask token
    assert error(n_steps=1, rule="right").max() < 1e-6  # the word
    assert error(n_steps=1, rule="midpoint").min() > 0.1
    assert error(n_steps=1, rule="left", baseline="mean").min() > 0.1  # the mean row is no word


def test_words_scale_with_the_table(lab64):
    """A distance: with a table twice as large it is twice as large."""
    explained = ul.explain(lab64, TEXTS, n_steps=3)
    before = word_approximation_error(lab64, explained)
    lab64.table.mul_(2)
    try:
        after = word_approximation_error(lab64, explained)
    finally:
        lab64.table.mul_(0.5)
    torch.testing.assert_close(after, 2 * before)


def test_it_is_a_mean_over_points_and_not_over_the_line(lab):
    """Gauss-Legendre nodes crowd near both ends, where the words are: the same line, a smaller number."""
    crowded, even = (
        word_approximation_error(lab, ul.explain(lab, TEXTS, n_steps=12, rule=rule))
        for rule in ("gauss_legendre", "midpoint")
    )
    assert (crowded < 0.95 * even).all()


def test_what_is_known_changes_nothing(lab, corpus):
    known = {}
    for name, explained in corpus.items():
        fresh = word_approximation_error(lab, explained)
        first = word_approximation_error(lab, explained, known=known)
        size = len(known)
        again = word_approximation_error(lab, explained, known=known)
        assert torch.equal(fresh, first), name
        assert torch.equal(fresh, again), name
        assert len(known) == size
    assert len(known) == 3 * len(
        {i for a in corpus["ig"] for i, s in zip(a.input_ids, a.special, strict=True) if not s}
    )


def test_what_is_known_is_used_and_not_mixed_up(lab):
    """One word: other methods, baselines and settings have errors of their own."""
    known = {}
    made = [
        ul.explain(lab, "quiet", n_steps=3),
        ul.explain(lab, "quiet", n_steps=4),
        ul.explain(lab, "quiet", n_steps=3, baseline="pad"),
        ul.explain(lab, "quiet", method="udig", n_steps=3, n_neighbors=5),
    ]
    errors = [float(word_approximation_error(lab, [a], known=known)) for a in made]
    assert len(known) == 4
    assert len(set(errors)) == 4
    for key in known:
        known[key] = 7.0
    assert word_approximation_error(lab, made, known=known).tolist() == [7.0] * 4


def test_other_methods_are_named(lab):
    with pytest.raises(ValueError, match="sig moves tokens together; the error is defined for ig, dig, udig"):
        word_approximation_error(lab, [ul.explain(lab, "dull", method="sig")])
    with pytest.raises(ValueError, match="ig follows no path with these settings"):
        word_approximation_error(lab, [ul.explain(lab, "dull", rule="adaptive")])


def test_baselines_without_a_name_are_named(lab):
    """Both "103" and "tensor" are words of this vocabulary, and not the rows that were meant."""
    for baseline in (103, lab.table[103]):
        explained = [ul.explain(lab, "dull", baseline=baseline)]
        with pytest.raises(ValueError, match="does not say which row that was; explain from a token by its name"):
            word_approximation_error(lab, explained)
