"""CosPGD: each pixel counts as far as its prediction still points to its true class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust_attacks.segmentation.gradient_ascent import GradientAscent


@dataclass(frozen=True)
class CosPGD(GradientAscent):
    """PGD in which the cross-entropy of a pixel is multiplied by the cosine between its probabilities and its true class, one-hot.

    Source: Agnihotri et al. 2024, arXiv:2302.02213, untargeted; as in their code no gradient passes through the cosine. Their step is .01 in a box
    of 8/255, .32 of its half edge. Here the half edge is the budget's p in standard deviations of the subject.

    steps: gradient steps from each start, at least 1; a last forward pass judges where they end.
    step: how far a pixel moves at once, as a share of the box's half edge, in (0, 1]; None for 2.5 / steps, at most 1.
    random_start: start from uniform noise in the box rather than from the clean slice.
    restarts: starts a slice, at least 1; more than one only where they are random.
    """

    def weights(self, logs: Tensor, truth: Tensor, done: int) -> Tensor:  # noqa: ARG002 - no schedule
        """p_y / |p| of each pixel, in [0, 1]."""
        probabilities = logs.exp()
        squares: Tensor = torch.linalg.vecdot(probabilities, probabilities, dim=1)
        return probabilities.gather(1, truth) * squares.rsqrt()[:, None]
