"""Auto-PGD: gradient ascent that chooses its own steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from medrobust.budgets import Norm
from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.norm_bounded.ascent import climb
from medrobust_attacks.norm_bounded.ball import noise
from medrobust_attacks.norm_bounded.objectives import logit_ratio, margin, own
from medrobust_attacks.norm_bounded.search import Search

OBJECTIVES = {"loss": own, "margin": margin, "dlr": logit_ratio}


@dataclass(frozen=True)
class APGD:
    """Raise an objective by steps that halve where they no longer pay, from noise of the whole budget; for any number of axes and every task.

    Source: Croce & Hein 2020, arXiv:2003.01690, algorithm 1. What is returned is a query with a wrong answer, where there is one, of highest loss.

    steps: gradient steps from each start, at least 1; a last forward pass judges where they end.
    restarts: starts a case, at least 1.
    objective: `loss`, the target's own: cross-entropy of classes or pixels, squared error of a reconstruction; `margin`, the highest wrong logit less
        the true one; `dlr`, the difference of logits ratio, which no scale of the logits changes. The ratio is not defined for two classes: there it
        is the margin. For tasks without classes all are the loss.
    stop: ask nothing more of a case once its answer is wrong; False spends all steps on raising its loss.
    expectation: answers averaged at each query and slope, at least 1; more for a target that draws at random.
    """

    threat: ClassVar[str] = "white-box"
    steps: int = 100
    restarts: int = 1
    objective: Literal["loss", "margin", "dlr"] = "loss"
    stop: bool = False
    expectation: int = field(default=1, kw_only=True, metadata={"neutral": 1})

    def __post_init__(self) -> None:
        at_least("steps", self.steps, 1)
        at_least("restarts", self.restarts, 1)
        at_least("expectation", self.expectation, 1)
        if self.objective not in OBJECTIVES:
            msg = f"objective: found {self.objective!r}, expected one of {', '.join(OBJECTIVES)}"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes a case, fewer where it stops."""
        return self.expectation * self.restarts * (self.steps + 1)

    @property
    def gradients(self) -> int:
        """Backward passes a case, fewer where it stops."""
        return self.expectation * self.restarts * self.steps

    def __call__(self, target: Target, batch: Batch, budget: Norm, rng: CaseRandom) -> Attacked:
        """Attack every case of the batch; cases share the passes."""
        search = Search(target, batch, self.stop, OBJECTIVES[self.objective], self.expectation)
        ends = []
        for _ in range(self.restarts):
            began, start = len(search.losses), noise(budget, batch.image, rng)
            climb(search, budget, start, self.steps)
            ends.append(search.highest_since(began))
        return search.attacked(self.queries // self.expectation, ends)


def at_least(name: str, value: int, least: int) -> None:
    """Raise ValueError for a number below `least`."""
    if value < least:
        msg = f"{name}: found {value}, expected {least} or more"
        raise ValueError(msg)
