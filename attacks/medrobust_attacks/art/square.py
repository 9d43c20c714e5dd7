"""ART's Square Attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from art.attacks.evasion.square_attack import SquareAttack

from medrobust.budgets import Norm
from medrobust_attacks.art.alone import Alone, closed
from medrobust_attacks.art.ascent import NORMS
from medrobust_attacks.art.classifier import ClassifierEstimator
from medrobust_attacks.norm_bounded.apgd import at_least
from medrobust_attacks.norm_bounded.search import Search

OPEN = (-np.inf, np.inf)


@dataclass(frozen=True)
class Square(Alone):
    """Random squares of the whole budget, kept where they bring the logits nearer to a wrong answer, until one is wrong.

    Source: Andriushchenko et al. 2020, arXiv:1912.00049, by ART's SquareAttack, which asks three times an iteration and takes 2-D images alone, none
    much longer than wide: its first square must fit in with room to spare. L-infinity alone: in L2 ART divides the new change by the length that
    algorithm 3 of the paper multiplies it with, and images that are no numbers follow.

    keep: `best` returns the best query: a wrong answer before a right one, then the highest loss; `last` returns what ART returns.
    iterations: squares tried from each start, at least 1.
    restarts: starts a case, at least 1.
    share: of the pixels that the first squares cover, in (0, 1): ART takes no square of the whole image.
    """

    threat: ClassVar[str] = "black-box"
    images: ClassVar[str] = "mammograms"
    instead: ClassVar[str] = "square"
    flat: ClassVar[bool] = True
    norms: ClassVar[tuple[str, ...]] = ("linf",)
    gradients: ClassVar[int] = 0
    iterations: int = 1000
    restarts: int = 1
    share: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("iterations", self.iterations, 1)
        at_least("restarts", self.restarts, 1)
        if not 0 < self.share < 1:
            msg = f"share: found {self.share}, expected a number in (0, 1); attack '{self.instead}' takes 1"
            raise ValueError(msg)

    def estimators(self, search: Search, budget: Norm) -> Sequence[ClassifierEstimator]:
        """One that always has a range: ART clips without asking."""
        return (ClassifierEstimator(search, budget, closed(budget) or OPEN),)

    def attack(self, estimators: Sequence[ClassifierEstimator], budget: Norm) -> Any:
        """ART's."""
        return squares(estimators[0], budget, self.iterations, self.restarts, self.share)

    def first(self, budget: Norm) -> float:  # noqa: ARG002 - whatever the budget
        """The share."""
        return self.share

    def most(self, classes: int, norm: str) -> int:  # noqa: ARG002 - as many of any number of classes
        """The clean image, and each start's."""
        return 1 + asked(self.iterations, self.restarts)


def squares(estimator: ClassifierEstimator, budget: Norm, iterations: int, restarts: int, share: float) -> SquareAttack:
    """ART's attack."""
    options = {"eps": estimator.epsilon, "max_iter": iterations, "nb_restarts": restarts, "p_init": share}
    return SquareAttack(estimator, norm=NORMS[budget.norm], batch_size=1, verbose=False, **options)


def asked(iterations: int, restarts: int) -> int:
    """Queries of it at most."""
    return restarts * 3 * (iterations + 1)
