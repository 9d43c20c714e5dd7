"""What a training step lowers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from medrobust.imaging.kspace import standardise, undersample, with_phase
from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Target


class Objective(Protocol):
    """A frozen dataclass; the loop takes one optimiser step for every loss it yields, before it asks for the next."""

    def losses(self, target: Target, batch: Batch, rng: CaseRandom) -> Iterator[Tensor]:
        """Scalar losses of one batch, each computed after the step on the one before."""
        ...


@dataclass(frozen=True)
class Supervised:
    """Reconstruct the fully sampled magnitude.

    Source: fastMRI's baseline (L1 on the instance-normalised image, Zbontar et al. 2018) and I-RIM (SSIM, Putzky et al. 2019).

    l1: weight of the mean absolute error in the input's standard deviations, target clamped to +-6. ssim: weight of 1 - SSIM (uniform 7x7 window).
    """

    l1: float = 1.0
    ssim: float = 0.0

    def losses(self, target: Target, batch: Batch, rng: CaseRandom) -> Iterator[Tensor]:  # noqa: ARG002 - no randomness of its own
        yield self.of(target(batch.image, batch), batch)

    def of(self, prediction: Tensor, batch: Batch) -> Tensor:
        """The loss of a prediction (n, 1, H, W), a scalar."""
        loss = prediction.new_zeros(())
        if self.l1:
            error = normalised(prediction, batch) - normalised(batch.image, batch).clamp(-6, 6)
            loss = loss + self.l1 * error.abs().mean()
        if self.ssim:
            loss = loss + self.ssim * (1 - ssim(prediction, batch.image, batch.context["maximum"]).mean())
        return loss


def normalised(image: Tensor, batch: Batch) -> Tensor:
    """`image` in the mean and standard deviation of the batch's zero-filled magnitude, (n, 1, H, W)."""
    with torch.no_grad():
        mean, std = standardise(undersample(with_phase(batch.image, batch.context["phase"]), batch.context["mask"]).abs())
    return (image - mean) / std


def ssim(prediction: Tensor, truth: Tensor, data_range: Tensor) -> Tensor:
    """Structural similarity of each image, differentiable, (n,): uniform 7x7 window, K1 = .01, K2 = .03, sample covariance.

    Source: Wang et al. 2004, in fastMRI's form. data_range: (n,).
    """
    window, correction = 7, 49 / 48
    c1, c2 = ((k * data_range.view(-1, 1, 1, 1)) ** 2 for k in (0.01, 0.03))
    mean_x, mean_y = avg_pool2d(prediction, window, 1), avg_pool2d(truth, window, 1)
    variance_x = correction * (avg_pool2d(prediction * prediction, window, 1) - mean_x * mean_x)
    variance_y = correction * (avg_pool2d(truth * truth, window, 1) - mean_y * mean_y)
    covariance = correction * (avg_pool2d(prediction * truth, window, 1) - mean_x * mean_y)
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (numerator / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))).flatten(1).mean(1)
