"""Decoded volumes that stay in memory while they fit, so that slices asked for in any order cost one reading a subject."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray


class Sized(Protocol):
    """What says how many bytes of memory it takes."""

    @property
    def bytes(self) -> int: ...


T = TypeVar("T", bound=Sized)

LIMIT = 512 * 2**20
"""Bytes of all volumes of one data set; the one that was read last is always kept."""


@dataclass(frozen=True)
class Volume:
    """One subject as loaded.

    image: (z, h, w) int16 in HU. labels: (z, h, w) uint8. mean, std: HU of the whole image. spacing: mm of a step along rows and columns.
    """

    image: NDArray[np.int16]
    labels: NDArray[np.uint8]
    mean: float
    std: float
    spacing: tuple[float, float]

    @classmethod
    def of(cls, image: NDArray[np.int16], labels: NDArray[np.uint8], spacing: tuple[float, float]) -> Volume:
        return cls(image, labels, float(image.mean(dtype=np.float64)), float(image.std(dtype=np.float64)), spacing)

    @property
    def bytes(self) -> int:
        return self.image.nbytes + self.labels.nbytes


@dataclass
class Kept(Generic[T]):
    """The volumes or images used last, by name, of at most `limit` bytes together; a copy in another process starts empty."""

    limit: int = LIMIT
    _volumes: OrderedDict[str, T] = field(default_factory=OrderedDict)

    def get(self, name: str, read: Callable[[str], T]) -> T:
        """The volume of that name, read where it is not kept."""
        if name not in self._volumes:
            self._volumes[name] = read(name)
            while len(self._volumes) > 1 and sum(volume.bytes for volume in self._volumes.values()) > self.limit:
                self._volumes.popitem(last=False)
        self._volumes.move_to_end(name)
        return self._volumes[name]

    def __reduce__(self) -> tuple[type[Kept[T]], tuple[int]]:
        return Kept, (self.limit,)
