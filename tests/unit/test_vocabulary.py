"""Neighbours by one product equal neighbours by distance; kinds of tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udig_lab.model.vocabulary import Vocabulary

NAMES = ["[PAD]", "[unused3]", "film", "##ing", "don't", "1994", "ா", ",", "café", "Ġgood", "[UNK]"]
KINDS = ["special", "unused", "word", "piece", "word", "number", "other", "other", "other", "word", "special"]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), k=st.integers(1, 30), segments=st.integers(1, 9))
def test_segment_search_equals_brute_force(seed, k, segments):
    generator = torch.Generator().manual_seed(seed)
    vocabulary = Vocabulary(torch.randn(90, 6, generator=generator, dtype=torch.float64))
    start, end = torch.randn(2, segments, 6, generator=generator, dtype=torch.float64)
    positions = torch.rand(5, generator=generator, dtype=torch.float64)
    found = vocabulary.nearest_on_segments(start, end, positions, k)
    points = start[:, None] + positions[None, :, None] * (end - start)[:, None]
    expected = torch.cdist(points, vocabulary.table.expand(segments, -1, -1)).topk(k, largest=False).indices
    assert torch.equal(found, expected)


def test_segment_search_on_the_real_table(lab):
    """Single precision and 30,522 rows: distances agree with brute force in double precision."""
    vocabulary = lab.vocabulary
    ids = torch.tensor(lab.tokenizer("wooden")["input_ids"][1:2])
    start, end = vocabulary.table[[lab.tokenizer.mask_token_id]], vocabulary.table[ids]
    positions = torch.tensor([0.1, 0.5, 0.9])
    found = vocabulary.nearest_on_segments(start, end, positions, 50)[0]
    points = (start + positions[:, None] * (end - start)).double()
    distance = torch.cdist(points, vocabulary.table.double())
    best = distance.topk(50, largest=False).values
    torch.testing.assert_close(distance.gather(1, found), best, atol=1e-5, rtol=0)


def test_nearest_row_of_a_row_is_itself(vocabulary):
    assert vocabulary.nearest(vocabulary.table[:20], 1)[:, 0].tolist() == list(range(20))


def test_kinds_and_words():
    vocabulary = Vocabulary(torch.zeros(len(NAMES), 2), NAMES, special_ids=[0, 10])
    assert list(vocabulary.kinds) == KINDS
    assert vocabulary.words.tolist() == [kind in ("word", "piece", "number") for kind in KINDS]
    assert vocabulary.name(2) == "film"


def test_only_allowed_rows_are_found():
    vocabulary = Vocabulary(torch.randn(20, 3))
    allowed = torch.arange(20) >= 12
    assert vocabulary.nearest(torch.zeros(1, 3), 8, allowed).min() >= 12
    with pytest.raises(ValueError, match="9 neighbours were asked for but the vocabulary offers 8"):
        vocabulary.nearest(torch.zeros(1, 3), 9, allowed)


def test_without_a_tokenizer_every_row_is_a_word(vocabulary):
    assert bool(vocabulary.words.all())
    assert vocabulary.name(7) == "7"
