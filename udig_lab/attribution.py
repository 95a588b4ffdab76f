"""The result of an explanation: scores, what they should sum to, and how to look at them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from udig_lab.heatmap import to_html


@dataclass(frozen=True)
class Attribution:
    """Scores of the L tokens of one text.

    Attributes:
        tokens: L strings, special tokens included.
        input_ids: L token ids.
        word_ids: L word numbers; None for special tokens.
        scores: L attributions, never normalised, in units of F (logits).
        special: L flags; special tokens score 0.
        target: index of the explained class.
        target_name: its label.
        probability: of that class for the input.
        f_input: F at the input.
        f_baseline: F at the baseline.
        method, baseline, protocol: how the scores were made.
        settings: the method's settings.
        anchors: for methods through words, L lists of the words a token's path visits, input first (None for special
            tokens); otherwise None.
        evaluations: gradients of F that were computed for this text.
        seconds: wall time of the call, divided by its number of texts.
    """

    tokens: tuple[str, ...]
    input_ids: tuple[int, ...]
    word_ids: tuple[int | None, ...]
    scores: tuple[float, ...]
    special: tuple[bool, ...]
    target: int
    target_name: str
    probability: float
    f_input: float
    f_baseline: float
    method: str
    baseline: str
    protocol: str = "corrected"
    settings: dict[str, Any] = field(default_factory=dict)
    anchors: tuple[tuple[str, ...] | None, ...] | None = None
    evaluations: int = 0
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def delta(self) -> float:
        """Convergence delta: sum of the scores - (F(x) - F(x')). Zero means the explanation is complete."""
        return sum(self.scores) - (self.f_input - self.f_baseline)

    @property
    def delta_percent(self) -> float:
        """|delta| as a percentage of |F(x) - F(x')|; infinite when F does not change."""
        change = abs(self.f_input - self.f_baseline)
        return 100 * abs(self.delta) / change if change else float("inf")

    def words(self) -> list[tuple[str, float]]:
        """Words with their scores: word pieces joined, their scores added, special tokens left out."""
        merged: list[tuple[str, float]] = []
        last: int | None = None
        for token, word, score in zip(self.tokens, self.word_ids, self.scores, strict=True):
            if word is None:
                continue
            if word == last:
                text, total = merged[-1]
                merged[-1] = (text + token.removeprefix("##"), total + score)
            else:
                merged.append((token.lstrip("Ġ▁"), score))
            last = word
        return merged

    def __str__(self) -> str:
        body = " ".join(f"{word}({score:+.2f})" for word, score in self.words())
        return f"{self.method} for {self.target_name!r} (p = {self.probability:.3f}): {body}"

    def _repr_html_(self) -> str:
        caption = (
            f"{self.method} · {self.target_name} (probability {self.probability:.3f}) · baseline {self.baseline} · "
            f"sum {sum(self.scores):+.3f}, F(x) - F(x') {self.f_input - self.f_baseline:+.3f}, "
            f"Delta {self.delta_percent:.1f} %"
        )
        return to_html(self.words(), caption)

    def to_json(self) -> str:
        """One JSON object, a few kilobytes a text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Attribution:
        """The inverse of ``to_json``.

        Raises:
            ValueError: the text is not an attribution.
        """
        try:
            fields = json.loads(text)
            for name in ("tokens", "input_ids", "word_ids", "scores", "special"):
                fields[name] = tuple(fields[name])
            if fields.get("anchors") is not None:
                fields["anchors"] = tuple(None if a is None else tuple(a) for a in fields["anchors"])
            return cls(**fields)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"this is not a saved attribution ({error}); pass what to_json() returned") from error
