"""The path of a word: where four methods walk between a baseline and a word, in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import udig_lab as ul
from explorers.common import BASELINES, WAYS, Json, Lab, rounded
from udig_lab.calls.tracing import Trace
from udig_lab.model.textmodel import TextModel

WORDS = ("witty", "gorgeous", "seductive", "movie", "great", "moving", "dull", "boring", "terrible", "not")
PATHS = {way: WAYS[way].title for way in ("ig", "dig", "udig", "udig_words")}
PATHS["udig"] += ", greedy"  # what it does where "words only" is not said
ANCHORS = 30  # m: every path has m + 2 corners


def build(lab: Lab) -> Json:
    """Corners of four paths for each word and baseline, in a plane of their own.

    A word's path depends on nothing but the word, the baseline and the settings, so that one trace of all words as
    one text gives all of them.
    """
    planes: Json = {word: {} for word in WORDS}
    for baseline in BASELINES:
        traces = {way: _corners(lab.model, way, baseline) for way in PATHS}
        tokens = traces["ig"].attribution.tokens
        for word in WORDS:
            planes[word][baseline] = _plane(lab.model, traces, tokens.index(word), baseline)
    return {
        "words": list(WORDS),
        "methods": PATHS,
        "planes": planes,
        "table": path_table(planes["witty"]["mask"], "witty", "[MASK]"),
    }


def _corners(model: TextModel, way: str, baseline: str) -> Trace:
    """A trace whose points are the corners of the paths, both ends among them."""
    settings: Json = {"n_steps": ANCHORS + 2} if way == "ig" else {"n_steps": ANCHORS, "factor": 0}
    settings |= WAYS[way].settings
    return ul.trace(model, " ".join(WORDS), method=WAYS[way].method, baseline=baseline, rule="trapezoid", **settings)


def _plane(model: TextModel, traces: dict[str, Trace], token: int, baseline: str) -> Json:
    """The two main directions of everything that is drawn, and where it lies in them."""
    vocabulary, table = model.vocabulary, model.table
    ends = torch.stack([traces["ig"].baseline[token], traces["ig"].explicand[token]])  # (2, D)
    span = float((ends[1] - ends[0]).norm())
    points = {way: trace.integral.points[:, token] for way, trace in traces.items()}  # (m + 2, D) each
    rows = {way: _anchor_rows(model, trace, token, baseline) for way, trace in traces.items()}
    near = vocabulary.nearest(ends, 10)  # (2, 10), the ends themselves among them
    own = set(near[:, 0].tolist())
    around = list(dict.fromkeys(r for r in near.flatten().tolist() if r not in own))
    drawn = torch.cat([ends, table[around], *points.values(), *(table[r] for r in rows.values() if r)])
    centre = drawn.mean(0)
    _, spread, axes = torch.linalg.svd((drawn - centre).double(), full_matrices=False)
    axes = turned(axes[:2].T, ends.double(), drawn.double())

    def flat(x: Tensor) -> list[list[float]]:
        return [rounded(p) for p in (((x - centre).double() @ axes) / span).tolist()]

    places = zip(around, flat(table[around]), strict=True)
    return {
        "variance": rounded((spread[:2].square() / spread.square().sum()).tolist()),
        "ends": flat(ends),
        "near": [[vocabulary.name(r), vocabulary.kinds[r], *place] for r, place in places],
        "paths": {way: _one_path(model, points[way], rows[way], span, flat) for way in traces},
    }


def turned(axes: Tensor, ends: Tensor, drawn: Tensor) -> Tensor:
    """The plane of ``axes`` (D, 2), turned so that the word (row 1 of ``ends``) lies straight to the right of the
    baseline, and most of what is drawn above the line between them.
    """
    along = (ends[1] - ends[0]) @ axes  # (2,)
    along = along / along.norm()
    axes = axes @ torch.stack([along, torch.stack([-along[1], along[0]])]).T
    above = ((drawn - ends[0]) @ axes)[:, 1].mean()
    return axes * torch.tensor([1.0, 1.0 if above >= 0 else -1.0], dtype=axes.dtype)


def _one_path(model: TextModel, points: Tensor, anchors: Sequence[int], span: float, flat: Any) -> Json:
    """Corners of a path, the row nearest to each, and the anchors that made them; lengths in units of |x - x'|."""
    vocabulary, table = model.vocabulary, model.table
    nearest = vocabulary.nearest(points, 1)[:, 0]
    away = (points - table[nearest]).norm(dim=1) / span
    found: Json = {
        "points": flat(points),
        "longest": round(float(points.diff(dim=0).norm(dim=1).max()) / span, 4),
        "nearest": [vocabulary.name(r) for r in nearest.tolist()],
        "away": rounded(away.tolist()),
    }
    if anchors:
        bent = (points[1:-1] - table[list(anchors)]).norm(dim=1) / span
        found |= {
            "anchors": [vocabulary.name(r) for r in anchors],
            "kinds": [vocabulary.kinds[r] for r in anchors],
            "at": flat(table[list(anchors)]),
            "bent": rounded(bent.tolist()),
        }
    return found


def _anchor_rows(model: TextModel, trace: Trace, token: int, baseline: str) -> list[int]:
    """Rows of the anchors between baseline and word, in the order of the path; none for a straight line."""
    anchors = trace.attribution.anchors
    names = None if anchors is None else anchors[token]
    if names is None:
        return []
    none_left = f"<{baseline}>"  # where no candidate was left, the path is at the baseline already
    mark = getattr(model.tokenizer, f"{baseline}_token")
    inner = [mark if name == none_left else name for name in reversed(names[1:])]
    return [int(row) for row in model.tokenizer.convert_tokens_to_ids(inner)]  # type: ignore[union-attr]


def path_table(plane: Json, word: str, start: str) -> Json:
    """Each method in a row: its first anchors, its longest piece, and which rows its corners are nearest to."""
    rows = []
    for way, title in PATHS.items():
        made = plane["paths"][way]
        first = list(reversed(made.get("anchors", [])))[:5]
        words = sum(kind == "word" for kind in made.get("kinds", []))
        near = [sum(name == end for name in made["nearest"]) for end in (start, word)]
        near.append(len(made["nearest"]) - sum(near))
        rows.append([
            title,
            ", ".join(first) if first else "none: a straight line",
            f"{words} of {len(made['kinds'])}" if first else "–",
            f"{100 * made['longest']:.0f} %",
            *map(str, near),
        ])  # fmt: skip
    return {
        "caption": f"The path between {start} and “{word}”: the anchors next to the word, how many of all anchors are "
        "whole words, the longest piece in percent of |x − x′|, and how many corners have which row of the table "
        "nearest to them.",
        "head": ["Method", "First anchors", "Words", "Longest piece", f"Nearest: {start}", f"“{word}”", "another row"],
        "rows": rows,
    }
