"""What the explorers show, as plain numbers: called by `explorers.py`, held against the package by tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.polynomial import Chebyshev
from torch import Tensor

import udig_lab as ul
from udig_lab.attribution import Attribution
from udig_lab.faithfulness.bounds import oracle
from udig_lab.faithfulness.erasure import Judged, chosen_tokens, erase, replacement_row, units, values
from udig_lab.methods import METHODS
from udig_lab.model.protocol import CORRECTED
from udig_lab.model.textmodel import TextModel
from udig_lab.paths import LineIntegral
from udig_lab.problem import posed
from udig_lab.quadrature import segment_rule
from udig_lab.tracing import Trace

Json = dict[str, Any]
BASELINES = ("mask", "pad")


@dataclass(frozen=True)
class Way:
    """A method with its settings, and what they add to its name."""

    method: str
    settings: Json
    remark: str = ""

    @property
    def title(self) -> str:
        """The name that a reader sees."""
        return METHODS[self.method].short.replace(" x ", " × ") + self.remark  # pages have the sign


WAYS = {name: Way(name, {}) for name in ("gradient_x_input", "ig", "dig", "udig", "sig", "random")}
WAYS["udig_words"] = Way("udig", {"candidates": "words"}, ", words only")


@dataclass(frozen=True)
class Lab:
    """The shipped model and the written corpora."""

    model: TextModel
    rows: dict[str, Json]

    @classmethod
    def load(cls) -> Lab:
        """From the package's assets."""
        rows: dict[str, Json] = {}
        for corpus in ("sst2", "rotten_tomatoes"):
            frame = ul.data.examples(corpus)
            rows |= {row["id"]: row | {"corpus": corpus} for row in frame.to_dict("records")}
        return cls(ul.load("sst2"), rows)

    def explain(self, text: str, way: str, baseline: str) -> Attribution:
        """One explanation by one of ``WAYS``."""
        chosen = WAYS[way]
        return ul.explain(self.model, text, method=chosen.method, baseline=baseline, **chosen.settings)


# --- The path of a word -------------------------------------------------------------------------------------------

WORDS = ("witty", "gorgeous", "seductive", "movie", "great", "moving", "dull", "boring", "terrible", "not")
PATHS = {way: WAYS[way].title for way in ("ig", "dig", "udig", "udig_words")}
PATHS["udig"] += ", greedy"  # what it does where "words only" is not said
ANCHORS = 30  # m: every path has m + 2 corners


def path(lab: Lab) -> Json:
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


# --- The integration meter ----------------------------------------------------------------------------------------

METER = ("a gorgeous , witty , seductive movie .", "the acting is wooden but the ending moved me", "sst2-070")
STEPS = 64
DEGREE = 160  # 127 is already as exact as a float32 gradient; 63 is not
RULES = ("left", "right", "midpoint", "trapezoid", "gauss_legendre")


def meter(lab: Lab) -> Json:
    """The slope of F along the straight line at every node that a rule with up to ``STEPS`` nodes asks for.

    Left, right and trapezoid rule share their nodes j / n, which are kept once as ``uniform``. The page multiplies
    slopes by weights and adds up; that is all that Integrated Gradients is.
    """
    needed = {
        "uniform": [torch.arange(n + 1, dtype=torch.float64) / n for n in range(1, STEPS + 1)],
        "midpoint": [segment_rule("midpoint", n)[0] for n in range(1, STEPS + 1)],
        "gauss_legendre": [segment_rule("gauss_legendre", n)[0] for n in range(1, STEPS + 1)],
    }
    cases = []
    for text in METER:
        text = lab.rows[text]["text"] if text in lab.rows else text
        for baseline in BASELINES:
            cases.append(slopes(lab.model, text, baseline, needed))
    gauss = [segment_rule("gauss_legendre", n) for n in range(1, STEPS + 1)]
    return {
        "cases": cases,
        "gauss": {
            "nodes": [rounded(nodes.tolist(), 5) for nodes, _ in gauss],
            "weights": [rounded(weights.tolist(), 6) for _, weights in gauss],
        },
        "table": _meter_table(cases[0]),
    }


def slopes(model: TextModel, text: str, baseline: str, needed: dict[str, list[Tensor]]) -> Json:
    """Slopes dF / dt at the nodes, by the engine: the gradient at a point, times the whole way x - x'.

    The thousands of nodes are read from the Chebyshev series through ``DEGREE`` + 1 of them: the slope is a smooth
    function of t alone, and the series' last terms show that no more are needed.
    """
    encodings, _ = model.encode(text)
    with posed(model, encodings, baseline=baseline, protocol=CORRECTED) as problem:
        explicand, start = problem.ends(0)
        way = explicand - start  # (L, D)

        def slope(nodes: Any) -> Any:  # (K,) to (K,)
            points = start + torch.as_tensor(nodes).to(way)[:, None, None] * way  # (K, L, D)
            integral = LineIntegral(points, way.expand(len(nodes), -1, -1))
            (parts,) = problem.integrate(lambda _: integral, "points")  # (K, L)
            return parts.double().sum(1).numpy()

        series = Chebyshev.interpolate(slope, DEGREE, domain=[0, 1])
    assert abs(series.coef[-8:]).max() < 1e-4, "the slope of F has more detail than the series shows"
    asked = torch.cat([nodes for lists in needed.values() for nodes in lists])
    values = torch.as_tensor(series(asked.numpy()))
    sizes = [len(n) for lists in needed.values() for n in lists]
    pieces = iter(values.split(sizes))  # type: ignore[no-untyped-call]
    return {
        "text": text,
        "baseline": baseline,
        "target": problem.target.names[0],
        "start": round(float(problem.at_baseline[0]), 5),
        "end": round(float(problem.at_input[0]), 5),
        "slopes": {kind: [rounded(next(pieces).tolist()) for _ in lists] for kind, lists in needed.items()},
    }


def sums(case: Json, rule: str, n: int) -> list[float]:
    """What each of n nodes adds to the sum: slope times weight. The page does the same in JavaScript."""
    if rule in ("left", "right"):
        found = case["slopes"]["uniform"][n - 1][1 if rule == "right" else 0 :][:n]
    elif rule == "trapezoid":
        found = case["slopes"]["uniform"][n - 2]
    else:
        found = case["slopes"][rule][n - 1]
    return [s * w for s, w in zip(found, segment_rule(rule, n)[1].tolist(), strict=True)]


def _meter_table(case: Json) -> Json:
    goal = case["end"] - case["start"]
    some = (2, 4, 8, 16, 32, 64)
    rows = [
        [rule.replace("gauss_legendre", "Gauss–Legendre"), *(f"{sum(sums(case, rule, n)) - goal:+.3f}" for n in some)]
        for rule in RULES
    ]
    return {
        "caption": f"“{case['text']}”, baseline [{case['baseline'].upper()}]: the sum of the rule less "
        f"F(x) − F(x′) = {goal:.3f}, for several numbers of steps.",
        "head": ["Rule", *(f"n = {n}" for n in some)],
        "rows": rows,
    }


# --- The erasure explorer -----------------------------------------------------------------------------------------

ERASED = ("sst2-002", "sst2-009", "sst2-008", "sst2-030", "sst2-010", "sst2-014", "sst2-015", "sst2-070")
ERASERS = ("ig", "udig", "sig", "gradient_x_input", "random")
REPLACEMENTS = ("delete", "mask")
DRAWS = 24  # random orders


def erasure(lab: Lab) -> Json:
    """p(y | x without the k best tokens) for every k, by method, at random, and for the best tokens there are."""
    texts = []
    for name in ERASED:
        text = lab.rows[name]["text"]
        found = {way: lab.explain(text, way, "mask") for way in ERASERS}
        drawn = [ul.explain(lab.model, text, method="random", seed=seed) for seed in range(1, DRAWS + 1)]
        any_ = found["ig"]
        texts.append(
            {
                "text": text,
                "target": any_.target_name,
                "pieces": spaced(any_),
                "orders": {way: order(a) for way, a in found.items()},
                "p": {r: erased(lab.model, found, drawn, r) for r in REPLACEMENTS},
            }
        )
    return {
        "texts": texts,
        "methods": {way: WAYS[way].title for way in ERASERS},
        "draws": DRAWS,
        "table": _erasure_table(texts[0]),
    }


def spaced(a: Attribution) -> list[str]:
    """Pieces of a text, a space before each that begins a word."""
    places = [i for i, fixed in enumerate(a.special) if not fixed]
    last = [None, *(a.word_ids[i] for i in places)]
    return [(" " if a.word_ids[i] != w else "") + a.pieces[i].strip() for i, w in zip(places, last, strict=False)]


def order(a: Attribution) -> list[int]:
    """Units of a text, best first, as ``metrics.selected`` takes them."""
    groups = units(a, CORRECTED)
    scores = torch.tensor([sum(a.scores[i] for i in group) for group in groups])
    return scores.topk(len(groups)).indices.tolist()


def erased(model: TextModel, found: dict[str, Attribution], drawn: Sequence[Attribution], replacement: str) -> Json:
    every = curves(model, [*found.values(), *drawn], replacement)  # (methods + draws, n + 1)
    any_ = found["ig"]
    n = every.shape[1] - 1
    tops = [k / n for k in range(1, n + 1)]
    drop = oracle(model, [any_], metric="comprehensiveness", tops=tops, replacement=replacement)[:, 0].double()
    random = every[len(found) :]
    low, high = random.quantile(torch.tensor([0.1, 0.9], dtype=torch.float64), dim=0)
    best = torch.cat([every[0, :1], every[0, 0] - drop])
    return {
        **{way: rounded(curve) for way, curve in zip(found, every.tolist(), strict=False)},
        "oracle": rounded(best.tolist()),
        "mean": rounded(random.mean(0).tolist()),
        "low": rounded(low.tolist()),
        "high": rounded(high.tolist()),
    }


def curves(model: TextModel, attributions: Sequence[Attribution], replacement: str) -> Tensor:
    """(A, n + 1) probabilities without the k best units, k = 0 … n, of explanations of one text."""
    row = replacement_row(replacement, model)
    groups = units(attributions[0], CORRECTED)
    changed = []
    for a in attributions:
        ranked = order(a)
        for k in range(len(groups) + 1):
            chosen = chosen_tokens(len(a), [groups[u] for u in ranked[:k]])
            changed.append(erase(a, chosen, False, row, CORRECTED))
    judged = Judged(attributions[0].target, attributions[0].output)
    log_p = values(model, changed, [judged] * len(changed), CORRECTED)
    return log_p.double().exp().view(len(attributions), -1)


def _erasure_table(text: Json) -> Json:
    p = text["p"]["delete"]
    some = range(min(7, len(text["pieces"]) + 1))
    names = {way: WAYS[way].title for way in ERASERS if way != "random"}
    names |= {"mean": f"Random, mean of {DRAWS}", "oracle": "Oracle"}
    return {
        "caption": f"“{text['text']}”: probability of “{text['target']}” after the k best tokens are deleted.",
        "head": ["Order", *(f"k = {k}" for k in some)],
        "rows": [[title, *(f"{p[way][k]:.3f}" for k in some)] for way, title in names.items()],
    }


# --- The comparison -----------------------------------------------------------------------------------------------

COMPARED = ("gradient_x_input", "ig", "dig", "udig", "udig_words", "sig", "random")
SST2 = (1, 2, 4, 8, 9, 10, 12, 14, 15, 20, 22, 25, 30, 37, 41, 46, 47, 70)
ROTTEN = (3, 5, 7, 16, 22, 24)


def compare(lab: Lab) -> Json:
    """Words and scores of several methods, with their gaps, for sentences of both corpora."""
    names = [f"sst2-{n:03d}" for n in SST2] + [f"rotten-{n:03d}" for n in ROTTEN]
    chosen = [lab.rows[name] for name in names]
    texts = [row["text"] for row in chosen]
    sentences: list[Json] = [
        {"text": row["text"], "corpus": row["corpus"], "label": row["label"], "about": row["phenomenon"], "by": {}}
        for row in chosen
    ]
    for baseline in BASELINES:
        for way in COMPARED:
            made = ul.explain(lab.model, texts, method=WAYS[way].method, baseline=baseline, **WAYS[way].settings)
            for sentence, a in zip(sentences, made, strict=True):
                enter(sentence, baseline, way, a)
    return {
        "methods": {way: WAYS[way].title for way in COMPARED},
        "sentences": sentences,
        "table": _compare_table(sentences[1]),
    }


def enter(sentence: Json, baseline: str, way: str, a: Attribution) -> None:
    """Write one explanation down; what is the same for all methods, once."""
    sentence.setdefault("words", [word for word, _ in a.words()])
    sentence.setdefault("target", a.target_name)
    sentence.setdefault("class", a.target)
    sentence.setdefault("p", round(a.probability or 0.0, 3))
    place = sentence["by"].setdefault(baseline, {"change": round(a.f_input - a.f_baseline, 4), "scores": {}})
    place["scores"][way] = rounded([score for _, score in a.words()], 3)


def _compare_table(sentence: Json) -> Json:
    place = sentence["by"]["mask"]
    scores = place["scores"]
    rows = [[word, *(f"{scores[way][i]:+.2f}" for way in COMPARED)] for i, word in enumerate(sentence["words"])]
    rows.append(["Sum", *(f"{sum(scores[way]):+.2f}" for way in COMPARED)])
    return {
        "caption": f"Scores for “{sentence['target']}”, baseline [MASK], where F(x) − F(x′) = {place['change']:.2f}.",
        "head": ["Word", *(WAYS[way].title for way in COMPARED)],
        "rows": rows,
    }


# --- Your own sentence --------------------------------------------------------------------------------------------

LIVE = {"gradient_x_input": {}, "ig": {"n_steps": 32}, "udig": {"n_steps": 32}, "sig": {}}  # as the page begins
LIVE_SENTENCES = 8


def live(lab: Lab) -> Json:
    """Sentences to begin with, and what the page would say about the first of them."""
    sentences = [row["text"] for row in list(lab.rows.values())[:: max(1, len(lab.rows) // LIVE_SENTENCES)]]
    found = {WAYS[way].title: ul.explain(lab.model, sentences[0], method=way, **LIVE[way]) for way in LIVE}
    first = next(iter(found.values()))
    rows = []
    for i, token in enumerate(first.tokens):
        if not first.special[i]:
            rows.append([token, *(f"{a.scores[i]:+.2f}" for a in found.values())])
    return {
        "sentences": sentences[:LIVE_SENTENCES],
        "table": {
            "caption": f"Scores for “{first.target_name}” in one sentence, baseline [MASK]; the page computes yours.",
            "head": ["Token", *found],
            "rows": rows,
        },
    }


# --- Numbers ------------------------------------------------------------------------------------------------------


def rounded(values: Iterable[float], digits: int = 4) -> list[float]:
    """Short enough for a page, and no -0.0."""
    return [round(v, digits) + 0.0 for v in values]


EXPLORERS = {"path": path, "meter": meter, "erasure": erasure, "compare": compare, "live": live}
