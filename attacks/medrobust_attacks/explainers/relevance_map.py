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
from medrobust_attacks.explainers.perturbation import PERTURBATIONS, Perturb, Perturbed, one_by_one
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
        return Explained(relevance_under(target, batch, regions, PERTURBATIONS[self.perturbation], self.chunk), regions)


def relevance_of(target: Target, batch: Batch, regions: Tensor, perturb: Perturb, chunk: int) -> Tensor:
    """`relevance_under` a perturbation that is a function of volume and masks, such as a trained one."""
    return relevance_under(target, batch, regions, one_by_one(perturb, chunk), chunk)


def relevance_under(target: Target, batch: Batch, regions: Tensor, perturbed: Perturbed, chunk: int) -> Tensor:
    """Relevance of every voxel's superpixel, (n, *space) float32: |p(perturbed) - p| of the predicted class.

    regions: (n, *space) int64, labels of a case 0, ..., K - 1. perturbed: what is done to them. chunk: volumes built at once.
    A superpixel that the perturbation leaves as it is has relevance 0 and is not asked about.
    """
    maps = []
    for case, labels in enumerate(regions):
        image = batch.image[case]
        values = perturbed(image, labels)
        moved = labels[(values != image).any(0)].unique()
        answers = _whole(target, batch, case, labels, values, moved, chunk)
        likely = probability(answers, predicted(answers[:1]))
        scores = torch.zeros(int(labels.max()) + 1, device=image.device)
        scores[moved] = (likely[1:] - likely[0]).abs()
        maps.append(scores[labels])
    return torch.stack(maps)


def _whole(target: Target, batch: Batch, case: int, labels: Tensor, values: Tensor, moved: Tensor, chunk: int) -> Tensor:
    """The target's answers to the case and to its versions in which one region of `moved` has its `values`, (1 + moved, k), by whole passes."""
    image = batch.image[case]
    answers = [ask(target, batch, case, image[None])]
    for part in torch.split(moved, chunk) if len(moved) else ():
        masks = labels == part.view(-1, *[1] * labels.ndim)
        answers.append(ask(target, batch, case, torch.where(masks[:, None], values, image)))
    return torch.cat(answers)
