"""ART's attacks on classifiers, which draw from global generators and go their own way: case by case."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from medrobust.budgets import Norm
from medrobust.guard import singly
from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.art.ascent import NORMS, Keep, require_keep
from medrobust_attacks.art.classifier import ClassifierEstimator
from medrobust_attacks.art.estimator import limits
from medrobust_attacks.norm_bounded.search import Search

SEEDS = 2**31


@dataclass(frozen=True)
class Alone(ABC):
    """Abstract: one of ART's attacks on a classifier, on one case after the other. A case whose clean answer is wrong is left as it is.

    instead: our own attack, for what ART cannot attack. flat: ART takes images of two axes alone. norms: in which ART's attack is right.
    keep: `best` returns the best query: a wrong answer before a right one, then the highest loss; `last` returns what ART returns, projected onto the
        budget.
    """

    task: ClassVar[str] = "classification"
    threat: ClassVar[str] = "white-box"
    instead: ClassVar[str]
    flat: ClassVar[bool] = False
    norms: ClassVar[tuple[str, ...]] = tuple(NORMS)
    keep: Keep = "best"

    def __post_init__(self) -> None:
        require_keep(self.keep)

    def __call__(self, target: Target, batch: Batch, budget: Norm, rng: CaseRandom) -> Attacked:
        """Attack every case of the batch; raises ValueError for a task, a norm or images that ART cannot attack."""
        if target.task != self.task:
            msg = f"found task {target.task}, expected {self.task}; attack '{self.instead}' takes every task"
            raise ValueError(msg)
        if self.flat and batch.image.ndim != 4:
            msg = f"found images of {batch.image.ndim - 2} axes, ART expects 2; attack '{self.instead}' takes any number"
            raise ValueError(msg)
        if budget.norm not in self.norms:
            msg = f"found a budget in {budget.norm}, expected {', '.join(self.norms)}: ART is wrong there; attack '{self.instead}' takes every norm"
            raise ValueError(msg)
        edge, sides = first_edge(self.first(budget), batch), batch.image.shape[2:]
        if edge >= min(sides):
            shape = " x ".join(map(str, sides))
            msg = f"found images of {shape}, ART expects sides above the {edge} of its first square; attack '{self.instead}' takes any"
            raise ValueError(msg)
        seeds = rng.integers(0, SEEDS).tolist()
        found = [self._one(target, batch.select([row]), budget, seed) for row, seed in enumerate(seeds)]
        trace = {name: torch.cat([one.trace[name] for one in found]) for name in found[0].trace}
        return Attacked(torch.cat([one.image for one in found]), trace=trace)

    def _one(self, target: Target, batch: Batch, budget: Norm, seed: int) -> Attacked:
        search = Search(singly(target), batch)
        search.ask(batch.image)
        most = self.most(2 if search.logits is None else search.logits.shape[1], budget.norm)
        if bool(search.fooled):
            return search.attacked(most)
        estimators = self.estimators(search, budget)
        with seeded(seed):
            attack = self.attack(estimators, budget)
            for one in estimators:
                one.built = True
            found = attack.generate(estimators[0].clean, estimators[0].truth)
        last = estimators[0].image(found)
        attacked = search.attacked(most)
        return Attacked(last, trace=attacked.trace) if self.keep == "last" else attacked

    def estimators(self, search: Search, budget: Norm) -> Sequence[ClassifierEstimator]:
        """What ART asks; the first by default alone."""
        return (ClassifierEstimator(search, budget, closed(budget)),)

    @abstractmethod
    def attack(self, estimators: Sequence[ClassifierEstimator], budget: Norm) -> Any:
        """ART's attack on one case."""

    def first(self, budget: Norm) -> float:  # noqa: ARG002 - for those that try squares
        """Share of the pixels that ART's first square covers, 0 where there is none."""
        return 0.0

    @abstractmethod
    def most(self, classes: int, norm: str) -> int:
        """Forward passes a case at most, the clean one included."""

    @property
    def queries(self) -> int:
        """Forward passes a case at most, of two classes, in L-infinity."""
        return self.most(2, "linf")


def closed(budget: Norm) -> tuple[float, float] | None:
    """The range in ART's coordinates, for it to clip to; None where the budget's is open."""
    ends = limits(budget)
    return None if ends is None or np.isinf(ends).any() else (0.0, 1.0)


def first_edge(share: float, batch: Batch) -> int:
    """Edge of the square by which ART covers a share of an image; ART draws its place only where both sides are longer. 0 for no share."""
    return max(1, round(math.sqrt(share * math.prod(batch.image.shape[2:])))) if share else 0


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """numpy's and Python's global generators, from which ART draws, begin at a case's own seed; they are put back after."""
    before, plain = np.random.get_state(), random.getstate()  # noqa: NPY002 - it is the global one that ART draws from
    try:
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
        random.setstate(plain)
