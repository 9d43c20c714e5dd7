"""Superpixels of a volume: compact regions of like intensity that a relevance map scores whole."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.segmentation import relabel_sequential, slic
from torch import Tensor
from torch.nn.functional import avg_pool3d, pad

from medrobust.digests import canonical
from medrobust.errors import StoreError
from medrobust.files import replacing, user_cache

ALL = -1
"""`sequence` of a partition that looks at every sequence at once."""

Volume = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Superpixels:
    """Simple linear iterative clustering (SLIC) in three dimensions; each partition is computed once and kept in the user's cache.

    Source: Achanta et al. 2012 (TPAMI 34:2274), scikit-image's `slic`; sequence and number as in Rajapaksa & Khalvati 2022
    (Front. Radiol. 2:1061402, section 2), which gives no compactness.

    sequence: channel that is partitioned, at least 0; 2 is T2w. -1: all channels jointly, a partition other than any single one's.
    segments: regions asked for, at least 1 and at most the voxels; merging and splitting give more or fewer.
    compactness: weight of distance against intensity, above 0, for intensities scaled to [0, 1] over the volume. scikit-image's default of 10 makes
        near-cubes, of which no union comes near a tumour.
    iterations: rounds of k-means, at least 1.
    half: partition the volume at half its resolution and repeat each label: several times faster, with blocky borders.
    """

    sequence: int = 2
    segments: int = 100
    compactness: float = 0.1
    iterations: int = 10
    half: bool = False

    def __post_init__(self) -> None:
        for name, least in (("sequence", ALL), ("segments", 1), ("iterations", 1)):
            if getattr(self, name) < least:
                msg = f"{name}: found {getattr(self, name)}, expected at least {least}"
                raise ValueError(msg)
        if not 0 < self.compactness < float("inf"):
            msg = f"compactness: found {self.compactness}, expected a number above 0"
            raise ValueError(msg)

    def partition(self, image: Tensor) -> Tensor:
        """The region of each voxel, (n, D, H, W) int64 on the CPU, of volumes (n, c, D, H, W); labels of a case are 0, ..., K - 1, each in use.

        Raises ValueError for a volume that has no such channel, fewer voxels than `segments`, or values that are not finite.
        """
        return torch.stack([torch.from_numpy(self._cached(volume)) for volume in self._chosen(image).unbind()])

    def _chosen(self, image: Tensor) -> Tensor:
        """The channels that are partitioned, (n, 1 or c, D, H, W) float32 on the CPU."""
        if image.ndim != 5:
            msg = f"superpixels: found an image of shape {tuple(image.shape)}, expected (n, c, D, H, W)"
            raise ValueError(msg)
        if self.sequence >= image.shape[1]:
            msg = f"superpixels: found {image.shape[1]} channel(s), expected channel {self.sequence} among them"
            raise ValueError(msg)
        chosen = image if self.sequence == ALL else image[:, self.sequence, None]
        volumes = chosen.detach().to("cpu", torch.float32).contiguous()
        voxels = volumes[0, 0].numel()
        if self.segments > voxels:
            msg = f"superpixels: found segments = {self.segments}, expected at most the {voxels} voxels of the volume"
            raise ValueError(msg)
        if not volumes.isfinite().all():
            msg = "superpixels: found intensities that are not finite, expected numbers"
            raise ValueError(msg)
        return volumes

    def _cached(self, volume: Tensor) -> Labels:
        """Labels (D, H, W) of one volume (k, D, H, W), read where they are known; a damaged file is made again."""
        path = user_cache() / "superpixels" / f"{self._identity(volume)}.npz"
        shape = tuple(volume.shape[1:])
        with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:  # numpy leaves a torn file open that it opened itself
                labels: Labels = archive["labels"].astype(np.int64)
            if labels.shape == shape and np.bincount(labels.ravel()).all():
                return labels
        labels = self._compute(volume)
        with suppress(StoreError):
            _save(path, labels)
        return labels

    def _identity(self, volume: Tensor) -> str:
        facts = canonical({"superpixels": self, "shape": tuple(volume.shape), "scikit-image": version("scikit-image")})
        return hashlib.sha256(facts.encode() + volume.numpy().tobytes()).hexdigest()[:24]

    def _compute(self, volume: Tensor) -> Labels:
        coarse = _halved(volume) if self.half else volume
        labels = self._slic(coarse.numpy())
        if self.half:
            for axis, length in enumerate(volume.shape[1:]):
                labels = labels.repeat(2, axis).take(range(length), axis)
        relabelled: Labels = relabel_sequential(labels + 1)[0] - 1
        return np.ascontiguousarray(relabelled, dtype=np.int64)

    def _slic(self, volume: Volume) -> Labels:
        """Labels of (k, D, H, W). Channels are named and never taken for colours; gaps in the labels are closed by the caller."""
        labels: Labels = slic(
            volume,
            n_segments=min(self.segments, volume[0].size),
            compactness=self.compactness,
            max_num_iter=self.iterations,
            convert2lab=False,
            start_label=0,
            channel_axis=0,
        )
        return labels


def _halved(volume: Tensor) -> Tensor:
    """Means over 2 x 2 x 2 voxels of (k, D, H, W); an odd last plane counts twice."""
    odd = [side for length in reversed(volume.shape[1:]) for side in (0, length % 2)]
    return avg_pool3d(pad(volume, odd, mode="replicate"), 2)


def _save(path: Path, labels: Labels) -> None:
    """In the smallest integers that hold them, two bytes a voxel before compression."""
    small = labels.astype(np.promote_types(np.uint16, np.min_scalar_type(int(labels.max()))))
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, labels=small)
