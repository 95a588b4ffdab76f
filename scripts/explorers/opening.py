"""What the book opens with: a sentence on which the methods disagree, and how many published numbers can be compared.

`book/_ext/opening.py` puts both on the front page. Nothing moves there, so no script draws them.
"""

from __future__ import annotations

from explorers.common import WAYS, Json, Lab
from udig_lab.drawing.heatmap import coloured
from udig_lab.experiments.ledger import NONE, distinct, ledger

SENTENCE = "not a bad film at all"
METHODS = ("ig", "udig", "sig")


def build(lab: Lab) -> Json:
    """The coloured sentence by each method, the word on which they differ most, and the counts of the ledger.

    Raises:
        ValueError: the methods agree on the sign of every word: the page needs another sentence.
    """
    found = {way: lab.explain(SENTENCE, way, "mask") for way in METHODS}
    words = {way: a.words() for way, a in found.items()}
    first = found[METHODS[0]]
    scores = list(zip(*([score for _, score in own] for own in words.values()), strict=True))  # a tuple for each word
    at = max(range(len(scores)), key=lambda i: max(scores[i]) - min(scores[i]))
    if min(scores[at]) >= 0 or max(scores[at]) <= 0:
        raise ValueError(
            f"{', '.join(METHODS)} agree on the sign of every word of {SENTENCE!r}; take another sentence"
        )
    entries = ledger()
    return {
        "sentence": SENTENCE,
        "target": first.target_name,
        "p": round(first.probability or 0.0, 3),
        "lines": [{"title": WAYS[way].title, "html": coloured(own)} for way, own in words.items()],
        "word": words[METHODS[0]][at][0],
        "scores": {WAYS[way].title: round(scores[at][k], 2) for k, way in enumerate(METHODS)},
        "table": {
            "caption": f"Scores for “{first.target_name}” in “{SENTENCE}”, baseline [MASK].",
            "head": ["Word", *(WAYS[way].title for way in METHODS)],
            "rows": [[word, *(f"{s:+.2f}" for s in own)] for (word, _), own in zip(words["ig"], scores, strict=True)],
        },
        "ledger": {
            "published": len(entries),
            "compared": int((entries["verdict"] != NONE).sum()),
            "tests": len(distinct(entries)),
        },
    }
