"""Mammograms turned, enlarged and shaded a little, so that a discriminator cannot learn the few there are by heart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from medrobust_attacks.cyclegan.layers import require


@dataclass(frozen=True)
class Augmentation:
    """Each image turned about its middle, scaled along either axis by itself, and its brightness above air multiplied; uniform draws.

    Source: Becker et al. 2019, doi:10.1016/j.ejrad.2019.108649, as their code has it, but for three things: their contrast begins at .08, most likely
    a slip for .8; theirs is about the middle grey and lightens the air; and beyond an edge the image goes on here, where theirs is black.

    rotate: largest angle either way in degrees, from 0 to below 180.
    scale: least and largest factor, above 0; above 1 is larger.
    contrast: least and largest factor, above 0; what leaves [-1, 1] is clipped.
    """

    rotate: float = 4.0
    scale: tuple[float, float] = (0.98, 1.13)
    contrast: tuple[float, float] = (0.8, 1.2)

    def __post_init__(self) -> None:
        require(0 <= self.rotate < 180, "rotate", self.rotate, "degrees from 0 to below 180")
        for name in ("scale", "contrast"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            low, high = getattr(self, name)
            require(0 < low <= high < math.inf, name, [low, high], "two factors above 0, the lesser first")

    def __call__(self, image: Tensor, random: torch.Generator) -> Tensor:
        """Image (n, 1, H, W) in [-1, 1] to another such one; four draws an image."""
        draws = torch.rand(len(image), 4, generator=random).to(image.device)
        if self == NOTHING:
            return image
        angle = math.radians(self.rotate) * (2 * draws[:, 0] - 1)
        down, across = (between(self.scale, draws[:, column]) for column in (1, 2))
        cosine, sine = angle.cos(), angle.sin()
        aspect = image.shape[3] / image.shape[2]  # the grid runs from -1 to 1 along both axes, whatever their lengths
        zero = torch.zeros_like(angle)
        rows = [torch.stack([cosine / across, -sine / aspect / across, zero], 1), torch.stack([sine * aspect / down, cosine / down, zero], 1)]
        grid = affine_grid(torch.stack(rows, 1), list(image.shape), align_corners=False)
        moved = grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
        gain = between(self.contrast, draws[:, 3]).view(-1, 1, 1, 1)
        return ((moved + 1) * gain - 1).clamp(-1, 1)


NOTHING = Augmentation(0.0, (1.0, 1.0), (1.0, 1.0))


def between(limits: tuple[float, float], share: Tensor) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * share
