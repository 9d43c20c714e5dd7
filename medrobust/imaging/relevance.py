"""How well a relevance map finds a mask: Dice of regions by rank, of their best grouping, of voxels above a threshold, and rank correlation.

Regions are ranked by falling score; equal scores keep the order of their labels, which says nothing of the mask.
A Dice is NaN where the mask is empty.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Overlap(NamedTuple):
    """The regions of one case against its mask; all that a Dice of any union of them needs.

    inside: voxels of the mask in each region, (K,) float64. size: voxels of each region, (K,) float64.
    """

    inside: Tensor
    size: Tensor


class Pointing(NamedTuple):
    """hit: whether the mask holds the centre of the most relevant place. fraction: share of that place in the mask, in [0, 1]."""

    hit: bool
    fraction: float


def overlap(regions: Tensor, mask: Tensor) -> Overlap:
    """Count `regions` (*space) int64, labels 0, ..., K - 1, against `mask` (*space) bool."""
    labels = regions.flatten()
    return Overlap(torch.bincount(labels, mask.flatten().double()), torch.bincount(labels).double())


def region_scores(relevance: Tensor, regions: Tensor) -> Tensor:
    """Mean relevance of each region, (K,) float64; exactly its value where a float32 map is constant over the region."""
    labels = regions.flatten()
    return torch.bincount(labels, relevance.flatten().double()) / torch.bincount(labels)


def ranking(scores: Tensor) -> Tensor:
    """Regions from the highest score (K,) down, (K,) int64."""
    return scores.argsort(descending=True, stable=True)


def ranked(scores: Tensor, regions: Overlap, ranks: int) -> Tensor:
    """Dice of the region of each rank 1, ..., `ranks` alone, (ranks,); NaN for a rank beyond the regions.

    Source: Rajapaksa & Khalvati 2022, section 2.5, "ranked".
    """
    order = ranking(scores)[:ranks]
    return _padded(_dice(regions.inside[order], regions.size[order], regions.inside.sum()), ranks)


def cumulative(scores: Tensor, regions: Overlap, ranks: int) -> Tensor:
    """Dice of the union of ranks 1, ..., r for each r up to `ranks`, (ranks,); NaN for a rank beyond the regions.

    Source: Rajapaksa & Khalvati 2022, section 2.5, "cumulative".
    """
    return _padded(_prefixes(ranking(scores), regions)[:ranks], ranks)


def best_grouping(scores: Tensor, regions: Overlap) -> float:
    """The best Dice of ranks 1, ..., r over all r. It chooses r by the truth: an oracle.

    Source: Rajapaksa & Khalvati 2022, section 2.5, "best grouping".
    """
    return float(_prefixes(ranking(scores), regions).max())


def ceiling(regions: Overlap) -> float:
    """The best Dice of any union of regions: what a perfect ranking, by the share of each region in the mask, reaches at its best grouping."""
    return best_grouping(regions.inside / regions.size, regions)


def best_threshold(relevance: Tensor, mask: Tensor) -> float:
    """The best Dice of `relevance >= t` against `mask`, both (*space), over all t that the map tells apart. An oracle, like best grouping."""
    values, order = relevance.flatten().sort(descending=True)
    inside = mask.flatten()[order].double().cumsum(0)
    last = torch.ones_like(values, dtype=torch.bool)  # of each run of equal values: no threshold cuts within one
    last[:-1] = values[1:] != values[:-1]
    size = torch.arange(1, len(values) + 1, device=values.device, dtype=torch.float64)
    return float(_dice(inside[last], size[last], inside[-1]).max())


def pointing(relevance: Tensor, mask: Tensor, regions: Tensor | None = None) -> Pointing | None:
    """Where the map points: its voxels of highest relevance; with `regions`, the region of rank 1. All (*space); None where the mask is empty.

    The centre is the mean position of those voxels, rounded; it need not be one of them. A constant map points nowhere: no hit.
    """
    if not mask.any():
        return None
    top = relevance == relevance.max() if regions is None else regions == ranking(region_scores(relevance, regions))[0]
    centre = top.nonzero().double().mean(0).round().long()
    hit = bool(mask[tuple(centre)]) and bool((relevance != relevance.flatten()[0]).any())
    return Pointing(hit, float(mask[top].double().mean()))


def spearman(first: Tensor, second: Tensor) -> float:
    """Rank correlation of two sets of scores or two maps of one shape, in [-1, 1]; equal values share their mean rank, NaN where one is constant."""
    a, b = (_ranks(values.flatten()) for values in (first, second))
    a, b = a - a.mean(), b - b.mean()
    return float(((a @ b) / (a.norm() * b.norm())).clamp(-1, 1))


def _ranks(values: Tensor) -> Tensor:
    _, which, count = torch.unique(values, return_inverse=True, return_counts=True)
    mean_rank: Tensor = count.cumsum(0) - (count - 1) / 2
    return mean_rank.double()[which]


def _prefixes(order: Tensor, regions: Overlap) -> Tensor:
    return _dice(regions.inside[order].cumsum(0), regions.size[order].cumsum(0), regions.inside.sum())


def _dice(inside: Tensor, size: Tensor, truth: Tensor) -> Tensor:
    """2 |A and B| / (|A| + |B|); NaN where B is empty."""
    return (2 * inside / (size + truth)).where(truth > 0, torch.nan)


def _padded(values: Tensor, length: int) -> Tensor:
    return torch.cat([values, values.new_full((length - len(values),), torch.nan)])
