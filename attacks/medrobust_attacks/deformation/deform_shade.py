"""Deformation and shading by a trained generator, as an attack on segmenters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from medrobust.imaging.deformation import warp, warp_labels
from medrobust.randomness import CaseRandom
from medrobust.targets.segmentation import z_score
from medrobust.types import Attacked, Batch, Data, Target
from medrobust_attacks.deformation.budget import DeformationBudget
from medrobust_attacks.deformation.networks import GeneratorNetwork
from medrobust_attacks.deformation.recipe import PARTS, DeformationTraining
from medrobust_attacks.perturbation.training import Report

KEEPS = ("first", "worst")
MOST = 16.0
"""Times what the generator made that an attack may come to which spends all of p."""


@dataclass(frozen=True)
class DeformShade:
    """Move the anatomy and shade the slice as a generator makes it that was trained against the target: I_DV = warp(I0, D) + V, within the budget.

    Source: Chen et al. 2019, arXiv:1909.11167, eq. 1 and figure 1. The latents are drawn anew for each slice. The paper says neither how many draws
    are scored nor whether its rows of D and V alone have one branch switched off (`use`) or trained alone (`training.parts`); both can be had.
    Field and shading are scaled down by one factor where they leave the budget, and the truth is warped along.

    training: how the generator is trained; attacks of equal settings share its weights.
    weights: of the generator, by name; empty before it is trained.
    use: both; field or shading: that branch of the generator alone, the other put to zero.
    samples: draws for each slice, at least 1.
    keep: first: the first draw, the target is not asked; worst: the draw of the highest mean cross-entropy against the warped truth, one query each.
    spend: scale what stays below the budget's p up to it too, as far as its other limits allow, so that attacks compare at equal p.
    """

    threat: ClassVar[str] = "white-box"
    task: ClassVar[str] = "segmentation"
    gradients: ClassVar[int] = 0
    training: DeformationTraining = DeformationTraining()
    weights: Mapping[str, Tensor] = field(default_factory=dict, compare=False)
    use: str = "both"
    samples: int = 1
    keep: str = "first"
    spend: bool = False

    def __post_init__(self) -> None:
        if self.use not in PARTS:
            msg = f"use: found '{self.use}', expected one of {', '.join(PARTS)}"
            raise ValueError(msg)
        if not self._used:
            msg = f"use: found '{self.use}' of a generator with the branch '{self.training.parts}' alone, expected '{self.training.parts}' or 'both'"
            raise ValueError(msg)
        if self.samples < 1:
            msg = f"samples: found {self.samples}, expected at least 1"
            raise ValueError(msg)
        if self.keep not in KEEPS:
            msg = f"keep: found '{self.keep}', expected one of {', '.join(KEEPS)}"
            raise ValueError(msg)

    @property
    def _used(self) -> set[str]:
        """The branches that are there and in use."""
        return set(PARTS[self.use]) & set(PARTS[self.training.parts])

    @property
    def queries(self) -> int:
        """Times the target is asked about a slice."""
        return self.samples if self.keep == "worst" else 0

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.training.recipe

    def fit(self, target: Target, data: Data, seed: int, folder: Path, report: Report) -> Mapping[str, Tensor]:
        """The generator's weights."""
        return self.training.fit(target, data, seed, folder, report)

    @torch.no_grad()
    def __call__(self, target: Target, batch: Batch, budget: DeformationBudget, rng: CaseRandom) -> Attacked:
        """Attack every slice of the batch."""
        network = self.training.restore(self.weights).to(batch.image.device)
        kept = self.sample(network, batch, budget, rng)
        if not self.queries:
            return kept
        losses = [asked(target, batch, kept)]
        for _ in range(1, self.samples):
            other = self.sample(network, batch, budget, rng)
            losses.append(asked(target, batch, other))
            kept = chosen(losses[-1] > torch.stack(losses[:-1]).amax(0), other, kept)
        return Attacked(kept.image, kept.truth, trace={"loss": torch.stack(losses, 1)}, field=kept.field)

    def sample(self, network: GeneratorNetwork, batch: Batch, budget: DeformationBudget, rng: CaseRandom) -> Attacked:
        """One draw for each slice; the generator sees one slice at a time, so that batches change nothing."""
        noise = rng.normal(*network.options.noise_shape(*batch.image.shape[2:])).to(batch.image)
        clean = z_score(batch.image, batch)
        made = [network(clean[row : row + 1], noise[row : row + 1]) for row in range(len(batch))]
        moved = torch.cat([one.field for one in made]) if "field" in self._used else None
        shading = torch.cat([one.shading for one in made]) * batch.context["std"].view(-1, 1, 1, 1)
        if "shading" not in self._used:
            shading = torch.zeros_like(shading)
        if self.spend:
            moved, shading = None if moved is None else MOST * moved, MOST * shading
        moved, shading = budget.project(batch, moved, shading)
        if moved is None:
            return Attacked(batch.image + shading)
        return Attacked(warp(batch.image, moved) + shading, truth=warp_labels(batch.truth, moved), field=moved)


def asked(target: Target, batch: Batch, attacked: Attacked) -> Tensor:
    """Loss of the target against the warped truth, (n,)."""
    truth = batch.truth if attacked.truth is None else attacked.truth
    return target.loss(attacked.image, Batch(attacked.image, truth, batch.cases, batch.context))


def chosen(where: Tensor, one: Attacked, other: Attacked) -> Attacked:
    """The cases of one where `where` (n,), else those of the other."""

    def pick(name: str) -> Any:
        mine, its = getattr(one, name), getattr(other, name)
        return None if mine is None else torch.where(where.view(-1, 1, 1, 1), mine, its)

    return Attacked(pick("image"), pick("truth"), field=pick("field"))
