"""ART's AutoAttack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from art.attacks.evasion.auto_attack import AutoAttack as ArtAutoAttack
from art.attacks.evasion.deepfool import DeepFool

from medrobust.budgets import Norm
from medrobust_attacks.art.alone import Alone, closed
from medrobust_attacks.art.apgd import ascent, ascents
from medrobust_attacks.art.ascent import NORMS
from medrobust_attacks.art.classifier import ClassifierEstimator
from medrobust_attacks.art.square import OPEN, asked, squares
from medrobust_attacks.norm_bounded.apgd import at_least
from medrobust_attacks.norm_bounded.objectives import logit_ratio
from medrobust_attacks.norm_bounded.search import Search

NEAREST = 10
"""Classes whose boundaries DeepFool looks at."""

SHARE = 0.8
"""Of the pixels that the first squares cover."""


@dataclass(frozen=True)
class AutoAttack(Alone):
    """APGD on the cross-entropy, APGD on the difference of logits ratio, DeepFool and, in L-infinity, Square, in order, until an answer is wrong.

    Source: Croce & Hein 2020, arXiv:2003.01690, by ART's AutoAttack, whose third part is DeepFool (Moosavi-Dezfooli et al. 2016, arXiv:1511.04599)
    where the paper's is FAB. The ratio needs a third logit: of two classes that part is left out, ART's fails there. ART's Square is wrong in L2
    (see `art-square`): there it is left out, and nothing takes its place.

    keep: `best` returns the best query: a wrong answer before a right one, then the highest loss; `last` returns what ART returns.
    steps: of each APGD and of DeepFool, at least 1.
    restarts: starts of each APGD, at least 1.
    square: squares tried in L-infinity, at least 1, three queries each.
    """

    images: ClassVar[str] = "mammograms"
    instead: ClassVar[str] = "autoattack"
    flat: ClassVar[bool] = True
    steps: int = 100
    restarts: int = 1
    square: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("steps", self.steps, 1)
        at_least("restarts", self.restarts, 1)
        at_least("square", self.square, 1)

    def estimators(self, search: Search, budget: Norm) -> Sequence[ClassifierEstimator]:
        """For the loss, for the ratio, and for squares."""
        ends = closed(budget)
        losses = [ClassifierEstimator(search, budget, ends)]
        ratios = [ClassifierEstimator(search, budget, ends, logit_ratio)] if losses[0].nb_classes > 2 else []
        return (*losses, *ratios, ClassifierEstimator(search, budget, ends or OPEN))

    def attack(self, estimators: Sequence[ClassifierEstimator], budget: Norm) -> Any:
        """ART's, of the parts that the classes allow."""
        first = estimators[0]
        parts = [ascent(one, budget, self.steps, self.restarts) for one in estimators[:-1]]
        parts.append(DeepFool(first, max_iter=self.steps, nb_grads=NEAREST, batch_size=1, verbose=False))
        if budget.norm == "linf":
            parts.append(squares(estimators[-1], budget, self.square, 1, SHARE))
        return ArtAutoAttack(first, norm=NORMS[budget.norm], eps=first.epsilon, eps_step=first.epsilon, attacks=parts, batch_size=1)

    def first(self, budget: Norm) -> float:
        """That of Square, where it is tried."""
        return SHARE if budget.norm == "linf" else 0.0

    def most(self, classes: int, norm: str) -> int:
        """The clean image twice, each part's, and one after each part."""
        climbs = 1 if classes == 2 else 2
        deepfool = (self.steps + 1) * (1 + min(classes, NEAREST))
        square = asked(self.square, 1) + 1 if norm == "linf" else 0
        return 2 + climbs * (ascents(self.steps, self.restarts) + 1) + deepfool + 1 + square

    @property
    def gradients(self) -> int:
        """Backward passes a case at most, of two classes."""
        return self.restarts * self.steps + 2 * (self.steps + 1)
