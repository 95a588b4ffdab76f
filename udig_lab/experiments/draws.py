"""Random scores as a floor: means over several draws, since one draw can be lucky."""

from __future__ import annotations

import pandas as pd

_CONTROL = "random"
_OWN = ("seconds", "probability")  # of the text or of the clock, not of a draw


def averaged(rows: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Rows in which every metric of random scores is its mean over all draws that were made for the text.

    >>> one = pd.DataFrame({"variant": ["random"], "id": [0], "cell": ["random"], "wae": [0.25]})
    >>> averaged(one, one.assign(cell="random-seed=1", wae=0.75))[["wae", "draws"]].to_numpy().tolist()
    [[0.5, 2.0]]

    Args:
        rows: recorded rows of a data set; cells of random scores of one model, under one protocol and output, stand
            for themselves.
        draws: rows of random scores with other seeds, of the same data set; each belongs to the rows of its model,
            text, protocol and output.

    Returns:
        the rows, with a column more: ``draws``, how many there were; 1 for all that is not random.
    """
    control = rows["variant"] == _CONTROL
    numbers = rows.select_dtypes("float").columns
    metrics = [c for c in numbers if c in draws and c not in _OWN]
    own = rows[control]
    every = pd.concat([own, draws])
    groups = every.groupby(_texts(every))
    texts = _texts(own)
    means = rows.assign(draws=1)
    means.loc[control, metrics] = groups[metrics].mean().loc[texts].to_numpy()
    means.loc[control, "draws"] = groups.size().loc[texts].to_numpy()
    return means


def _texts(rows: pd.DataFrame) -> pd.Series:
    """What draws have in common: a text, read and judged in one way."""
    key = [name for name in ("model", "protocol", "output", "id") if name in rows]
    return rows[key].astype(object).fillna("").map(str).agg(" ".join, axis=1)
