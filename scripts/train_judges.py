"""Train the judge models that ship as adapters (``udig_lab/assets/judges``) from the lab checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]  # input_ids (n, L), attention_mask (n, L), labels (n,)


def fit(model: nn.Module, batches: Sequence[Batch], *, lr: float) -> list[float]:
    """Train what asks for gradients, in place; one step a batch.

    AdamW, 6 % warm-up and linear decay, gradients clipped at norm 1, products in bfloat16: as in the notebook
    ``train-lab-checkpoints``, equation (A.1).

    Args:
        model: a classifier, made ready by ``make_adaptable``.
        batches: one for every step, in order.
        lr: the peak of the learning rate.

    Returns:
        the loss of every step.
    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=lr, weight_decay=0.01)
    steps, warm = len(batches), max(1, int(0.06 * len(batches)))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / warm, (steps - s) / max(1, steps - warm))
    )
    losses = []
    model.train()
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16):
            answer: Any = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        loss: Any = nn.functional.cross_entropy(answer.logits.float(), batch["labels"])
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses
