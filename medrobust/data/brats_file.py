"""One subject's volumes and labels, read from NIfTI files that must lie on one grid."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from medrobust.data.brats_layout import DECATHLON, Subject
from medrobust.errors import DataError
from medrobust.imaging.volumes import SEQUENCES

__all__ = ["SEQUENCES", "read_subject"]

LARGEST_LABEL = 4
AFFINE_TOLERANCE = 1e-2  # mm


def read_subject(subject: Subject) -> tuple[NDArray[np.float32], NDArray[np.uint8], tuple[float, float, float]]:
    """The sequences (4, *shape) in the files' own units, in the order of SEQUENCES, labels (*shape), and the voxel's edges in mm; axes as stored.

    Raises DataError in one line where a file is damaged, shapes or affines differ, a volume is constant or not finite,
    or the mask holds no tumour.
    """
    reference, files = subject.sequences[SEQUENCES[0]][0], {}
    for path in subject.files:
        files[path] = _read(path)
        _same_grid(path, *files[path], reference, *files[reference])
    volumes = []
    for sequence in SEQUENCES:
        path, channel = subject.sequences[sequence]
        volume = files[path][0] if channel is None else _channel(path, files[path][0], channel)
        _check_volume(path, sequence, volume)
        volumes.append(volume)
    edges = np.linalg.norm(files[reference][1][:3, :3], axis=0)
    return np.stack(volumes), _labels(subject.mask, files[subject.mask][0]), (float(edges[0]), float(edges[1]), float(edges[2]))


def _read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A file's array and affine."""
    try:
        image: Any = nibabel.load(path)
        return np.asarray(image.dataobj, dtype=np.float32), image.affine
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError) as error:
        msg = f"{path}: found a file that cannot be read ({' '.join(str(error).split())}), expected a whole NIfTI file"
        raise DataError(msg) from error


def _same_grid(path: Path, array: Any, affine: Any, reference: Path, expected: Any, expected_affine: Any) -> None:
    if array.shape[:3] != expected.shape[:3]:
        msg = f"{path}: found shape {array.shape[:3]}, expected {expected.shape[:3]} as {reference.name} has"
        raise DataError(msg)
    if not np.allclose(affine, expected_affine, atol=AFFINE_TOLERANCE):
        shift = float(np.abs(affine - expected_affine).max())
        msg = f"{path}: found an affine that differs by up to {shift:.3g} from that of {reference.name}, expected the same grid"
        raise DataError(msg)


def _channel(path: Path, array: NDArray[np.float32], channel: int) -> NDArray[np.float32]:
    if array.ndim != 4 or array.shape[3] != len(DECATHLON):
        msg = f"{path}: found shape {array.shape}, expected (x, y, z, {len(DECATHLON)}) with FLAIR, T1w, T1gd, T2w"
        raise DataError(msg)
    return array[..., channel]


def _check_volume(path: Path, sequence: str, volume: NDArray[np.float32]) -> None:
    if volume.ndim != 3:
        msg = f"{path}: found shape {volume.shape}, expected one volume (x, y, z)"
        raise DataError(msg)
    if not np.isfinite(volume).all():
        msg = f"{path}: {sequence}: found NaN or infinity, expected finite values"
        raise DataError(msg)
    if volume.min() == volume.max():
        msg = f"{path}: {sequence}: found {volume.flat[0]:g} everywhere, expected an image"
        raise DataError(msg)


def _labels(path: Path, mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    labels = np.where((mask >= 0) & (mask <= LARGEST_LABEL), mask, 0).astype(np.uint8)
    if not np.array_equal(labels, mask):
        msg = f"{path}: found the label {mask[labels != mask][0]:g}, expected labels of 0 to {LARGEST_LABEL}"
        raise DataError(msg)
    if not labels.any():
        msg = f"{path}: found an empty mask, expected tumour labels above 0"
        raise DataError(msg)
    return labels
