"""Methods to compare with: DeepLIFT through captum, and random scores."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor, nn

from udig_lab.methods.removal import captum_attr
from udig_lab.methods.solution import Solution
from udig_lab.model.batching import pad_embeddings
from udig_lab.problem import Problem


def deep_lift(problem: Problem) -> Solution:
    """DeepLIFT with the rescale rule, by captum: differences from the baseline, passed back layer by layer.

    Captum rescales the nonlinear modules it knows; attention and layer normalisation are functions to it and keep
    their ordinary gradient at the input, so on a transformer the scores are not complete. The published comparisons
    share this. Of a model of BERT's kind it rescales the tanh of the pooler alone; where the pooler's outputs all move
    along one direction, as those of the lab's models of two classes do, the scores are gradient x input times one
    factor a text, and no second witness beside it.

    Source: Shrikumar, Greenside & Kundaje, ICML 2017, arXiv 1704.02685.

    Raises:
        ImportError: captum is not installed.
    """
    captum = captum_attr("deep_lift")

    class F(nn.Module):
        """Captum hooks modules, so F has to be one."""

        def __init__(self) -> None:
            super().__init__()
            self.model = problem.model.model

        def forward(self, points: Tensor, mask: Tensor, owners: Tensor) -> Tensor:
            return problem.scalar(points, mask, owners)

    scores: list[Tensor] = []
    for i in range(len(problem)):  # captum doubles every batch and keeps all activations: one text at a time
        explicand, baseline = problem.ends(i)
        points, mask = pad_embeddings([explicand])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # announces its hooks
            differences = captum.DeepLift(F()).attribute(
                points, baselines=baseline[None], additional_forward_args=(mask, torch.tensor([i], device=mask.device))
            )
        scores.append(differences[0].sum(-1).detach().double())
    return Solution(scores, [1] * len(problem))


def random(problem: Problem, *, seed: int = 0) -> Solution:
    """The control: scores drawn from a normal distribution, without looking at the model.

    Args:
        problem: texts.
        seed: of the draws; a text's draws depend on nothing but the seed and the text.

    Source: none.
    """
    scores = []
    for i, encoding in enumerate(problem.encodings):
        generator = np.random.default_rng([seed, *encoding.input_ids.tolist()])
        drawn = torch.from_numpy(generator.normal(size=len(encoding)))
        scores.append(drawn.to(problem.model.table.device) * problem.explained(i))
    return Solution(scores, [0] * len(problem), totals=[float("nan")] * len(problem))
