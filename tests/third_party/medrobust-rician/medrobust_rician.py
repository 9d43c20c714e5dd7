"""Plausible scanner noise, searched for the draw that hurts most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Budget, Target


@dataclass(frozen=True)
class RicianSearch:
    """Keep, for each image, the Rician noise draw within the budget that raises the loss most.

    Source: noise model of Gudbjartsson and Patz 1995, doi:10.1002/mrm.1910340618.

    sigma: noise level of each receiver channel, as a share of the image's maximum.
    draws: noise draws tried per image; one forward pass each.
    """

    threat: ClassVar[str] = "black-box"
    sigma: float = 0.02
    draws: int = 8

    def __call__(self, target: Target, batch: Batch, budget: Budget, rng: CaseRandom) -> Attacked:
        """Images shaped like `batch.image`, (n, c, *space)."""
        worst, highest = batch.image.clone(), target.loss(batch.image, batch)  # highest: (n,)
        level = self.sigma * batch.image.flatten(1).amax(1).view(-1, *[1] * (worst.ndim - 1))
        trace = [highest]
        for _ in range(self.draws):
            real, imaginary = (level * rng.normal(*worst.shape[1:]).to(worst.device) for _ in range(2))
            noisy = torch.hypot(batch.image + real, imaginary)
            allowed = torch.tensor([not violation for violation in budget.audit(batch, Attacked(noisy))], device=worst.device)
            noisy = torch.where(allowed.view(level.shape), noisy, worst)
            trace.append(target.loss(noisy, batch))
            worst = torch.where((trace[-1] > highest).view(level.shape), noisy, worst)
            highest = torch.maximum(highest, trace[-1])
        return Attacked(worst, trace={"loss": torch.stack(trace, 1)})
