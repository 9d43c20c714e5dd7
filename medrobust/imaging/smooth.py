"""Smooth random fields and blobs in three dimensions, drawn so that the grid's size changes no draw."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float32]


def smooth_field(random: Generator, shape: tuple[int, int, int], knots: int) -> Array:
    """Unit-variance noise (*shape) with about `knots` bumps along each axis: cubic B-splines over random knots, one axis at a time."""
    field = random.standard_normal((knots + 3,) * 3).astype(np.float32)
    for length in shape:
        field = np.moveaxis(np.tensordot(_splines(length, knots), field, axes=(1, 0)), 0, -1)
    return field


def blobs(random: Generator, grid: Array, where: NDArray[np.bool_], radii: tuple[float, float], count: int, edge: float) -> Array:
    """Coverage in [0, 1] (*shape) of `count` soft ellipsoids centred on random voxels of `where`; none where that is empty.

    grid: millimetres along each axis, (3, *shape). radii: least and largest mean radius in mm. edge: width of the soft edge in mm.
    """
    cover = np.zeros(where.shape, np.float32)
    candidates = np.flatnonzero(where)
    for place, share in random.uniform(size=(count, 2)):
        stretch = ellipsoid(random)
        if len(candidates):
            radius = radii[0] + share * (radii[1] - radii[0])
            centre = grid.reshape(3, -1)[:, candidates[int(place * len(candidates))]]
            np.maximum(cover, expit((radius - distance(grid, centre, stretch)) / edge), out=cover)
    return cover


def ellipsoid(random: Generator) -> Array:
    """A random rotation with axes stretched by about 20 %, (3, 3), of determinant 1."""
    rotation = np.linalg.qr(random.standard_normal((3, 3)))[0]
    stretch = np.exp(random.normal(0, 0.2, size=3))
    matrix: Array = (rotation * (stretch / np.prod(stretch) ** (1 / 3))).astype(np.float32)
    return matrix


def distance(grid: Array, centre: Array, stretch: Array) -> Array:
    """Distance in mm of each voxel from the centre (3,) under an ellipsoid's metric, (*shape)."""
    offset = (grid - centre[:, None, None, None]).reshape(3, -1)
    far: Array = np.linalg.norm(stretch.T @ offset, axis=0).reshape(grid.shape[1:])
    return far


def _splines(length: int, knots: int) -> Array:
    """Weights of each of `knots` + 3 coefficients at each of `length` samples, rows of unit norm."""
    at = (np.arange(length) + 0.5) / length * knots
    t = np.abs(at[:, None] - (np.arange(knots + 3) - 1)[None])
    weights = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6)
    splines: Array = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    return splines
