"""Whether the number that is explained is the model's own: one architecture, judged through public functions only.

The truth is what a user would compute: the tokenizer's ids into the model, its answer out. A continuation's truth is
the chain rule, one word after the other, so that no word is told to a model that should guess it.
"""

from __future__ import annotations

import inspect
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from wordlevel import word_tokenizer

import udig_lab as ul

from .build import tiny_model

WORKS, SINGLY, REFUSED = "works", "works one at a time", "no, because"
SILENT, BARE, UNBUILT = "silent difference", "error without a sentence", "could not be built here"
OUTCOMES = (WORKS, SINGLY, REFUSED, SILENT, BARE, UNBUILT)

NODES = (16, 64, 256)
FINE = 4096  # where that was not enough
SHARP = f"F turns too sharply for {NODES[-1]} nodes"
IDS = "it reads ids for more than their embeddings, so F at the baseline still knows some of the text"
JUMPS = "F jumps along the path"
CUT = "PyTorch's gradient of this model is not the slope of F: use a method that needs no gradient, such as SIG"

TOLERANCE = 1e-4  # of the largest of the model's outputs
COMPLETE = 0.02  # of F(x) - F(x')

QUESTION, CONTEXT = "who ate the cake", "the small dog ate the whole cake on sunday"
TEXTS: dict[str, list[Any]] = {
    "classification": ["the small dog", CONTEXT],
    "span": [("who ate", "the dog ate on sunday"), (QUESTION, CONTEXT)],
    "causal": ["the small dog", "the small dog ate the whole"],
}
CONTINUATION = "cake on"
_WORDS = f"{QUESTION} {CONTEXT}"
_PACKAGE = Path(ul.__file__).parent


@dataclass
class Verdict:
    """What came out for one architecture.

    Attributes:
        task, kind: the head, and the model type.
        outcome: one of ``OUTCOMES``.
        sentence: the error's text, or where the numbers differ.
        alone, batch: the largest difference from the model's own output, as a share of its largest output; of one text
            and of two of different lengths.
        scores: the largest difference between a batch's scores and a single text's, as a share of the largest score.
        baseline: as ``alone``, for F(x') and the model's output on the baseline's ids. It gives a note, and is not
            part of the outcome: what a model does with ids beside embedding them is no part of any path.
        delta: |delta| of Integrated Gradients as a share of F(x) - F(x'), with as many nodes as it took.
        nodes: that many.
        note: why the delta is not small: F turns too sharply, or jumps, or PyTorch's gradient is not the slope of F;
            and whether the baseline differs.
        seconds: for all of it.
    """

    task: str
    kind: str
    outcome: str = UNBUILT
    sentence: str = ""
    alone: float | None = None
    batch: float | None = None
    scores: float | None = None
    baseline: float | None = None
    delta: float | None = None
    nodes: int | None = None
    note: str = ""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def judge(task: str, kind: str) -> Verdict:
    """Build a model and try it."""
    verdict = Verdict(task, kind)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            subject = Subject(task, kind)
        except Exception as error:
            verdict.sentence = _first_line(error)
        else:
            _try(subject, verdict)
    verdict.seconds = round(time.perf_counter() - begin, 2)
    return verdict


class Subject:
    """A tiny model with a tokenizer, and what it says itself of the texts.

    Raises:
        ValueError: the model's own output is not finite, or another one every time.
    """

    def __init__(self, task: str, kind: str):
        self.task = task
        self.model: Any = tiny_model(task, kind)
        config = self.model.config
        types = task != "causal" and (getattr(config, "type_vocab_size", 0) or 0) > 1
        double = kind in ("longformer", "led", "roberta", "bart")
        self.tokenizer = word_tokenizer(
            _WORDS, token_types=types, decoder=task == "causal", separators=1 + (double and task == "span")
        )
        self.accepted = inspect.signature(self.model.forward).parameters
        self.texts = TEXTS[task]
        self.words = self.tokenizer(CONTINUATION, add_special_tokens=False)["input_ids"]
        own = [self.outputs(**self.read(text)) for text in self.texts]
        if not all(bool(o.isfinite().all()) for o in own):
            raise ValueError("the random model's own output is not finite")
        if not all(torch.equal(o, self.outputs(**self.read(text))) for o, text in zip(own, self.texts, strict=True)):
            raise ValueError("the model says something else every time it is asked")

    def read(self, text: Any) -> dict[str, Tensor]:
        """What a user would give the model for a text."""
        parts = text if isinstance(text, tuple) else (text,)
        return dict(self.tokenizer(*parts, return_tensors="pt"))

    def outputs(self, **inputs: Tensor) -> Tensor:
        """Class logits (C,), start and end logits (2, L), or the logits (V,) of the next token."""
        known = {name: value for name, value in inputs.items() if name in self.accepted}
        with torch.no_grad():
            found = self.model(**known)
        if self.task == "span":
            return torch.stack([found.start_logits[0], found.end_logits[0]])
        logits: Tensor = found.logits[0]
        return logits[-1] if self.task == "causal" else logits

    def own(self, inputs: dict[str, Tensor], target: Any) -> tuple[float, float]:
        """The number that should be explained, and the largest of the outputs it comes from."""
        if self.task != "causal":
            output = self.outputs(**inputs)
            if self.task == "span":
                return float(output[0, target[0]] + output[1, target[1]]), float(output.abs().max())
            return float(output[target]), float(output.abs().max())
        total, scale = 0.0, 0.0
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        for word in self.words:
            output = self.outputs(input_ids=ids, attention_mask=mask)
            total += float(output.log_softmax(-1)[word])
            scale = max(scale, float(output.abs().max()))
            ids = torch.cat([ids, torch.tensor([[word]])], dim=1)
            mask = torch.ones_like(ids)
        return total, scale

    @property
    def given(self) -> dict[str, Any]:
        """What every call is given besides the texts."""
        target = {"classification": 1, "span": None, "causal": CONTINUATION}[self.task]
        return {"target": target, "tokenizer": self.tokenizer, "baseline": "unk"}

    def explain(self, texts: Any, n_steps: int = NODES[0]) -> Any:
        """Integrated Gradients through the package."""
        return ul.explain(self.model, texts, n_steps=n_steps, **self.given)

    def misses(self, found: Any, text: Any) -> tuple[float, float]:
        """How far F(x) and F(x') are from the model's own output, as shares of its largest."""
        inputs = self.read(text)
        own, scale = self.own(inputs, found.target)
        ids = inputs["input_ids"][0]
        fixed = torch.tensor(found.special[: len(ids)])
        replaced = torch.where(fixed, ids, self.tokenizer.unk_token_id)[None]
        start, wide = self.own(inputs | {"input_ids": replaced}, found.target)
        return abs(found.f_input - own) / scale, abs(found.f_baseline - start) / max(scale, wide)


def _try(subject: Subject, verdict: Verdict) -> None:
    """Fill a verdict: one text, then two, then as many nodes as completeness takes."""
    try:
        singles = [subject.explain(text) for text in subject.texts]
    except Exception as error:
        verdict.outcome, verdict.sentence = _refusal(error)
        return
    pairs = [subject.misses(found, text) for found, text in zip(singles, subject.texts, strict=True)]
    verdict.alone, verdict.baseline = (max(column) for column in zip(*pairs, strict=True))
    if not verdict.alone <= TOLERANCE:
        verdict.outcome, verdict.sentence = SILENT, "F(x) of one text is not the model's output"
        return
    try:
        padded, together = _watched(subject.model, lambda: subject.explain(subject.texts))
    except Exception as error:
        outcome, verdict.sentence = _refusal(error)
        verdict.outcome = SINGLY if outcome == REFUSED else outcome
        return
    verdict.batch = max(subject.misses(f, text)[0] for f, text in zip(together, subject.texts, strict=True))
    verdict.scores = max(_apart(a, b) for a, b in zip(singles, together, strict=True))
    if not verdict.batch <= TOLERANCE:
        verdict.outcome, verdict.sentence = SILENT, "F(x) of two texts in a batch is not the model's output"
        return
    if not verdict.scores <= 20 * TOLERANCE:
        verdict.outcome, verdict.sentence = SILENT, "two texts in a batch get other scores than alone"
        return
    verdict.outcome = WORKS if padded else SINGLY
    for verdict.nodes in NODES:
        found = subject.explain(subject.texts[1], n_steps=verdict.nodes)
        change = max(abs(found.f_input - found.f_baseline), TOLERANCE)
        verdict.delta = abs(found.delta) / change
        if verdict.delta <= COMPLETE:
            break
    notes = [_why(subject)] if verdict.delta > COMPLETE else []
    verdict.note = "; ".join([*notes, *[IDS] * (verdict.baseline > TOLERANCE)])


def _why(subject: Subject) -> str:
    """From node to node F changes by the mean of the gradients at both, but where it jumps.

    If that holds for most of many steps, the gradient is right; if it then holds for their sum, there were too few
    nodes, and otherwise a few jumps are to blame: experts that are switched, tokens that are selected.
    """
    found = ul.trace(subject.model, subject.texts[1], n_steps=FINE, rule="left", **subject.given)
    slope, change = found.contributions.sum(-1).double(), found.f.double().diff()
    missed = change - (slope[1:] + slope[:-1]) / 2  # (FINE - 1,)
    if float((missed.abs() / change.abs().clamp(min=1e-9)).median()) > 0.03:
        return CUT
    return JUMPS if float(missed.sum().abs()) > COMPLETE * max(float(change.sum().abs()), TOLERANCE) else SHARP


def _apart(a: Any, b: Any) -> float:
    """The largest difference of two texts' scores, as a share of the largest score."""
    largest = max(abs(s) for s in a.scores)
    return max(abs(p - q) for p, q in zip(a.scores, b.scores, strict=True)) / max(largest, 1e-6)


def _watched(model: nn.Module, call: Any) -> tuple[bool, Any]:
    """Whether the model was given padding in a call, and what the call returned."""
    seen = False

    def look(module: nn.Module, given: Any, named: dict[str, Any]) -> None:
        nonlocal seen
        mask = named.get("attention_mask")
        seen = seen or (isinstance(mask, Tensor) and mask.ndim == 2 and bool((mask == 0).any()))

    handle = model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        found = call()
    finally:
        handle.remove()
    return seen, found


def _refusal(error: Exception) -> tuple[str, str]:
    """A sentence of the package, or something that fell through it."""
    deepest = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if isinstance(error, (ValueError, TypeError)) and _PACKAGE in deepest.parents:
        return REFUSED, _first_line(error)
    return BARE, f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
