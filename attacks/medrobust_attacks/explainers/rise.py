"""RISE: the mean of random smooth masks, weighted by what the classifier still says of the volume behind each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Explained, Target
from medrobust_attacks.explainers.asking import ask, at_once, predicted, probability
from medrobust_attacks.explainers.enlarging import enlarged
from medrobust_attacks.fnaf.finite_differences import at_least


@dataclass(frozen=True)
class RISE:
    """Multiply the volume by random smooth masks and average the masks, each weighted by the probability of the predicted class behind it.

    Source: Petsiuk et al. 2018, arXiv:1806.07421, equation 6: coarse grids of coins, enlarged linearly to cells + 1 cells an edge and cut out at
    a random place; in three dimensions here.

    masks: masks of each case, at least 1; one forward pass each, and one for the volume itself.
    cells: edge of the coarse grid, at least 1.
    keep: probability that a cell of the grid is kept, in (0, 1].
    chunk: volumes built at once, at least 1; changes nothing but memory.
    """

    threat: ClassVar[str] = "black-box"
    masks: int = 1000
    cells: int = 8
    keep: float = 0.5
    chunk: int = field(default=8, compare=False)

    def __post_init__(self) -> None:
        at_least((("masks", self.masks, 1), ("cells", self.cells, 1), ("chunk", self.chunk, 1)))
        if not 0 < self.keep <= 1:
            msg = f"keep: found {self.keep}, expected a probability in (0, 1]"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes a case."""
        return self.masks + 1

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:
        """Explain every case by itself, `chunk` masks at a time."""
        space = batch.image.shape[2:]
        grids = rng.uniform(0, 1, self.masks, 1, *[self.cells] * len(space)) < self.keep
        places = rng.uniform(0, 1, self.masks, len(space))
        return Explained(torch.stack([self._map(target, batch, case, grids[case], places[case]) for case in range(len(batch))]))

    def _map(self, target: Target, batch: Batch, case: int, grids: Tensor, places: Tensor) -> Tensor:
        """grids: coins (masks, 1, *cells). places: where each mask is cut out, (masks, axes) in [0, 1)."""
        image = batch.image[case]
        label = predicted(ask(target, batch, case, image[None]))
        total = torch.zeros_like(image[0])
        size = at_once(target, self.chunk)
        for grid, place in zip(torch.split(grids, size), torch.split(places, size), strict=True):
            masks = smooth(grid.to(image), place, image.shape[1:])
            for mask, weight in zip(masks, probability(ask(target, batch, case, image * masks), label), strict=True):
                total += weight * mask[0]
        return total / (self.masks * self.keep)


def smooth(grids: Tensor, places: Tensor, space: torch.Size) -> Tensor:
    """Masks (m, 1, *space) in [0, 1] from grids (m, 1, *cells), enlarged and cut out at `places` (m, axes) in [0, 1) of one cell."""
    cells = grids.shape[2:]
    cell = [math.ceil(length / count) for length, count in zip(space, cells, strict=True)]
    large = enlarged(grids[:, 0], [edge * (count + 1) for edge, count in zip(cell, cells, strict=True)])[:, None]
    cut = torch.empty(len(grids), 1, *space, dtype=grids.dtype, device=grids.device)
    for mask, whole, place in zip(cut, large, places.tolist(), strict=True):
        starts = [int(share * edge) for share, edge in zip(place, cell, strict=True)]
        mask[:] = whole[:, *(slice(start, start + length) for start, length in zip(starts, space, strict=True))]
    return cut
