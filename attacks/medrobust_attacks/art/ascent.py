"""ART's loop of gradient steps, on whole batches of any task, from starts that each case draws for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_pytorch import ProjectedGradientDescentPyTorch
from art.estimators.estimator import BaseEstimator, LossGradientsMixin
from torch import Tensor

from medrobust.budgets import Norm, length
from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.art.estimator import TargetEstimator, limits
from medrobust_attacks.norm_bounded.apgd import at_least
from medrobust_attacks.norm_bounded.ball import column, reach
from medrobust_attacks.norm_bounded.search import Search, perturbed

NORMS: dict[str, float] = {"linf": np.inf, "l2": 2}
"""ART's names of the norms."""

LEAST = np.float32(1e-30)
"""Of a step: ART accepts none of length 0, which a radius of 0 would have."""

Keep = Literal["best", "last"]


class Loop(ProjectedGradientDescentPyTorch):  # type: ignore[misc]
    """ART's loop, without its restriction to classifiers, its draws from numpy and its count of successes.

    The step is ART's too, but made in place: ART's own passes over the image fifteen times, which costs as much as a small network's convolutions.
    """

    _estimator_requirements = (BaseEstimator, LossGradientsMixin)

    def ascend(self, clean: Tensor, start: Tensor, budget: Norm) -> Tensor:
        """Where the steps from `start` end, in the budget of `clean`; both (n, c, *space)."""
        self.start, self.budget = start, budget
        self.radius, self.step = (torch.from_numpy(one).to(clean) for one in (self.eps, self.eps_step))
        self.lower, self.upper = self._bounds(clean)
        found: np.ndarray[Any, Any] = self._generate_batch(clean, torch.arange(len(clean)), None, self.eps, self.eps_step)
        return torch.from_numpy(found).to(clean.device)

    def _bounds(self, clean: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Between which every pixel stays: the range, widened to hold the clean one, and in L-infinity the box; None where there is none."""
        low, high = self.budget.low, self.budget.high
        lower, upper = None if low is None else clean.clamp_max(low), None if high is None else clean.clamp_min(high)
        if self.norm == np.inf:
            below, above = clean - self.radius, clean + self.radius
            lower = below if lower is None else torch.maximum(below, lower, out=below)
            upper = above if upper is None else torch.minimum(above, upper, out=above)
        return lower, upper

    def _compute_pytorch(self, x: Tensor, x_init: Tensor, *further: Any) -> Tensor:
        """One step, written over `x`, which is ART's own; the last of `further` is the running sum of gradients."""
        image = x if self._i_max_iter else x.copy_(self.start)
        direction = self._direction(self.estimator.loss_gradient(image, None), further[-1])
        image = self._within(image.addcmul_(direction, self.step))
        if self.norm != np.inf:
            change = image.sub_(x_init)
            image = self._within(change.mul_((self.radius / self._euclidean(change)).clamp_max_(1)).add_(x_init))
        return image

    def _direction(self, slope: Tensor, momentum: Tensor) -> Tensor:
        if not bool(slope.sum().isfinite()):
            slope.nan_to_num_(0, torch.inf, -torch.inf)
        if self.decay is not None:
            momentum.mul_(self.decay).addcdiv_(slope, self._positive(torch.linalg.vector_norm(slope.flatten(1), 1, 1), slope))
            slope = momentum.clone()
        return slope.sign_() if self.norm == np.inf else slope.div_(self._euclidean(slope))

    def _within(self, image: Tensor) -> Tensor:
        return image if self.lower is None and self.upper is None else image.clamp_(self.lower, self.upper)

    def _euclidean(self, tensor: Tensor) -> Tensor:
        """The L2 norm of each case, never 0, (n, 1, ...)."""
        return self._positive(length(tensor, "l2"), tensor)

    def _positive(self, lengths: Tensor, like: Tensor) -> Tensor:
        return column(lengths.clamp_min_(torch.finfo(like.dtype).tiny), like)


@dataclass(frozen=True)
class Ascent(ABC):
    """Abstract: gradient steps of ART's in the budget's ball; a last query judges where they end.

    Of a target that draws at random one slope may be little but noise: `expectation` averages it over draws, as Athalye et al. 2018,
    arXiv:1707.07397, section 4, ask for.

    keep: `best` returns the best query: a wrong answer before a right one, then the highest loss; `last` returns what ART returns.
    expectation: answers averaged at each query and slope, at least 1; more for a target that draws at random.
    """

    threat: ClassVar[str] = "white-box"
    keep: Keep = "best"
    expectation: int = field(default=1, kw_only=True, metadata={"neutral": 1})

    def __post_init__(self) -> None:
        require_keep(self.keep)
        at_least("expectation", self.expectation, 1)

    @property
    @abstractmethod
    def queries(self) -> int:
        """Forward passes a case."""

    def __call__(self, target: Target, batch: Batch, budget: Norm, rng: CaseRandom) -> Attacked:
        """Attack every case of the batch; cases share the passes."""
        search = Search(target, batch, expectation=self.expectation)
        estimator = TargetEstimator(search, limits(budget))
        ends = []
        for start in self.starts(batch, budget, rng):
            last = self.ascend(estimator, budget, reach(budget, batch.image), start)
            ends.append(search.ask(last))
        found = search.attacked(self.queries // self.expectation, ends)
        return perturbed(target, last, found.trace) if self.keep == "last" else found

    def starts(self, batch: Batch, budget: Norm, rng: CaseRandom) -> Iterator[Tensor]:  # noqa: ARG002 - for those that draw
        """Where the steps begin, (n, c, *space) each: at the clean image."""
        yield batch.image

    @abstractmethod
    def ascend(self, estimator: TargetEstimator, budget: Norm, radius: Tensor, start: Tensor) -> Tensor:
        """What ART makes of a start, within the range to the last bit; radius: (n, 1, ...) in intensity units."""


def require_keep(keep: str) -> None:
    """Raise ValueError unless it is one of the two."""
    if keep not in get_args(Keep):
        msg = f"keep: found {keep!r}, expected 'best' or 'last'"
        raise ValueError(msg)


def looped(estimator: TargetEstimator, budget: Norm, radius: Tensor, start: Tensor, share: float, steps: int, decay: float | None = None) -> Tensor:
    """ART's loop from `start`; share: of the radius, a step. decay: of momentum, None for none."""
    eps = radius.cpu().numpy()
    step = np.maximum(eps * np.float32(share), LEAST)
    loop = Loop(estimator, norm=NORMS[budget.norm], eps=eps, eps_step=step, decay=decay, max_iter=steps, batch_size=len(start), verbose=False)
    return loop.ascend(estimator.search.batch.image, start, budget)
