"""Publicly shared MR slices, a third of them with their measured phase, as fastMRI files on one 320 x 320 grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from medrobust.data.fastmri_file import write_volume
from medrobust.data.near_duplicates import similarity
from medrobust.data.real_sources import SOURCES, Images, Scan
from medrobust.data.splits import split_patients, write_splits
from medrobust.errors import DataError
from medrobust.imaging.kspace import center_crop, fft2c

SIZE = 320
FIXED = {  # patient to split: what has measured phase is held out
    "calgary-campinas-train": "train",
    "calgary-campinas-valid": "test",
    "kellman-nih": "test",
    "loraks-t2": "test",
    "admm-csnet-brain": "test",
}
LEFT_OUT = {"sigpy_brain8ch": "undersampled: no fully sampled image is known"}


def read_scans(folder: Path) -> tuple[list[Scan], dict[str, str]]:
    """Every scan that can be read from the folder, and what was left out with the reason. Raises DataError."""
    scans: list[Scan] = []
    left_out: dict[str, str] = {}
    for name, reader in SOURCES.items():
        if not (folder / name).exists():
            left_out[name] = "not in the folder"
            continue
        try:
            scans += reader(folder / name)
        except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
            msg = f"{folder / name}: found no readable images ({type(error).__name__}: {error}), expected the files as published"
            raise DataError(msg) from error
    left_out |= {name: reason for name, reason in LEFT_OUT.items() if (folder / name).exists()}
    if not scans:
        msg = f"{folder}: found none of {', '.join(SOURCES)}, expected at least one"
        raise DataError(msg)
    return scans, left_out


def assign(scans: list[Scan]) -> dict[str, list[str]]:
    """Split to patients: every scan with measured phase is held out for test; chest subjects are drawn 60 / 20 / 20."""
    drawn = split_patients({scan.patient for scan in scans} - FIXED.keys(), {"train": 0.6, "val": 0.2, "test": 0.2}, seed=0)
    fixed = {scan.patient for scan in scans} & FIXED.keys()
    splits = {split: sorted([*names, *(patient for patient in fixed if FIXED[patient] == split)]) for split, names in drawn.items()}
    return {split: names for split, names in splits.items() if names}


def convert(source: Path, out: Path) -> Iterator[str]:
    """Write `out/singlecoil_SPLIT/NAME.h5` and `out/splits.yaml`; yields one line a file, then what was left out and how near the splits are."""
    scans, left_out = read_scans(source)
    splits = assign(scans)
    owner = {patient: split for split, patients in splits.items() for patient in patients}
    for scan in scans:
        path = out / f"singlecoil_{owner[scan.patient]}" / f"{scan.name}.h5"
        kspace = np.stack([to_grid(image) for image in scan.images])
        write_volume(path, kspace, acquisition=scan.acquisition, patient_id=scan.patient, recon_size=(SIZE, SIZE), field_tesla=scan.field_tesla)
        yield f"{path.relative_to(out)}: {len(kspace)} slices, {scan.patient}, {scan.acquisition}"
    write_splits(out / "splits.yaml", splits, "Split to patients; written by medrobust data make real-mr.")
    yield from (f"left out {name}: {reason}" for name, reason in left_out.items())
    value, first, second, neighbours = nearest(scans, owner)
    yield f"nearest images of two splits: {first} and {second}, similarity {value:.2f} (median of neighbouring slices of one file: {neighbours:.2f})"


def to_grid(image: Images, size: int = SIZE) -> Images:
    """K-space (size, size) of a complex image (H, W), its intensities and aspect kept.

    The image is padded with zeros to a square of its longer side; then k-space is zero-filled or cropped to the grid,
    which is the one band-limited interpolation: no new frequency arises, edges keep the ringing that any MR image has.
    """
    square = torch.from_numpy(_padded(image, max(image.shape), max(image.shape)))
    kspace = fft2c(square) * (size / square.shape[-1])
    if square.shape[-1] < size:
        return _padded(kspace.numpy(), size, size)
    grid: Images = np.ascontiguousarray(center_crop(kspace, size, size).numpy())
    return grid


def nearest(scans: list[Scan], owner: Mapping[str, str]) -> tuple[float, str, str, float]:
    """The two most similar slices that lie in different splits, and for comparison neighbouring slices of one file.

    Largest similarity, names of the two slices, median similarity of neighbours; on a grid of 128 x 128.
    """
    named = [(scan, f"{scan.name}#{index:03d}", image) for scan in scans for index, image in enumerate(scan.images)]
    small = np.stack([np.abs(np.fft.ifft2(np.fft.ifftshift(to_grid(image, 128)))) for _, _, image in named])
    values = similarity(small)
    below = [(i, j) for i in range(len(named)) for j in range(i)]
    across = [(float(values[i, j]), named[i][1], named[j][1]) for i, j in below if owner[named[i][0].patient] != owner[named[j][0].patient]]
    neighbours = [values[i, i - 1] for i in range(1, len(named)) if named[i][0] is named[i - 1][0]]
    return *max(across, default=(0.0, "none", "none")), float(np.median(neighbours)) if neighbours else float("nan")


def _padded(image: Images, height: int, width: int) -> Images:
    """Zeros around (H, W) so that index H // 2 becomes height // 2, (height, width)."""
    top, left = height // 2 - image.shape[0] // 2, width // 2 - image.shape[1] // 2
    return np.pad(image, ((top, height - top - image.shape[0]), (left, width - left - image.shape[1])))
