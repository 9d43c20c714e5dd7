"""SegPGD: first the pixels that are still right, then also those that are wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust_attacks.segmentation.gradient_ascent import GradientAscent


@dataclass(frozen=True)
class SegPGD(GradientAscent):
    """PGD in which a pixel that is still right counts 1 - lambda and one that is wrong lambda, where lambda grows from 0 towards 1/2.

    Source: Gu et al. 2022, arXiv:2207.12391, algorithm 1: lambda = t / (2 T) after t of T steps. The box's half edge is the budget's p in standard
    deviations of the subject.

    steps: gradient steps from each start, at least 1; a last forward pass judges where they end.
    step: how far a pixel moves at once, as a share of the box's half edge, in (0, 1]; None for 2.5 / steps, at most 1.
    random_start: start from uniform noise in the box rather than from the clean slice.
    restarts: starts a slice, at least 1; more than one only where they are random. lambda begins anew with each.
    """

    def weights(self, logs: Tensor, truth: Tensor, done: int) -> Tensor:
        """1 - lambda where no class is more probable than the true one, else lambda."""
        wrong = done / (2 * self.steps)
        right = logs.gather(1, truth) >= logs.amax(1, keepdim=True)  # argmax over strided classes is 300 times as slow on a CPU
        return torch.where(right, 1 - wrong, wrong).to(logs.dtype)
