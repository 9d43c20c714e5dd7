"""From a complex image to what a batch holds of it: magnitude, phase and sampling mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from medrobust.imaging.kspace import center_crop, ifft2c
from medrobust.imaging.masks import RandomMask, filename_seed

if TYPE_CHECKING:
    from torch import Tensor

MASKS = {"random": RandomMask}
CALIBRATION = 24  # columns and rows; the fully sampled centre of a fastMRI scan holds as many at 4x


def mask_rule(name: str, acceleration: float, center_fraction: float) -> RandomMask:
    """Build the sampling rule of that name. Raises ValueError in one line for a name or number that cannot be used."""
    if name not in MASKS:
        msg = f"mask: found {name!r}, expected one of {', '.join(MASKS)}"
        raise ValueError(msg)
    return MASKS[name](acceleration, center_fraction)


def acquire(image: Tensor, file: str, rule: RandomMask) -> tuple[Tensor, Tensor, Tensor]:
    """Magnitude (1, H, W), phase (1, H, W) in radians, and mask (1, 1, W) bool of a complex image (H, W).

    The mask is drawn at the image's width and seeded by the file's name, so that all slices of a file share one.
    """
    return image.abs()[None], image.angle()[None], rule.draw(image.shape[-1], filename_seed(file))


def object_image(kspace: Tensor, size: int) -> Tensor:
    """Give the complex image behind fully sampled k-space (H, W) or (coils, H, W): F* k, coils combined, the central (size, size)."""
    images = ifft2c(kspace)
    return center_crop(images if kspace.ndim == 2 else combine(images, kspace), size, size)


def combine(images: Tensor, kspace: Tensor) -> Tensor:
    """Coil images (coils, H, W) to one complex image (H, W), x = sum_c conj(s_c) c.

    Source: Roemer et al. 1990, doi:10.1002/mrm.1910160203, with the sensitivities of McKenzie et al. 2002,
    doi:10.1002/mrm.10087: low-resolution coil images from the centre of k-space, divided by their root-sum-of-squares.

    The centre is `CALIBRATION` columns and rows, whatever the acceleration, so that 4x and 8x measure one object;
    a Hann window keeps the sensitivities free of ringing. sum_c |s_c|^2 = 1, hence |x| <= root-sum-of-squares.
    """
    low = ifft2c(kspace * _window(kspace.shape[-2])[:, None] * _window(kspace.shape[-1]))
    norm = low.abs().square().sum(0).sqrt()
    sensitivity = low / norm.clamp_min(torch.finfo(norm.dtype).tiny)
    return (sensitivity.conj() * images).sum(0)


def _window(length: int) -> Tensor:
    """Give a Hann window over the central samples, 1 at the centre of k-space (index length // 2) and 0 outside, (length,)."""
    distance = torch.arange(length, dtype=torch.float32) - length // 2
    return torch.where(distance.abs() < CALIBRATION / 2, torch.cos(torch.pi * distance / CALIBRATION).square(), 0.0)
