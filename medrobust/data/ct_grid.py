"""Square slices about a volume's centre, whatever the pixels of its files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medrobust.imaging.smooth import Array

AIR = -1024


@dataclass(frozen=True)
class SliceGrid:
    """size: pixels along an edge of the square slice. spacing: mm of a pixel's edge."""

    size: int
    spacing: float

    def image(self, volume: NDArray[np.generic], edges: tuple[float, float]) -> NDArray[np.int16]:
        """Slices (z, size, size) in whole HU of a volume (rows, columns, z) whose pixels measure `edges` mm.

        Linear, with a kernel as wide as the new pixel where that is the larger one, so that nothing is skipped; air where the file has nothing.
        """
        (rows, inside_rows), (columns, inside_columns) = (self._weights(n, edge) for n, edge in zip(volume.shape[:2], edges, strict=True))
        inside = inside_rows[:, None] & inside_columns[None]
        found = np.full((volume.shape[2], self.size, self.size), AIR, np.int16)
        for index in range(volume.shape[2]):
            values = rows @ volume[..., index].astype(np.float32) @ columns.T
            found[index][inside] = np.rint(np.clip(values[inside], AIR, np.iinfo(np.int16).max))
        return found

    def labels(self, volume: NDArray[np.uint8], edges: tuple[float, float]) -> NDArray[np.uint8]:
        """Labels (z, size, size): of each new pixel the nearest of the file's, 0 where the file has nothing."""
        (rows, inside_rows), (columns, inside_columns) = (self._nearest(n, edge) for n, edge in zip(volume.shape[:2], edges, strict=True))
        found = volume[rows[:, None], columns[None]] * (inside_rows[:, None] & inside_columns[None])[..., None]
        return np.ascontiguousarray(np.moveaxis(found, 2, 0), dtype=np.uint8)

    def _places(self, length: int, edge: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Where the new pixels' centres lie among the file's pixels, (size,), and whether the file covers them."""
        offsets = ((np.arange(self.size) - (self.size - 1) / 2) * self.spacing / edge).astype(np.float64)
        inside: NDArray[np.bool_] = np.abs(offsets) <= length / 2 + 1e-6
        return offsets + (length - 1) / 2, inside

    def _weights(self, length: int, edge: float) -> tuple[Array, NDArray[np.bool_]]:
        places, inside = self._places(length, edge)
        reach = max(1.0, self.spacing / edge)
        weights = np.maximum(0, 1 - np.abs(np.arange(length) - places[:, None]) / reach)
        return (weights / np.where(inside, weights.sum(1), 1)[:, None]).astype(np.float32), inside

    def _nearest(self, length: int, edge: float) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """A place midway between two pixels takes the lower one everywhere."""
        places, inside = self._places(length, edge)
        return np.clip(np.ceil(places - 0.5 - 1e-6), 0, length - 1).astype(np.intp), inside
