"""How much memory tensors take, counted while a program runs: on any device, and the same each time."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MemoryMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made inside and are still alive; ``peak`` is the most there were.

    What lives in the process besides tensors is not counted, nor what an operation needs while it runs.

    >>> import torch
    >>> with MemoryMeter() as meter:
    ...     a = torch.zeros(1000)
    ...     b = a + 1
    ...     del a
    ...     c = b[:10]  # no memory of its own
    >>> meter.now, meter.peak
    (4000, 8000)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation; what it was given is not new, what it gives may be."""
        self._note((args, kwargs), new=False)
        results = func(*args, **(kwargs or {}))
        self._note(results, new=True)
        self.peak = max(self.peak, self.now)
        return results

    def _note(self, tensors: Any, *, new: bool) -> None:
        for tensor in tree_leaves(tensors):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            if storage._cdata not in self._known:
                size = storage.nbytes() if new else 0
                self._known.add(storage._cdata)
                self.now += size
                weakref.finalize(storage, self._gone, storage._cdata, size)

    def _gone(self, number: int, size: int) -> None:
        self._known.discard(number)
        self.now -= size
