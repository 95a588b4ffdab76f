"""Examples from a file of the reader's own: texts with labels, or questions with contexts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from udig_lab.data import check_every, listed
from udig_lab.model.textmodel import TextModel

_TEXTS = ("text", "question", "context")
_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".parquet": pd.read_parquet,
    # As it stands there: the text "NA" is no hole, and the text "12" no number.
    ".csv": lambda file: pd.read_csv(file, keep_default_na=False, dtype=dict.fromkeys([*_TEXTS, "answers"], str)),
    ".jsonl": lambda file: pd.read_json(file, lines=True, dtype=False),
}
_COLUMNS = "a column text, and label where it is known; or question and context, and answers where they are known"
_FEW = 8  # classes that a sentence names

# What the classes of the data sets are called, by their numbers; the three of sentiment share theirs.
_SENTIMENT = ("negative", "positive")
CLASSES = {
    "sst2": _SENTIMENT,
    "imdb": _SENTIMENT,
    "rotten_tomatoes": _SENTIMENT,
    "trec": ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"),
}


def own_examples(file: Path) -> pd.DataFrame:
    r"""Read a file.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "reviews.csv"
    >>> _ = file.write_text("text,label\na fine film,positive\nquite dull,negative\n")
    >>> own_examples(file).to_dict("list")
    {'id': [0, 1], 'text': ['a fine film', 'quite dull'], 'label': ['positive', 'negative']}

    Args:
        file: Parquet (".parquet"), a table with commas (".csv") or JSON lines (".jsonl").

    Returns:
        one row an example: id, text and, where the file has them, label; or id, question, context and, where the file
        has them, answers, a list of texts each. Where it has no id, rows are numbered from 0; its other columns are
        left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, a damaged one, one without these columns or rows, or a bad row.
    """
    if file.suffix.lower() not in _READERS:
        raise ValueError(f"{file} is of no kind that is read here; name a file that ends in {', '.join(_READERS)}")
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}; name one with {_COLUMNS}")
    try:
        rows = _READERS[file.suffix.lower()](file).reset_index(drop=True)
    except (OSError, ValueError) as error:  # by where the file is broken
        said = (str(error).splitlines() or ["no reason given"])[0]
        raise ValueError(f"{file} is not a whole {file.suffix.lower()} file ({said}); write it again") from error
    kept = _kept(rows, file)
    if rows.empty:
        raise ValueError(f"{file} has no rows; write at least one text into it")
    rows = rows[[name for name in ("id", *kept) if name in rows]]
    if "id" not in rows:
        rows.insert(0, "id", range(len(rows)))
    _check_ids(rows["id"], file)
    for column in _TEXTS:
        if column in rows:
            check_every(rows, column, file, "a text", lambda v: isinstance(v, str) and bool(v.strip()))
    if "answers" in rows:
        single = rows["answers"].map(lambda answers: [answers] if isinstance(answers, str) else answers)
        try:
            rows = listed(rows.assign(answers=single)).drop(columns="answer_starts", errors="ignore")
        except KeyError:  # no dictionary as the hub keeps them
            rows = rows.assign(answers=single)
        check_every(rows, "answers", file, "a text or a list of texts", _answers)
    return rows


def _kept(rows: pd.DataFrame, file: Path) -> tuple[str, ...]:
    """The columns that are read, whether the file has them all or not."""
    pairs = {"question", "context"} <= set(rows)
    if pairs == ("text" in rows):
        columns = ", ".join(map(str, rows.columns)) or "none"
        many = "both kinds" if pairs else "neither kind"
        raise ValueError(f"{file} has {many} of columns: {columns}; it needs {_COLUMNS}")
    return ("question", "context", "answers") if pairs else ("text", "label")


def _answers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(a, str) and a.strip() for a in value)


def _check_ids(ids: pd.Series, file: Path) -> None:
    numbers = [isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in ids]
    names = [isinstance(i, str) and bool(i) for i in ids]
    if not (all(numbers) or all(names)):
        kind = numbers if numbers[0] else names
        at = kind.index(False)
        raise ValueError(
            f"{file}, row {at}: id is {_shown(ids[at])}; make all of them whole numbers, or all of them texts, "
            "or leave the column out"
        )
    if ids.duplicated().any():
        at = int(ids.duplicated().argmax())
        raise ValueError(f"{file}, row {at}: the id {_shown(ids[at])} stands there twice; give every row another one")


def fitted(rows: pd.DataFrame, model: TextModel, source: str, names: tuple[str, ...] = ()) -> pd.DataFrame:
    """Examples whose labels are numbers of the model's own outputs.

    Args:
        rows: of ``own_examples``, or of ``data.examples``.
        model: what is to be recorded.
        source: where the rows come from, for errors.
        names: what the numbers in the column label are called. Where the model has classes of all these names, labels
            go by their names, and its outputs may stand in another order; else by their numbers.

    Raises:
        ValueError: texts for a span model or questions for a classifier, a text without tokens, a model with a single
            output, or a label that the model does not have.
    """
    spans = "question" in rows
    if spans != (model.task == "span"):
        needs = "a span model, such as squad," if spans else "a classifier, such as sst2,"
        raise ValueError(
            f"{source} holds {'questions with contexts' if spans else 'texts'}, which {model.name}, a {model.task} "
            f"model, is not for; name {needs} or another file"
        )
    _check_tokens(rows, model, source)
    if spans:
        return rows
    known: Mapping[Any, Any] = getattr(model.config, "id2label", None) or {}
    classes = {int(number): str(name) for number, name in known.items()}
    if len(classes) < 2:
        raise ValueError(
            f"{model.name} has a single output and no classes, and what is recorded is of classes; name a model with "
            "two or more, or explain this one with explain()"
        )
    if "label" not in rows:
        return rows
    folded = Counter(name.casefold() for name in classes.values())
    by_name = {name.casefold(): number for number, name in classes.items() if folded[name.casefold()] == 1}
    if names and all(name.casefold() in by_name for name in names):
        named = dict(enumerate(names))
        rows = rows.assign(label=[named.get(label, label) for label in rows["label"]])

    def number_of(label: Any) -> int | None:
        if isinstance(label, str):
            return by_name.get(label.casefold())
        if isinstance(label, (bool, np.bool_)) or not isinstance(label, (int, float, np.number)):
            return None
        return int(label) if label in classes else None

    # GLUE keeps its test labels, and copies of SST-2 hold -1 in their place.
    hidden = bool(names) and rows["label"].isin([-1]).all()
    numbers = [-1 if hidden else number_of(label) for label in rows["label"]]
    if None in numbers:
        at = numbers.index(None)
        said = [f"{number} ({name})" for number, name in sorted(classes.items())]
        said = said if len(said) <= _FEW else [*said[:_FEW], f"… {len(said) - _FEW} more"]
        where = f"{source}, row {at} (id {rows['id'].iloc[at]})"
        raise ValueError(
            f"{where}: the label {_shown(rows['label'].iloc[at])} is none of the classes of {model.name}: "
            f"{', '.join(said)}; "
            + (f"name a model with the classes of {source}" if names else "write one of these numbers or names")
        )
    return rows.assign(label=np.array(numbers, dtype=np.int64))


def _check_tokens(rows: pd.DataFrame, model: TextModel, source: str) -> None:
    """Name the first text of which a tokenizer leaves nothing, before a long run stumbles over it."""
    tokenizer: Any = model.tokenizer
    for column in _TEXTS:
        if column in rows:
            coded = tokenizer(list(rows[column]), add_special_tokens=False, verbose=False)["input_ids"]
            empty = [len(ids) == 0 for ids in coded]
            if any(empty):
                at = empty.index(True)
                raise ValueError(
                    f"{source}, row {at} (id {rows['id'].iloc[at]}): the tokenizer of {model.name} finds nothing in "
                    f"the {column} {_shown(rows[column].iloc[at])}; leave the row out"
                )


def _shown(value: Any) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    return repr(value)[:60]
