"""Classical compressed sensing: the image with the sparsest wavelet coefficients that explains the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import ptwt
import pywt
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from medrobust.imaging.kspace import undersample

SMALLEST = 1e-12
"""Magnitude below which a coefficient of an image of maximum 1 counts as zero."""


@dataclass(frozen=True)
class L1Wavelet:
    """min_x 1/2 |M F x - y|^2 + threshold |W x|_1 by FISTA, the details of W shrunk in a grid that shifts at every iteration.

    Source: Lustig et al. 2007, doi:10.1002/mrm.21391; FISTA: Beck and Teboulle 2009, doi:10.1137/080716542;
    shifts (cycle spinning): Coifman and Donoho 1995, doi:10.1007/978-1-4612-2544-7_9. The shifts are the same for every image.

    wavelet: name of an orthogonal wavelet, as PyWavelets knows it.
    levels: number of scales, at least 1.
    iterations: proximal gradient steps, at least 1; half of them change NMSE by a third.
    threshold: by how much each step shrinks a coefficient, as a share of the zero-filled image's maximum; at least 0.
    """

    task: ClassVar[str] = "reconstruction"
    wavelet: str = "haar"
    levels: int = 4
    iterations: int = 60
    threshold: float = 0.007

    def __post_init__(self) -> None:
        if self.wavelet not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(self.wavelet).orthogonal:
            msg = f"wavelet: found {self.wavelet!r}, expected an orthogonal wavelet such as haar, db2 or sym4"
            raise ValueError(msg)
        for name, value, least in (("levels", self.levels, 1), ("iterations", self.iterations, 1), ("threshold", self.threshold, 0)):
            if not value >= least:
                msg = f"{name}: found {value}, expected at least {least}"
                raise ValueError(msg)

    def build(self) -> nn.Module:
        return L1WaveletNetwork(self.wavelet, self.levels, self.iterations, self.threshold)


class L1WaveletNetwork(nn.Module):
    """Zero-filled complex (n, 1, H, W) and mask to magnitude (n, 1, H, W), in the input's units; no parameters.

    For gradients each iteration is run again in the backward pass, so that memory is two images an iteration.
    """

    def __init__(self, wavelet: str, levels: int, iterations: int, threshold: float) -> None:
        super().__init__()
        self.wavelet, self.levels, self.iterations, self.threshold = pywt.Wavelet(wavelet), levels, iterations, threshold
        generator = torch.Generator().manual_seed(0)
        self.shifts: list[list[int]] = torch.randint(0, 2**levels, (iterations, 2), generator=generator).tolist()

    def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:
        scale = zero_filled.abs().amax((-2, -1), keepdim=True).clamp_min(torch.finfo(zero_filled.real.dtype).tiny)
        measured = zero_filled / scale
        image, ahead, momentum = measured, measured, 1.0
        for row, column in self.shifts:
            following = 0.5 + (0.25 + momentum**2) ** 0.5
            arguments = (image, ahead, measured, mask, (row, column), (momentum - 1) / following)
            kept = torch.is_grad_enabled() and measured.requires_grad
            image, ahead = checkpoint(self.iterate, *arguments, use_reentrant=False, preserve_rng_state=False) if kept else self.iterate(*arguments)
            momentum = following
        return image.abs() * scale

    def iterate(self, image: Tensor, ahead: Tensor, measured: Tensor, mask: Tensor, shift: tuple[int, int], inertia: float) -> tuple[Tensor, Tensor]:
        """One step from `ahead`, (n, 1, H, W) complex; the new image and the point to start the next step from."""
        descended = ahead - (undersample(ahead, mask) - measured)
        back = (-shift[0], -shift[1])
        new = torch.roll(self.shrink(torch.roll(descended, shift, (-2, -1))), back, (-2, -1))
        return new, new + inertia * (new - image)

    def shrink(self, image: Tensor) -> Tensor:
        """Soft-threshold the magnitude of every complex detail coefficient of an image (n, 1, H, W)."""
        height, width = image.shape[-2:]
        channels = torch.cat([image.real, image.imag], dim=1)
        coarse, *details = ptwt.wavedec2(channels, self.wavelet, mode="periodic", level=self.levels)
        shrunk = [ptwt.WaveletDetailTuple2d(*(self.soft(band) for band in bands)) for bands in details]
        channels = ptwt.waverec2((coarse, *shrunk), self.wavelet)[..., :height, :width]
        return torch.complex(channels[:, :1], channels[:, 1:])

    def soft(self, band: Tensor) -> Tensor:
        magnitude = band.square().sum(1, keepdim=True).clamp_min(SMALLEST**2).sqrt()
        return band * torch.relu(1 - self.threshold / magnitude)
