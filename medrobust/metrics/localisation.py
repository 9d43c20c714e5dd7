"""How well a relevance map finds the tumour: Dice, with and without the truth's help.

Regions, or voxels, are ranked by falling relevance. Equal relevance keeps the order of the regions' labels, a map that is constant among them;
equal voxels are never parted. Values are NaN where the tumour mask is empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from medrobust.imaging.relevance import best_grouping, best_threshold, ceiling, cumulative, overlap, ranked, region_scores
from medrobust.metrics.maps import Shown, column, columns, shown
from medrobust.types import Outcome


@dataclass(frozen=True)
class DiceGrouping:
    """Dice of the best grouping, in [0, 1]: regions added from the highest relevance down, as far as serves best. AN ORACLE: it looks at the truth.

    For maps of voxels, Dice at the best of all thresholds. An upper bound on what a reader of the map could outline, never to be mixed with
    values that do without the truth; beside it belong the same value of a random ranking and of raw intensity.

    Source: Rajapaksa & Khalvati 2022, doi:10.3389/fradi.2022.1061402, section 2.5, "best grouping", and their best binary threshold for Grad-CAM.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "dice-grouping"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return column([grouping(case) for case in shown(outcome)])


@dataclass(frozen=True)
class DiceCeiling:
    """The best Dice that any union of the regions reaches, in [0, 1]: what the partition allows, whatever the ranking. NaN for maps of voxels.

    Source: this project; regions in the order of their share of tumour, best prefix, equal to the best of all subsets.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "dice-ceiling"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return column([highest(case) for case in shown(outcome)])


@dataclass(frozen=True)
class DiceRelative:
    """Dice of the best grouping over the ceiling of its regions, in [0, 1]: the ranking alone. AN ORACLE. NaN for maps of voxels.

    Source: this project; it parts a bad ranking from a bad partition.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "dice-relative"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return column([grouping(case) / highest(case) for case in shown(outcome)])


@dataclass(frozen=True)
class DiceRank:
    """Dice of the region of each rank alone, in [0, 1]; no truth is used. NaN for maps of voxels and for a rank beyond the regions.

    Source: Rajapaksa & Khalvati 2022, doi:10.3389/fradi.2022.1061402, section 2.5, "ranked".

    ranks: how many, at least 1.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "dice-rank"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"
    ranks: int = 3

    def __post_init__(self) -> None:
        at_least_one(self.ranks, "ranks")

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """`1`, `2`, ..., (n,) each."""
        return columns([by_rank(case, self.ranks, alone=True) for case in shown(outcome)], self.ranks)


@dataclass(frozen=True)
class DiceCumulative:
    """Dice of the regions of the first ranks together, in [0, 1]; no truth is used. NaN for maps of voxels and for a rank beyond the regions.

    Source: Rajapaksa & Khalvati 2022, doi:10.3389/fradi.2022.1061402, section 2.5, "cumulative".

    ranks: how many, at least 1.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "dice-cumulative"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"
    ranks: int = 5

    def __post_init__(self) -> None:
        at_least_one(self.ranks, "ranks")

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """`1` the first rank, `2` the first two, ..., (n,) each."""
        return columns([by_rank(case, self.ranks, alone=False) for case in shown(outcome)], self.ranks)


def grouping(case: Shown) -> float:
    """Dice at the best grouping of regions, or at the best threshold of voxels."""
    if case.regions is None:
        return best_threshold(case.relevance, case.tumour)
    return best_grouping(region_scores(case.relevance, case.regions), overlap(case.regions, case.tumour))


def highest(case: Shown) -> float:
    """The ceiling of the case's regions; NaN where there are none."""
    return math.nan if case.regions is None else ceiling(overlap(case.regions, case.tumour))


def by_rank(case: Shown, ranks: int, *, alone: bool) -> list[float]:
    """Dice of each rank alone, or of the ranks so far; NaN where there are no regions."""
    if case.regions is None:
        return [math.nan] * ranks
    found: list[float] = (ranked if alone else cumulative)(
        region_scores(case.relevance, case.regions), overlap(case.regions, case.tumour), ranks
    ).tolist()
    return found


def at_least_one(value: int, name: str) -> None:
    if value < 1:
        msg = f"{name}: found {value}, expected at least 1"
        raise ValueError(msg)
