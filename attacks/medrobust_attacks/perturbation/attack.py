"""Optimized global perturbation as an attack."""

from __future__ import annotations

from dataclasses import dataclass

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.perturbation.budget import MaskBudget
from medrobust_attacks.perturbation.global_mask import Masking


@dataclass(frozen=True)
class GlobalPerturbationAttack(Masking):
    """Multiply each volume by the mask of a generator that was trained to change the prediction; brought to the nearest image of the budget.

    Source: Rajapaksa & Khalvati 2022, arXiv:2211.04926, section 2.1.

    training: how the generator is trained; the explainer `ogp` with the same settings uses the same weights.
    weights: of the generator, by name; empty before it is trained.
    """

    def __call__(self, target: Target, batch: Batch, budget: MaskBudget, rng: CaseRandom) -> Attacked:  # noqa: ARG002 - nothing is asked or drawn
        """Attack every volume of the batch."""
        return Attacked(budget.project(self.mask(batch.image) * batch.image, batch.image))
