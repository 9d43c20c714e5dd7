"""Bright things in a brain that are no tumour: hyperintensities, cysts, vessels and enhancing nodules."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.ndimage import distance_transform_edt
from scipy.special import expit

from medrobust.imaging.anatomy import Anatomy
from medrobust.imaging.smooth import Array, blobs, smooth_field


def distractors(random: Generator, signal: Array, grid: Array, anatomy: Anatomy, free: Array, spacing: float) -> None:
    """Add them to the signal (4, *shape) of T1w, T1ce, T2w, FLAIR, in place and only where `free` (*shape) of the tumour; none carries a label.

    White-matter hyperintensities: T2- and FLAIR-bright, around the ventricles, as foci, and in most subjects as confluent patches.
    Cysts: as bright as CSF on T2, dark on FLAIR. Vessels: T1ce-bright tubes in sulci. Nodules: solid, T1ce-bright, without a rim.
    """
    edge = 0.4 * spacing
    white, deep = anatomy.white > 0.5, anatomy.depth > 8
    patch = random.uniform() < 0.9
    counts = [int(random.integers(low, high + 1)) for low, high in ((3, 8), (1, 2), (1, 2), (0, 3))]
    away = free > 0.9

    foci = blobs(random, grid, white & deep & away, (3, 8), counts[0], edge)
    confluent = blobs(random, grid, white & deep & away, (18, 28), counts[1], 2 * edge) * float(patch)
    rough = expit(4 * (smooth_field(random, white.shape, 20) + 1.2))
    around = _around_ventricles(random, anatomy, spacing)
    level = random.uniform(1.0, 1.2, size=2)
    _mix(signal, np.maximum(foci, np.maximum(confluent * rough, around)) * anatomy.white * free, (0.52, 0.54, 0.86 * level[0], level[1]))

    cysts = blobs(random, grid, (anatomy.depth > 6) & away, (11, 21), counts[2], edge)
    _mix(signal, cysts * free, (0.15, 0.15, 1.08, 0.14))

    nodules = blobs(random, grid, (anatomy.depth > 6) & away, (6, 13), counts[3], edge)
    _mix(signal, nodules * free, (0.46, random.uniform(0.9, 1.2), 0.60, 0.66))

    tubes = np.exp(-(smooth_field(random, white.shape, 7) ** 2 + smooth_field(random, white.shape, 7) ** 2) / random.uniform(0.04, 0.09))
    vessels = tubes * (1 - anatomy.white) * free
    signal[1] += vessels * (random.uniform(1.1, 1.35) - signal[1])


def _around_ventricles(random: Generator, anatomy: Anatomy, spacing: float) -> Array:
    """Coverage (*shape) of a patchy band around the CSF that lies deep in the brain."""
    ventricles = (anatomy.csf > 0.5) & (anatomy.depth > 22)
    width = random.uniform(0, 9)
    patchy = expit(4 * (smooth_field(random, ventricles.shape, 8) + 0.3))
    if not ventricles.any():
        return np.zeros(ventricles.shape, np.float32)
    outside = distance_transform_edt(~ventricles).astype(np.float32) * spacing
    band: Array = patchy * expit((width - outside) / (0.4 * spacing))
    return band


def _mix(signal: Array, cover: Array, values: tuple[float, float, float, float]) -> None:
    signal += cover * (np.asarray(values, np.float32)[:, None, None, None] - signal)
