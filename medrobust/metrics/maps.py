"""What a metric of relevance maps looks at: the maps of one case after another, and the tumour each owes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from medrobust.types import Explained, Outcome


class Shown(NamedTuple):
    """One case.

    relevance: (*space) float32. regions: (*space) int64, None for a map of voxels. tumour: (*space) bool.
    """

    relevance: Tensor
    regions: Tensor | None
    tumour: Tensor


def shown(outcome: Outcome) -> Iterator[Shown]:
    """The cases in order, on the CPU; ValueError where there is no map, no tumour mask, or a region without voxels."""
    explained = explained_of(outcome)
    for row, mask in enumerate(context_of(outcome, "tumour")):
        yield Shown(explained.relevance[row], regions_of(explained, row), mask[0].bool())


def context_of(outcome: Outcome, name: str) -> Tensor:
    """That tensor of the batch's context, on the CPU; ValueError where the data do not give it."""
    tensor = outcome.batch.context.get(name)
    if tensor is None:
        msg = f"context: found {', '.join(sorted(outcome.batch.context)) or 'nothing'}, expected data that give '{name}'"
        raise ValueError(msg)
    return tensor.cpu()


def explained_of(outcome: Outcome) -> Explained:
    """What the explainer said; ValueError where there is none."""
    if outcome.explained is None:
        msg = "found no relevance map, expected one: this metric is for explainers"
        raise ValueError(msg)
    return outcome.explained


def regions_of(explained: Explained, row: int) -> Tensor | None:
    """The regions of one case, (*space) int64; None for a map of voxels. ValueError where a label has no voxel."""
    if explained.regions is None:
        return None
    regions = explained.regions[row]
    empty = (torch.bincount(regions.flatten()) == 0).nonzero()
    if len(empty):
        msg = f"regions: found no voxel of label {int(empty[0])}, expected labels 0, 1, ... without gaps"
        raise ValueError(msg)
    return regions


def column(values: list[float]) -> Tensor:
    """One value a case, (n,) float64."""
    return torch.tensor(values, dtype=torch.float64)


def columns(values: list[list[float]], count: int) -> dict[str, Tensor]:
    """`count` values a case under the labels `1`, `2`, ..., (n,) float64 each."""
    table = torch.tensor(values, dtype=torch.float64).view(len(values), count)
    return {str(i + 1): one for i, one in enumerate(table.unbind(1))}
