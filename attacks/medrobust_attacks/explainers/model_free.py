"""Maps that ask no model: what any explainer must beat before it has explained anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.imaging.volumes import SEQUENCES
from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Explained, Target
from medrobust_attacks.explainers.partitioned import Partitioned

Scores = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""A volume (c, *space), the label of each voxel (*space) and the case's generator to one score a superpixel, (K,)."""


def at_random(image: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG001 - one signature
    """Uniform draws."""
    return torch.rand(int(labels.max()) + 1, generator=generator)


def intensity(channel: int) -> Scores:
    """The mean intensity of one sequence."""

    def score(image: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG001 - one signature
        if channel >= len(image):
            msg = f"of: found {len(image)} sequence(s), expected {SEQUENCES[channel]} as number {channel + 1} among them"
            raise ValueError(msg)
        return torch.bincount(labels.flatten(), image[channel].flatten().double()) / torch.bincount(labels.flatten())

    return score


def ones(batch: Batch) -> Tensor:
    """The same everywhere, (n, *space)."""
    return torch.ones_like(batch.image[:, 0])


def brain(batch: Batch) -> Tensor:
    """The brain, (n, *space): the data's own mask, else every voxel at which some sequence is above 0."""
    mask = batch.context["brain"][:, 0] if "brain" in batch.context else (batch.image > 0).any(1)
    return mask.to(batch.image.dtype)


OF_REGIONS: dict[str, Scores] = {"random-ranking": at_random, **{f"intensity-{name}": intensity(i) for i, name in enumerate(SEQUENCES)}}
OF_VOXELS: dict[str, Callable[[Batch], Tensor]] = {"ones": ones, "brain": brain}


@dataclass(frozen=True)
class ModelFree(Partitioned):
    """A map made without the classifier: superpixels ranked at random or by their mean intensity in one sequence, or a plain mask of voxels.

    Source: none; these are the rows that a relevance map is read against. On phantoms whose tumours are the brightest thing, intensity alone
    finds them.

    sequence, segments, compactness, iterations, half: the superpixels, see `medrobust.imaging.superpixels.Superpixels`; masks have none.
    of: random-ranking, intensity-T1w, intensity-T1ce, intensity-T2w, intensity-FLAIR, ones or brain.
    """

    threat: ClassVar[str] = "black-box"
    queries: ClassVar[int] = 0
    of: str = "random-ranking"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of not in (known := [*OF_REGIONS, *OF_VOXELS]):
            msg = f"of: found {self.of!r}, expected one of {', '.join(known)}"
            raise ValueError(msg)

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:  # noqa: ARG002 - the target is not asked
        """The map of every case of the batch."""
        if self.of in OF_VOXELS:
            return Explained(OF_VOXELS[self.of](batch))
        regions, score = self.regions(batch).cpu(), OF_REGIONS[self.of]
        maps = [score(image, labels, own).float()[labels] for image, labels, own in zip(batch.image.cpu(), regions, rng.generators, strict=True)]
        return Explained(torch.stack(maps), regions)
