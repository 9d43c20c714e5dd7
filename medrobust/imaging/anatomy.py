"""Brains of made-up subjects: shares of tissue from the MNI152 maps that nilearn carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.special import expit

from medrobust.imaging.head import atlas
from medrobust.imaging.smooth import Array, smooth_field

CENTRE = (98.0, 117.0, 77.0)  # of the brain, in voxels of the atlas


@dataclass(frozen=True)
class Anatomy:
    """Tissue shares in [0, 1] (*shape), distance in mm inside the brain's surface, and atlas height of each voxel."""

    white: Array
    grey: Array
    csf: Array
    depth: Array
    height: Array


def millimetres(shape: tuple[int, int, int], spacing: float) -> Array:
    """Millimetres from the volume's centre, (3, *shape)."""
    axes = [(np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(spacing) for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def brain(random: Generator, grid: Array) -> Anatomy:
    """One random brain on a grid of millimetres: the atlas under a random affine and a smooth deformation of about 4 mm, cortex roughened."""
    shape = grid.shape[1:]
    angles, stretch = np.deg2rad(random.normal(0, 4, size=3)), random.normal(1, 0.04, size=3)
    affine = np.eye(3)
    for axis, angle in enumerate(angles):
        plane = np.eye(3)
        first, second = (index for index in range(3) if index != axis)
        plane[[first, first, second, second], [first, second, first, second]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        affine = affine @ plane
    patient = np.diag([-1.0, -1.0, 1.0]) @ affine @ np.diag(stretch)
    warp = np.stack([4.0 * smooth_field(random, shape, 5) + 0.8 * smooth_field(random, shape, 14) for _ in range(3)])
    coordinates = np.tensordot(patient.astype(np.float32), grid, axes=1) + np.asarray(CENTRE, np.float32)[:, None, None, None] + warp
    grey, white, whole = (map_coordinates(volume, coordinates, order=1, mode="constant") for volume in atlas()[:3])
    rough = smooth_field(random, shape, 24) + smooth_field(random, shape, 40)
    wm = expit(10.0 * (white - 0.5 + 0.10 * rough))
    gm = expit(10.0 * (white + grey - 0.5 - 0.08 * rough)) * (1 - wm)
    depth = distance_transform_edt(whole > 0.5).astype(np.float32) * (grid[0, 1, 0, 0] - grid[0, 0, 0, 0])
    return Anatomy(wm, gm, np.clip(1 - wm - gm, 0, 1), depth, coordinates[2])
