"""What a training step lowers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from medrobust.data.augment import flipped, rescaled, shifted
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


@dataclass(frozen=True)
class CrossEntropy:
    """Name the class of volumes that are shown mirrored, moved, and with other gains and noise.

    Source: binary cross-entropy as in Rajapaksa and Khalvati 2022, doi:10.3389/fradi.2022.1061402; variations as in
    Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.

    flips: spatial axes, counted from 0, along which a volume is mirrored with probability one half; 0 is left to right in NIfTI's order.
    shift: largest movement along each axis in voxels, at least 0.
    gain: a sequence is multiplied by U(1 - gain, 1 + gain); in [0, 1).
    offset: U(-offset, offset) is added to a sequence where it is not 0, in intensity units, at least 0.
    noise: standard deviation of what is added to a voxel, in intensity units, at least 0.
    """

    flips: tuple[int, ...] = (0,)
    shift: int = 2
    gain: float = 0.1
    offset: float = 0.05
    noise: float = 0.02

    def __post_init__(self) -> None:
        object.__setattr__(self, "flips", tuple(self.flips))
        if not all(axis in (0, 1, 2) for axis in self.flips) or len(set(self.flips)) < len(self.flips):
            msg = f"flips: found {list(self.flips)}, expected different axes among 0, 1, 2"
            raise ValueError(msg)
        if not 0 <= self.gain < 1:
            msg = f"gain: found {self.gain}, expected a number in [0, 1)"
            raise ValueError(msg)
        for name in ("shift", "offset", "noise"):
            if not 0 <= getattr(self, name) < float("inf"):
                msg = f"{name}: found {getattr(self, name)}, expected a finite number, at least 0"
                raise ValueError(msg)

    def losses(self, target: Target, batch: Batch, rng: CaseRandom) -> Iterator[Tensor]:
        """The mean cross-entropy of the varied volumes."""
        image = self.varied(batch.image.cpu(), rng).to(batch.image.device)
        yield target.loss(image, Batch(image, batch.truth, batch.cases)).mean()

    def varied(self, image: Tensor, rng: CaseRandom) -> Tensor:
        """The volumes (n, c, D, H, W) as a step sees them."""
        return rescaled(shifted(flipped(image, self.flips, rng), self.shift, rng), self.gain, self.offset, self.noise, rng)


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
