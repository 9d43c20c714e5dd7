"""Readers of MR slices that research groups share: complex images, and magnitudes under a made-up smooth phase."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from medrobust.data.near_duplicates import subjects

Images = NDArray[np.complex64]

SAME_SUBJECT = 0.6  # chest images of one subject reach 0.67 and more, of two subjects 0.59 and less


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
    group = subjects(images, SAME_SUBJECT)
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
