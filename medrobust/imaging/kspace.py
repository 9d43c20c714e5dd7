"""Single-coil MR measurement on a Cartesian grid: centred orthonormal FFT and column masks."""

from __future__ import annotations

import torch
from torch import Tensor

SPATIAL = (-2, -1)
EPSILON = 1e-11
"""Added to standard deviations, as fastMRI does."""


def fft2c(image: Tensor) -> Tensor:
    """Centred orthonormal 2-D Fourier transform, (..., H, W) complex to (..., H, W) complex.

    Source: fastMRI (Zbontar et al. 2018, arXiv:1811.08839): ifftshift, fft2 with norm="ortho", fftshift.
    """
    kspace = torch.fft.fft2(torch.fft.ifftshift(image, dim=SPATIAL), norm="ortho")
    centred: Tensor = torch.fft.fftshift(kspace, dim=SPATIAL)
    return centred


def ifft2c(kspace: Tensor) -> Tensor:
    """Inverse and adjoint of `fft2c`."""
    image = torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=SPATIAL), norm="ortho")
    centred: Tensor = torch.fft.fftshift(image, dim=SPATIAL)
    return centred


def with_phase(magnitude: Tensor, phase: Tensor) -> Tensor:
    """magnitude * exp(i phase), complex; both (n, 1, H, W), phase in radians."""
    return torch.complex(magnitude * torch.cos(phase), magnitude * torch.sin(phase))


def undersample(image: Tensor, mask: Tensor) -> Tensor:
    """Zero-filled reconstruction of the sampled columns of k-space, x_zf = F* M F x.

    image: (..., H, W) complex. mask: bool, broadcastable, True where a column is sampled.

    M acts on columns, so the transform along rows cancels and one 1-D transform pair along W is exact; the shifts of the image cancel too.
    """
    sampled = torch.fft.fft(image, norm="ortho") * torch.fft.ifftshift(mask, dim=-1)
    zero_filled: Tensor = torch.fft.ifft(sampled, norm="ortho")
    return zero_filled


def center_crop(image: Tensor, height: int, width: int) -> Tensor:
    """The central (..., height, width) of (..., H, W), as fastMRI crops: the first row kept is (H - height) // 2."""
    top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    if top < 0 or left < 0:
        msg = f"cannot crop {tuple(image.shape[-2:])} to {(height, width)}"
        raise ValueError(msg)
    return image[..., top : top + height, left : left + width]


def standardise(magnitude: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased standard deviation of each image, (n, 1, 1, 1) each: fastMRI's instance normalisation.

    Source: fastMRI `normalize_instance`; the network sees (x - mean) over std + 1e-11, clamped to +-6.
    """
    flat = magnitude.flatten(1)
    shape = (-1, *[1] * (magnitude.ndim - 1))
    return flat.mean(1).view(shape), flat.std(1).view(shape) + EPSILON
