"""Signed gradient ascent within a box around a slice, on a weighted cross-entropy of its pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.targets.segmentation import entropy
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.deformation.budget import DeformationBudget
from medrobust_attacks.segmentation.best import Best

OVERALL = 2.5
"""What the default steps add up to, in radii: the far side of the box is in reach from everywhere. Source: Madry et al. 2018, arXiv:1706.06083."""


@dataclass(frozen=True)
class GradientAscent(ABC):
    """Abstract: steps of the gradient's sign in a box whose half edge is the budget's p in standard deviations of the subject, so that p is kept.

    Rules differ in how much each pixel's cross-entropy counts. The image returned is the query of highest mean cross-entropy, whatever the rule.

    steps: gradient steps from each start, at least 1; a last forward pass judges where they end.
    step: how far a pixel moves at once, as a share of the box's half edge, in (0, 1]; None for 2.5 / steps, at most 1.
    random_start: start from uniform noise in the box rather than from the clean slice.
    restarts: starts a slice, at least 1; more than one only where they are random.
    """

    threat: ClassVar[str] = "white-box"
    task: ClassVar[str] = "segmentation"
    steps: int = 20
    step: float | None = None
    random_start: bool = True
    restarts: int = 1

    def __post_init__(self) -> None:
        require_steps(self.steps, self.step)
        if self.restarts < 1:
            msg = f"restarts: found {self.restarts}, expected 1 or more"
            raise ValueError(msg)
        if self.restarts > 1 and not self.random_start:
            msg = f"restarts: found {self.restarts} from the clean slice, expected 1: all would be equal"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes a slice."""
        return self.restarts * (self.steps + 1)

    @property
    def gradients(self) -> int:
        """Backward passes a slice."""
        return self.restarts * self.steps

    def __call__(self, target: Target, batch: Batch, budget: DeformationBudget, rng: CaseRandom) -> Attacked:
        """Attack every slice of the batch; slices share the passes."""
        edge = radius(batch, budget)
        low, high = batch.image - edge, batch.image + edge
        best = Best()
        for image in self._starts(batch, edge, rng):
            for done in range(self.steps):
                slope = self._query(target, image.requires_grad_(True), batch, done, best)
                image = torch.addcmul(image.detach(), slope.sign_(), share(self.step, self.steps) * edge).clamp_(low, high)
            best.take(entropy(target(image, batch), batch.truth), image=image)
        return Attacked(best.kept["image"], trace=best.trace)

    def _starts(self, batch: Batch, edge: Tensor, rng: CaseRandom) -> Iterator[Tensor]:
        """Where the ascents begin, (n, 1, H, W) each."""
        for _ in range(self.restarts):
            yield batch.image + edge * rng.uniform(-1, 1, *batch.image.shape[1:]).to(edge.device) if self.random_start else batch.image.clone()

    def _query(self, target: Target, image: Tensor, batch: Batch, done: int, best: Best) -> Tensor:
        """Ask the target once, take the image in, and return the slope of the rule's loss, (n, 1, H, W).

        The weights have no gradient, so that the loss's slope in the log-probabilities is minus a pixel's weight at its true class and 0 elsewhere.
        """
        logs = target(image, batch)
        seen = logs.detach()
        best.take(entropy(seen, batch.truth), image=image.detach())
        pull = torch.zeros_like(seen).scatter_(1, batch.truth, -self.weights(seen, batch.truth, done))
        (slope,) = torch.autograd.grad(logs, image, pull)
        return slope

    @abstractmethod
    def weights(self, logs: Tensor, truth: Tensor, done: int) -> Tensor:
        """How much the cross-entropy of each pixel counts, (n, 1, H, W), up to a factor: only the sign of the slope is used.

        logs: log-probabilities (n, k + 1, H, W). truth: (n, 1, H, W). done: steps made from this start, 0 to steps - 1.
        """


def radius(batch: Batch, budget: DeformationBudget) -> Tensor:
    """Half the edge of the box in HU, (n, 1, 1, 1): where no pixel changes by more than p, they do not on average."""
    return (budget.p * batch.context["std"]).clamp_max(budget.shading).view(-1, 1, 1, 1)


def share(step: float | None, steps: int) -> float:
    """The step as a share of the radius."""
    return min(1.0, OVERALL / steps) if step is None else step


def require_steps(steps: int, step: float | None) -> None:
    """Raise ValueError unless there are steps, of a length in (0, 1]."""
    if steps < 1:
        msg = f"steps: found {steps}, expected 1 or more"
        raise ValueError(msg)
    if step is not None and not 0 < step <= 1:
        msg = f"step: found {step}, expected a number in (0, 1], or none"
        raise ValueError(msg)
