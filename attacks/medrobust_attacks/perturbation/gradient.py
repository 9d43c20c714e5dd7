"""Projected gradient ascent in the budget of a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.perturbation.budget import MaskBudget


@dataclass(frozen=True)
class MaskGradient:
    """Raise the target's loss by signed gradient steps of a mask of its own for each volume, from the clean image; the best image seen is returned.

    Source: Madry et al. 2018, arXiv:1706.06083, with a mask from 0 to the budget's `highest` in place of an L-infinity ball: what a trained generator
    gives up by not asking about the very volume. Where the budget limits the mean change, only the voxels whose gradient is largest step, as in
    Tramer & Boneh 2019, arXiv:1904.13000: a signed step of all of them would spend it everywhere. A case that the target gets wrong is made
    more so, which is no flip.

    steps: queries a volume, the clean one among them; each is a forward pass and, but for the last, a backward one. At least 2.
    step: how far a mask value moves at once, in (0, 1].
    share: of the voxels that step where the mean change is limited, in (0, 1].
    """

    threat: ClassVar[str] = "white-box"
    task: ClassVar[str] = "classification"
    steps: int = 20
    step: float = 0.25
    share: float = 0.01

    def __post_init__(self) -> None:
        if self.steps < 2:
            msg = f"steps: found {self.steps}, expected 2 or more"
            raise ValueError(msg)
        for name in ("step", "share"):
            if not 0 < getattr(self, name) <= 1:
                msg = f"{name}: found {getattr(self, name)}, expected a number in (0, 1]"
                raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes a volume."""
        return self.steps

    @property
    def gradients(self) -> int:
        """Backward passes a volume."""
        return self.steps - 1

    def __call__(self, target: Target, batch: Batch, budget: MaskBudget, rng: CaseRandom) -> Attacked:  # noqa: ARG002 - nothing is drawn
        """Attack every volume of the batch; volumes share the passes."""
        clean, shape = batch.image, (-1, *[1] * (batch.image.ndim - 1))
        image, best, highest, trace = clean.clone(), clean.clone(), torch.full((len(batch),), -torch.inf, device=clean.device), []
        for query in range(self.steps):
            image.requires_grad_(query < self.steps - 1)
            loss = target.loss(image, batch)
            trace.append(loss.detach())
            better = loss.detach() > highest
            best = torch.where(better.view(shape), image.detach(), best)
            highest = torch.where(better, loss.detach(), highest)
            if image.requires_grad:
                (slope,) = torch.autograd.grad(loss.sum(), image)
                image = budget.project(image.detach() + self.step * clean * self._direction(slope * clean, budget), clean)
        return Attacked(best, trace={"loss": torch.stack(trace, 1)})

    def _direction(self, slope: torch.Tensor, budget: MaskBudget) -> torch.Tensor:
        """Where each mask value goes, -1, 0 or 1, by the loss's slope along it."""
        if budget.mean_change is None:
            return slope.sign()
        size = slope.abs().flatten(1)
        count = max(1, round(self.share * size.shape[1]))
        least = size.kthvalue(size.shape[1] - count + 1, dim=1).values
        return slope.sign() * (slope.abs() >= least.view(-1, *[1] * (slope.ndim - 1)))
