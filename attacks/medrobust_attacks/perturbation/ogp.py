"""Optimized global perturbation as an explainer: superpixels ranked by one pass of a trained generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Explained, Target
from medrobust_attacks.explainers.partitioned import Partitioned
from medrobust_attacks.perturbation.aggregation import BINNINGS, REDUCTIONS, SCORES, overlay, painted, relabelled
from medrobust_attacks.perturbation.global_mask import Masking


@dataclass(frozen=True)
class OptimizedGlobalPerturbation(Masking, Partitioned):
    """The mask of a generator trained to change the prediction, gathered over superpixels; what it changes most is most relevant.

    Source: Rajapaksa & Khalvati 2022, arXiv:2211.04926, section 2.2. The paper's words are score mask, reduce sum, rank_unit bin: since 1 leaves a
    voxel as it is, that ranks large untouched regions first. The default is the mean of 1 - mask, which knows no intensity. One pass of the
    generator, none of the target.

    sequence, segments, compactness, iterations, half: the superpixels, see `medrobust.imaging.superpixels.Superpixels`; where cells or bins are
        ranked every sequence is cut by itself and `sequence` is not used.
    training: how the generator is trained; the attack `ogp` with the same settings uses the same weights.
    weights: of the generator, by name; empty before it is trained.
    score: what a voxel of a sequence counts. mask: the mask; one-minus-mask: its distance from 1, which knows no intensity; change: |mask x - x|.
    reduce: a region's relevance is the sum (larger regions count more) or the mean of its voxels' scores.
    rank_unit: superpixel: regions of the one partition, scores added over sequences. cell: the partitions of all sequences laid over each other; each
        sequence's score is gathered over its own superpixels and the maps are added. bin: the cells binned by value, as the paper does; a bin is
        one region, its relevance its number from 0.
    bins: how many, at least 2, for rank_unit bin. binning: width (equal steps of value) or quantile (equal numbers of cells).
    brain: count voxels of `context["brain"]` alone; off in the paper.
    """

    score: str = "one-minus-mask"
    reduce: str = "mean"
    rank_unit: str = "superpixel"
    bins: int = 10
    binning: str = "width"
    brain: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("score", SCORES), ("reduce", REDUCTIONS), ("rank_unit", UNITS), ("binning", BINNINGS)):
            if getattr(self, name) not in known:
                msg = f"{name}: found '{getattr(self, name)}', expected one of {', '.join(known)}"
                raise ValueError(msg)
        if self.bins < 2:
            msg = f"bins: found {self.bins}, expected at least 2"
            raise ValueError(msg)

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:  # noqa: ARG002 - nothing is asked or drawn
        """Relevance and what is ranked, both (n, *space) on the CPU."""
        scores = SCORES[self.score](self.mask(batch.image), batch.image)
        if self.brain:
            scores = scores * batch.context["brain"]
        maps = UNITS[self.rank_unit](self, scores.cpu(), batch.image)
        return Explained(torch.stack([relevance for relevance, _ in maps]), torch.stack([regions for _, regions in maps]))

    def by_superpixel(self, scores: Tensor, image: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Relevance and regions of each case, (*space), in the one partition."""
        reduce = REDUCTIONS[self.reduce]
        cases = zip(scores.double().sum(1), self.superpixels.partition(image), strict=True)
        return [(painted(reduce(values, regions), regions), regions) for values, regions in cases]

    def by_cell(self, scores: Tensor, image: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Relevance and cells of each case, (*space)."""
        each = [replace(self.superpixels, sequence=channel).partition(image) for channel in range(image.shape[1])]
        return [self._cells(values, partitions) for values, partitions in zip(scores, torch.stack(each, 1), strict=True)]

    def by_bin(self, scores: Tensor, image: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Bin number and bins in use of each case, (*space)."""
        return [self._bins(*cells) for cells in self.by_cell(scores, image)]

    def _cells(self, scores: Tensor, partitions: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and partitions (c, *space) of one case to the added maps and their cells."""
        reduce = REDUCTIONS[self.reduce]
        gathered = [reduce(values, regions)[regions] for values, regions in zip(scores, partitions, strict=True)]
        return torch.stack(gathered).sum(0).float(), overlay(partitions)

    def _bins(self, relevance: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        values = torch.empty(int(cells.max()) + 1, dtype=torch.float64)
        values[cells.flatten()] = relevance.flatten().double()
        number = BINNINGS[self.binning](values, self.bins)
        return painted(number, cells), relabelled(number[cells])


UNITS: Mapping[str, Callable[[OptimizedGlobalPerturbation, Tensor, Tensor], list[tuple[Tensor, Tensor]]]] = {
    "superpixel": OptimizedGlobalPerturbation.by_superpixel,
    "cell": OptimizedGlobalPerturbation.by_cell,
    "bin": OptimizedGlobalPerturbation.by_bin,
}
