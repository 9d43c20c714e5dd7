"""What several volumes have in place of a clean activation, each within a box of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

Place = tuple[int, ...]
Box = Sequence[tuple[int, int]]
"""First position and last + 1 along each axis."""


class Change(NamedTuple):
    """`values` (m, c, *size) of m volumes, each from its own corner on; elsewhere the activation is clean."""

    corners: list[Place]
    values: Tensor

    @property
    def size(self) -> Place:
        return tuple(self.values.shape[2:])

    @property
    def boxes(self) -> list[Box]:
        return [[(low, low + length) for low, length in zip(corner, self.size, strict=True)] for corner in self.corners]


def inside(box: Iterable[Sequence[int]]) -> tuple[slice, ...]:
    """The index of a box in an image (c, *space)."""
    return (slice(None), *(slice(low, high) for low, high in box))


def whole(space: Place, count: int) -> tuple[list[Place], Place]:
    """Corners and size of `count` boxes that are all of `space`."""
    return [(0,) * len(space)] * count, space


def alike(boxes: Sequence[Box], space: Place) -> tuple[list[Place], Place]:
    """Corners and one size of boxes within `space` that hold the given ones."""
    size = tuple(max(high - low for low, high in axis) for axis in zip(*boxes, strict=True))
    return [tuple(min(low, end - length) for (low, _), length, end in zip(box, size, space, strict=True)) for box in boxes], size


def union(changes: Sequence[Change], space: Place) -> tuple[list[Place], Place]:
    """Corners and one size of boxes that hold all the changes of each volume."""
    volumes = zip(*(change.boxes for change in changes), strict=True)
    return alike([[(min(low for low, _ in axis), max(high for _, high in axis)) for axis in zip(*boxes, strict=True)] for boxes in volumes], space)


def crop(clean: Tensor, change: Change | None, corners: list[Place], size: Place, fill: float = 0.0) -> Tensor:
    """An activation of each volume from its corner on, (m, c, *size): changed, else as in `clean` (c, *space), and `fill` outside of space."""
    if change is not None and change.size == size and change.corners == corners:
        return change.values
    space = tuple(clean.shape[1:])
    within = all(low >= 0 and low + length <= end for corner in corners for low, length, end in zip(corner, size, space, strict=True))
    shape = (len(corners), len(clean), *size)
    crops = clean.new_empty(shape) if within else clean.new_full(shape, fill)
    for row, (corner, target) in enumerate(zip(corners, crops, strict=True)):
        if change is None or change.size != space:
            _paste(target, corner, clean, (0,) * len(space))
        if change is not None:
            _paste(target, corner, change.values[row], change.corners[row])
    return crops


def _paste(target: Tensor, corner: Place, source: Tensor, start: Place) -> None:
    """Copy `source` (c, *), which begins at `start`, into `target` (c, *), which begins at `corner`, where they overlap."""
    to, of = [slice(None)], [slice(None)]
    for begin, length, other, extent in zip(corner, target.shape[1:], start, source.shape[1:], strict=True):
        low, high = max(begin, other), min(begin + length, other + extent)
        if low >= high:
            return
        to.append(slice(low - begin, high - begin))
        of.append(slice(low - other, high - other))
    target[tuple(to)] = source[tuple(of)]
