"""AutoAttack for images of any number of axes: its parts in order, each on the cases that the ones before left standing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from medrobust.budgets import Norm
from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.norm_bounded.apgd import at_least
from medrobust_attacks.norm_bounded.ascent import climb
from medrobust_attacks.norm_bounded.ball import noise
from medrobust_attacks.norm_bounded.objectives import Objective, logit_ratio, margin, others, own, toward
from medrobust_attacks.norm_bounded.search import Search
from medrobust_attacks.norm_bounded.square import require_share, squares


@dataclass(frozen=True)
class AutoAttack:
    """APGD on the loss, on the difference of logits ratio, and toward each wrong class, then Square; a case is left alone once its answer is wrong.

    Source: Croce & Hein 2020, arXiv:2003.01690, section 5. FAB is left out: it needs the slopes of all classes at every step, and looks for the
    nearest wrong answer, which is more than whether there is one within the budget. Of two classes the ratio is the margin, and there is no other
    class to go toward; a task without classes has APGD on its loss and Square, and never stops.

    steps: gradient steps of each APGD, at least 1.
    targets: wrong classes to go toward, the likeliest of the clean answer first, at least 0; no more than there are, and none of two classes.
    square: queries of Square a case, at least 3, or 0 to leave it out; each asks `expectation` times.
    share: of the pixels that Square's first windows cover, in (0, 1].
    expectation: answers averaged at each query and slope, at least 1; more for a target that draws at random.
    """

    threat: ClassVar[str] = "white-box"
    steps: int = 100
    targets: int = 9
    square: int = 5000
    share: float = 0.8
    expectation: int = field(default=1, kw_only=True, metadata={"neutral": 1})

    def __post_init__(self) -> None:
        at_least("steps", self.steps, 1)
        at_least("targets", self.targets, 0)
        if self.square:
            at_least("square", self.square, 3)
        require_share(self.share)
        at_least("expectation", self.expectation, 1)

    @property
    def queries(self) -> int:
        """Forward passes a case at most: of the clean image, and of every part."""
        return self.expectation * self._queries(2 + self.targets)

    @property
    def gradients(self) -> int:
        """Backward passes a case at most."""
        return self.expectation * (2 + self.targets) * self.steps

    def __call__(self, target: Target, batch: Batch, budget: Norm, rng: CaseRandom) -> Attacked:
        """Attack every case of the batch; cases share the passes."""
        search = Search(target, batch, stop=True, expectation=self.expectation)
        search.ask(batch.image)
        objectives = self._objectives(search.logits, batch)
        for objective in objectives:
            start = noise(budget, batch.image, rng)
            if not search.over:
                search.objective = objective
                climb(search, budget, start, self.steps)
        if self.square and not search.over:
            search.objective = margin
            squares(search, budget, rng, self.square, self.share)
        return search.attacked(self._queries(len(objectives)))

    def _objectives(self, logits: Tensor | None, batch: Batch) -> list[Objective]:
        """What is climbed, in order; logits: of the clean images, (n, k), None where the task has no classes."""
        if logits is None:
            return [own]
        wrong = others(logits, batch.truth).argsort(dim=1, descending=True, stable=True)[:, :-1]
        ranks = range(min(self.targets, wrong.shape[1])) if wrong.shape[1] > 1 else ()
        return [own, logit_ratio, *(toward(wrong[:, rank]) for rank in ranks)]

    def _queries(self, climbs: int) -> int:
        return 1 + climbs * (self.steps + 1) + self.square
