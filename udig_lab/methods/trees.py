"""Families of groups of neighbouring words: from a bracketed parse, nested lists, or punctuation and n-grams."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from udig_lab.model.inputs import Encoding

_ESCAPES = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}", "``": '"', "''": '"'}
_NGRAMS = (2, 3)

Node = tuple[str, "str | list[Node]"]  # a label with a word, or with children
Span = tuple[int, int, str]  # start, end (not included), label


@dataclass(frozen=True)
class Group:
    """A group of neighbouring tokens, scored as one (IDG).

    Attributes:
        start, end: token positions, ``end`` not included.
        label: the parser's category, or what the group is.
        idg: integrated directional gradient, signed, in units of F per unit of embedding length.
        dividend: |idg| as a share of all groups.
        value: its dividend with those of all groups inside it, between 0 and 1.
    """

    start: int
    end: int
    label: str
    idg: float
    dividend: float
    value: float


def spans(tree: Any, encoding: Encoding) -> list[Span]:
    """Every group of a text as token positions: the tree's nodes, its words and its tokens.

    >>> import udig_lab as ul
    >>> a = ul.explain(ul.load("sst2"), "not bad", method="sig")
    >>> spans("(S (RB not) (JJ bad))", a.encoding)
    [(1, 3, 'S'), (1, 2, 'token'), (2, 3, 'token')]

    Args:
        tree: a bracketed parse, nested lists of words, or None for clauses and n-grams.
        encoding: the text.

    Returns:
        (start, end, label) with ``end`` not included, each range once, largest first; single tokens are labelled
        "token".

    Raises:
        ValueError: the tree's words are not the text's words, or its brackets do not match.
    """
    words = _words(encoding)
    labels: dict[tuple[int, int], str] = {}
    for start, end, label in _default(encoding, words) if tree is None else _placed(_root(tree), encoding):
        labels.setdefault((start, end), label)
    for start, end in words:
        labels.setdefault((start, end), "word")
    for start, end in words:
        for token in range(start, end):
            labels[token, token + 1] = "token"
    return sorted(((s, e, label) for (s, e), label in labels.items()), key=lambda g: (g[0] - g[1], g[0]))


def _words(encoding: Encoding) -> list[tuple[int, int]]:
    """Token ranges of the words."""
    ranges: dict[int, tuple[int, int]] = {}
    for position, word in enumerate(encoding.word_ids):
        if word is not None:
            ranges[word] = (ranges.get(word, (position, 0))[0], position + 1)
    return list(ranges.values())


def _default(encoding: Encoding, words: Sequence[tuple[int, int]]) -> Iterator[Span]:
    yield words[0][0], words[-1][1], "text"
    clause: list[tuple[int, int]] = []
    for start, end in [*words, (-1, -1)]:
        if start >= 0 and re.search(r"\w", "".join(encoding.pieces[start:end])):
            clause.append((start, end))
            continue
        if clause:
            yield clause[0][0], clause[-1][1], "clause"
        for n in _NGRAMS:
            for first in range(len(clause) - n + 1):
                yield clause[first][0], clause[first + n - 1][1], f"{n}-gram"
        clause = []


def _root(tree: Any) -> Node:
    if isinstance(tree, str):
        return _parse(tree)
    if isinstance(tree, (list, tuple)) and tree:
        return _nested(tree)
    raise ValueError(f"a tree is a bracketed parse or nested lists of words, not {type(tree).__name__}")


def _nested(tree: Any) -> Node:
    if isinstance(tree, str):
        return "word", tree
    return "group", [_nested(child) for child in tree]


def _parse(text: str) -> Node:
    """A bracketed string, "(S (NP (DT a) (NN movie)) …)"; a word may also stand without a bracket of its own."""
    stack: list[tuple[str, list[Node]]] = [("", [])]
    expects_label = False
    for part in re.findall(r"[()]|[^\s()]+", text):
        if part == "(":
            stack.append(("", []))
            expects_label = True
        elif part == ")":
            label, children = stack.pop()
            if not stack:
                break
            # A label without children was a word in brackets.
            stack[-1][1].append((label or "group", children) if children else ("word", _ESCAPES.get(label, label)))
            expects_label = False
        elif expects_label:
            stack[-1] = (part, stack[-1][1])
            expects_label = False
        else:
            stack[-1][1].append(("word", _ESCAPES.get(part, part)))
    if len(stack) != 1 or len(stack[0][1]) != 1:
        raise ValueError(f"the brackets of this tree do not match: {text[:60]!r}; it needs one pair around all")
    return stack[0][1][0]


def _placed(root: Node, encoding: Encoding) -> Iterator[Span]:
    """Token ranges of a tree's nodes; words are matched by their letters, without white space and case."""
    letters, owner = "", []  # the text's letters, and the token each belongs to
    for position, piece in enumerate(encoding.pieces):
        if not bool(encoding.special[position]):
            clean = "".join(piece.split()).casefold()
            letters += clean
            owner += [position] * len(clean)
    leaves = "".join(_leaves(root))
    if leaves != letters:
        at = next((k for k, (a, b) in enumerate(zip(leaves, letters, strict=False)) if a != b), len(letters))
        raise ValueError(
            f"the tree's words are not the text's: the tree goes on with {leaves[at : at + 20]!r} "
            f"where the text has {letters[at : at + 20]!r}"
        )

    def place(node: Node, begin: int) -> tuple[int, list[Span]]:
        label, content = node
        if isinstance(content, str):
            end = begin + len("".join(content.split()))
            inside: list[Span] = []
        else:
            end, inside = begin, []
            for child in content:
                end, more = place(child, end)
                inside += more
        if end == begin:
            return end, inside
        return end, [(owner[begin], owner[end - 1] + 1, label), *inside]

    yield from place(root, 0)[1]


def _leaves(node: Node) -> Iterator[str]:
    _, content = node
    if isinstance(content, str):
        yield "".join(content.split()).casefold()
    else:
        for child in content:
            yield from _leaves(child)
