"""From a mask to a relevance map: what a voxel counts, what a region gets of it, and what is ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from medrobust.imaging.relevance import region_scores

SCORES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mask": lambda mask, image: mask,  # noqa: ARG005
    "one-minus-mask": lambda mask, image: (1 - mask).abs(),  # noqa: ARG005
    "change": lambda mask, image: (mask * image - image).abs(),
}
"""What a voxel of each sequence counts, from mask and image (n, c, *space)."""


def total(values: Tensor, regions: Tensor) -> Tensor:
    """Sum of `values` over each region, (K,) float64; both (*space)."""
    return torch.bincount(regions.flatten(), values.flatten().double())


REDUCTIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"sum": total, "mean": region_scores}
"""What a region gets from the voxels in it, (K,) float64."""


def equal_width(values: Tensor, bins: int) -> Tensor:
    """The bin 0, ..., bins - 1 of each value (K,), of equal width from the least value to the largest; all 0 where they are equal."""
    low, high = values.min(), values.max()
    width = (high - low) / bins
    return ((values - low) / width).long().clamp_max(bins - 1) if width > 0 else torch.zeros_like(values, dtype=torch.long)


def quantile(values: Tensor, bins: int) -> Tensor:
    """The bin 0, ..., bins - 1 of each value (K,), as many values in each as can be; equal values share the bin of the middle one of them."""
    _, which, count = torch.unique(values, return_inverse=True, return_counts=True)
    number: Tensor = (bins * (count.cumsum(0) - count / 2) / len(values)).long()
    return number[which]


BINNINGS: Mapping[str, Callable[[Tensor, int], Tensor]] = {"width": equal_width, "quantile": quantile}


def relabelled(labels: Tensor) -> Tensor:
    """The same regions (*space) under labels 0, ..., K - 1, each in use, in the order of the old ones."""
    _, new = torch.unique(labels, return_inverse=True)
    found: Tensor = new
    return found


def overlay(partitions: Tensor) -> Tensor:
    """The cells of several partitions (c, *space) laid over each other, (*space) int64: voxels of one cell share their region in each."""
    cells = partitions[0]
    for partition in partitions[1:]:
        cells = relabelled(cells * (partition.max() + 1) + partition)
    return cells


def painted(scores: Tensor, regions: Tensor) -> Tensor:
    """The score (K,) of its region at every voxel, (*space) float32."""
    return scores.float()[regions]
