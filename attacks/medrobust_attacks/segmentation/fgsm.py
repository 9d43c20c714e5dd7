"""The fast gradient sign method against a segmenter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.deformation.budget import DeformationBudget
from medrobust_attacks.segmentation.pgd import PGD

ONE_STEP = PGD(steps=1, step=1.0, random_start=False)


@dataclass(frozen=True)
class FGSM:
    """One step of the gradient's sign from the clean slice: every pixel changes by the budget's p in standard deviations of the subject.

    Source: Goodfellow et al. 2015, arXiv:1412.6572, with the mean cross-entropy of a segmenter. Where the step lowers the loss, the clean slice is
    returned.
    """

    threat: ClassVar[str] = "white-box"
    task: ClassVar[str] = "segmentation"
    queries: ClassVar[int] = ONE_STEP.queries
    gradients: ClassVar[int] = ONE_STEP.gradients

    def __call__(self, target: Target, batch: Batch, budget: DeformationBudget, rng: CaseRandom) -> Attacked:
        """Attack every slice of the batch; slices share the passes."""
        return ONE_STEP(target, batch, budget, rng)
