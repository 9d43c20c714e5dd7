"""An adversarial bias field: smooth and multiplicative, as uneven exposure or a drifting detector gives it."""

from __future__ import annotations

from dataclasses import dataclass
from math import log1p
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.targets.segmentation import entropy
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.deformation.budget import DeformationBudget
from medrobust_attacks.segmentation.best import Best
from medrobust_attacks.segmentation.gradient_ascent import require_steps, share
from medrobust_attacks.segmentation.splines import require_knots, surface

AIR = -1000.0
"""HU at which nothing is attenuated."""


@dataclass(frozen=True)
class BiasField:
    """Multiply the attenuation of each slice, HU + 1000, by a smooth field that is found by signed gradient steps of its control points.

    Source: Tian et al. 2021, arXiv:2009.09247, with the cubic B-splines in log space and the bound of Chen et al. 2022, AdvChain, MedIA. Air stays
    air. The change of every query is brought to the budget's p by one factor, through which the gradient passes, or as near to it as `bound` and
    the budget's shading allow. The ascent starts from the clean slice.

    steps: gradient steps a slice, at least 1; a last forward pass judges where they end.
    step: how far a control point moves at once, as a share of the way to its bound, in (0, 1]; None for 2.5 / steps, at most 1.
    knots: stretches of the spline along each axis, at least 1.
    bound: largest share by which attenuation changes, above 0; the field lies between 1 / (1 + bound) and 1 + bound before it is brought to p.
    """

    threat: ClassVar[str] = "white-box"
    task: ClassVar[str] = "segmentation"
    steps: int = 20
    step: float | None = None
    knots: int = 4
    bound: float = 0.3

    def __post_init__(self) -> None:
        require_steps(self.steps, self.step)
        require_knots(self.knots)
        if not 0 < self.bound < float("inf"):
            msg = f"bound: found {self.bound}, expected a number above 0"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes a slice."""
        return self.steps + 1

    @property
    def gradients(self) -> int:
        """Backward passes a slice."""
        return self.steps

    def __call__(self, target: Target, batch: Batch, budget: DeformationBudget, rng: CaseRandom) -> Attacked:  # noqa: ARG002 - nothing is drawn
        """Attack every slice of the batch; slices share the passes."""
        control, best = batch.image.new_zeros(len(batch), 1, self.knots + 3, self.knots + 3), Best()
        for query in range(self.steps + 1):
            image = batch.image + self._change(control.requires_grad_(query < self.steps), batch, budget)
            loss = entropy(target(image, batch), batch.truth)
            best.take(loss.detach(), image=image.detach())
            if query < self.steps:
                (slope,) = torch.autograd.grad(loss.sum(), control)
                control = (control.detach() + share(self.step, self.steps) * slope.sign()).clamp(-1, 1)
        return Attacked(best.kept["image"], trace=best.trace)

    def _change(self, control: Tensor, batch: Batch, budget: DeformationBudget) -> Tensor:
        """What the field adds in HU, (n, 1, H, W); control: (n, 1, knots + 3, knots + 3) in [-1, 1]."""
        bias = torch.expm1(log1p(self.bound) * surface(control, *batch.image.shape[2:]))
        change = (batch.image - AIR).clamp_min(0) * bias
        size = change.abs().flatten(1)
        factor = budget.p * batch.context["std"] / _positive(size.mean(1))
        factor = torch.minimum(factor, budget.shading / _positive(size.amax(1)))
        factor = torch.minimum(factor, self.bound / _positive(bias.abs().flatten(1).amax(1)))
        return change * factor.view(-1, 1, 1, 1)


def _positive(values: Tensor) -> Tensor:
    """Values (n,) to divide by: 1 where there is no change to scale."""
    return torch.where(values > 0, values, torch.ones_like(values))
