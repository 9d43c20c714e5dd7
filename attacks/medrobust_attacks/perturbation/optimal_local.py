"""Relevance maps by the optimal local perturbation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Data, Explained, Target
from medrobust_attacks.explainers.partitioned import Partitioned
from medrobust_attacks.explainers.relevance_map import relevance_under
from medrobust_attacks.perturbation.local_mask import NAME, LocalMask, LocalPerturbation
from medrobust_attacks.perturbation.training import Report


@dataclass(frozen=True)
class OptimalLocal(Partitioned):
    """The relevance map whose perturbation is learned: each superpixel is multiplied by the mask that a trained generator makes for it.

    Source: Rajapaksa & Khalvati 2022, doi:10.3389/fradi.2022.1061402, Algorithm 1 and section 3.4.

    sequence, segments, compactness, iterations, half: the superpixels, see `medrobust.imaging.superpixels.Superpixels`; the generator is trained on
        the same.
    training: how the generator is trained. weights: of the generator, by name; empty before it is trained.
    chunk: volumes built at once, at least 1; changes nothing but memory.
    """

    threat: ClassVar[str] = "white-box"
    task: ClassVar[str] = "classification"
    gradients: ClassVar[int] = 0
    training: LocalPerturbation = LocalPerturbation()
    weights: Mapping[str, Tensor] = field(default_factory=dict, compare=False)
    chunk: int = field(default=8, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chunk < 1:
            msg = f"chunk: found {self.chunk}, expected at least 1"
            raise ValueError(msg)

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.training.recipe(self.superpixels)

    def fit(self, target: Target, data: Data, seed: int, folder: Path, report: Report) -> Mapping[str, Tensor]:
        """The generator's weights."""
        return self.training.fit(self.superpixels, target, data, seed, folder, report)

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:  # noqa: ARG002 - nothing here is drawn
        """Explain every case by itself, `chunk` superpixels at a time."""
        regions = self.regions(batch)
        network = self.training.generator.restore(self.weights, batch.image.shape[1], NAME).to(batch.image.device)
        with torch.no_grad():
            return Explained(relevance_under(target, batch, regions, LocalMask(network, self.training.margin), self.chunk), regions)
