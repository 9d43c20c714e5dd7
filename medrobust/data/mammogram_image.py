"""A mammogram as published networks see it: chest wall to the left, scaled, padded and in [-1, 1], with lesion and breast alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, binary_opening, label
from skimage.draw import polygon
from skimage.filters import threshold_otsu
from torch.nn.functional import interpolate

from medrobust.data.mammogram import Outline
from medrobust.errors import DataError

DARK, EDGE = -0.88, 2
FLOOR = 1.008
"""Added to an image of [-1, 1] before its logarithm is taken: one of 256 grey levels above the least."""


@dataclass(frozen=True)
class Frame:
    """How an image of `shape` comes to lie in an image of `size`: mirrored where `flip`, scaled to fit, then padded at the bottom and the right.

    Source: Becker et al. 2019, doi:10.1016/j.ejrad.2019.108649, and the code of BreastGAN's experiment 1: scale size / max(shape).
    """

    shape: tuple[int, int]
    size: tuple[int, int]
    flip: bool

    @property
    def scale(self) -> float:
        """Largest factor with which the image fits; size / max(shape) of a square size."""
        return min(self.size[0] / self.shape[0], self.size[1] / self.shape[1])

    @property
    def filled(self) -> tuple[int, int]:
        """Rows and columns that the scaled image takes."""
        rows, columns = (min(limit, max(1, round(length * self.scale))) for length, limit in zip(self.shape, self.size, strict=True))
        return rows, columns

    def image(self, pixels: NDArray[np.int32]) -> NDArray[np.float32]:
        """Pixels (*shape) less their least, in the frame, (*size); smaller ones are averages over what they cover."""
        rows, columns = self.filled
        turned = np.ascontiguousarray(pixels[:, ::-1] if self.flip else pixels) - pixels.min()
        tensor = torch.from_numpy(turned.astype(np.float32))[None, None]
        if (rows, columns) != self.shape:
            tensor = interpolate(tensor, (rows, columns), mode="bilinear", antialias=True, align_corners=False)
        found = np.zeros(self.size, np.float32)
        found[:rows, :columns] = tensor[0, 0].numpy()
        return found

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows and columns in the frame, (k, 2), of points (k, 2) in pixels of the file, x before y; middles of pixels are whole numbers."""
        x = self.shape[1] - 1 - points[:, 0] if self.flip else points[:, 0]
        rows, columns = self.filled
        return np.stack([(points[:, 1] + 0.5) * rows / self.shape[0] - 0.5, (x + 0.5) * columns / self.shape[1] - 0.5], 1)

    def mask(self, outlines: list[Outline]) -> NDArray[np.bool_]:
        """What lies inside any of the outlines, (*size): at least one pixel of each, the one where most of it lies."""
        found = np.zeros(self.size, bool)
        for outline in outlines:
            found |= self._polygon(outline.points) if outline.mask is None else self._covered(outline.mask)
        return found

    def _polygon(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        found = np.zeros(self.size, bool)
        placed = self.points(points)
        if len(placed) > 2:
            found[polygon(placed[:, 0], placed[:, 1], self.size)] = True
        if not found.any():
            dots = np.rint(placed if len(placed) <= 2 else placed.mean(0, keepdims=True)).astype(int)
            rows, columns = np.clip(dots, 0, np.array(self.filled) - 1).T
            found[rows, columns] = True
        return found

    def _covered(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        covered = Frame((mask.shape[0], mask.shape[1]), self.size, self.flip).image(mask.astype(np.int32))
        found: NDArray[np.bool_] = covered >= min(0.5, covered.max()) if covered.any() else np.zeros(self.size, bool)
        return found


def scaled(image: NDArray[np.float32], name: object) -> NDArray[np.float32]:
    """The whole image, padding included, from its least and largest value to [-1, 1]. Raises DataError where it is constant."""
    low, high = float(image.min()), float(image.max())
    if high <= low:
        msg = f"{name}: found the value {low:g} everywhere, expected an image"
        raise DataError(msg)
    found: NDArray[np.float32] = np.clip(2 * (image - low) / (high - low) - 1, -1, 1).astype(np.float32)
    return found


def breast_mask(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The breast in an image of [-1, 1]: the largest piece of what is no background, filled.

    Behind a digital mammogram the background is the least value. Film is nowhere as dark as what pads it: where more than 4 % of what is above the
    least value lies in the lowest 6 % of the range, background is also what Otsu's threshold of logarithms takes off.
    """
    above = image > -1
    body = above
    if float((image[above] < DARK).mean()) > 0.04:
        level = np.log(image + FLOOR)
        body = level > threshold_otsu(level[above])
    opened = binary_opening(np.pad(body, EDGE, mode="edge"), iterations=EDGE)[EDGE:-EDGE, EDGE:-EDGE]
    pieces, count = label(opened)
    if not count:
        return above
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    found: NDArray[np.bool_] = binary_fill_holes(pieces == largest)
    return found
