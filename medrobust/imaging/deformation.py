"""Displacement of slices: what is at x after it was at x + field(x) before, in pixels, channel 0 along rows and 1 along columns.

All coordinates are counted in pixels from the centre of the first one and none is ever normalised, so that a field of zeros and any whole shift
give pixels back to the last bit. Beyond the edge the outermost pixel repeats.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import pad


def warp(image: Tensor, field: Tensor) -> Tensor:
    """`image` (n, c, H, W) moved by `field` (n, 2, H, W), bilinear, like `image`; has a gradient in both."""
    height, width = image.shape[2:]
    rows, columns = _moved(field)
    top, left = _whole(rows, height), _whole(columns, width)
    down, right = (rows - top)[:, None], (columns - left)[:, None]
    below, beyond = (top + 1).clamp_max(height - 1), (left + 1).clamp_max(width - 1)
    upper = torch.lerp(_taken(image, top, left), _taken(image, top, beyond), right)
    lower = torch.lerp(_taken(image, below, left), _taken(image, below, beyond), right)
    return torch.lerp(upper, lower, down)


def warp_labels(labels: Tensor, field: Tensor) -> Tensor:
    """`labels` (n, c, H, W) moved by `field` (n, 2, H, W), each the nearest one, the later one where two are as near; like `labels`."""
    height, width = labels.shape[2:]
    rows, columns = _moved(field)
    return _taken(labels, _whole(rows + 0.5, height), _whole(columns + 0.5, width))


def folding(field: Tensor) -> Tensor:
    """Fraction of pixels of `field` (n, 2, H, W) at which the map x + field(x) folds, det(I + grad field) <= 0, (n,); H and W at least 2.

    The gradient is taken to the next and to the last pixel along either axis, four determinants a pixel, and one of them suffices: central
    differences see nothing of a field that alternates from pixel to pixel.
    """
    sides = [_one_sided(field, axis) for axis in (2, 3)]
    folds = torch.zeros_like(field[:, 0], dtype=torch.bool)
    for along_rows, along_columns in product(*sides):
        determinant = (1 + along_rows[:, 0]) * (1 + along_columns[:, 1]) - along_rows[:, 1] * along_columns[:, 0]
        folds |= determinant <= 0
    return folds.flatten(1).to(field.dtype).mean(1)


def displacement(field: Tensor, spacing: Tensor) -> Tensor:
    """Length in mm of the displacement of each pixel, (n, H, W); spacing: (n, 2) mm of a step along rows and along columns."""
    length: Tensor = torch.linalg.vector_norm(field * spacing.to(field)[:, :, None, None], dim=1)
    return length


def _moved(field: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column, (n, H, W) each, that every pixel is taken from, within the slice."""
    height, width = field.shape[2:]
    rows = torch.arange(height, device=field.device, dtype=field.dtype)[:, None] + field[:, 0]
    columns = torch.arange(width, device=field.device, dtype=field.dtype) + field[:, 1]
    return rows.clamp(0, height - 1), columns.clamp(0, width - 1)


def _whole(place: Tensor, length: int) -> Tensor:
    """The pixel at or before each place, int64; any one where a place is NaN, which then shows in the weights."""
    return place.detach().floor().nan_to_num(0).clamp(0, length - 1).long()


def _taken(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels (n, c, H, W) of `image` at rows and columns (n, H, W)."""
    index = (rows * image.shape[3] + columns).flatten(1)[:, None].expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, index).reshape(*image.shape[:2], *rows.shape[1:])


def _one_sided(field: Tensor, axis: int) -> list[Tensor]:
    """Differences to the next and from the last pixel along an axis, each like `field`; at the edge the one that there is."""
    steps = field.diff(dim=axis)
    return [pad(steps, side, mode="replicate") for side in EDGES[axis]]


EDGES = {2: ((0, 0, 0, 1), (0, 0, 1, 0)), 3: ((0, 1, 0, 0), (1, 0, 0, 0))}
"""Of which the last or the first difference along an axis is repeated, as `pad` counts."""
