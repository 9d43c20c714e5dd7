"""ART's momentum iterative method."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from medrobust.budgets import Norm
from medrobust_attacks.art.ascent import Ascent, looped
from medrobust_attacks.art.estimator import TargetEstimator
from medrobust_attacks.segmentation.gradient_ascent import require_steps


@dataclass(frozen=True)
class MIM(Ascent):
    """Projected gradient steps from the clean image along a running sum of gradients, each divided by its L1 norm.

    Source: Dong et al. 2018, arXiv:1710.06081, algorithm 1, by ART's loop with momentum.

    keep: `best` returns the best query: a wrong answer before a right one, then the highest loss; `last` what ART returns.
    steps: gradient steps, at least 1; a last forward pass judges where they end.
    step: how far an image moves at once, as a share of the radius, in (0, 1]; None for 1 / steps, as in the paper.
    decay: what is left of the sum at each step, 0 or more.
    expectation: answers averaged at each query and slope, at least 1; more for a target that draws at random.
    """

    steps: int = 20
    step: float | None = None
    decay: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_steps(self.steps, self.step)
        if not self.decay >= 0:
            msg = f"decay: found {self.decay}, expected 0 or more"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes a case."""
        return self.expectation * (self.steps + 1)

    @property
    def gradients(self) -> int:
        """Backward passes a case."""
        return self.expectation * self.steps

    def ascend(self, estimator: TargetEstimator, budget: Norm, radius: Tensor, start: Tensor) -> Tensor:
        """ART's loop."""
        length = 1 / self.steps if self.step is None else self.step
        return looped(estimator, budget, radius, start, length, self.steps, self.decay)
