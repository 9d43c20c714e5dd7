"""What is done to a volume of several sequences before a network sees it."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

SEQUENCES = ("T1w", "T1ce", "T2w", "FLAIR")
"""Channels of a brain tumour volume, in order."""

T = TypeVar("T", bound=np.generic)


def scaled(volumes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each of (c, x, y, z) by itself so that its smallest value is 0 and its largest 1; none may be constant."""
    low, high = volumes.min((1, 2, 3), keepdims=True), volumes.max((1, 2, 3), keepdims=True)
    unit: NDArray[np.float32] = (volumes - low) / (high - low)
    return unit


def foreground(volumes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where any of (c, x, y, z) lies above its background, the median of its eight corners, (x, y, z)."""
    background = np.median(volumes[:, [0, -1]][:, :, [0, -1]][:, :, :, [0, -1]], axis=(1, 2, 3), keepdims=True)
    inside: NDArray[np.bool_] = np.any(volumes > background, axis=0)
    return inside


def resampled(volumes: NDArray[np.float32], edges: tuple[float, float, float], spacing: float) -> NDArray[np.float32]:
    """(c, x, y, z) of voxels with `edges` in mm on a grid of `spacing` mm about the same centre, smoothed where the new voxels are the larger ones.

    An axis keeps its length in mm to half a new voxel at either end.
    """
    shape = [max(1, round(length * edge / spacing)) for length, edge in zip(volumes.shape[1:], edges, strict=True)]
    return np.stack([resize(volume, shape, order=1, anti_aliasing=True, preserve_range=True) for volume in volumes]).astype(np.float32)


def centre_cube(volumes: NDArray[T], size: int) -> NDArray[T]:
    """The central cube of (c, x, y, z), (c, size, size, size), from index (n - size) // 2 on; a shorter axis is padded with 0 alike."""
    for axis in (1, 2, 3):
        length = volumes.shape[axis]
        start, before = max((length - size) // 2, 0), max((size - length) // 2, 0)
        kept = volumes.take(range(start, min(start + size, length)), axis)
        padding: list[Any] = [(0, 0)] * volumes.ndim
        padding[axis] = (before, size - before - kept.shape[axis])
        volumes = np.pad(kept, padding)
    return volumes
