"""The optimal local perturbation as an attack."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.explainers.relevance_map import relevance_under
from medrobust_attacks.perturbation.budget import MaskBudget
from medrobust_attacks.perturbation.local_mask import NAME, LocalMask
from medrobust_attacks.perturbation.optimal_local import OptimalLocal


@dataclass(frozen=True)
class LocalPerturbationAttack(OptimalLocal):
    """Multiply one superpixel by the mask of a trained generator, the one that moves the probability farthest; the image is brought into the budget.

    Source: Rajapaksa & Khalvati 2022, doi:10.3389/fradi.2022.1061402, section 3.4, which perturbs superpixels one by one.

    sequence, segments, compactness, iterations, half, training, weights, chunk: as of the explainer `relevance-optimal-local`; equal ones share
        one training.
    """

    def __call__(self, target: Target, batch: Batch, budget: MaskBudget, rng: CaseRandom) -> Attacked:  # type: ignore[override]  # noqa: ARG002
        """Attack every volume of the batch; each superpixel is tried on the target."""
        regions = self.regions(batch)
        network = self.training.generator.restore(self.weights, batch.image.shape[1], NAME).to(batch.image.device)
        mask = LocalMask(network, self.training.margin)
        with torch.no_grad():
            values = [budget.project(mask(*case)[None], case[0][None])[0] for case in zip(batch.image, regions, strict=True)]
            tried = iter(values)
            relevance = relevance_under(target, batch, regions, lambda *_: next(tried), self.chunk)
        farthest = relevance == relevance.flatten(1).amax(1).view(-1, *[1] * (relevance.ndim - 1))
        image = torch.where((farthest & (relevance > 0))[:, None], torch.stack(values), batch.image)
        return Attacked(budget.project(image, batch.image))
