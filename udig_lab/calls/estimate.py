"""``estimate``: what an explanation will take, said before it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udig_lab.calls.answer import answer_call_of
from udig_lab.calls.call import call_of
from udig_lab.explainer import wishes_of
from udig_lab.integrals import Integral, Lazy
from udig_lab.methods import Method, Passes, Paths, Solution
from udig_lab.methods.anchors import AnchorSearch
from udig_lab.methods.coalitions import players
from udig_lab.methods.settings import UNFORESEEN
from udig_lab.model.asked import answer_lengths
from udig_lab.model.heads import GENERATING
from udig_lab.model.inputs import Encoding
from udig_lab.model.memory import MemoryMeter
from udig_lab.model.target import ALL
from udig_lab.paths import straight
from udig_lab.problem import Problem, posed

_READS = 3  # forward passes that every explanation begins with: F(x), F(x'), and the model's own output
_WORDS = 16  # words whose search is timed, and as many again
_TIMES, _ENOUGH = 3, 0.2  # work is timed so often, or until it has taken so many seconds
# What the CPU's allocator keeps around tensors: a process was seen to grow by 1.1 to 3.1 times those that are alive at
# once, and by ten megabytes where they are next to nothing.
_KEPT, _LEAST = 1.8, 8e6


@dataclass(frozen=True)
class Estimate:
    """What explanations will take.

    Attributes:
        method: how they are made.
        texts: N.
        gradients: of F, for all texts: what ``Attribution.evaluations`` will add up to.
        forwards: passes without gradient: what ``Attribution.forwards`` will add up to.
        memory: bytes by which the process will grow at most; on other devices than the CPU, bytes of tensors.
        seconds: wall time on this machine, as busy as it is now.
    """

    method: str
    texts: int
    gradients: int
    forwards: int
    memory: int
    seconds: float

    def __str__(self) -> str:
        unit, size = (
            ("hours", 3600) if self.seconds > 7200 else ("minutes", 60) if self.seconds > 120 else ("seconds", 1)
        )
        return (
            f"{self.method} of {self.texts} text{'s' * (self.texts != 1)}: {self.gradients:,} gradients, "
            f"{self.forwards:,} forward passes, {self.memory / 1e6:,.0f} MB, {self.seconds / size:.2g} {unit}"
        )


def estimate(model: Any, texts: Any = None, *, answer: bool = False, **options: Any) -> Estimate:
    """Say what ``explain`` would take with the same arguments, or ``explain_answer``.

    The texts with the fewest and the most tokens are looked at: how many passes they need, and how long some of these
    take when they are as full as they will be. All other texts are taken to lie on the straight line between the two.
    Words that earlier calls have searched for cost nothing again. Where the passes are not known before they are made
    (the adaptive rule, DeepLIFT), those two texts are explained.

    >>> import udig_lab as ul
    >>> e = ul.estimate(ul.load("sst2"), ["quite dull", "a gorgeous , witty , seductive movie ."], n_steps=50)
    >>> e.texts, e.gradients, e.forwards
    (2, 100, 0)

    Args:
        model: as for ``explain``.
        texts: as for ``explain``.
        answer: whether the call is one of ``explain_answer``, which explains every token of an answer.
        options: as for ``explain``.

    Raises:
        ValueError, TypeError: what ``explain`` would say, or ``explain_answer``.
    """
    call, together = answer_call_of(model, texts, **options) if answer else (call_of(model, texts, **options), True)
    text_model, entry, settings, encodings, _, given, posing = call
    n, method, target = len(encodings), given["method"], given["target"]
    wishes = [target] if answer else wishes_of(text_model, method, settings, target, given["output"], n)
    written = answer_lengths(text_model, target, encodings) if answer else [1] * n
    longest = max(range(n), key=lambda i: written[i])
    posing |= {"progress": False}

    def looked_at(i: int, part: str | int | None) -> _Measured:
        # Tokens of shorter answers are filled up to those of the longest, and each takes a gradient.
        chosen = [i, longest] if part == ALL and written[i] < written[longest] else [i]
        own: dict[str, Any] = {"part": part}
        own |= {k: _of(chosen, v, n, text_model.task) for k, v in (("target", wishes[0]), ("at", given["at"]))}
        some = [encodings[j] for j in chosen]

        def pose() -> None:
            with posed(text_model, some, **posing | own):
                pass

        _, seconds, _ = _timed(pose)
        with posed(text_model, some, **posing | own) as problem:
            one = _measured(problem, entry, settings, encodings[i], n)
        return replace(one, once=one.once + seconds / len(some))

    def measured(i: int) -> _Measured:
        if together:
            return looked_at(i, ALL if answer else None)
        differing = written[i] if settings.get("rule") in UNFORESEEN else 1  # else all tokens take the same passes
        return _mean([looked_at(i, part) for part in range(differing)])

    order = sorted(range(n), key=lambda i: (_moving(encodings[i], given["by"]), len(encodings[i])))
    ends = [measured(i) for i in dict.fromkeys((order[0], order[-1]))]
    gradients, forwards = (_line(ends, "moving", name) for name in ("gradients", "forwards"))
    gradient, forward, each = (_line(ends, "tokens", name) for name in ("gradient", "forward", "each"))
    moving = [_moving(e, given["by"]) for e in encodings]
    walked = ends[-1].once + sum(
        gradients(m) * gradient(k) + (forwards(m) + _READS) * forward(k) + each(k)
        for m, k in zip(moving, map(len, encodings), strict=True)
    )
    # How often a text's passes count, and how often they are made: once for every class, token of an answer, or side.
    counts = written if answer else [ends[-1].classes * len(wishes)] * n
    shared = [1] * n if answer and together else counts
    rounds = len(wishes) if together else written[longest]
    searched, memory = _searched(ends[-1].search, encodings)
    return Estimate(
        method,
        n,
        gradients=sum(round(gradients(m) * c) for m, c in zip(moving, counts, strict=True)),
        forwards=sum(round(forwards(m) * c) for m, c in zip(moving, shared, strict=True)),
        memory=_grown(max(memory, *(m.memory for m in ends)), text_model.device),
        seconds=walked * rounds + searched,
    )


@dataclass(frozen=True)
class _Measured:
    """What one text takes: its own numbers, and seconds.

    Attributes:
        tokens: L; moving: those of them that move, or segments.
        gradients, forwards: of one class.
        classes: how many are explained in one go.
        gradient, forward: seconds of one.
        once, each: seconds for all texts together, and for every text, that no pass accounts for.
        memory: bytes of tensors alive at once.
        search: for the words on its path.
    """

    tokens: int
    moving: int
    gradients: float
    forwards: float
    classes: int
    gradient: float
    forward: float
    once: float
    each: float
    memory: int
    search: AnchorSearch | None


def _measured(problem: Problem, entry: Method, settings: dict[str, Any], encoding: Encoding, n: int) -> _Measured:
    """Look at the first text of a problem, one of n."""
    built, seconds, memory = _timed(lambda: entry.build(problem, **settings))
    done = isinstance(built, Solution)  # it has made all its passes by now
    gradients, forwards = (built.evaluations[0], sum(built.forwards or ())) if done else built.cost(0)
    search = built.search if isinstance(built, Paths) else None
    explicand, baseline = problem.ends(0)
    full = problem.budget.fits(len(explicand))
    share = n if problem.reader.pads else 1  # so many texts may fill a pass together

    def read() -> int:
        passes = min(full, (forwards + _READS) * share)
        return len(problem.values(lambda _: explicand, [0] * passes).tolist())

    passes, forward, most = _timed(built.part if isinstance(built, Passes) and built.part else read)
    forward, memory, gradient = forward / passes, max(memory, most), 0.0
    if gradients and not done:
        each = built.gradients if isinstance(built, Paths) else 1
        points = min(full, gradients // each)
        copies = [0] * max(1, min(full // points, share))
        line = straight(explicand, baseline, n_steps=points, rule="midpoint")

        def walk() -> list[Tensor]:
            # A path that takes gradients to find is followed itself; words are not searched for.
            whole = built.integral(0) if isinstance(built, Paths) and search is None else line
            return problem.integrate(lambda _: _Beginning(whole, points), "tokens", copies)

        _, gradient, most = _timed(walk)
        gradient, memory = gradient / (points * len(copies) * each), max(memory, most)
    return _Measured(
        tokens=len(encoding),
        moving=_moving(encoding, problem.by),
        gradients=gradients,
        forwards=forwards,
        classes=problem.target.index.shape[1] if problem.target.every else 1,
        gradient=gradient,
        forward=forward,
        once=0.0 if done else seconds,
        each=seconds if done else 0.0,
        memory=memory,
        search=search,
    )


def _mean(parts: Sequence[_Measured]) -> _Measured:
    """What the tokens of one answer take on average."""
    names = ("gradients", "forwards", "gradient", "forward", "once", "each")
    own = {name: sum(getattr(part, name) for part in parts) / len(parts) for name in names}
    return replace(parts[0], memory=max(part.memory for part in parts), **own)


@dataclass(frozen=True)
class _Beginning(Lazy):
    """The first points of a path."""

    whole: Integral
    count: int

    def __len__(self) -> int:
        return self.count

    def block(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Points and weights (last - first, L, D)."""
        return self.whole.block(first, last)


def _searched(search: AnchorSearch | None, encodings: Sequence[Encoding]) -> tuple[float, int]:
    """Seconds and bytes that the search for the words of all texts takes; nothing is kept of what is found here."""
    words = [] if search is None else search.unseen(torch.cat([e.input_ids[~e.special] for e in encodings]))
    if search is None or not words:
        return 0.0, 0
    parts = [torch.tensor(p, device=search.baseline.device) for p in (words[:_WORDS], words[_WORDS : 2 * _WORDS])]
    with MemoryMeter() as meter:
        replace(search).anchors(parts[0])
    fresh, seconds = replace(search), []
    for part in parts:
        begin = perf_counter()
        if len(part):
            fresh.anchors(part)
        seconds.append(perf_counter() - begin)
    # Later words meet what earlier ones have found, so their price is that of the second part.
    more = (len(words) - _WORDS) * seconds[1] / len(parts[1]) if len(parts[1]) else 0.0
    return seconds[0] + more, meter.peak


def _timed(work: Callable[[], Any]) -> tuple[Any, float, int]:
    """What work gives, how many seconds it takes, and how many bytes at most."""
    with MemoryMeter() as meter:  # slow, but it warms up
        work()
    taken: list[float] = []
    while len(taken) < _TIMES and sum(taken) < _ENOUGH:
        begin = perf_counter()
        result = work()
        taken.append(perf_counter() - begin)
    return result, median(taken), meter.peak


def _grown(alive: int, device: torch.device) -> int:
    """Bytes by which a process grows for so many bytes of tensors."""
    return round(_KEPT * alive + _LEAST) if device.type == "cpu" else alive


def _line(ends: Sequence[_Measured], over: str, name: str) -> Callable[[int], float]:
    """The straight line through two measurements."""
    (x, y), (a, b) = ((getattr(m, over), getattr(m, name)) for m in (ends[0], ends[-1]))
    rise = (b - y) / (a - x) if a != x else 0.0
    return lambda at: max(0.0, y + rise * (at - x))


def _moving(encoding: Encoding, by: str) -> int:
    """Tokens that move, or segments."""
    return int(players(encoding, by).max()) + 1


def _of(chosen: Sequence[int], given: Any, n: int, task: str) -> Any:
    """The part of some texts in what is given once for all of n texts or once each."""
    alone = isinstance(given, str) or getattr(given, "ndim", 1) == 0 or not hasattr(given, "__len__")
    alone = alone or (isinstance(given, tuple) and len(given) == 2)  # a contrast, or an answer's ends
    alone = alone or (task in GENERATING and all(isinstance(t, (int, np.integer)) for t in given))
    return given if alone or len(given) != n else [given[i] for i in chosen]
