"""Projected gradient descent against a segmenter."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust_attacks.segmentation.gradient_ascent import GradientAscent


@dataclass(frozen=True)
class PGD(GradientAscent):
    """Raise the mean cross-entropy over all pixels by signed gradient steps in a box around each slice.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1, with the loss of a segmenter. The box's half edge is the budget's p in standard
    deviations of the subject, so that p, a mean, is kept and nearly spent.

    steps: gradient steps from each start, at least 1; a last forward pass judges where they end.
    step: how far a pixel moves at once, as a share of the box's half edge, in (0, 1]; None for 2.5 / steps, at most 1.
    random_start: start from uniform noise in the box rather than from the clean slice.
    restarts: starts a slice, at least 1; more than one only where they are random.
    """

    def weights(self, logs: Tensor, truth: Tensor, done: int) -> Tensor:  # noqa: ARG002 - all pixels count alike
        """1 for every pixel."""
        return torch.ones_like(logs[:, :1])
