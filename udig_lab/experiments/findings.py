"""A page's first lines: sentences about recorded rows whose numbers all come from these rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from udig_lab.experiments.claims import rule
from udig_lab.experiments.docket import BETTER, EQUAL, OPEN, WORSE, outcome
from udig_lab.experiments.naming import title
from udig_lab.experiments.tables import better
from udig_lab.faithfulness.statistics import Difference, Interval

# A number that stands by itself: not the 2 of "SST-2" or of "IG2".
NUMBER = re.compile(r"(?<![\w.\-\u2212])[+\-\u2212]?\d[\d,]*(?:\.\d+)?(?!\w)")
_HEADINGS = {BETTER: "better than {}", WORSE: "worse than {}", EQUAL: "no difference to {} that matters", OPEN: OPEN}
UNDECIDED = (  # for pages whose first lines hold the word
    "Not decided means that a difference is not shown after the correction for all comparisons, even where its own "
    "interval leaves out zero, and that differences which matter are not ruled out."
)
_FIELD = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True)
class Finding:
    """Sentences that a notebook shows as Markdown, in the book, in JupyterLab and in Colab alike.

    Attributes:
        text: the sentences.
    """

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text

    @property
    def numbers(self) -> list[str]:
        """The numbers that stand in the text, as they are written there."""
        return NUMBER.findall(self.text)


def finding(lead: str, *points: str, **values: object) -> Finding:
    """Sentences with values in the place of their names.

    >>> finding("Of {n:,} sentences, IG reads {right:.0%}.", n=1821, right=0.5)
    Of 1,821 sentences, IG reads 50%.

    Args:
        lead: sentences, as for ``str.format``. They hold no number of their own: it could not change with the rows.
        *points: sentences that follow as a list, as ``lead``.
        **values: numbers, intervals, differences, and sentences that were made from them.

    Raises:
        ValueError: the sentences hold a number, or do not name one of the values.
    """
    sentences = "\n\n".join(filter(None, (lead, "\n".join(f"- {point}" for point in points))))
    if own := NUMBER.search(_FIELD.sub("", sentences)):
        raise ValueError(
            f"the sentences hold the number {own.group()}; pass it by a name, from the rows it comes from"
        )
    unused = [name for name in values if not re.search(rf"\{{{name}\b", sentences)]
    if unused:
        raise ValueError(f"no sentence names {', '.join(unused)}; write {{{unused[0]}}} where it belongs")
    return Finding(sentences.format(**{name: _plain(value) for name, value in values.items()}))


def side(metric: str, difference: Difference, margin: float | None = None) -> str:
    """The outcome of a difference by the registered rule, whichever way its metric is read.

    Args:
        metric: a column.
        difference: paired, one method minus another.
        margin: the smallest difference that matters; None for the registered one.
    """
    ended = outcome(difference, rule().margin(metric) if margin is None else margin, rule().examples)
    turned = ended in (BETTER, WORSE) and better(metric) < 0
    return {BETTER: WORSE, WORSE: BETTER}[ended] if turned else ended


def compared(
    metric: str, differences: Mapping[str, Difference], reference: str = "ig", margin: float | None = None
) -> str:
    """How methods stand to another one, in words, without a full stop.

    >>> sig = Difference(-0.04, -0.06, -0.02, 99, 0.001, 0.01)
    >>> compared("sufficiency_20", {"sig": sig, "dig_greedy": sig})
    'better than IG: SIG -0.040 [-0.060, -0.020] and DIG -0.040 [-0.060, -0.020] (n = 99)'

    Args:
        metric: a column.
        differences: paired, a method minus the reference, by variant, corrected for what was asked with them.
        reference: a variant.
        margin: as in ``side``.
    """
    usual = not any(v.endswith("_maxcount") for v in differences)  # the strategy that need not be named
    names = {v: title(v).removesuffix(" (greedy)" if usual else "") for v in differences}
    sizes = {d.n for d in differences.values()}
    last = f" (n = {sizes.pop():,})" if len(sizes) == 1 else ""
    said: dict[str, list[str]] = {}
    for variant, d in differences.items():
        numbers = f"{names[variant]} {_plain(d)}" + ("" if last else f" (n = {d.n:,})")
        said.setdefault(side(metric, d, margin), []).append(numbers)
    against = title(reference)
    against = against.lower() if against[1:2].islower() else against  # "random scores", but "IG"
    groups = []
    for word, heading in _HEADINGS.items():
        if own := said.get(word):
            groups.append(f"{heading.format(against)}: {listed(own)}")
    return "; ".join(groups) + last


def listed(items: Sequence[str]) -> str:
    """Items in a sentence.

    >>> listed(["IG", "DIG", "UDIG"])
    'IG, DIG and UDIG'
    """
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))


def path_matters(sides: Mapping[str, Collection[str]], *, of: str = "") -> str:
    """One sentence on whether the choice of the path decides, from outcomes under several ways of judging.

    >>> path_matters({"deleting": ["better", "better"], "masking": ["worse", "not decided"]})
    'It matters, but which path is better depends on how words are erased: deleting and masking disagree.'

    Args:
        sides: outcomes against one method, by a judge's name; one for each method, in the same order.
        of: which paths these are, such as "from [MASK]".
    """
    columns = list(zip(*sides.values(), strict=True))
    every = {s for own in sides.values() for s in own}
    if any({BETTER, WORSE} <= set(column) for column in columns):
        judges = f"{of}, " * bool(of) + " and ".join(sides)
        return f"It matters, but which path is better depends on how words are erased: {judges} disagree."
    if every == {EQUAL}:
        return "It makes no difference that matters."
    if not every & {BETTER, WORSE}:
        return "These rows do not decide it."
    if {BETTER, WORSE} <= every:
        return "It matters: some of the paths are better than the straight line, and some are worse."
    decided = (every & {BETTER, WORSE}).pop()
    return f"It matters: where the rows decide, the other paths are {decided} than the straight line."


def _plain(value: object) -> object:
    """Differences and intervals as tables write them, without the star."""
    return str(value).removesuffix(" *") if isinstance(value, Interval) else value
