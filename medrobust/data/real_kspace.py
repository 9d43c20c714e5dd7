"""Publicly shared MR slices, most with their measured phase, as fastMRI files on one 320 x 320 grid."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from medrobust.data.fastmri_file import write_volume
from medrobust.data.splits import split_patients, write_splits
from medrobust.errors import DataError
from medrobust.imaging.kspace import center_crop, fft2c

Images = NDArray[np.complex64]

SIZE = 320
SAME_SUBJECT = 0.6  # chest images of one subject reach 0.67 and more, of two subjects 0.59 and less
FIXED = {  # patient to split: what has measured phase is held out
    "calgary-campinas-train": "train",
    "calgary-campinas-valid": "test",
    "kellman-nih": "test",
    "loraks-t2": "test",
    "admm-csnet-brain": "test",
}
LEFT_OUT = {"sigpy_brain8ch": "undersampled: no fully sampled image is known"}


@dataclass(frozen=True)
class Scan:
    """One file to be: complex slices (n, H, W) of one patient.

    acquisition: what was measured; ends in `MAGNITUDE_SYNTHETIC_PHASE` where the source holds no phase.
    """

    name: str
    patient: str
    acquisition: str
    images: Images
    field_tesla: float = 3.0


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


def with_smooth_phase(magnitude: NDArray[np.floating], seed: str) -> Images:
    """A magnitude (n, H, W) under a made-up phase, the same for all slices.

    phi = pi (c0 + c1 x + c2 y + c3 x^2 + c4 x y + c5 y^2), c ~ U(-1, 1), x, y in [-1, 1]: about what the coil-combined
    scans here show. Zero phase would make k-space Hermitian, and undersampling easier to undo than it is for a scan.
    """
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
    c = random.uniform(-1, 1, 6)
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in magnitude.shape[-2:]), indexing="ij")
    phase = np.pi * (c[0] + c[1] * x + c[2] * y + c[3] * x**2 + c[4] * x * y + c[5] * y**2)
    images: Images = (magnitude * np.exp(1j * phase)).astype(np.complex64)
    return images


def similarity(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Largest correlation over all shifts of every two magnitudes (n, H, W), (n, n); 1 for the same image."""
    centred = images - images.mean((1, 2), keepdims=True)
    norm = np.sqrt(np.square(centred).sum((1, 2), keepdims=True))
    spectra = np.fft.rfft2(centred / np.where(norm > 0, norm, 1))
    return np.stack([np.fft.irfft2(one.conj() * spectra, s=images.shape[1:]).max((1, 2)) for one in spectra])


def subjects(images: NDArray[np.floating], threshold: float = SAME_SUBJECT) -> list[int]:
    """Group of each image, named by its first member: images chained by a similarity of `threshold` or more are one subject's."""
    group = list(range(len(images)))
    for i, j in np.argwhere(np.triu(similarity(images), 1) >= threshold):
        low, high = sorted((group[i], group[j]))
        group = [low if one == high else one for one in group]
    return group


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


def _kellman(folder: Path) -> Iterator[Scan]:
    """Multi-echo gradient echo, one slice position a file, echoes as slices; the files show one slice position or one person again and again."""
    from scipy.io import loadmat

    for path in sorted(folder.glob("*.mat")):
        data = loadmat(path)["data"][0, 0]
        images = data["images"]  # (H, W, 1, 1, echoes)
        stack = np.moveaxis(images.reshape(*images.shape[:2], -1), -1, 0).astype(np.complex64)
        yield Scan(f"kellman_{path.stem}", "kellman-nih", "GRE_MULTIECHO_COMPLEX", stack, float(data["FieldStrength"].item()))


def _loraks(folder: Path) -> Iterator[Scan]:
    """One raw single-channel k-space of a brain."""
    from scipy.io import loadmat

    kspace = loadmat(folder / "T2_single_channel.mat")["kData"]  # (256, 340), fully sampled
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace), norm="ortho"))
    yield Scan("loraks_T2", "loraks-t2", "T2_COMPLEX", image[None].astype(np.complex64))


def _admm_csnet(folder: Path) -> Iterator[Scan]:
    image = _matlab73(folder / "Brain_cdata1.mat")
    yield Scan("admm_csnet_brain", "admm-csnet-brain", "BRAIN_COMPLEX", (image["real"] + 1j * image["imag"])[None].astype(np.complex64))


def _chest(folder: Path) -> Iterator[Scan]:
    """Cine frames of unnamed subjects; frames of one subject are found by their similarity."""
    paths = sorted(folder.glob("*.mat"), key=lambda path: int(re.sub(r"\D", "", path.stem)))
    images = np.stack([_matlab73(path) for path in paths])
    group = subjects(images)
    for first in sorted(set(group)):
        name = paths[first].stem.replace("im-", "chest_")
        frames = images[[index for index, one in enumerate(group) if one == first]]
        yield Scan(name, name, "CINE_MAGNITUDE_SYNTHETIC_PHASE", with_smooth_phase(frames, name))


def _calgary(path: Path) -> Iterator[Scan]:
    """Neighbouring sagittal slices of two volumes; the five called test are the five called valid again, and are not taken twice."""
    with np.load(path) as archive:
        images, names = archive["image"].astype(np.float32), archive["name"]
    for part in ("train", "valid"):
        chosen = sorted((int(name.rsplit("_", 1)[1].split(".")[0]), index) for index, name in enumerate(map(str, names)) if f"db_{part}/" in name)
        patient = f"calgary-campinas-{part}"
        stack = with_smooth_phase(images[[index for _, index in chosen]], patient)
        yield Scan(patient.replace("-", "_"), patient, "T1_MAGNITUDE_SYNTHETIC_PHASE", stack)


SOURCES: Mapping[str, Callable[[Path], Iterator[Scan]]] = {
    "kellman_nih": _kellman,
    "loraks_T2": _loraks,
    "admm_csnet": _admm_csnet,
    "deep_admm_chest": _chest,
    "swinmr_calgary_campinas_f16.npz": _calgary,
}


def _matlab73(path: Path) -> NDArray[Any]:
    """The image `im_ori` of a MATLAB 7.3 file, turned from its column order."""
    with h5py.File(path, "r") as file:
        image: NDArray[Any] = file["im_ori"][()].T
    return image


def _padded(image: Images, height: int, width: int) -> Images:
    """Zeros around (H, W) so that index H // 2 becomes height // 2, (height, width)."""
    top, left = height // 2 - image.shape[0] // 2, width // 2 - image.shape[1] // 2
    return np.pad(image, ((top, height - top - image.shape[0]), (left, width - left - image.shape[1])))
