"""FNAF by random search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_attacks.fnaf.search import BLOCK, Best, losses, redraw, stack


@dataclass(frozen=True)
class RandomSearch:
    """Draw random features and keep, for each slice, the one that the reconstruction loses most of.

    Source: Cheng et al., MIDL 2020, FNAF by random search (RS), 11 trials.

    trials: features tried per slice; one forward pass each, 1 or more.
    redraw_mask: draw a new sampling mask for each trial, as the paper's code does, so that the maximum is over masks too;
        False keeps the acquisition's own.
    control: add nothing and measure the same regions, as the released code's control evaluation: how large the loss is from ordinary
        reconstruction error alone. A threshold is meaningful only above it.
    """

    threat: ClassVar[str] = "black-box"
    trials: int = 11
    redraw_mask: bool = True
    control: bool = False

    def __post_init__(self) -> None:
        if self.trials < 1:
            msg = f"trials: found {self.trials}, expected 1 or more"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes per slice."""
        return self.trials

    def __call__(self, target: Target, batch: Batch, budget: FeatureBudget, rng: CaseRandom) -> Attacked:
        """Attack every slice of the batch; trials and slices share the forward passes."""
        best, sigma = Best.none(batch), budget.sigma(batch.image)
        at_once = max(1, BLOCK // len(batch))
        for first in range(0, self.trials, at_once):
            features, masks = [], []
            for _ in range(first, min(first + at_once, self.trials)):
                drawn = budget.draw(batch.image, rng, sigma=sigma)
                features.append(replace(drawn, delta=torch.zeros_like(drawn.delta)) if self.control else drawn)
                masks.append(redraw(batch, rng) if self.redraw_mask else batch.context["mask"])
            candidates = stack(batch, features, masks)
            best.update(candidates, losses(target, batch, candidates))
        return best.attacked()
