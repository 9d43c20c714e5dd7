"""Files of MedMNIST on disk: npz archives of images and labels by split, looked into by their headers and laid out for reading piece by piece."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from medrobust.data.cache import content_digests, user_cache
from medrobust.data.embedded import SPLITS
from medrobust.errors import DataError
from medrobust.files import replacing

COLOURS = 3
PICKLED = np.dtype(object)


@dataclass(frozen=True)
class Header:
    """What an array in an archive says of itself: its shape and the type of its numbers."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def coloured(self) -> bool:
        """Whether images are (h, w, 3); a cube of 3 voxels an edge is none."""
        return len(self.shape) == 4 and self.shape[3] == COLOURS and self.shape[1] != COLOURS


def read_headers(path: Path) -> dict[str, Header]:
    """Headers of the six arrays, images and labels of each split; no array is read. Raises DataError for the first that is not as published."""
    if not path.is_file():
        msg = f"{path}: found no such file, expected an npz file of MedMNIST, such as pneumoniamnist.npz"
        raise DataError(msg)
    with _archive(path) as archive:
        stored = {name.removesuffix(".npy") for name in archive.namelist()}
        headers = {}
        for split in SPLITS:
            for kind in ("images", "labels"):
                key = f"{split}_{kind}"
                if key not in stored:
                    listed = ", ".join(sorted(stored)) or "none"
                    msg = f"{path}: found no array '{key}' among {listed}, expected images and labels of {', '.join(SPLITS)}"
                    raise DataError(msg)
                headers[key] = _header(archive, path, key)
    _check(path, headers)
    return headers


def read_labels(path: Path) -> dict[str, NDArray[np.int64]]:
    """Split to the class of each image, (n,), from 0. Raises DataError where a class is below 0 or not among those of the training split."""
    labels = {split: np.asarray(_whole(path, f"{split}_labels"), np.int64).reshape(-1) for split in SPLITS}
    known = np.unique(labels["train"])
    if len(known) < 2 or known[0] < 0 or not np.array_equal(known, np.arange(len(known))):
        shown = ", ".join(map(str, known[:8].tolist())) or "none"
        msg = f"{path}: train_labels: found the classes {shown}, expected 0, 1, ... without a gap, at least two of them"
        raise DataError(msg)
    for split, found in labels.items():
        strange = found[~np.isin(found, known)]
        if strange.size:
            msg = f"{path}: {split}_labels: found the class {strange[0]}, expected one of the training split's, 0 to {known[-1]}"
            raise DataError(msg)
    return labels


def images_of(path: Path, split: str) -> NDArray[np.uint8]:
    """All images of a split as a read-only memory map: pixels are read when they are asked for.

    The array is unpacked at first use into the user's cache, where it takes as much room as its pixels. Raises DataError in one line.
    """
    key = f"{split}_images"
    place = user_cache() / "medmnist" / content_digests([path])[path][:16] / f"{key}.npy"
    with _archive(path) as archive:
        size = archive.getinfo(f"{key}.npy").file_size
        if not place.is_file() or place.stat().st_size != size:
            with _reading(path, key), replacing(place) as temporary, archive.open(f"{key}.npy") as packed, temporary.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 2**20)
    found: NDArray[np.uint8] = np.load(place, mmap_mode="r", allow_pickle=False)
    return found


def _check(path: Path, headers: dict[str, Header]) -> None:
    """Types and shapes as published, lengths that agree, and images of one shape in every split."""
    first = headers[f"{SPLITS[0]}_images"].shape[1:]
    for split in SPLITS:
        images, labels = headers[f"{split}_images"], headers[f"{split}_labels"]
        if images.dtype != np.uint8:
            msg = f"{path}: {split}_images: found {images.dtype}, expected uint8"
            raise DataError(msg)
        if len(images.shape) not in (3, 4) or min(images.shape[1:], default=0) < 1:
            msg = f"{path}: {split}_images: found the shape {images.shape}, expected (n, h, w), (n, h, w, 3) or (n, d, h, w)"
            raise DataError(msg)
        if images.shape[1:] != first:
            msg = f"{path}: {split}_images: found images of {images.shape[1:]}, expected {first} as in {SPLITS[0]}_images"
            raise DataError(msg)
        if not np.issubdtype(labels.dtype, np.integer):
            msg = f"{path}: {split}_labels: found {labels.dtype}, expected whole numbers"
            raise DataError(msg)
        if len(labels.shape) == 2 and labels.shape[1] > 1:
            said = f"found {labels.shape[1]} labels an image, expected one"
            msg = f"{path}: {split}_labels: {said}: multi-label sets such as ChestMNIST are not supported"
            raise DataError(msg)
        if len(labels.shape) not in (1, 2) or labels.shape[1:] == (0,):
            msg = f"{path}: {split}_labels: found the shape {labels.shape}, expected (n, 1) or (n,)"
            raise DataError(msg)
        if labels.shape[0] != images.shape[0]:
            msg = f"{path}: {split}_labels: found {labels.shape[0]} labels, expected one for each of {images.shape[0]} images"
            raise DataError(msg)


def _header(archive: zipfile.ZipFile, path: Path, key: str) -> Header:
    with _reading(path, key), archive.open(f"{key}.npy") as file:
        shape, _, dtype = _parse(file)
    if dtype == PICKLED:
        msg = f"{path}: {key}: found pickled Python objects, expected numbers; nothing is unpickled"
        raise DataError(msg)
    return Header(shape, dtype)


def _parse(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    return np.lib.format.read_array_header_1_0(file) if version == (1, 0) else np.lib.format.read_array_header_2_0(file)


def _whole(path: Path, key: str) -> NDArray[Any]:
    with _archive(path) as archive, _reading(path, key), archive.open(f"{key}.npy") as file:
        found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return found


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        msg = f"{path}: found no npz archive that can be read ({' '.join(str(error).split())}), expected one of MedMNIST"
        raise DataError(msg) from error
    with archive:
        yield archive


@contextmanager
def _reading(path: Path, key: str) -> Iterator[None]:
    """What a damaged array says, as one line."""
    try:
        yield
    except (EOFError, ValueError, KeyError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        msg = f"{path}: {key}: found an array that cannot be read ({' '.join(str(error).split())}), expected one as numpy writes it"
        raise DataError(msg) from error
