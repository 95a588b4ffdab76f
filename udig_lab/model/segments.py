"""Parts of a prompt: where they stand in its text, and which of its tokens are theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

TOKEN, SEGMENT = "token", "segment"  # what moves as one, and is taken out as one


class Span(NamedTuple):
    """A named part of a text: the characters from ``start`` to ``end`` of its ``part`` (0, or 1 for a context)."""

    name: str
    part: int
    start: int
    end: int


def one_each(segments: Any, n: int) -> list[Any]:
    """The segments of each of n texts: one dictionary for all of them, or one each; None where a text has none.

    Raises:
        TypeError: neither of these.
        ValueError: another number of them than texts.
    """
    if segments is None or isinstance(segments, Mapping):
        return [segments] * n
    if isinstance(segments, str) or not isinstance(segments, Sequence):
        raise TypeError(
            f"segments is a {type(segments).__name__}; pass a dictionary from names to parts of the prompt, or a list "
            "with one for each text"
        )
    if len(segments) != n:
        raise ValueError(f"{len(segments)} segments=… were given for {n} texts; pass one dictionary, or one for each")
    return list(segments)


def located(segments: Any, parts: Sequence[str], name: str) -> list[Span]:
    """Where segments stand in a text, or in a question and its context.

    Args:
        segments: names -> what stands there.
        parts: the text, or question and context.
        name: of the text, for messages.

    Raises:
        TypeError: no dictionary of strings.
        ValueError: none at all, or one that is empty, missing, there more than once, or in the way of another.
    """
    if not isinstance(segments, Mapping) or not all(isinstance(s, str) for pair in segments.items() for s in pair):
        raise TypeError(
            f"the segments of {name} are {segments!r}; pass a dictionary from names to parts of the prompt, both "
            "strings"
        )
    if not segments:
        raise ValueError(f"{name} has an empty dictionary of segments; name at least one part of it, or pass None")
    spans = []
    for label, wanted in segments.items():
        if not wanted.strip():
            raise ValueError(f"segment {label!r} of {name} is empty; pass the words that stand there")
        places = [(p, at) for p, part in enumerate(parts) for at in _places(wanted, part)]
        if not places:
            raise ValueError(
                f"segment {label!r} does not stand in {name}; pass its words and white space as they are there"
            )
        if len(places) > 1:
            raise ValueError(f"segment {label!r} stands {len(places)} times in {name}; pass a longer part of it")
        ((part, start),) = places
        spans.append(Span(label, part, start, start + len(wanted)))
    for one, other in pairwise(sorted(spans, key=lambda s: (s.part, s.start))):
        if one.part == other.part and other.start < one.end:
            raise ValueError(f"segments {one.name!r} and {other.name!r} of {name} overlap; let each word be in one")
    return spans


def _places(wanted: str, text: str) -> list[int]:
    """Every place where it stands, overlapping ones too."""
    places, at = [], text.find(wanted)
    while at >= 0:
        places.append(at)
        at = text.find(wanted, at + 1)
    return places


def segments_of(
    spans: Sequence[Span],
    offsets: Sequence[tuple[int, int]],
    sequence: Sequence[int | None],
    parts: Sequence[str],
    name: str,
) -> list[str | None]:
    """The segment of each of L tokens; None for those that stand in none.

    White space around a token's letters does not count: a space belongs to the token behind it, and its segment may
    begin with the word.

    Args:
        spans: of the text.
        offsets: (start, end) of every token in its part.
        sequence: the part it stands in; None for tokens that stand in none.
        parts: the text, or question and context.
        name: of the text, for messages.

    Raises:
        ValueError: letters of one token stand in two segments.
    """
    owners: list[str | None] = []
    for (a, b), s in zip(offsets, sequence, strict=True):
        if s is None:
            owners.append(None)
            continue
        letters = parts[s][a:b].strip()
        if letters:
            a = parts[s].index(letters, a)
            b = a + len(letters)
        b = max(b, a + 1)  # a token without characters of its own stands where the next one begins
        hits = [span.name for span in spans if span.part == s and span.start < b and a < span.end]
        if len(hits) > 1 and letters:
            raise ValueError(
                f"{letters!r} is one token of {name} in the segments {hits[0]!r} and {hits[1]!r}; let segments end "
                "between words"
            )
        owners.append(hits[0] if hits else None)
    return owners


def places_of(owners: Sequence[str | None], special: Sequence[bool]) -> dict[str, list[int]]:
    """The positions of each segment's tokens, those of special ones left out; segments in the order of the text.

    Args:
        owners: the segment of each of L tokens, as ``segments_of`` returns them.
        special: L, true for tokens that stay as they are.
    """
    places: dict[str, list[int]] = {}
    for i, (name, fixed) in enumerate(zip(owners, special, strict=True)):
        if name is not None and not fixed:
            places.setdefault(name, []).append(i)
    return places


def require_segments(by: str, texts: Sequence[tuple[str, Sequence[str | None] | None]]) -> None:
    """Whether what shall move as one is there in every text.

    Raises:
        ValueError: neither "token" nor "segment", or a text without segments.
    """
    if by not in (TOKEN, SEGMENT):
        raise ValueError(f"unknown by={by!r}; choose {TOKEN} or {SEGMENT}")
    for name, own in texts:
        if by == SEGMENT and own is None:
            raise ValueError(f"{name} has no segments; name them with segments=…, or pass a chat")


def require_tokens(spans: Sequence[Span], owners: Sequence[str | None], special: Sequence[bool], name: str) -> None:
    """Whether there is something to explain in every segment.

    Raises:
        ValueError: in one there is not.
    """
    moving = {owner for owner, fixed in zip(owners, special, strict=True) if not fixed}
    for span in spans:
        if span.name not in moving:
            raise ValueError(
                f"segment {span.name!r} of {name} has no token to explain: max_length cuts it off, or it holds "
                "special tokens only"
            )
