"""A module is borrowed by one thread at a time, and given back as it was found, whatever happens in between."""

from __future__ import annotations

import signal
import threading
import weakref
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import Tensor, nn

_LOCKS: dict[int, Any] = {}
_GUARD = threading.Lock()  # of what is written down here
_WAIT = 0.1  # seconds between two looks whether somebody who waits for a module has had enough
_ON_THE_WAY = ("__enter__", "__exit__")  # functions in which Ctrl-C would leave something open
_AGAIN, _TIMES = 0.01, 50  # seconds after which it is heard again, and how often, at most
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def lock_of(thing: Any) -> Any:
    """The re-entrant lock of a module, or of anything else that threads must not use at once."""
    with _GUARD:
        if id(thing) not in _LOCKS:
            _LOCKS[id(thing)] = threading.RLock()
            weakref.finalize(thing, _LOCKS.pop, id(thing), None).atexit = False
        return _LOCKS[id(thing)]


@dataclass
class _Part:
    """How a module or a parameter was found, and how many calls use it: modules may share what is in them."""

    part: nn.Module | Tensor
    users: int = 0

    def __post_init__(self) -> None:
        part = self.part
        self.was = part.training if isinstance(part, nn.Module) else part.requires_grad
        hooks = [getattr(part, name) for name in _HOOKS] if isinstance(part, nn.Module) else []
        self.hooks = [(own, frozenset(own)) for own in hooks]

    def restore(self) -> None:
        if isinstance(self.part, nn.Module):
            self.part.training = self.was
        elif self.part.requires_grad != self.was and not self.part.is_inference():  # torch freezes those for good
            self.part.requires_grad_(self.was)
        for own, found in self.hooks:  # a method that was interrupted may leave some
            for key in own.keys() - found:
                own.pop(key, None)


_PARTS: dict[int, _Part] = {}  # what is in use, by identity


class Borrowed:
    """Evaluation mode and no parameter gradients inside; outside everything as it was, hooks included.

    Other threads wait until the module is given back. Of calls on different modules that share some of their parts,
    the last to end leaves these as the first found them. Ctrl-C may come at any moment, also while the module is taken
    or given back, or on the way into or out of another context: then it is heard a moment later. Nothing less would
    do: Python looks for signals when a function begins, so an ``__exit__`` may end before its first line, and a hook,
    a lock or torch's gradient mode would stay.
    """

    def __init__(self, model: nn.Module):
        self._model = model
        self._lock = lock_of(model)
        self._held = False
        self._parts: list[nn.Module | Tensor] = []
        self._before: Any = None  # what answered Ctrl-C
        self._pending = False  # whether Ctrl-C was pressed when it could not be answered
        self._postponed = 0

    def __enter__(self) -> None:
        self._listen()
        try:
            while not (self._held or self._pending):
                self._held = self._lock.acquire(timeout=_WAIT)
            if self._held:
                self._take()
        except BaseException:
            self._give_back()
            self._hand_over()
            raise
        if self._pending:
            self._give_back()
            self._hand_over()

    def __exit__(self, *_: object) -> None:
        self._give_back()
        self._hand_over()

    def _take(self) -> None:
        parts: list[nn.Module | Tensor] = [*self._model.modules(), *self._model.parameters()]
        with _GUARD:
            for part in parts:
                _PARTS.setdefault(id(part), _Part(part)).users += 1
                self._parts.append(part)
            self._model.eval().requires_grad_(False)

    def _give_back(self) -> None:
        with _GUARD:
            for part in self._parts:
                state = _PARTS[id(part)]
                state.users -= 1
                if not state.users:
                    del _PARTS[id(part)]
                    state.restore()
            self._parts = []
        if self._held:
            self._held = False
            self._lock.release()

    def _listen(self) -> None:
        """From now on answer Ctrl-C here, if Python does: in the main thread, unless it is ignored."""
        before = signal.getsignal(signal.SIGINT)
        if callable(before) and threading.current_thread() is threading.main_thread():
            self._before = before
            signal.signal(signal.SIGINT, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        """Pass it on, but for the moments in which a module or something else changes hands."""
        inner, on_the_way = frame, False
        while inner is not None:
            if inner.f_code in _CHANGING:
                self._pending = True
                return
            on_the_way |= inner.f_code.co_name in _ON_THE_WAY
            inner = inner.f_back
        if on_the_way and self._postponed < _TIMES:
            self._pending, self._postponed = True, self._postponed + 1
            threading.Timer(_AGAIN, self._hear_again).start()
            return
        self._pending, self._postponed = False, 0
        self._before(number, frame)

    def _hear_again(self) -> None:
        if self._pending:
            signal.raise_signal(signal.SIGINT)

    def _hand_over(self) -> None:
        """Let answer Ctrl-C who did before, and at once if it was pressed."""
        if self._before is not None and signal.getsignal(signal.SIGINT) == self._hear:
            signal.signal(signal.SIGINT, self._before)
        if self._pending:
            self._pending = False
            self._before(signal.SIGINT, None)


_CHANGING = {Borrowed.__enter__.__code__, Borrowed.__exit__.__code__}
