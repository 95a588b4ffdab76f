"""Integrated Gradients and its successors on language models.

>>> import udig_lab as ul
>>> model = ul.load("sst2")
>>> a = ul.explain(model, "a gorgeous , witty , seductive movie .", method="udig")
"""

from udig_lab import data, methods, plots
from udig_lab.attribution import Attribution
from udig_lab.calls.answer import AnswerAttribution, explain_answer
from udig_lab.calls.estimate import estimate
from udig_lab.calls.tracing import trace
from udig_lab.explainer import explain
from udig_lab.faithfulness import metrics
from udig_lab.model.load import load
from udig_lab.model.textmodel import TextModel
from udig_lab.plots import compare

__version__ = "0.1.0"
__all__ = [
    "AnswerAttribution",
    "Attribution",
    "TextModel",
    "compare",
    "data",
    "estimate",
    "explain",
    "explain_answer",
    "load",
    "methods",
    "metrics",
    "plots",
    "trace",
]
