"""Your own sentence: where the live page begins, and what it would say there."""

from __future__ import annotations

import udig_lab as ul
from explorers.common import Json, Lab, Way

METHODS: dict[str, dict[str, int]] = {  # as the page begins
    "gradient_x_input": {}, "ig": {"n_steps": 32}, "udig": {"n_steps": 32}, "sig": {}, "both_ends": {},
}  # fmt: skip
SENTENCES = 8


def build(lab: Lab) -> Json:
    """Sentences to begin with, and what the page would say about the first of them."""
    sentences = [row["text"] for row in list(lab.rows.values())[:: max(1, len(lab.rows) // SENTENCES)]]
    found = {Way(way, {}).title: ul.explain(lab.model, sentences[0], method=way, **METHODS[way]) for way in METHODS}
    first = next(iter(found.values()))
    rows = []
    for i, token in enumerate(first.tokens):
        if not first.special[i]:
            rows.append([token, *(f"{a.scores[i]:+.2f}" for a in found.values())])
    return {
        "sentences": sentences[:SENTENCES],
        "table": {
            "caption": f"Scores for “{first.target_name}” in one sentence, baseline [MASK]; the page computes yours.",
            "head": ["Token", *found],
            "rows": rows,
        },
    }
