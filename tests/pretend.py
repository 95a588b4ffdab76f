"""A device that is not the CPU, without one: tensors that compute on the CPU and say they live elsewhere.

PyTorch keeps a place for devices it does not know (PrivateUse1) and lets Python fill it. A tensor here wraps one on
the CPU, says ``pretend:0``, and as on a real device an operation on tensors of both is an error, but for numbers
(0-d) and copies. Autocast multiplies matrices in bfloat16, as it does elsewhere.

Registering is for the whole process, and for good: tests of it have a process of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "pretend"
COPIES = {"aten::_to_copy", "aten::copy_"}
INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}  # by indices from anywhere
LOWERED = ("mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "scaled_dot_product_attention", "conv1d")
_kept: list[torch.library.Library] = []


class PretendTensor(Tensor):
    """A tensor on the pretended device; ``inner`` is where its numbers are."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> PretendTensor:
        made: PretendTensor = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
            requires_grad=False,
        )
        made.inner = inner
        return made

    def __repr__(self, **keywords: Any) -> str:
        return f"{self.inner!r} on {NAME}"

    def tolist(self) -> Any:
        return self.inner.tolist()

    def numpy(self, **keywords: Any) -> Any:
        raise TypeError(f"can't convert {NAME} device type tensor to numpy; use Tensor.cpu() first")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(function, *args, **kwargs or {})


def run(function: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation on the numbers within; its result is on the device unless a copy to another was asked for."""
    name = function._schema.name
    here = [a for a in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(a, Tensor)]
    mine = [a for a in here if isinstance(a, PretendTensor)]
    strangers = [a for a in here if not isinstance(a, PretendTensor) and a.ndim > 0]
    indexed = name in INDEXED and isinstance(args[0], PretendTensor)
    if mine and strangers and name not in COPIES and not indexed:
        raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got {NAME}:0 and cpu")
    device = kwargs.get("device")
    stays = device is None or torch.device(device).type == NAME
    if device is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    kwargs.pop("pin_memory", None)
    found = function(*inside(args), **inside(kwargs))
    if name == "aten::copy_" and not isinstance(args[0], PretendTensor):
        return args[0]
    if function._schema.is_mutable:  # the first argument was changed in place: it is the result, not a new wrapper
        return _themselves(found, here)
    return outside(found) if stays else found


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """Between the devices, in either direction."""
    inside(target).copy_(inside(source))
    return target


def _themselves(found: Any, given: list[Tensor]) -> Any:
    """Results that are arguments stay those arguments."""
    owners = {id(a.inner): a for a in given if isinstance(a, PretendTensor)}
    return tree_map_only(Tensor, lambda t: owners[id(t)] if id(t) in owners else outside(t), found)


def inside(values: Any) -> Any:
    """Wrapped tensors -> their numbers."""
    return tree_map_only(PretendTensor, lambda t: t.inner, values)


def outside(values: Any) -> Any:
    """Tensors -> wrapped."""
    return tree_map_only(Tensor, lambda t: t if isinstance(t, PretendTensor) else PretendTensor(t), values)


class _Module(_DummyBackendModule):
    """What ``torch.pretend`` answers."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def empty_cache(self) -> None:
        pass

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()  # random numbers are drawn on the CPU

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    def synchronize(self, device: Any = None) -> None:
        pass


def register() -> torch.device:
    """Make the device known; once a process."""
    if not _kept:
        _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
        everything = torch.library.Library("_", "IMPL")
        everything.fallback(run, "PrivateUse1")
        everything.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
        lowered = torch.library.Library("aten", "IMPL")
        lowered.impl("_copy_from", _copy_from, "PrivateUse1")  # torch.tensor(…, device=…) asks for it by itself
        for name in LOWERED:
            for overload in getattr(torch.ops.aten, name).overloads():
                if overload in ("default",):
                    lowered.impl(
                        name, _in_half(getattr(getattr(torch.ops.aten, name), overload)), "AutocastPrivateUse1"
                    )
        _kept.extend([everything, lowered])
        # Parameters stay the objects they are when their module moves, and so tied where they were, as elsewhere.
        torch.__future__.set_swap_module_params_on_conversion(True)
    return torch.device(NAME, 0)


def _in_half(function: Any) -> Any:
    """An operation that autocast carries out in the lower precision."""

    def kernel(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
            half = torch.get_autocast_dtype(NAME)
            args, kwargs = tree_map_only(Tensor, lambda t: t.to(half) if t.is_floating_point() else t, (args, kwargs))
            return function(*args, **kwargs)

    return kernel
