"""A tamper detector that sees an image's spectrum and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from medrobust.imaging.spectrum import band_powers, grid_index
from medrobust.targets.networks.standardised import StandardisedLinear


@dataclass(frozen=True)
class Spectral2D:
    """Logistic regression on the log power of radial bands and on the lattice index, standardised.

    Source: Durall et al. 2020, arXiv:2003.01826, who tell generated images from real ones by the azimuthal average of the spectrum; the lattice index
    is this project's.

    bands: half-octave bands of radial frequency, from the highest down, at least 1; those that hold no frequency at an image's size are 0.
    classes: logits, at least 1; a single one is for class 1 against class 0.
    """

    task: ClassVar[str] = "classification"
    images: ClassVar[str] = "mammograms"
    bands: int = 12
    classes: int = 1

    def __post_init__(self) -> None:
        for name in ("bands", "classes"):
            if getattr(self, name) < 1:
                msg = f"{name}: found {getattr(self, name)}, expected at least 1"
                raise ValueError(msg)

    def build(self) -> nn.Module:
        """Image (n, 1, H, W), H and W multiples of 4 from 32 up, to logits (n, classes)."""
        return SpectralNetwork(self.bands, self.classes)


class SpectralNetwork(nn.Module):
    """Features of the spectrum in float64, and one linear layer over them."""

    def __init__(self, bands: int, classes: int) -> None:
        super().__init__()
        self.bands = bands
        self.linear = StandardisedLinear(bands + 1, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        with torch.autocast(x.device.type, enabled=False):
            features = torch.cat([band_powers(x, self.bands).nan_to_num(0.0), grid_index(x)[:, None]], 1)
            logits: Tensor = self.linear(features.float())
        return logits
