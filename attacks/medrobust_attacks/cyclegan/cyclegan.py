"""Malignant features injected into mammograms, and removed from them, by CycleGAN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from medrobust.budgets import IntensityRange
from medrobust.guard import NO_BOX, micro_batch
from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Data, Target
from medrobust_attacks.cyclegan.layers import require
from medrobust_attacks.cyclegan.lesson import CANCEROUS, INJECT, REMOVE, TRUTH
from medrobust_attacks.cyclegan.recipe import CycleTraining
from medrobust_attacks.cyclegan.training import called
from medrobust_attacks.optimisers import part
from medrobust_attacks.perturbation.training import Report

TAMPER = "tamper"
DIRECTIONS = (TAMPER, INJECT, REMOVE)


@dataclass(frozen=True)
class CycleGAN:
    """Healthy mammograms made to look cancerous, and cancerous ones healthy, by two generators that know no target: a reader is fooled unseen.

    Source: Becker et al. 2019, doi:10.1016/j.ejrad.2019.108649 (arXiv:1811.07767), with the method of Zhu et al. 2017, arXiv:1703.10593. The truth
    that comes with the images stays as it was before: what a tampered image is to be called is for the tables to say.

    direction: tamper (inject into healthy images, remove from cancerous ones, by their truth); inject or remove, whatever the image.
    step: the kept step of the training whose generators are used; None for the last.
    training: how the generators are trained; attacks of equal settings share their weights, for all targets.
    weights: of both generators at every kept step, by name; empty before they are trained.
    """

    threat: ClassVar[str] = NO_BOX
    task: ClassVar[str] = "classification"
    images: ClassVar[str] = "mammograms"
    queries: ClassVar[int] = 0
    gradients: ClassVar[int] = 0
    direction: str = TAMPER
    step: int | None = None
    training: CycleTraining = CycleTraining()
    weights: Mapping[str, Tensor] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        require(self.direction in DIRECTIONS, "direction", f"'{self.direction}'", f"one of {', '.join(DIRECTIONS)}")
        kept = self.training.kept
        require(self.step is None or self.step in kept, "step", self.step, f"one that training.checkpoints keeps: {', '.join(map(str, kept))}")

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.training.recipe

    def fit(self, target: Target, data: Data, seed: int, folder: Path, report: Report) -> Mapping[str, Tensor]:
        """Both generators' weights; nothing is asked of the target."""
        return self.training.fit(target, data, seed, folder, report)

    @torch.no_grad()
    def __call__(self, target: Target, batch: Batch, budget: IntensityRange, rng: CaseRandom) -> Attacked:  # noqa: ARG002 - nothing is asked or drawn
        """Tamper with every image of the batch; a generator's bound keeps them in [-1, 1]."""
        require(bool(self.weights), "cyclegan", "no weights", "those that `fit` gives")
        injected = (batch.truth != TRUTH[CANCEROUS]) if self.direction == TAMPER else torch.full_like(batch.truth, self.direction == INJECT).bool()
        image = torch.empty_like(batch.image)
        for does, where in ((INJECT, injected), (REMOVE, ~injected)):
            if bool(where.any()):
                network = self.generator(does).to(image.device)
                image[where] = torch.cat([network(piece) for piece in torch.split(batch.image[where], micro_batch(image.device))])
        return Attacked(image)

    def generator(self, does: str) -> torch.nn.Module:
        """The frozen generator that injects, or the one that removes."""
        prefix = f"{called(self.step or self.training.steps)}.{does}."
        return self.training.generator.restore(part(self.weights, prefix), prefix.removesuffix("."))
