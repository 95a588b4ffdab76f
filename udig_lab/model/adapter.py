"""Models that ship as what they learned beside the checkpoint they began as: matrices of low rank, and small tensors.

A folder holds ``adapter.safetensors`` (float16) and ``card.json``. Of a changed matrix the file has its factors,
``<parameter>.up`` (out, r) and ``<parameter>.down`` (r, in), whose product is added to the checkpoint's; a small
tensor (a bias, a LayerNorm, a classifier) stands there whole, under its own name. The card says from which checkpoint
the model began, with the SHA-256 of its weights and of the adapter's file, how it was trained, and, where it tells
other classes apart than its checkpoint, their names in ``labels``.

Source: Hu et al. 2022 (LoRA), arXiv 2106.09685.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.utils import parametrize

from udig_lab.model.checkpoint import ASSETS, as_device, read_checkpoint
from udig_lab.model.textmodel import TextModel

_FILE, _CARD, _WEIGHTS = "adapter.safetensors", "card.json", "model.safetensors"
_AGAIN = "take the folder from the release again, or train the model anew"
Learnt = tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]


class LowRank(nn.Module):
    """What a frozen weight learns: ``up @ down``, zero at first; of a convolution, over its flattened windows."""

    def __init__(self, shape: torch.Size, rank: int, generator: torch.Generator):
        super().__init__()
        out, into = shape[0], shape[1:].numel()
        self.up = nn.Parameter(torch.zeros(out, rank))
        self.down = nn.Parameter(torch.randn(rank, into, generator=generator) / into**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with what was learnt, in its own shape."""
        return weight + (self.up @ self.down).view_as(weight)


def make_adaptable(model: nn.Module, *, rank: int, seed: int = 0) -> None:
    """Freeze a model, in place, but for a change of low rank beside every matrix, and its small tensors.

    Embedding tables stay as they are, so that the methods walk through the same words. A matrix that has no more
    numbers than its factors would have (a classifier) is trained whole, as are biases and LayerNorms.

    Args:
        model: a torch module.
        rank: of the changes, at least 1.
        seed: of the factors' first numbers.

    Raises:
        ValueError: a rank below 1.
    """
    if rank < 1:
        raise ValueError(f"a change of rank {rank} is none; pass a rank of at least 1")
    generator = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    for module in list(model.modules()):
        if isinstance(module, nn.Embedding):
            continue
        for name, parameter in list(module.named_parameters(recurse=False)):
            sides = len(parameter) + parameter[0].numel() if parameter.dim() else 1
            if parameter.dim() < 2 or parameter.numel() <= rank * sides:
                parameter.requires_grad_(True)
            else:
                parametrize.register_parametrization(module, name, LowRank(parameter.shape, rank, generator))


def new_head(model: nn.Module, labels: Sequence[str]) -> None:
    """Give a classifier other classes, in place: its last layer anew, all zero, as it knows nothing of them yet.

    Args:
        model: one whose last layer is ``classifier``, linear.
        labels: names of the classes.

    Raises:
        ValueError: it ends otherwise, or fewer than two classes.
    """
    head: Any = getattr(model, "classifier", None)
    if not isinstance(head, nn.Linear) or len(labels) < 2:
        raise ValueError(
            f"{type(model).__name__} cannot get a head for {len(labels)} classes; pass a model that ends in a linear "
            "'classifier', and two classes or more"
        )
    network: Any = model
    network.classifier = nn.Linear(head.in_features, len(labels), device=head.weight.device, dtype=head.weight.dtype)
    for parameter in network.classifier.parameters():
        nn.init.zeros_(parameter)
    network.config.id2label = dict(enumerate(labels))  # num_labels follows
    network.config.label2id = {name: index for index, name in enumerate(labels)}
    network.num_labels = len(labels)


def learnt(model: nn.Module) -> Learnt:
    """What a model learned since ``make_adaptable``: factors (up, down) by parameter, and whole tensors by name."""
    factors = {
        name.replace(".parametrizations.", ".").removesuffix(".0"): (module.up.detach(), module.down.detach())
        for name, module in model.named_modules()
        if isinstance(module, LowRank)
    }
    whole = {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and ".parametrizations." not in name
    }
    return factors, whole


def save_adapter(
    folder: Path,
    base: str,
    factors: Mapping[str, tuple[Tensor, Tensor]],
    whole: Mapping[str, Tensor],
    card: Mapping[str, Any],
) -> None:
    """Write what was learned, in half precision.

    Args:
        folder: where to; made if need be.
        base: the shipped checkpoint it began as, such as "lab-sentiment".
        factors: parameter -> (up (out, r), down (r, in)).
        whole: parameter -> its new value.
        card: what else is known: recipe, seed, accuracies, date, and ``labels`` after ``new_head``.
    """
    ups = {f"{name}.up": up for name, (up, _) in factors.items()}
    downs = {f"{name}.down": down for name, (_, down) in factors.items()}
    tensors = {name: t.detach().cpu().half().contiguous() for name, t in (ups | downs | dict(whole)).items()}
    content = save(tensors)
    entries = {
        "base": base,
        "base_sha256": _sha256((ASSETS / base / _WEIGHTS).read_bytes()),
        "adapter_sha256": _sha256(content),
        **card,
        "tensors": {name: list(t.shape) for name, t in sorted(tensors.items())},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _FILE).write_bytes(content)
    (folder / _CARD).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf8")


def load_adapter(folder: str | Path, device: str | torch.device | None = None) -> TextModel:
    """Load a model that ships as an adapter: its checkpoint, and what it learned on top.

    Args:
        folder: with ``adapter.safetensors`` and ``card.json``; its name is the model's.
        device: where the model computes; None is the CPU.

    Raises:
        OSError: the folder is not whole, or belongs to another checkpoint than the one that is shipped.
        ValueError: torch has no such device.
    """
    folder, place = Path(folder), as_device(device or "cpu")
    card, tensors = _read(folder)
    base = ASSETS / str(card["base"])
    if not (base.parent == ASSETS and (base / _WEIGHTS).is_file()):
        raise OSError(f"cannot load {str(folder)!r}: no checkpoint {card['base']!r} is shipped for it; {_AGAIN}")
    if _sha256((base / _WEIGHTS).read_bytes()) != card["base_sha256"]:
        raise OSError(
            f"cannot load {str(folder)!r}: it was trained from other weights than those of {base.name} here; train it "
            "anew from these"
        )
    model = read_checkpoint(str(base), "classification", folder.name, place)
    if labels := card.get("labels"):
        try:
            new_head(model.model, labels)
        except (ValueError, TypeError) as error:
            raise OSError(f"cannot load {str(folder)!r}: its labels do not fit {base.name}; {_AGAIN}") from error
    parameters = dict(model.model.named_parameters())
    with torch.no_grad():
        for name, value in tensors.items():
            parameter, side = name.rpartition(".")[::2]
            if side == "down":
                continue
            try:
                if side == "up":
                    change = value.float() @ tensors[f"{parameter}.down"].float()
                    parameters[parameter].add_(change.view_as(parameters[parameter]).to(place))
                else:
                    parameters[name].copy_(value.float().view_as(parameters[name]))
            except (KeyError, RuntimeError) as error:  # torch raises the second where shapes differ
                raise OSError(f"cannot load {str(folder)!r}: its {name} does not fit {base.name}; {_AGAIN}") from error
    return model


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Card and tensors of a whole folder."""
    try:
        card = json.loads((folder / _CARD).read_text(encoding="utf8"))
        due = card["base"], card["base_sha256"], card["adapter_sha256"]
        if _sha256((folder / _FILE).read_bytes()) != due[-1]:
            raise ValueError("another file than its card says")
        tensors = load_file(folder / _FILE)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise OSError(
            f"cannot load {str(folder)!r}: {_FILE} and {_CARD} are not there, or one of them is damaged; {_AGAIN}"
        ) from error
    return card, tensors


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
