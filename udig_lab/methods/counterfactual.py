"""IG2: the path is found by gradient descent towards an input that the model represents like another class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from udig_lab.data import examples
from udig_lab.integrals import Integral, Lazy
from udig_lab.methods.solution import Paths
from udig_lab.model.asked import next_token
from udig_lab.model.heads import reads_forward
from udig_lab.model.ids import encode_ids, unpadded
from udig_lab.model.inputs import Encoding, Text, encode
from udig_lab.model.reader import Reader, read
from udig_lab.problem import Problem

# Default references: the first so many of another class, among so many texts of a shipped corpus.
_DEFAULTS, _AMONG = 4, 40
_CORPORA = {"ABBR": "trec"}  # by the name of the model's first class; for all others, sentences of sentiment


def ig2(
    problem: Problem,
    *,
    references: Sequence[Text | Sequence[int]] | None = None,
    n_steps: int = 500,
    step_size: float = 0.01,
    layer: str | None = None,
) -> Paths:
    """IG2: along a gradient path to a counterfactual found in representation space, averaged over references.

    From the input x, every step moves a fixed length towards the input the model represents like a reference of
    another class (GradPath); where it ends is GradCF, and takes the baseline's place. The ``baseline`` of ``explain``
    is not used.

    Args:
        problem: texts.
        references: texts of another class, or their token ids (a list or array each), all of which are used; None
            takes the first four texts of a shipped corpus to which the model gives another class: questions for a
            model with TREC's classes, else sentences of sentiment.
        n_steps: T, steps of the path.
        step_size: eta, length of a step in the space of all L D embedding numbers.
        layer: name of the module whose output represents a text (of an output with a row per token, the first is
            read, or the last where the model reads from left to right); None takes the input of the last linear layer.

    Source: Zhuo & Ge, IEEE TPAMI 46(11), 2024, arXiv 2406.10852, eq. 3; steps and step size of its text experiment
    (TREC), where every text of another class in a list of twenty is a reference.

    Raises:
        ValueError: no references, an unknown layer, or a reference the model cannot tell from the text.
    """
    if n_steps < 1 or step_size <= 0:
        raise ValueError(f"ig2 needs n_steps >= 1 and a positive step_size, not {n_steps} and {step_size}")
    module = _layer(problem.model.model, layer)
    table = problem.model.table
    low, high = float(table.min()), float(table.max())
    representations = _References(problem, references, module, layer is None)

    def integral(i: int) -> Integral:
        others = representations.of(i)  # (R, H)
        owners = torch.full((len(others),), i, device=others.device)

        def away(points: Tensor) -> Tensor:
            mask = torch.ones(points.shape[:2], dtype=torch.int64, device=points.device)
            with _heard(module, layer is None, reads_forward(problem.model.model)) as heard:
                problem.reader(points, mask, owners)
            (gradient,) = torch.autograd.grad(mse_loss(heard[0], others), points)
            return gradient * problem.explained(i)[:, None]

        start = problem.explicand(i).expand(len(others), -1, -1)
        return _Descent(
            lambda: descent(away, start, n_steps=n_steps, step_size=step_size, clip=(low, high)), n_steps, len(others)
        )

    return Paths(integral, baseline="gradcf", gradients=2)


def descent(
    gradient: Callable[[Tensor], Tensor],
    explicand: Tensor,
    *,
    n_steps: int,
    step_size: float,
    clip: tuple[float, float],
) -> Iterator[Tensor]:
    """Descend a distance from the explicand with steps of equal length: GradPath (Zhuo & Ge 2024, §4.2).

    Args:
        gradient: of the distance at points (R, L, D) that require a gradient.
        explicand: (R, L, D), the same text once for each reference.
        n_steps: T.
        step_size: Euclidean length of a step, all tokens and dimensions together.
        clip: least and largest value a coordinate may take.

    Yields:
        T + 1 times (R, L, D), explicand first, GradCF last.

    Raises:
        ValueError: the distance has no gradient at the explicand.
    """
    point = explicand.detach()
    for step in range(n_steps):  # sequential by definition: each step starts where the last one ended
        yield point
        g = gradient(point.detach().requires_grad_(True))
        length = g.flatten(1).norm(dim=1)[:, None, None]
        if step == 0 and not bool((length > 0).all()):
            raise ValueError(
                "a reference has the same representation as the text, or the layer does not look at the words, "
                "so there is no way towards it; pass references of another class, or a later layer"
            )
        # A gradient that has vanished on the way means that the path has arrived.
        move = torch.where(length > 0, g / length.clamp(min=torch.finfo(g.dtype).tiny), 0)
        point = (point - step_size * move).clamp(*clip)
    yield point


def gradpath(gradient: Callable[[Tensor], Tensor], explicand: Tensor, **how: Any) -> Tensor:
    """All points of a ``descent`` (T + 1, R, L, D), explicand first, GradCF last."""
    return torch.stack(list(descent(gradient, explicand, **how)))


class _Descent(Lazy):
    """The mean over R descents of T steps; GradCF takes the baseline's place.

    The descent goes on when a block is asked for, and begins anew when an earlier one is.
    """

    def __init__(self, begin: Callable[[], Iterator[Tensor]], n_steps: int, references: int):
        self.begin, self.n_steps, self.references = begin, n_steps, references
        self._walk: Iterator[Tensor] = iter(())
        self._newest: list[Tensor] = []  # the last two points (R, L, D)
        self._reached = -1  # the step of the newest

    def __len__(self) -> int:
        return self.n_steps * self.references

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points and weights (last - first, L, D): of every step, one for each reference."""
        steps = range(first // self.references, -(-last // self.references))
        points = torch.stack([self._at(step) for step in (*steps, steps.stop)])  # (n + 1, R, L, D)
        weights = (points[:-1] - points[1:]) / self.references  # mean over references
        part = slice(first - steps.start * self.references, last - steps.start * self.references)
        return points[:-1].flatten(0, 1)[part], weights.flatten(0, 1)[part]

    @property
    def baselines(self) -> Tensor:
        """(R, L, D) where the descents end."""
        return self._at(self.n_steps)

    def _at(self, step: int) -> Tensor:
        if not self._newest or step <= self._reached - len(self._newest):
            self._walk, self._newest, self._reached = self.begin(), [], -1
        while self._reached < step:
            self._newest = [*self._newest[-1:], next(self._walk)]
            self._reached += 1
        return self._newest[step - self._reached - 1]


class _References:
    """Representations of the references of every text."""

    def __init__(
        self, problem: Problem, references: Sequence[Text | Sequence[int]] | None, module: nn.Module, at_input: bool
    ):
        self.problem = problem
        self.limit = _DEFAULTS if references is None else len(references)
        encodings = _encoded(problem, references)
        asked = next_token(problem.model, encodings)
        reader = Reader(problem.model, encodings, at=asked.at, answers=asked.answers)
        outputs = []
        vectors = []
        for i, encoding in enumerate(encodings):
            with _heard(module, at_input, reads_forward(problem.model.model)) as heard:
                rows = encoding.embeddings(problem.model.table)
                outputs += read(reader, lambda _, rows=rows: rows, [i], [len(encoding)], problem.budget)  # type: ignore[misc]
            vectors.append(heard[0][0].detach())
        self.vectors = torch.stack(vectors)  # (N_ref, H)
        one = problem.model.task == "classification"
        self.classes = torch.stack(outputs).argmax(-1).tolist() if one else None

    def of(self, i: int) -> Tensor:
        """(R, H) for text i."""
        other = range(len(self.vectors))
        if self.classes is not None:
            explained = self.problem.target.of(i)
            other = [r for r, c in enumerate(self.classes) if c != explained]  # type: ignore[assignment]
        if not other:
            raise ValueError(
                f"the model gives every reference the class that is explained ({self.problem.target.name(i)}); "
                "pass references=[…], texts of another class"
            )
        return self.vectors[list(other)[: self.limit]]


def _encoded(problem: Problem, references: Sequence[Text | Sequence[int]] | None) -> list[Encoding]:
    model = problem.model
    if references is None:
        if model.task != "classification" or model.tokenizer is None:
            raise ValueError(
                "ig2 has no references of its own for this model; pass references=[…], texts or token ids to move to"
            )
        corpus = _CORPORA.get(model.class_name(0), "sst2")
        references = examples(corpus, limit=_AMONG)["text"].tolist()
    if isinstance(references, str) or not len(references):
        raise ValueError("references is empty or a single string; pass a list of texts of another class")
    texts = [isinstance(r, str) or (isinstance(r, tuple) and isinstance(r[0], str)) for r in references]
    if not any(texts):
        return _of_ids(problem, references)
    if not all(texts):
        raise TypeError("references mixes texts and token ids; pass a list of one kind")
    if model.tokenizer is None:
        raise ValueError("references that are texts need a tokenizer; pass tokenizer=…, or their token ids")
    return encode(list(references), model.tokenizer, limit=model.limit, truncate=True)  # type: ignore[arg-type]


def _of_ids(problem: Problem, references: Any) -> list[Encoding]:
    """References that came as token ids: nothing moves in them, so it is no matter which are special."""
    rows, types, single = unpadded(references, None)
    if single:
        raise ValueError("references is one sequence of token ids; pass a list of them, such as [ids]")
    encodings = encode_ids(rows, types, special_ids=[], tokenizer=problem.model.tokenizer)
    problem.model.check_ids(encodings)
    return encodings


def _layer(model: nn.Module, name: str | None) -> nn.Module:
    if name is None:
        return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if name not in modules or not name:
        raise ValueError(f"unknown layer {name!r}; choose one of model.named_modules(), such as {list(modules)[-1]!r}")
    return modules[name]


@contextmanager
def _heard(module: nn.Module, at_input: bool, last: bool) -> Iterator[list[Tensor]]:
    """Overhear a module's first input or its output: (n, H) each time; of (n, L, H) the first or last token."""
    heard: list[Tensor] = []

    def listen(_: nn.Module, inputs: Any, output: Any = None) -> None:
        value = inputs[0] if at_input else output[0] if isinstance(output, tuple) else output
        heard.append(value[:, -1 if last else 0] if value.ndim == 3 else value)

    handle = module.register_forward_pre_hook(listen) if at_input else module.register_forward_hook(listen)
    try:
        yield heard
    finally:
        handle.remove()
