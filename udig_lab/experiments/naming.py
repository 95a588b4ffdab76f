"""What recorded methods and metrics are called in the book, and a table that calls them so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from udig_lab.experiments.cell import ORACLE
from udig_lab.methods import METHODS, registered

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler

METRICS = ["comprehensiveness_20", "sufficiency_20", "log_odds_mask_20"]  # a list: pandas takes it for columns
REPLACED = "20 %; comprehensiveness and sufficiency delete, log-odds replace by [MASK]"  # what METRICS do
PAPERS = ["ig", "udig_greedy", "dig_greedy", "sig", "random", "oracle"]  # variants: the papers', control and bound
DATASET_TITLES = {
    "sst2": "SST-2",
    "rotten_tomatoes": "Rotten Tomatoes",
    "imdb": "IMDb",
    "squad": "SQuAD",
    "trec": "TREC",
}
SHORTCUTS = {  # kinds of planted shortcut, as short as a figure needs
    "single": "one word",
    "context": "word in context",
    "pair": "order of two words",
    "either": "either of two words",
}


_ELSEWHERE = {"enhanced_ig": "Enhanced IG", "geodesic_ig": "Geodesic IG", "pace": "PACE"}  # published, not run here


def title(variant: str) -> str:
    """A method's name as the book writes it, its strategy in brackets.

    >>> title("udig_greedy"), title("sequential_dig_greedy"), title("deeplift")
    ('UDIG (greedy)', 'Sequential DIG (greedy)', 'DeepLIFT')
    """
    name, strategy = variant, ""
    for ending in ("greedy", "maxcount"):
        if variant.endswith(f"_{ending}"):
            name, strategy = variant.removesuffix(f"_{ending}"), f" ({ending})"
    if name == ORACLE:
        return "Oracle"
    entry = METHODS.get(registered(name))
    return (entry.short if entry else _ELSEWHERE.get(name, name.replace("_", " "))) + strategy


def in_words(metric: str) -> str:
    """The name of a column, a rule or a protocol in words.

    >>> in_words("comprehensiveness_20"), in_words("aopc_sufficiency"), in_words("word_auc")
    ('comprehensiveness, 20 %', 'AOPC of sufficiency', 'AUC of words')
    >>> in_words("gauss_legendre"), in_words("as_published")
    ('Gauss–Legendre', 'as published')
    """
    name, _, share = metric.rpartition("_")
    if not share.isdigit():
        if share == "auc":
            return f"AUC of {name}s"
        long = {"wae": "word approximation error", "delta_percent": "Δ%", "log_odds": "log-odds"}
        long["gauss_legendre"] = "Gauss–Legendre"
        return long.get(metric, metric.replace("_", " ").replace("aopc", "AOPC of"))
    return f"{name.replace('log_odds', 'log-odds').replace('_', ', ')}, {int(share)} %"


def shown(table: pd.DataFrame, caption: str = "") -> Styler | None:
    """A table of recorded rows as the book shows it: methods and metrics by their names, holes as dashes.

    Args:
        table: of ``tables``, or one like them: an index level "variant", metrics in its columns.
        caption: what the table holds, where the text around it does not say so.

    Returns:
        what a notebook displays. None where the table is empty; then one line says so.
    """
    if table.empty:
        print("nothing recorded" + (f": {caption}" if caption else ""))
        return None
    named = table.rename(index=title, level="variant") if "variant" in table.index.names else table
    for level in {"dataset", "data set"} & set(named.index.names):
        named = named.rename(index=DATASET_TITLES, level=level)
    named = named.rename_axis(index={"variant": "method", "dataset": "data set"})
    styled = named.rename(columns=in_words).style.format(na_rep="–")
    return styled.set_caption(caption) if caption else styled
