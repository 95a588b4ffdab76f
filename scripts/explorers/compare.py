"""The comparison: the words of a sentence with the scores of several methods."""

from __future__ import annotations

import udig_lab as ul
from explorers.common import BASELINES, WAYS, Json, Lab, rounded
from udig_lab.attribution import Attribution

METHODS = ("gradient_x_input", "ig", "dig", "udig", "udig_words", "sig", "random")
SST2 = (1, 2, 4, 8, 9, 10, 12, 14, 15, 20, 22, 25, 30, 37, 41, 46, 47, 70)
ROTTEN = (3, 5, 7, 16, 22, 24)


def build(lab: Lab) -> Json:
    """Words and scores of several methods, with their gaps, for sentences of both corpora."""
    names = [f"sst2-{n:03d}" for n in SST2] + [f"rotten-{n:03d}" for n in ROTTEN]
    chosen = [lab.rows[name] for name in names]
    texts = [row["text"] for row in chosen]
    sentences: list[Json] = [
        {"text": row["text"], "corpus": row["corpus"], "label": row["label"], "about": row["phenomenon"], "by": {}}
        for row in chosen
    ]
    for baseline in BASELINES:
        for way in METHODS:
            made = ul.explain(lab.model, texts, method=WAYS[way].method, baseline=baseline, **WAYS[way].settings)
            for sentence, a in zip(sentences, made, strict=True):
                enter(sentence, baseline, way, a)
    return {
        "methods": {way: WAYS[way].title for way in METHODS},
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
    rows = [[word, *(f"{scores[way][i]:+.2f}" for way in METHODS)] for i, word in enumerate(sentence["words"])]
    rows.append(["Sum", *(f"{sum(scores[way]):+.2f}" for way in METHODS)])
    return {
        "caption": f"Scores for “{sentence['target']}”, baseline [MASK], where F(x) − F(x′) = {place['change']:.2f}.",
        "head": ["Word", *(WAYS[way].title for way in METHODS)],
        "rows": rows,
    }
