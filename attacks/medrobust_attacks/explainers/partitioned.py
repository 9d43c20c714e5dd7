"""The superpixel options that several explainers share, as flat fields that a spec can sweep."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from medrobust.imaging.superpixels import Superpixels
from medrobust.types import Batch


@dataclass(frozen=True)
class Partitioned:
    """Abstract: an explainer that scores superpixels.

    sequence, segments, compactness, iterations, half: see `medrobust.imaging.superpixels.Superpixels`, whose defaults they have.
    """

    sequence: int = Superpixels.sequence
    segments: int = Superpixels.segments
    compactness: float = Superpixels.compactness
    iterations: int = Superpixels.iterations
    half: bool = Superpixels.half

    def __post_init__(self) -> None:
        _ = self.superpixels

    @property
    def superpixels(self) -> Superpixels:
        return Superpixels(self.sequence, self.segments, self.compactness, self.iterations, self.half)

    def regions(self, batch: Batch) -> Tensor:
        """The superpixel of each voxel, (n, *space) int64, on the device of the images."""
        return self.superpixels.partition(batch.image).to(batch.image.device)
