"""ART's Carlini-Wagner attack, held to a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from art.attacks.evasion.carlini import CarliniL2Method

from medrobust.budgets import Norm
from medrobust_attacks.art.alone import Alone
from medrobust_attacks.art.classifier import ClassifierEstimator
from medrobust_attacks.norm_bounded.apgd import at_least
from medrobust_attacks.norm_bounded.search import Search

HALVINGS = DOUBLINGS = 5
"""Of a step, at most each."""


@dataclass(frozen=True)
class CarliniWagner(Alone):
    """The smallest L2 change whose answer is wrong, weighed against the margin of the logits, in the budget's norm.

    Source: Carlini & Wagner 2017, arXiv:1608.04644, section 5, by ART's CarliniL2Method. That attack knows no budget: here every image is projected
    onto the budget before the target is asked, so that the margin is that of an image within it, L2 ball or L-infinity box. A wrong answer that lies
    within the budget anyway is found as ART finds it. ART's own L-infinity version is made for changes below 1, of whatever unit, and is not used.

    keep: `best` returns the best query: a wrong answer before a right one, then the highest loss; `last` returns ART's smallest change.
    steps: gradient steps of each search, at least 1.
    searches: weights of the margin tried, by bisection, at least 1.
    confidence: by how much a wrong logit has to exceed the true one, 0 or more.
    learning_rate: of the first step, above 0, in the range of intensities; steps are then halved or doubled five times each at most.
    constant: first weight of the margin, above 0.
    """

    instead: ClassVar[str] = "apgd"
    steps: int = 10
    searches: int = 10
    confidence: float = 0.0
    learning_rate: float = 0.01
    constant: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("steps", self.steps, 1)
        at_least("searches", self.searches, 1)
        for name, value, least in (("learning_rate", self.learning_rate, 0), ("constant", self.constant, 0), ("confidence", self.confidence, -1e-9)):
            if not value > least:
                msg = f"{name}: found {value}, expected a number {'above 0' if least == 0 else 'from 0'}"
                raise ValueError(msg)

    def estimators(self, search: Search, budget: Norm) -> Sequence[ClassifierEstimator]:
        """One with a range, within which ART's hyperbolic tangents keep an image: the budget's, its open ends the image's own."""
        return (ClassifierEstimator(search, budget, (0.0, 1.0)),)

    def attack(self, estimators: Sequence[ClassifierEstimator], budget: Norm) -> Any:  # noqa: ARG002 - the estimator keeps it
        """ART's."""
        return CarliniL2Method(
            estimators[0],
            confidence=self.confidence,
            learning_rate=self.learning_rate,
            binary_search_steps=self.searches,
            max_iter=self.steps,
            initial_const=self.constant,
            max_halving=HALVINGS,
            max_doubling=DOUBLINGS,
            batch_size=1,
            verbose=False,
        )

    def most(self, classes: int, norm: str) -> int:  # noqa: ARG002 - as many of any classes, in any norm
        """The clean image, each search's start and steps, and the two by which ART counts its success."""
        return 3 + self.searches * (1 + self.steps * (3 + HALVINGS + DOUBLINGS))

    @property
    def gradients(self) -> int:
        """Backward passes a case at most."""
        return 2 * self.searches * self.steps
