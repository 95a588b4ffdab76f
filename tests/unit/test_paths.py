"""Every path is monotone, starts at the baseline and ends at the explicand; the search finds what a loop finds."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udig_lab.integrals import OneAtATime, Polyline
from udig_lab.methods import bending
from udig_lab.methods.anchors import BASELINE_ANCHOR, STRATEGIES, UdigSearch, udig_anchors
from udig_lab.methods.bending import BentPath
from udig_lab.methods.walk import DigSearch
from udig_lab.model.vocabulary import Vocabulary
from udig_lab.paths import LineIntegral, monotone, polyline, scattered, segments, straight, upscale
from udig_lab.quadrature import POLYLINE_RULES, SEGMENT_RULES


def table(seed, rows=60, width=5):
    generator = torch.Generator().manual_seed(seed)
    return Vocabulary(torch.randn(rows, width, generator=generator, dtype=torch.float64))


def is_monotone(path):
    """True when no coordinate of (P, ...) ever turns back between the first and the last point."""
    step = path[1:] - path[:-1]
    return bool((step * (path[-1] - path[0]) >= -1e-12).all())


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    strategy=st.sampled_from(STRATEGIES),
    n_steps=st.integers(1, 12),
    n_neighbors=st.integers(1, 20),
    factor=st.integers(0, 2),
    token=st.integers(1, 59),
)
def test_udig_paths_are_monotone_from_baseline_to_word(seed, strategy, n_steps, n_neighbors, factor, token):
    vocabulary = table(seed)
    search = UdigSearch(vocabulary, vocabulary.table[0], 0, n_steps, n_neighbors, strategy, "all")
    path = search.vertices(torch.tensor([token, 59]), factor)
    assert path.shape == (2**factor * (n_steps + 1) + 1, 2, 5)
    assert is_monotone(path)
    torch.testing.assert_close(path[0], vocabulary.table[0].expand(2, -1))
    torch.testing.assert_close(path[-1], vocabulary.table[torch.tensor([token, 59])])


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), anchors=st.integers(1, 9))
def test_any_walk_can_be_bent_monotone(seed, anchors):
    walk = torch.randn(4, anchors + 1, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    baseline = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    path = monotone(walk, baseline)
    assert path.shape == (4, anchors + 2, 3)
    assert is_monotone(path.transpose(0, 1))
    assert torch.equal(path[:, 0], baseline)
    assert torch.equal(path[:, -1], walk[:, 0])


@given(rule=st.sampled_from(SEGMENT_RULES), n=st.integers(2, 40), seed=st.integers(0, 2**31))
def test_straight_paths_stay_between_the_ends_in_order(rule, n, seed):
    ends = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    integral = straight(ends[1], ends[0], n_steps=n, rule=rule)
    assert is_monotone(torch.stack([ends[0], *integral.points, ends[1]]))
    torch.testing.assert_close(integral.weights.sum(0), ends[1] - ends[0])


def test_upscaling_keeps_corners_and_adds_midpoints():
    corners = torch.tensor([[[0.0], [4.0], [5.0]]])
    assert upscale(corners, 2).flatten().tolist() == [0, 1, 2, 3, 4, 4.25, 4.5, 4.75, 5]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_search_equals_a_plain_loop(strategy):
    """One word, one step, one candidate at a time, as the papers describe it."""
    vocabulary, m, k, word = table(3), 6, 12, 7
    baseline = vocabulary.table[0]
    anchors, current = [word], vocabulary.table[word]
    for p in range(m, 0, -1):
        point = baseline + p / (m + 1) * (vocabulary.table[word] - baseline)
        near = (vocabulary.table - point).norm(dim=1).argsort(stable=True)[:k]
        best, best_cost = None, None
        for j in near.tolist():
            if j == 0 or j in anchors:
                continue
            v = vocabulary.table[j]
            inside = ((baseline <= v) & (v <= current)) | ((current <= v) & (v <= baseline))
            bent = torch.where(inside, v, current - (current - baseline) / m)
            cost = float((v - bent).norm()) if strategy == "greedy" else -int(inside.sum())
            if best_cost is None or cost < best_cost:
                best, best_cost = j, cost
        anchors.append(best)
        current = vocabulary.table[best]
    found = udig_anchors(
        vocabulary,
        torch.tensor([word]),
        baseline[None],
        baseline_ids=torch.tensor([0]),
        n_steps=m,
        n_neighbors=k,
        strategy=strategy,
    )
    assert found[0].tolist() == anchors


def test_running_out_of_candidates_ends_at_the_baseline():
    vocabulary = table(1)
    search = UdigSearch(vocabulary, vocabulary.table[0], 0, 8, 1, "greedy", "all")
    anchors = search.anchors(torch.tensor([5]))
    assert (anchors == BASELINE_ANCHOR).any()
    assert is_monotone(search.vertices(torch.tensor([5]), 0))


def test_words_are_searched_for_once_and_in_any_order(monkeypatch):
    vocabulary = table(2)
    calls = []

    def counting(*args, **keywords):
        calls.append(args[1].tolist())
        return udig_anchors(*args, **keywords)

    monkeypatch.setattr("udig_lab.methods.anchors.udig_anchors", counting)
    search = UdigSearch(vocabulary, vocabulary.table[0], 0, 4, 9, "greedy", "all")
    together = search.anchors(torch.tensor([9, 4, 9, 30]))
    assert calls == [[4, 9, 30]]
    assert torch.equal(search.anchors(torch.tensor([30, 4])), together[[3, 1]])
    assert len(calls) == 1


def test_polyline_is_a_line_integral():
    integral = polyline(torch.arange(6.0).reshape(3, 1, 2), rule="left")
    assert integral.points.shape == (2, 1, 2)


def assert_blocks(lazy, points, weights, seed):
    """Blocks of any size, asked for in order, then in any order, are parts of the whole."""
    assert len(lazy) == len(points)
    torch.testing.assert_close(lazy.points, points, atol=0, rtol=0)
    torch.testing.assert_close(lazy.weights, weights, atol=0, rtol=0)
    generator = torch.Generator().manual_seed(seed)
    cuts = torch.rand(len(lazy) + 1, generator=generator).lt(0.4).nonzero()[:, 0].tolist()
    cuts = sorted({0, *cuts, len(lazy)})
    blocks = list(pairwise(cuts))
    for first, last in [*blocks, *(blocks[j] for j in torch.randperm(len(blocks), generator=generator))]:
        found = lazy.block(first, last)
        torch.testing.assert_close(found, (points[first:last], weights[first:last]), atol=0, rtol=0)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from([UdigSearch, DigSearch]),
    n_steps=st.integers(1, 25),
    factor=st.integers(0, 4),
    rule=st.sampled_from(POLYLINE_RULES),
    window=st.sampled_from([1, 20, 45, 2**18]),
)
def test_paths_through_words_are_made_block_by_block(seed, kind, n_steps, factor, rule, window):
    vocabulary = table(seed)
    search = kind(vocabulary, vocabulary.table[0], 0, n_steps, 8, "greedy", "all")
    ids = torch.tensor([7, 59])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bending, "_WINDOW", window)
        path = BentPath(search, ids, factor)
    assert not search._known  # not even the search has begun
    expected = polyline(search.vertices(ids, factor), rule=rule)
    assert_blocks(Polyline(path, len(path), rule), expected.points, expected.weights, seed)


def test_long_paths_hold_few_points(monkeypatch):
    """One window, and of all others half-way starts: as many as their number can be halved."""
    vocabulary = table(4, rows=700)
    search = UdigSearch(vocabulary, vocabulary.table[0], 0, 511, 5, "greedy", "all")
    monkeypatch.setattr(bending, "_WINDOW", 2 * 5 * 4)
    path = BentPath(search, torch.tensor([7, 59]), 3)
    walked, walk = [], path._walk
    monkeypatch.setattr(path, "_walk", lambda *given: walked.append(given[0]) or walk(*given))
    held = []
    for first in range(len(path) - 1):
        path(first, first + 2)
        held.append(len(path._starts))
    assert path.size == 4
    assert max(held) <= 9
    assert len(walked) < 128 * 7  # each of 128 windows, and each at most once more for every halving


def test_neighbours_that_were_forgotten_are_ranked_again(monkeypatch):
    vocabulary, ids = table(5), torch.arange(2, 60)
    expected = DigSearch(vocabulary, vocabulary.table[0], 0, 9, 12, "greedy", "all")
    monkeypatch.setattr("udig_lab.methods.walk._RANKED", 9 * 4)
    forgetful = DigSearch(vocabulary, vocabulary.table[0], 0, 9, 12, "greedy", "all")
    for one in ids.split(3):
        forgetful.anchors(one)
    assert torch.equal(forgetful.anchors(ids), expected.anchors(ids))
    assert len(forgetful._ranks) == 4
    assert len(forgetful) > len(expected)


def test_lines_are_made_block_by_block():
    explicand, baseline = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    line = straight(explicand, baseline, n_steps=30, rule="gauss_legendre")
    nodes, shares = line.nodes.float()[:, None, None], line.shares.float()[:, None, None]
    assert_blocks(line, baseline + nodes * (explicand - baseline), shares * (explicand - baseline), 0)

    starts, nodes = torch.randn(3, 4, 3), torch.rand(20)
    every = starts[torch.arange(20) % 3]
    way = explicand - every
    assert_blocks(scattered(explicand, starts, nodes), every + nodes[:, None, None] * way, way / 20, 1)


def test_tokens_move_one_after_another_block_by_block():
    explicand, baseline = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    line = straight(explicand, baseline, n_steps=5, rule="left")
    points, weights = explicand.repeat(3, 5, 1, 1), torch.zeros(3, 5, 4, 3)
    for j, token in enumerate([0, 1, 3]):
        points[j, :, token], weights[j, :, token] = line.points[:, token], line.weights[:, token]
    lazy = segments(explicand, baseline, torch.tensor([0, 1, 3]), n_steps=5, rule="left")
    assert_blocks(lazy, points.flatten(0, 1), weights.flatten(0, 1), 2)
    rows = [LineIntegral(line.points[:, [t]], line.weights[:, [t]]) for t in (0, 1, 3)]
    assert_blocks(
        OneAtATime(explicand, [0, 1, 3], rows.__getitem__, 5), *(q.flatten(0, 1) for q in (points, weights)), 3
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "best"}, "unknown strategy 'best'; choose one of greedy, maxcount"),
        ({"candidates": "nouns"}, "unknown candidates 'nouns'"),
        ({"n_steps": 0}, "must be at least 1"),
        ({"n_neighbors": 61}, "61 neighbours were asked for but the vocabulary offers 60; lower n_neighbors"),
    ],
)
def test_bad_settings_are_named(change, message):
    vocabulary = table(0)
    settings_ = {"n_steps": 3, "n_neighbors": 5, "strategy": "greedy"} | change
    with pytest.raises(ValueError, match=message):
        udig_anchors(vocabulary, torch.tensor([3]), vocabulary.table[:1], **settings_)
