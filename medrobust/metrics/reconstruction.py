"""Image quality of a reconstructed volume, as fastMRI's evaluation scores it, and the acceleration it was acquired at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.imaging.masks import realised_acceleration
from medrobust.types import Outcome

RESOLUTION = 2.0**-24
"""Errors below this share of the maximum are lost in float32."""


@dataclass(frozen=True)
class NMSE:
    """|prediction - truth|^2 / |truth|^2 over all pixels of a volume, at least 0; 1 is what an empty image scores.

    Source: `nmse` of fastMRI's evaluate.py; Zbontar et al. 2018, arXiv:1811.08839, section 5.3.
    NaN where the truth is empty.
    """

    name: ClassVar[str] = "nmse"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "group"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(1,)."""
        truth = outcome.truth.double()
        error = (outcome.prediction.double() - truth).square().sum()
        return (error / truth.square().sum()).where(truth.any(), torch.nan).view(1)


@dataclass(frozen=True)
class PSNR:
    """10 log10(maximum^2 / mean squared error) over all pixels of a volume, in dB; the maximum is the truth's over the volume.

    Source: `psnr` of fastMRI's evaluate.py; Zbontar et al. 2018, arXiv:1811.08839, section 5.3.
    A perfect volume scores what an error of float32's resolution would, 144.5 dB. NaN where the truth is empty.
    """

    name: ClassVar[str] = "psnr"
    unit: ClassVar[str] = "dB"
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "group"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(1,)."""
        truth = outcome.truth.double()
        error = ((outcome.prediction.double() - truth) / truth.max()).square().mean().clamp_min(RESOLUTION**2)
        return (-10 * error.log10()).where(truth.max() > 0, torch.nan).view(1)


@dataclass(frozen=True)
class SSIM:
    """Structural similarity in [-1, 1], the mean over a volume's slices, with the dynamic range of the volume.

    Source: `ssim` of fastMRI's evaluate.py: scikit-image's `structural_similarity` with its defaults (uniform 7x7 window,
    sample covariance, K1 = .01, K2 = .03), data_range the truth's maximum over the volume; Wang et al. 2004, doi:10.1109/TIP.2003.819861.
    NaN where the truth is empty.
    """

    name: ClassVar[str] = "ssim"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = -1.0
    per: ClassVar[str] = "group"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(1,)."""
        from skimage.metrics import structural_similarity

        truth, prediction = (tensor.detach().double().cpu().flatten(0, 1) for tensor in (outcome.truth, outcome.prediction))
        maximum = float(truth.max())
        if maximum <= 0:
            return torch.full((1,), torch.nan, dtype=torch.float64)
        slices = [structural_similarity(one.numpy(), other.numpy(), data_range=maximum) for one, other in zip(truth, prediction, strict=True)]
        return torch.tensor([sum(slices) / len(slices)], dtype=torch.float64)


@dataclass(frozen=True)
class RealisedAcceleration:
    """Columns of k-space over columns sampled, at least 1, of the mask the image was reconstructed from.

    Source: none needed; random masks miss their nominal acceleration (81.5 +- 5.6 of 320 lines at 4x), so it is recorded.
    """

    name: ClassVar[str] = "acceleration"
    unit: ClassVar[str] = "x"
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return realised_acceleration(outcome.attacked_batch.context["mask"])
