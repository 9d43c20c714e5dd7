"""Whether a map stays the same under another seed, and whether it does so under other weights, which it should not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.imaging.relevance import region_scores, spearman
from medrobust.metrics.localisation import DiceGrouping, at_least_one
from medrobust.metrics.maps import column, explained_of, regions_of
from medrobust.types import Again, Explained, Outcome


@dataclass(frozen=True)
class SeedAgreement:
    """Mean rank correlation of a map with those of the same explainer under other seeds, in [-1, 1]; 1 where no randomness enters it.

    A trained explainer is trained anew for each seed, or not measured. Regions are compared where both maps have the same ones, else voxels.
    Two constant maps agree: 1; a constant one says nothing of another: 0.

    Source: this project; Spearman 1904 for the coefficient.

    seeds: other seeds, at least 1; each costs one more explanation. retrain: measure trained explainers too, one training a seed.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "seed-agreement"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = -1.0
    per: ClassVar[str] = "case"
    seeds: int = 1
    retrain: bool = False

    def __post_init__(self) -> None:
        at_least_one(self.seeds, "seeds")

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        own, again = explained_of(outcome), again_of(outcome)
        if outcome.trained and not self.retrain:
            return torch.full((len(outcome.batch),), torch.nan)
        return torch.stack([agreement(own, again(seed=seed)) for seed in range(1, self.seeds + 1)]).mean(0)


@dataclass(frozen=True)
class Randomisation:
    """Rank correlation of a map with that of the same target with shuffled weights, in [-1, 1]; near 1 the explainer ignores what was learned.

    Regions, voxels and constant maps are compared as for seed agreement. A trained explainer is trained against the shuffled target, or not measured.

    Source: Adebayo et al. 2018, arXiv:1810.03292, section 3, all layers at once.

    retrain: measure trained explainers too, one training.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "randomisation"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"
    retrain: bool = False

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        if outcome.trained and not self.retrain:
            return torch.full((len(outcome.batch),), torch.nan)
        return agreement(explained_of(outcome), again_of(outcome)(randomised=True))


@dataclass(frozen=True)
class RandomisedDice:
    """Best grouping, in [0, 1], of the map of the same target with shuffled weights: what a map of nothing learned scores; neither way is better.

    A trained explainer is trained against the shuffled target, or not measured. NaN where there is no tumour.

    Source: this project, after Adebayo et al. 2018, arXiv:1810.03292, section 3.

    retrain: measure trained explainers too, one training.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "randomised-dice"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"
    retrain: bool = False

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        if outcome.trained and not self.retrain:
            return torch.full((len(outcome.batch),), torch.nan)
        return DiceGrouping()(replace(outcome, explained=again_of(outcome)(randomised=True)))


def agreement(one: Explained, other: Explained) -> Tensor:
    """Rank correlation of two explanations of the same cases, (n,)."""
    return column([alike(*compared(one, other, row)) for row in range(len(one.relevance))])


def compared(one: Explained, other: Explained, row: int) -> tuple[Tensor, Tensor]:
    """What is ranked in case `row`: the scores of regions that both have, else the voxels."""
    regions, others = regions_of(one, row), regions_of(other, row)
    maps = one.relevance[row], other.relevance[row]
    if regions is None or others is None or not torch.equal(regions, others):
        return maps
    return region_scores(maps[0], regions), region_scores(maps[1], regions)


def alike(first: Tensor, second: Tensor) -> float:
    """Rank correlation in [-1, 1]; 1 of two constants, 0 of one."""
    found = spearman(first, second)
    constants = [bool((values == values.flatten()[0]).all()) for values in (first, second)]
    return float(all(constants)) if math.isnan(found) else found


def again_of(outcome: Outcome) -> Again:
    """How to explain anew; ValueError where there is no explainer."""
    if outcome.again is None:
        msg = "found no way to explain again, expected one: this metric repeats the explainer"
        raise ValueError(msg)
    return outcome.again
