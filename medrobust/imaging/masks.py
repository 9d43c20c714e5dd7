"""Column sampling masks, bit-identical to fastMRI's for the same seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class RandomMask:
    """Every column outside a fully sampled centre is kept independently with one probability.

    Source: fastMRI `RandomMaskFunc` (Zbontar et al. 2018, arXiv:1811.08839, section 4.2).

    acceleration: nominal undersampling factor, at least 1; a single mask rarely hits it exactly.
    center_fraction: share of columns in the centre, in (0, 1).
    """

    acceleration: float = 4.0
    center_fraction: float = 0.08

    def __post_init__(self) -> None:
        if not self.acceleration >= 1:
            msg = f"acceleration: found {self.acceleration}, expected a number of at least 1"
            raise ValueError(msg)
        if not 0 < self.center_fraction <= 1:
            msg = f"center_fraction: found {self.center_fraction}, expected a number in (0, 1]"
            raise ValueError(msg)

    def draw(self, width: int, seed: int | tuple[int, ...]) -> Tensor:
        """One mask, (1, 1, width) bool."""
        random = np.random.RandomState(seed)  # fastMRI's generator, for identical masks
        low = round(width * self.center_fraction)
        probability = (width / self.acceleration - low) / (width - low) if width > low else 1.0
        columns = random.uniform(size=width) < probability
        start = (width - low + 1) // 2
        columns[start : start + low] = True
        return torch.from_numpy(columns).view(1, 1, width)


def filename_seed(filename: str) -> tuple[int, ...]:
    """fastMRI's validation seed: one mask for all slices of a file."""
    return tuple(map(ord, filename))


def realised_acceleration(mask: Tensor) -> Tensor:
    """Columns over sampled columns, (n,), for masks (n, 1, 1, W)."""
    return mask.shape[-1] / mask.flatten(1).sum(1)
