"""Which of the recorded rows, and two methods on the same examples."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from udig_lab.experiments.cell import ORACLE
from udig_lab.faithfulness.statistics import Difference, paired


def under(
    rows: pd.DataFrame,
    *,
    model: str | None = None,
    baseline: str | None = None,
    protocol: str | None = None,
    output: str | None = None,
    defaults: bool = False,
) -> pd.DataFrame:
    """Rows that were recorded under these conditions; what is None or False does not matter.

    >>> rows = pd.DataFrame({"variant": ["ig", "ig", "random"], "baseline": ["pad", "mask", "none"]})
    >>> under(rows, baseline="mask")["variant"].tolist()
    ['ig', 'random']

    Args:
        rows: of ``recorded``.
        model: where several were recorded; the tables are of one.
        baseline: and methods that have no use for one.
        protocol: "corrected", "as_published" or "eraser".
        output: of SQuAD.
        defaults: whether to leave out cells of a method with other settings than its defaults; a strategy does not
            count, as it is part of a variant, and the oracle stays whatever its beam.
    """
    keep = pd.Series(True, index=rows.index)
    if model is not None:
        keep &= rows["model"] == model
    if baseline is not None:
        keep &= rows["baseline"].isin([baseline, "none"])
    if protocol is not None:
        keep &= rows["protocol"] == protocol
    if output is not None:
        keep &= rows["output"] == output
    if defaults:
        keep &= (rows["method"] == ORACLE) | ~rows["cell"].str.contains("=")  # a cell's name holds its own settings
    return rows[keep]


def of_one_model(rows: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """The rows, unless a table would mix those of several models.

    Raises:
        ValueError: they are of several, and none of the columns ``by`` tells them apart.
    """
    models = [] if "model" not in rows or "model" in by else sorted(set(rows["model"]))
    if len(models) > 1:
        raise ValueError(
            f"these rows are of the models {', '.join(models)}, and one table is of one; choose with "
            f"under(rows, model={models[0]!r})"
        )
    return rows


def largest(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the cells with the most examples, so that what is compared or ranked is over the same ones."""
    size = rows.groupby("cell")["id"].transform("size")
    whole: pd.DataFrame = rows[size == size.max()]
    return whole


def shared(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the examples that every cell holds: means over others would be means over different texts.

    >>> shared(pd.DataFrame({"cell": ["ig", "ig", "sig"], "id": [0, 1, 1]}))["id"].tolist()
    [1, 1]
    """
    cells = rows.groupby("cell")["id"].agg(frozenset)
    return rows[rows["id"].isin(frozenset.intersection(*cells))] if len(cells) else rows


def aligned(one: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of two cells on the examples that both have, in one order, their ids as index.

    Raises:
        ValueError: several rows of one example.
    """
    one, other = one.set_index("id"), other.set_index("id")
    for part in (one, other):
        if part.index.has_duplicates:
            cells = ", ".join(map(str, part["cell"].unique())) if "cell" in part else "one cell"
            raise ValueError(f"rows of {cells} cannot be paired: an example stands there twice; choose with under(…)")
    ids = one.index.intersection(other.index)
    return one.loc[ids], other.loc[ids]


def difference(rows: pd.DataFrame, a: str, b: str, metric: str) -> Difference:
    """One method minus another, on the examples that both have.

    Args:
        rows: recorded rows of one data set, protocol, output and baseline, as ``under`` chooses them.
        a: a variant.
        b: another one, which is subtracted.
        metric: a column.

    Raises:
        ValueError: no example in common, several rows of one example, or a value that is not finite.
    """
    mine, theirs = aligned(rows[rows["variant"] == a], rows[rows["variant"] == b])
    if mine.empty:
        raise ValueError(f"no example was recorded for both {a!r} and {b!r}; record them with the same --limit")
    return paired(mine[metric], theirs[metric])


def change(rows: pd.DataFrame, cell: str, other: str, metric: str) -> Difference:
    """One cell minus another, on the examples that both have: what one changed setting does.

    Args:
        rows: recorded rows.
        cell: a cell's name.
        other: that of the cell that is subtracted.
        metric: a column.

    Raises:
        ValueError: one of the cells was not recorded, or a value is not finite.
    """
    if missing := {cell, other} - set(rows["cell"]):
        raise ValueError(f"no rows of the cell {min(missing)}; there are {', '.join(sorted(set(rows['cell'])))}")
    mine, theirs = aligned(*(rows[rows["cell"] == name] for name in (cell, other)))
    return paired(mine[metric], theirs[metric])
