"""Whether a relevance map points at the tumour, and how much of the tumour it was shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from medrobust.imaging.relevance import pointing
from medrobust.metrics.maps import Shown, column, context_of, shown
from medrobust.types import Outcome


@dataclass(frozen=True)
class PointingGame:
    """1 where the centre of the most relevant place lies in the tumour, else 0; under `fraction` the share of that place in the tumour.

    The place is the region of rank 1, or all voxels of highest relevance. A constant map points nowhere: 0. NaN where the tumour mask is empty.

    Source: Zhang et al. 2016, arXiv:1608.00507, section 4.2, without its tolerance of 15 pixels.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "pointing"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """The hit without a label, and `fraction`, (n,) each."""
        pairs = [pointed(case) for case in shown(outcome)]
        return {"": column([hit for hit, _ in pairs]), "fraction": column([fraction for _, fraction in pairs])}


@dataclass(frozen=True)
class MissedTumour:
    """1 where the most relevant place shares no voxel with the tumour, else 0; its mean is the share of tumours missed.

    The place is the region of rank 1, or all voxels of highest relevance. A constant map misses. NaN where the tumour mask is empty.

    Source: this project; a Dice of 0 at rank 1, counted.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "missed"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        fractions = [pointed(case)[1] for case in shown(outcome)]
        return column([fraction if math.isnan(fraction) else float(fraction == 0) for fraction in fractions])


@dataclass(frozen=True)
class LostTumour:
    """Share of the tumour's voxels that the crop cut off before the target saw the volume, in [0, 1], as the data report it.

    Source: this project; a centre crop of 128 voxels can cut into a tumour, and no map finds what is not there.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "lost-tumour"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return context_of(outcome, "lost").double()


def pointed(case: Shown) -> tuple[float, float]:
    """Hit, 0 or 1, and fraction, both 0 for a constant map; NaN twice where the tumour mask is empty."""
    found = pointing(case.relevance, case.tumour, case.regions)
    if found is None:
        return math.nan, math.nan
    constant = bool((case.relevance == case.relevance.flatten()[0]).all())
    return float(found.hit), 0.0 if constant else found.fraction
