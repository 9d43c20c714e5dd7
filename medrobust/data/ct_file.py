"""One subject's CT and labels, read from NIfTI files that must lie on one grid along the scanner's axes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import degrees
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from medrobust.data.ct_layout import LabelMap, Scan
from medrobust.errors import DataError

AXES = ("P", "L", "S")  # rows run to the back, columns to the left, slices to the head
OBLIQUE = 10.0  # degrees
LOWEST, HIGHEST = -4096, 32767  # fillings outside the field of view of -2000 to -3024 HU are common
SURELY_AIR, SURELY_TISSUE = -500, 0


@dataclass(frozen=True)
class Grid:
    """How a file lies. edges: mm of a step along rows, columns and slices; affine as stored; turn: nibabel's orientation that brings it to AXES."""

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    edges: tuple[float, float, float]
    turn: NDArray[np.float64]


def read_image(path: Path) -> tuple[NDArray[np.generic], Grid]:
    """HU (rows, columns, slices), axes as AXES. Raises DataError in one line where it is damaged, oblique, not finite or no CT in HU."""
    volume, grid = _read(path)
    if volume.dtype.kind == "f" and not np.isfinite(volume).all():
        msg = f"{path}: found NaN or infinity, expected finite HU"
        raise DataError(msg)
    low, high = float(volume.min()), float(volume.max())
    if low < LOWEST or high > HIGHEST:
        msg = f"{path}: found values of {low:g} to {high:g}, expected HU of at least {LOWEST} and at most {HIGHEST}"
        raise DataError(msg)
    if low > SURELY_AIR or high < SURELY_TISSUE:
        msg = f"{path}: found values of {low:g} to {high:g}, expected HU, where air lies near -1000 and tissue about 0"
        raise DataError(msg)
    return volume, grid


def read_labels(scan: Scan, numbers: LabelMap) -> tuple[NDArray[np.uint8], Grid]:
    """The task's labels (rows, columns, slices), axes as AXES; of masks that overlap the later one counts. Raises DataError in one line."""
    if not scan.masks:
        volume, grid = _read(scan.labels[0])
        return _numbered(scan.labels[0], volume, numbers.organs, numbers.largest), grid
    volume, first = _read(scan.labels[0])
    found = _numbered(scan.labels[0], volume, {1: scan.masks[0]}, 1)
    for path, organ in zip(scan.labels[1:], scan.masks[1:], strict=True):
        volume, grid = _read(path)
        same_grid(path, grid, scan.labels[0], first)
        mask = _numbered(path, volume, {1: organ}, 1)
        np.copyto(found, mask, where=mask > 0)
    return found, first


def same_grid(path: Path, grid: Grid, reference: Path, expected: Grid) -> None:
    """Raise DataError where two files differ in shape, or a corner of one lies more than half a voxel from that of the other."""
    if grid.shape != expected.shape:
        msg = f"{path}: found shape {grid.shape}, expected {expected.shape} as {reference.name} has"
        raise DataError(msg)
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [*(n - 1 for n in grid.shape), 1]
    apart = float(np.linalg.norm((corners @ (grid.affine - expected.affine).T)[:, :3], axis=1).max())
    if apart > min(expected.edges) / 2:
        msg = f"{path}: found an affine that puts a corner {apart:.3g} mm from that of {reference.name}, expected the same grid"
        raise DataError(msg)


def _read(path: Path) -> tuple[NDArray[np.generic], Grid]:
    """A file's array, turned to AXES, in the type it is stored in where it is not rescaled; and how it lies."""
    try:
        image: Any = nibabel.load(path)
        grid = _grid(path, image)
        scaled = (getattr(image.dataobj, "slope", 1), getattr(image.dataobj, "inter", 0)) != (1, 0)
        volume = image.get_fdata(dtype=np.float32, caching="unchanged") if scaled else np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError) as error:
        msg = f"{path}: found a file that cannot be read ({' '.join(str(error).split())}), expected a whole NIfTI file"
        raise DataError(msg) from error
    return nibabel.orientations.apply_orientation(volume, grid.turn), grid


def _grid(path: Path, image: Any) -> Grid:
    affine = np.asarray(image.affine, np.float64)
    if len(image.shape) != 3 or 0 in image.shape:
        msg = f"{path}: found shape {image.shape}, expected one volume (x, y, z)"
        raise DataError(msg)
    if not image.header["qform_code"] and not image.header["sform_code"]:
        msg = f"{path}: found no orientation (qform_code and sform_code 0), expected a file that says which way its axes run"
        raise DataError(msg)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or (lengths <= 0).any():
        msg = f"{path}: found an affine with voxels of {' x '.join(f'{length:g}' for length in lengths)} mm, expected positive edges"
        raise DataError(msg)
    orientation = nibabel.orientations.io_orientation(affine)
    if not np.isfinite(orientation).all():
        msg = f"{path}: found an affine whose axes do not span space, expected three directions"
        raise DataError(msg)
    along = np.abs(affine[:3, :3] / lengths)[orientation[:, 0].astype(int), range(3)]
    tilt = degrees(float(np.arccos(np.clip(along.min(), 0, 1))))
    if tilt > OBLIQUE:
        msg = f"{path}: found axes {tilt:.1f} degrees off the scanner's, expected at most {OBLIQUE:g} (resample it along them)"
        raise DataError(msg)
    turn = nibabel.orientations.ornt_transform(orientation, nibabel.orientations.axcodes2ornt(AXES))
    turned = lengths[np.argsort(turn[:, 0])]
    return Grid(tuple(image.shape), affine, (float(turned[0]), float(turned[1]), float(turned[2])), turn)


def _numbered(path: Path, volume: NDArray[np.generic], organs: Mapping[int, int], largest: int) -> NDArray[np.uint8]:
    """The task's number of each of the file's. Raises DataError for a number the set does not have."""
    stored: NDArray[Any] = volume
    known = (stored >= 0) & (stored <= largest) & (True if stored.dtype.kind in "biu" else stored == np.floor(stored))
    if not known.all():
        msg = f"{path}: found the label {stored[~known][0]:g}, expected whole numbers of 0 to {largest}"
        raise DataError(msg)
    table = np.zeros(largest + 1, np.uint8)
    for theirs, ours in organs.items():
        table[theirs] = ours
    found: NDArray[np.uint8] = table[stored.astype(np.int16)]
    return found
