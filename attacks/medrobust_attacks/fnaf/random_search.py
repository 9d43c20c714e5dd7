"""FNAF by random search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_attacks.fnaf.search import Best, redraw


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
        best, numbers, masks = Best.none(batch, 0 if self.control else budget.information), [], []
        for _ in range(self.trials):
            numbers.append(budget.numbers(batch.image, rng))
            masks.append(redraw(batch, rng) if self.redraw_mask else batch.context["mask"])
        feature = budget.feature(batch.image, *(torch.stack(each, 1) for each in zip(*numbers, strict=True)))
        if self.control:
            feature = replace(feature, values=torch.zeros_like(feature.values))
        best.ask(target, feature, torch.stack(masks, 1))
        return best.attacked()
