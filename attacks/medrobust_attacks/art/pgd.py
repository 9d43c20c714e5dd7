"""ART's projected gradient descent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from medrobust.budgets import Norm
from medrobust.randomness import CaseRandom
from medrobust.types import Batch
from medrobust_attacks.art.ascent import Ascent, looped
from medrobust_attacks.art.estimator import TargetEstimator
from medrobust_attacks.norm_bounded.ball import noise
from medrobust_attacks.segmentation.gradient_ascent import require_steps, share


@dataclass(frozen=True)
class PGD(Ascent):
    """Steps along the gradient's sign (L-infinity) or direction (L2), each followed by a projection onto the ball.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1, by ART's ProjectedGradientDescentPyTorch.

    keep: `best` returns the best query: a wrong answer before a right one, then the highest loss; `last`, with one start, what ART returns.
    steps: gradient steps from each start, at least 1; a last forward pass judges where they end.
    step: how far an image moves at once, as a share of the radius, in (0, 1]; None for 2.5 / steps, at most 1.
    random_start: start from noise of the whole budget, uniform in the box or on the sphere, rather than from the clean image.
    restarts: starts a case, at least 1; more than one only where they are random.
    expectation: answers averaged at each query and slope, at least 1; more for a target that draws at random.
    """

    steps: int = 20
    step: float | None = None
    random_start: bool = True
    restarts: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_steps(self.steps, self.step)
        if self.restarts < 1:
            msg = f"restarts: found {self.restarts}, expected 1 or more"
            raise ValueError(msg)
        if self.restarts > 1 and not (self.random_start and self.keep == "best"):
            msg = f"restarts: found {self.restarts}, expected 1 where starts are not random or the last image is kept"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes a case."""
        return self.expectation * self.restarts * (self.steps + 1)

    @property
    def gradients(self) -> int:
        """Backward passes a case."""
        return self.expectation * self.restarts * self.steps

    def starts(self, batch: Batch, budget: Norm, rng: CaseRandom) -> Iterator[Tensor]:
        """The clean images, or as many random ones as there are restarts."""
        for _ in range(self.restarts):
            yield noise(budget, batch.image, rng) if self.random_start else batch.image

    def ascend(self, estimator: TargetEstimator, budget: Norm, radius: Tensor, start: Tensor) -> Tensor:
        """ART's loop."""
        return looped(estimator, budget, radius, start, share(self.step, self.steps), self.steps)
