"""ART's fast gradient method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from art.attacks.evasion.fast_gradient import FastGradientMethod
from torch import Tensor

from medrobust.budgets import Norm
from medrobust_attacks.art.ascent import LEAST, NORMS, Ascent
from medrobust_attacks.art.estimator import TargetEstimator


@dataclass(frozen=True)
class FGSM(Ascent):
    """One step of the radius' length from the clean image: along the gradient's sign in L-infinity, along its direction in L2.

    Source: Goodfellow et al. 2015, arXiv:1412.6572, by ART's FastGradientMethod.

    keep: `best` returns the clean image where the step lowers the loss; `last` returns what ART returns.
    expectation: answers averaged at each query and slope, at least 1; more for a target that draws at random.
    """

    @property
    def queries(self) -> int:
        """Forward passes a case."""
        return 2 * self.expectation

    @property
    def gradients(self) -> int:
        """Backward passes a case."""
        return self.expectation

    def ascend(self, estimator: TargetEstimator, budget: Norm, radius: Tensor, start: Tensor) -> Tensor:
        """ART's one step."""
        eps = np.maximum(radius.cpu().numpy(), LEAST)
        attack = FastGradientMethod(estimator, norm=NORMS[budget.norm], eps=eps, eps_step=eps, batch_size=len(start))
        found = torch.from_numpy(attack.generate(start.cpu().numpy(), np.arange(len(start)))).to(start)
        return budget.into_range(found, start)
