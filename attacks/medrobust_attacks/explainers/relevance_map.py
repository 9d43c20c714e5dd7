"""The relevance map: how far the classifier's answer moves when one superpixel is perturbed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Explained, Target
from medrobust_attacks.explainers.asking import ask, predicted, probability
from medrobust_attacks.explainers.partitioned import Partitioned
from medrobust_attacks.explainers.perturbation import PERTURBATIONS, Perturb
from medrobust_attacks.fnaf.finite_differences import at_least


@dataclass(frozen=True)
class RelevanceMap(Partitioned):
    """Perturb one superpixel after the other: its relevance is the change in the probability of the predicted class, in [0, 1].

    Source: Rajapaksa & Khalvati 2022, doi:10.3389/fradi.2022.1061402, Algorithm 1. The paper's scaling of each map to 0..100 is left out: it
    changes no rank.

    sequence, segments, compactness, iterations, half: the superpixels, see `medrobust.imaging.superpixels.Superpixels`.
    perturbation: what is done to a superpixel in every sequence: blank (0), or min or max (its own minimum or maximum in that sequence).
    chunk: volumes built at once, at least 1; changes nothing but memory.
    """

    threat: ClassVar[str] = "white-box"
    gradients: ClassVar[int] = 0
    perturbation: str = "blank"
    chunk: int = field(default=8, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least((("chunk", self.chunk, 1),))
        if self.perturbation not in PERTURBATIONS:
            msg = f"perturbation: found {self.perturbation!r}, expected one of {', '.join(PERTURBATIONS)}"
            raise ValueError(msg)

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:  # noqa: ARG002 - nothing here is drawn
        """Explain every case by itself, `chunk` superpixels at a time."""
        regions = self.regions(batch)
        return Explained(relevance_of(target, batch, regions, PERTURBATIONS[self.perturbation], self.chunk), regions)


def relevance_of(target: Target, batch: Batch, regions: Tensor, perturb: Perturb, chunk: int) -> Tensor:
    """Relevance of every voxel's superpixel, (n, *space) float32: |p(perturbed) - p| of the predicted class.

    regions: (n, *space) int64, labels of a case 0, ..., K - 1. perturb: a volume (c, *space) and m regions of it (m, *space) bool to m versions of
    it (m, c, *space); a version equal to the volume has relevance 0 and is not asked about. chunk: versions at once.
    """
    maps = []
    for case, labels in enumerate(regions):
        image = batch.image[case]
        clean = ask(target, batch, case, image[None])
        own = predicted(clean)
        scores = []
        for part in torch.split(torch.arange(int(labels.max()) + 1, device=labels.device), chunk):
            versions = perturb(image, labels == part.view(-1, *[1] * labels.ndim))
            moved = (versions != image).flatten(1).any(1)
            score = torch.zeros(len(part), device=image.device)
            if moved.any():
                score[moved] = (probability(ask(target, batch, case, versions[moved]), own) - probability(clean, own)).abs()
            scores.append(score)
        maps.append(torch.cat(scores)[labels])
    return torch.stack(maps)
