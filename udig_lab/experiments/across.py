"""The same questions to several models: who agrees, and how far training seeds lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from udig_lab.experiments.claims import CLAIM, Judge
from udig_lab.experiments.docket import BETTER, WORSE, docket

ASKED = ["claim", "dataset", "where", "metric"]  # what tells questions apart
SIDES = "the models that take a side"  # "better" and "worse" are sides; this column says how they stand to each other
ONE, OPPOSITE, FEW = "take the same one", "take opposite ones", "are fewer than two"


def across(
    rows: Mapping[str, Mapping[str, pd.DataFrame]],
    cards: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]],
    judge: Judge | None = None,
    *,
    kind: str = CLAIM,
) -> pd.DataFrame:
    """Dockets of several models, on the questions for which more than one of them has rows.

    Every model is corrected for its own questions: what one model says is not less sure because another was asked.

    Args:
        rows: by model, then as for ``docket``.
        cards: likewise.
        judge: as for ``docket``; its rows are of the models themselves.
        kind: as for ``docket``.

    Returns:
        a row for each question and model that can be asked: model, and the columns of ``docket``.
    """
    parts = []
    for model, own in rows.items():
        questions = docket(own, cards[model], judge, kind=kind)
        parts.append(questions[questions["difference"].notna()].assign(model=model))
    asked = pd.concat(parts, ignore_index=True)
    models = asked.groupby(ASKED)["model"].transform("nunique")
    return asked[models > 1].reset_index(drop=True)


def sides(questions: pd.DataFrame) -> pd.DataFrame:
    """Questions down, models across: how each ended, and whether the models that decided agree.

    Args:
        questions: of ``across``.

    Returns:
        a column for each model, and ``SIDES``: ``ONE`` where all models that took a side took the same, ``OPPOSITE``
        where two took opposite ones, ``FEW`` where fewer than two took one.
    """
    table = questions.pivot(index=ASKED, columns="model", values="outcome")[list(questions["model"].unique())]
    table = table.reindex(pd.MultiIndex.from_frame(questions[ASKED].drop_duplicates()))

    def together(outcomes: pd.Series) -> str:
        taken = [o for o in outcomes if o in (BETTER, WORSE)]
        return FEW if len(taken) < 2 else ONE if len(set(taken)) == 1 else OPPOSITE

    return table.assign(**{SIDES: table.apply(together, axis=1)}).rename_axis(columns=None)


def spread(questions: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """How far training seeds lie apart, beside how far the interval over texts reaches.

    Args:
        questions: of ``across``.
        models: the same model from several training seeds.

    Returns:
        for each question that all of them have: "seeds", the standard deviation of their mean differences; and
        "texts", the mean standard error over texts, a quarter of the 95 % interval's width.
    """
    known = questions[questions["model"].isin(models)]
    lines = known.assign(
        mean=[d.mean for d in known["difference"]], error=[(d.high - d.low) / 4 for d in known["difference"]]
    )
    groups = lines.groupby(ASKED, sort=False)
    table = pd.DataFrame({"seeds": groups["mean"].std(), "texts": groups["error"].mean(), "models": groups.size()})
    return table[table["models"] == len(models)].drop(columns="models")
