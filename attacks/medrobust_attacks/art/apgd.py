"""ART's Auto-PGD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from art.attacks.evasion.auto_projected_gradient_descent import AutoProjectedGradientDescent

from medrobust.budgets import Norm
from medrobust_attacks.art.alone import Alone
from medrobust_attacks.art.ascent import NORMS
from medrobust_attacks.art.classifier import ClassifierEstimator
from medrobust_attacks.norm_bounded.apgd import at_least

FIRST = 2
"""A first step, in radii. Source: Croce & Hein 2020, arXiv:2003.01690, section 3."""


@dataclass(frozen=True)
class APGD(Alone):
    """Steps on the cross-entropy that halve where they no longer pay, from random starts, until an answer is wrong.

    Source: Croce & Hein 2020, arXiv:2003.01690, algorithm 1, by ART's AutoProjectedGradientDescent.

    keep: `best` returns the best query: a wrong answer before a right one, then the highest loss; `last` returns what ART returns.
    steps: from each start, at least 1.
    restarts: starts a case, at least 1.
    """

    instead: ClassVar[str] = "apgd"
    steps: int = 100
    restarts: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("steps", self.steps, 1)
        at_least("restarts", self.restarts, 1)

    def attack(self, estimators: Sequence[ClassifierEstimator], budget: Norm) -> Any:
        """ART's."""
        return ascent(estimators[0], budget, self.steps, self.restarts)

    def most(self, classes: int, norm: str) -> int:  # noqa: ARG002 - as many of any classes, in any norm
        """The clean image, and each start's."""
        return 1 + ascents(self.steps, self.restarts)

    @property
    def gradients(self) -> int:
        """Backward passes a case at most."""
        return self.restarts * self.steps


def ascent(estimator: ClassifierEstimator, budget: Norm, steps: int, restarts: int) -> AutoProjectedGradientDescent:
    """ART's attack on the estimator's objective."""
    epsilon = estimator.epsilon
    options = {"eps": epsilon, "eps_step": FIRST * epsilon, "max_iter": steps, "nb_random_init": restarts, "loss_type": None}
    return AutoProjectedGradientDescent(estimator, norm=NORMS[budget.norm], batch_size=1, verbose=False, **options)


def ascents(steps: int, restarts: int) -> int:
    """Queries of it at most: each step asks for a slope and for the loss of where it leads, the first for that of the start too."""
    return restarts * (2 * steps + 3)
