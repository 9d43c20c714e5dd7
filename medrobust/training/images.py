"""Training a classifier of images whose background is their lowest intensity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from medrobust.data.augment import flipped
from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Target

BACKGROUND = -1.0
"""What comes in where an image is moved, and what no gain changes."""


@dataclass(frozen=True)
class ImageCrossEntropy:
    """Name the class of images that are shown mirrored, turned, moved, larger or smaller, and with another gain and noise.

    Source: binary cross-entropy; variations as Becker et al. 2019, arXiv:1811.07767, give their mammograms (rotation, scale, contrast).

    flips: spatial axes, 0 for rows and 1 for columns, along which an image is mirrored with probability one half.
    turn: largest rotation about the middle in degrees, at least 0. shift: largest movement along each axis as a share of it, in [0, 1).
    scale: lengths are multiplied by U(1 - scale, 1 + scale); in [0, 1).
    gain: intensities above the background, -1, are multiplied by U(1 - gain, 1 + gain) and clamped to [-1, 1]; in [0, 1).
    noise: standard deviation of what is added to a pixel, in intensity units, at least 0.
    """

    flips: tuple[int, ...] = (0,)
    turn: float = 4.0
    shift: float = 0.03
    scale: float = 0.08
    gain: float = 0.1
    noise: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "flips", tuple(self.flips))
        if not all(axis in (0, 1) for axis in self.flips) or len(set(self.flips)) < len(self.flips):
            msg = f"flips: found {list(self.flips)}, expected different axes among 0, 1"
            raise ValueError(msg)
        for name, below in (("turn", math.inf), ("shift", 1.0), ("scale", 1.0), ("gain", 1.0), ("noise", math.inf)):
            if not 0 <= getattr(self, name) < below:
                msg = f"{name}: found {getattr(self, name)}, expected a number in [0, {below:g})"
                raise ValueError(msg)

    def losses(self, target: Target, batch: Batch, rng: CaseRandom) -> Iterator[Tensor]:
        """The mean cross-entropy of the varied images."""
        image = self.varied(batch.image.cpu(), rng).to(batch.image.device)
        yield target.loss(image, Batch(image, batch.truth, batch.cases)).mean()

    def varied(self, image: Tensor, rng: CaseRandom) -> Tensor:
        """The images (n, 1, H, W) as a step sees them."""
        moved = self._moved(flipped(image, self.flips, rng), rng)
        bright = (moved - BACKGROUND) * rng.uniform(1 - self.gain, 1 + self.gain, 1, 1, 1)
        grain = self.noise * rng.normal(*image.shape[1:]) if self.noise else 0.0
        return (bright + BACKGROUND + grain).clamp(-1, 1)

    def _moved(self, image: Tensor, rng: CaseRandom) -> Tensor:
        """Turned, scaled and moved, bilinear."""
        angle = rng.uniform(-self.turn, self.turn) * math.pi / 180
        size = rng.uniform(1 - self.scale, 1 + self.scale)
        offset = rng.uniform(-self.shift, self.shift, 2)
        if not (self.turn or self.scale or self.shift):
            return image
        height, width = image.shape[2:]
        sine, cosine = torch.sin(angle) / size, torch.cos(angle) / size
        # Columns come first, and half an edge is one unit along either axis.
        rows = [torch.stack([cosine, -sine * height / width, 2 * offset[:, 0]], 1), torch.stack([sine * width / height, cosine, 2 * offset[:, 1]], 1)]
        grid = affine_grid(torch.stack(rows, 1).to(image), list(image.shape), align_corners=False)
        return grid_sample(image - BACKGROUND, grid, align_corners=False) + BACKGROUND
