"""Checks that need no gold: do scores depend on the model, agree with each other, survive a paraphrase?"""

from __future__ import annotations

import copy
import re
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from udig_lab.attribution import Attribution
from udig_lab.explainer import explain
from udig_lab.faithfulness.statistics import spearman
from udig_lab.model.checkpoint import ASSETS
from udig_lab.model.textmodel import TextModel, as_text_model

_NUMBERED = re.compile(r".*?\.\d+(?=\.)")  # bert.encoder.layer.2, of all that is in it


def layer_names(model: Any) -> list[str]:
    """Names of a model's layers from its output down: the order in which ``randomised`` draws them anew.

    Of BERT: classifier, pooler, the encoder's layers from the last to the first, embeddings. It is the reverse of the
    order in which the model made its modules; weights used twice stand where they were made first.
    """
    return list(_parameters_by_layer(as_text_model(model, None)))


def randomised(model: Any, *, layers: int | None = None, seed: int = 0) -> TextModel:
    """A copy of the model that has forgotten what it learned, wholly or from its output down to some layer.

    Every parameter is drawn from a normal distribution with the parameter's own mean and standard deviation, so that
    activations keep about their size; one whose numbers are all equal has nothing to forget and stays. A draw depends
    on nothing but the parameter's name and the seed, so the copy for ``layers=3`` contains that for ``layers=2``.

    The copy may well predict other classes. To compare explanations, let it explain the same ones:
    ``explain(copy, texts, target=[a.target for a in explained])``.

    Args:
        model: as for ``explain``; it is not changed.
        layers: how many of ``layer_names(model)`` are drawn anew, from the output down; None draws all.
        seed: of the draws.

    Source: Adebayo et al., NeurIPS 2018, arXiv 1810.03292 (cascading randomisation of model parameters; they draw
    from the distribution from which training began).

    Raises:
        ValueError: more layers than there are, or none.
    """
    text_model = as_text_model(model, None)
    net, embedding = copy.deepcopy((text_model.model, text_model.embedding))
    fresh = replace(text_model, model=net, embedding=embedding, _vocabulary=None, _table=None)
    groups = _parameters_by_layer(fresh)
    layers = len(groups) if layers is None else layers
    if not 1 <= layers <= len(groups):
        raise ValueError(f"{text_model.name} has {len(groups)} layers, not {layers}; pass 1 to {len(groups)}, or None")
    with torch.no_grad():
        for named in list(groups.values())[:layers]:
            for name, parameter in named.items():
                generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
                noise = torch.from_numpy(generator.standard_normal(parameter.shape, dtype=np.float32)).to(parameter)
                parameter.copy_(parameter.mean() + noise * parameter.std(correction=0))
    fresh.name = f"{text_model.name} ({layers} of {len(groups)} layers drawn anew)"
    return fresh


def rank_correlation(a: Attribution, b: Attribution) -> float:
    """Spearman's rank correlation of two explanations of one text, over the tokens that are not special.

    Equal scores share the mean of their ranks. Where all scores of either explanation are equal, as they are where
    there is one token, nothing can be ranked: NaN.

    >>> import udig_lab as ul
    >>> model = ul.load("sst2")
    >>> a, b = (ul.explain(model, "a witty , seductive movie", method="sig", baseline=b) for b in ("mask", "pad"))
    >>> round(rank_correlation(a, a), 3), -1 <= rank_correlation(a, b) <= 1
    (1.0, True)

    Raises:
        ValueError: explanations of different texts.
    """
    if a.input_ids != b.input_ids:
        raise ValueError("two explanations can be compared only where they are of the same tokens")
    places = [i for i, fixed in enumerate(a.special) if not fixed]
    return spearman([a.scores[i] for i in places], [b.scores[i] for i in places])


def rank_correlations(attributions: Mapping[str, Sequence[Attribution]]) -> pd.DataFrame:
    """How much methods agree: mean rank correlations over texts, methods x methods.

    A text on which ``rank_correlation`` is NaN for two methods is left out of their mean; where none is left, the
    mean is NaN.

    Args:
        attributions: name -> explanations of the same texts in the same order.

    Source: Krishna et al. 2022, arXiv 2202.01602, who compare methods by this among other measures.

    Raises:
        ValueError: no explanations, or of different texts.
    """
    sizes = {len(explained) for explained in attributions.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            "methods can be compared only on the same texts; pass explanations of as many texts for each, at least one"
        )
    means = pd.DataFrame(np.nan, index=list(attributions), columns=list(attributions))
    for first, second in ((f, s) for f in attributions for s in attributions):
        pairs = zip(attributions[first], attributions[second], strict=True)
        means.loc[first, second] = pd.Series([rank_correlation(a, b) for a, b in pairs]).mean()  # without NaN
    return means


def stability(model: Any, pairs: Sequence[tuple[str, str]], *, method: str = "ig", **keywords: Any) -> pd.DataFrame:
    """Explanations of texts beside those of their paraphrases, word by word.

    Both are explained for the class that the model predicts for the text. Words that stand in both, in whatever
    place, are matched: the first "so" of one with the first of the other.

    Args:
        model: a classifier, as for ``explain``.
        pairs: (text, paraphrase).
        method: a method's name.
        keywords: more for ``explain``, such as ``n_steps``.

    Returns:
        one row a pair: text, paraphrase, shared (words in both), rank_correlation (of their scores; NaN as for
        ``rank_correlation``), top and top_paraphrase (the words with the largest score), same_top, and probability
        and probability_paraphrase of the explained class.

    Raises:
        TypeError: not a classifier.
        ValueError: no pairs.
    """
    text_model = as_text_model(model, None)
    if text_model.task != "classification":
        raise TypeError(f"{text_model.name} is no classifier; a paraphrase keeps a class, not the place of an answer")
    if not len(pairs):
        raise ValueError("there are no pairs to compare; pass at least one (text, paraphrase)")
    texts, others = [text for text, _ in pairs], [other for _, other in pairs]
    before = explain(text_model, texts, method=method, **keywords)
    target = {"target": [a.target for a in before]}
    after = explain(text_model, others, method=method, **(keywords | target))
    rows = []
    for text, other, a, b in zip(texts, others, before, after, strict=True):
        ours, theirs = _numbered(a.words()), _numbered(b.words())
        shared = [key for key in ours if key in theirs]
        (best, _), (best_other, _) = (max(scores, key=lambda key: scores[key]) for scores in (ours, theirs))
        rows.append(
            {
                "text": text,
                "paraphrase": other,
                "shared": len(shared),
                "rank_correlation": spearman([ours[k] for k in shared], [theirs[k] for k in shared]),
                "top": best,
                "top_paraphrase": best_other,
                "same_top": best == best_other,
                "probability": a.probability,
                "probability_paraphrase": b.probability,
            }
        )
    return pd.DataFrame(rows)


def paraphrases() -> pd.DataFrame:
    """Forty texts of the mini corpora, each with a paraphrase of the same predicted class.

    How they were written and which were dropped is told in the README beside them.

    Returns:
        one row a pair: id (the text's in its corpus), text, paraphrase, label.
    """
    return pd.read_json(ASSETS / "corpora" / "paraphrases.jsonl", lines=True)


def _parameters_by_layer(model: TextModel) -> dict[str, dict[str, Tensor]]:
    """Layer -> its parameters by name, the output's layer first."""
    prefix = getattr(model.model, "base_model_prefix", "")
    groups: dict[str, dict[str, Tensor]] = {}
    for name, parameter in model.model.named_parameters():
        numbered = _NUMBERED.match(name)
        parts = name.split(".")
        depth = 2 if parts[0] == prefix else 1  # bert.embeddings, classifier
        groups.setdefault(numbered[0] if numbered else ".".join(parts[:depth]), {})[name] = parameter
    return dict(reversed(groups.items()))


def _numbered(words: Sequence[tuple[str, float]]) -> dict[tuple[str, int], float]:
    """(word, how many of it came before) -> score."""
    seen: defaultdict[str, int] = defaultdict(int)
    scores = {}
    for word, score in words:
        key = word.casefold()
        scores[key, seen[key]] = score
        seen[key] += 1
    return scores
