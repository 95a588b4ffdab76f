"""The result of an explanation: scores, what they should sum to, and how to look at them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pandas as pd
import torch

from udig_lab.drawing.heatmap import shades, to_html, visible
from udig_lab.drawing.picture import Picture, show
from udig_lab.methods.controlled import allowed_error
from udig_lab.methods.trees import Group
from udig_lab.model.answers import words_between
from udig_lab.model.inputs import Encoding
from udig_lab.model.segments import TOKEN, places_of
from udig_lab.saving import strict
from udig_lab.saving.fields import CHECKS, PER_TOKEN


@dataclass(frozen=True)
class Attribution:
    """Scores of the L tokens of one text.

    >>> import udig_lab as ul
    >>> a = ul.explain(ul.load("sst2"), "an unputdownable movie", method="sig")
    >>> [word for word, score in a.words()]
    ['an', 'unputdownable', 'movie']
    >>> a.tokens[0], a.scores[0], a.special[0]
    ('[CLS]', 0.0, True)
    >>> ul.Attribution.from_json(a.to_json()) == a
    True

    Attributes:
        tokens: L strings, as the tokenizer writes them, special tokens included.
        pieces: L strings, the part of the text each token stands for.
        input_ids: L token ids.
        word_ids: L word numbers; None for special tokens.
        token_types: L numbers for models that tell a question from its context by them; otherwise None.
        sequence_ids: L numbers, 0 for the text or question, 1 for the context; None for special tokens.
        scores: L attributions, never normalised, in units of F (logits); for "idg", values between -1 and 1.
        special: L flags; special tokens score 0.
        target: what is explained: the index of a class, the (start, end) positions of an answer, or the token ids of
            a continuation; of a contrast, two of them.
        target_name: its label or words.
        output: which number of it F is, such as "logit" or "log_odds".
        probability: of the target for the input; None where the head has none (a regression, a contrast).
        at: the position whose class is explained, for models with one at every token; otherwise None.
        f_input: F at the input.
        f_baseline: F at the baseline.
        method, baseline, protocol: how the scores were made.
        settings: the method's settings.
        anchors: for methods through words, L lists of the words a token's path visits, input first (None for special
            tokens); otherwise None.
        segment_of: L names, the segment of the prompt each token belongs to, None outside; None where there are none.
        by: what moved as one, and is shown and judged as one: "token" or "segment".
        integrated: what the line integral beneath sums to, where that is not the sum of the scores: for "idg"; NaN
            for "random".
        groups: for "idg", every group with its value; otherwise None.
        errors: for methods that draw, L standard errors of the scores, NaN where one draw leaves them unknown; for
            the controlled rule, L estimates of their errors; otherwise None.
        evaluations: gradients that were computed for this text.
        forwards: forward passes of F without gradient, for methods that need some.
        seconds: wall time of the call, divided by its number of texts.
    """

    tokens: tuple[str, ...]
    pieces: tuple[str, ...]
    input_ids: tuple[int, ...]
    word_ids: tuple[int | None, ...]
    scores: tuple[float, ...]
    special: tuple[bool, ...]
    target: int | tuple[Any, ...]
    target_name: str
    output: str
    probability: float | None
    f_input: float
    f_baseline: float
    method: str
    baseline: str
    protocol: str = "corrected"
    token_types: tuple[int, ...] | None = None
    sequence_ids: tuple[int | None, ...] | None = None
    at: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    anchors: tuple[tuple[str, ...] | None, ...] | None = None
    integrated: float | None = None
    groups: tuple[Group, ...] | None = None
    segment_of: tuple[str | None, ...] | None = None
    by: str = TOKEN
    errors: tuple[float, ...] | None = None
    evaluations: int = 0
    forwards: int = 0
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        """Equal where all that can be saved is: what is no number equals itself here, unlike in arithmetic."""
        return isinstance(other, Attribution) and self.to_json() == other.to_json()

    @property
    def encoding(self) -> Encoding:
        """The tokenised text."""
        types = self.token_types
        parts = types or (0,) * len(self)  # what an attribution saved before it kept them knows of them
        return Encoding(
            torch.tensor(self.input_ids),
            torch.tensor(self.special),
            self.tokens,
            self.pieces,
            self.word_ids,
            self.sequence_ids or tuple(None if f else s for f, s in zip(self.special, parts, strict=True)),
            None if types is None else torch.tensor(types),
            self.segment_of,
        )

    @property
    def total(self) -> float:
        """What should equal F(x) - F(x'): the sum of the scores, or ``integrated`` where that is something else."""
        return sum(self.scores) if self.integrated is None else self.integrated

    @property
    def delta(self) -> float:
        """Convergence delta Δ: total - (F(x) - F(x')). Zero means the explanation is complete."""
        return self.total - (self.f_input - self.f_baseline)

    @property
    def delta_percent(self) -> float:
        """|delta| as a percentage of |F(x) - F(x')|; infinite when F does not change."""
        change = abs(self.f_input - self.f_baseline)
        return 100 * abs(self.delta) / change if change else float("inf")

    @property
    def converged(self) -> bool | None:
        """Whether all errors are within the tolerance that was asked for; None where none was asked for."""
        if self.errors is None or self.settings.get("rule") != "controlled":
            return None
        return max(self.errors) <= allowed_error(self.f_input - self.f_baseline, self.settings["tolerance"])

    @property
    def remark(self) -> str:
        """What is said wherever scores are shown: that they have not converged; "" if there is nothing to say."""
        if self.converged is not False or self.errors is None:
            return ""
        return f"not converged: errors up to {max(self.errors):.2f} after {self.evaluations} gradients"

    @property
    def balance(self) -> str:
        """What the scores sum to and what they should, in a caption's words; random scores claim no sum."""
        change = f"F(x) - F(x') {self.f_input - self.f_baseline:+.3f}"
        if math.isnan(self.total):
            return f"no sum is claimed, {change}"
        return f"sum {self.total:+.3f}, {change}, Δ% = {self.delta_percent:.1f}"

    def words(self) -> list[tuple[str, float]]:
        """Words with their scores: word pieces joined, their scores added, special tokens left out."""
        merged: list[tuple[str, float]] = []
        last: int | None = None
        for piece, word, score in zip(self.pieces, self.word_ids, self.scores, strict=True):
            if word is None:
                continue
            if word == last:
                text, sum_ = merged[-1]
                merged[-1] = (text + piece, sum_ + score)
            else:
                merged.append((piece, score))
            last = word
        return [(text.strip(), score) for text, score in merged]

    def segments(self) -> dict[str, float]:
        """The sum of the scores of every segment, in the order of the text.

        Raises:
            ValueError: the text has none.
        """
        if self.segment_of is None:
            raise ValueError("this text has no segments; explain it with segments=…, or as a chat")
        places = places_of(self.segment_of, self.special)
        return {name: sum(self.scores[i] for i in own) for name, own in places.items()}

    def shown(self) -> list[tuple[str, float]]:
        """What is shown with its score: words, or segments by their names."""
        return self.words() if self.by == TOKEN else list(self.segments().items())

    def _word_errors(self) -> list[float] | None:
        """Errors of what is shown, at most the sum of its tokens'; None without the controlled rule."""
        if self.converged is None or self.errors is None:
            return None
        return [error for _, error in replace(self, scores=self.errors).shown()]

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each word, or segment, in order: its name, score, and share of the largest magnitude.

        With the controlled rule also the score's error, and whether all are within the tolerance.
        """
        words, errors = self.shown(), self._word_errors()
        kind = "word" if self.by == TOKEN else self.by
        table = pd.DataFrame({kind: [w for w, _ in words], "score": [s for _, s in words], "shade": shades(words)})
        if errors is not None:
            table["error"], table["converged"] = errors, self.converged
        return table

    def plot(self, *, caption: str = "") -> Picture:
        """A bar for every word, or segment, in reading order."""
        words, kind = self.shown(), f"{'word' if self.by == TOKEN else self.by}s"
        values, errors = [score for _, score in words], self._word_errors()
        whiskers: dict[str, Any] = {} if errors is None else {"xerr": errors, "ecolor": "C5"}
        title = "\n".join(filter(None, (f"{self.method} for {self.target_name!r}", self.remark)))

        def draw(axes: Any) -> None:
            axes.barh(range(len(words)), values, color=["C1" if v >= 0 else "C0" for v in values], **whiskers)
            axes.set_yticks(range(len(words)), [word.replace("$", r"\$") for word, _ in words])
            axes.invert_yaxis()
            axes.axvline(0, color="C5", linewidth=0.8)
            axes.set(
                title=title.replace("$", r"\$"),
                xlabel="signed value" if self.groups else f"score ({self.output})",
            )

        best, least = max(words, key=lambda p: p[1]), min(words, key=lambda p: p[1])
        alt = (
            f"Bars for {len(words)} {kind}, explained by {self.method} for {self.target_name}. Highest: {best[0]} "
            f"({best[1]:+.2f}); lowest: {least[0]} ({least[1]:+.2f})."
        )
        if self.remark:
            alt += f" These scores are {self.remark}."
        return show(draw, alt=alt, caption=caption, size=(6.4, 0.28 * len(words) + 1.2))

    def __str__(self) -> str:
        body = " ".join(f"{visible(word)}({score:+.2f})" for word, score in self.shown())
        remark = f" [{self.remark}]" if self.remark else ""
        return f"{visible(self.method)} for {self.target_name!r}{self._p(' (p = ', ')')}: {body}{remark}"

    def _p(self, before: str, after: str) -> str:
        """The probability in words, where there is one."""
        return "" if self.probability is None else f"{before}{self.probability:.3f}{after}"

    def _repr_html_(self) -> str:
        remark = f" · {self.remark}" if self.remark else ""
        caption = (
            f"{self.method} · {self.target_name}{self._p(' (probability ', ')')} · baseline {self.baseline} · "
            f"{self.balance}{remark}"
        )
        if self.segment_of is None:
            return to_html(self.words(), caption)
        sums = list(self.segments().items())
        if self.by == TOKEN:
            return to_html(self.words(), caption, {"segment": sums, "word": self.words()})
        places = places_of(self.segment_of, self.special)
        texts = [(words_between(self.encoding, places[name][0], places[name][-1]), score) for name, score in sums]
        return to_html(texts, caption, {"segment": sums})

    def to_json(self) -> str:
        """One JSON object, a few kilobytes a text.

        It is strict: a number that is not finite is a word. Tensors among the settings are named, not stored.
        """
        return strict.written(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Attribution:
        """The inverse of ``to_json``; what is not its work is refused.

        Raises:
            ValueError: the text is not an attribution.
        """
        try:
            fields = strict.read(text, CHECKS, {"total": "integrated"})
            lengths = {len(fields[name]) for name in PER_TOKEN if fields.get(name) is not None}
            if len(lengths) != 1 or 0 in lengths:
                raise ValueError(f"its lists have {' and '.join(map(str, sorted(lengths)))} entries")
            return cls(**fields)
        except (ValueError, TypeError) as error:
            raise ValueError(f"this is not a saved attribution ({error}); pass what to_json() returned") from error
