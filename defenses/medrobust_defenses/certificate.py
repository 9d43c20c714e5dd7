"""How far a smoothed classifier's answer is certain to hold, and where it abstains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.guard import unguarded
from medrobust.stats.rates import clopper_pearson
from medrobust.types import Outcome
from medrobust_defenses.smoothing import Smoothed


@dataclass(frozen=True)
class Draws:
    """What is counted. select: draws that choose the class. estimate: further ones that count it. alpha: chance at most of too large a radius."""

    select: int
    estimate: int
    alpha: float

    def __post_init__(self) -> None:
        for name in ("select", "estimate"):
            if getattr(self, name) < 1:
                msg = f"{name}: found {getattr(self, name)}, expected at least 1"
                raise ValueError(msg)
        if not 0 < self.alpha < 0.5:
            msg = f"alpha: found {self.alpha}, expected a number in (0, 0.5)"
            raise ValueError(msg)


@dataclass(frozen=True)
class CertifiedRadius:
    """L2 distance within which no image is answered otherwise by a smoothed classifier's vote; 0 where it abstains or is wrong, or promises nothing.

    Source: Cohen et al. 2019, arXiv:1902.02918, CERTIFY (section 3.2.2): sigma times the normal quantile of the lower Clopper-Pearson bound of the
    share of draws that vote for the class, abstaining where that bound is not above one half. Counted in the data's intensity units over all channels
    and pixels, about the image that the outcome judges. Targets that are not smoothed promise nothing: 0.

    select: draws that choose the class. estimate: further draws that are counted. alpha: chance at most of too large a radius, in (0, .5).
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "certified-radius"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"
    select: int = 100
    estimate: int = 1000
    alpha: float = 0.001

    def __post_init__(self) -> None:
        Draws(self.select, self.estimate, self.alpha)

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        smoothed = smoothed_of(outcome)
        if smoothed is None:
            return torch.zeros(len(outcome.batch), dtype=torch.float64)
        chosen, lowest = counted(smoothed, outcome, Draws(self.select, self.estimate, self.alpha))
        radius = smoothed.sigma * torch.special.ndtri(lowest.clamp_min(0.5))
        return torch.where(chosen == outcome.truth.cpu(), radius, 0.0)


@dataclass(frozen=True)
class Abstained:
    """1 where a smoothed classifier's vote is too even to be certain of its class, else 0; other targets never abstain.

    Source: Cohen et al. 2019, arXiv:1902.02918, CERTIFY: the lower bound of the class's share of draws is not above one half.

    select, estimate, alpha: as in `certified-radius`; the same draws give the same answer.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "abstained"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"
    select: int = 100
    estimate: int = 1000
    alpha: float = 0.001

    def __post_init__(self) -> None:
        Draws(self.select, self.estimate, self.alpha)

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        smoothed = smoothed_of(outcome)
        if smoothed is None:
            return torch.zeros(len(outcome.batch), dtype=torch.float64)
        return (counted(smoothed, outcome, Draws(self.select, self.estimate, self.alpha))[1] <= 0.5).double()


def smoothed_of(outcome: Outcome) -> Smoothed | None:
    """The smoothed classifier that was judged, seen through the guard; None where it was another target."""
    found = outcome.target and unguarded(outcome.target)
    return found if isinstance(found, Smoothed) else None


def counted(smoothed: Smoothed, outcome: Outcome, draws: Draws) -> tuple[Tensor, Tensor]:
    """The class that one set of draws chooses, (n,), and the lower bound of its share of another, (n,) float64."""
    image, batch = outcome.attacked.image, outcome.attacked_batch
    chosen = smoothed.votes(image, batch, draws.select, "select").argmax(1)
    hits = smoothed.votes(image, batch, draws.estimate, "estimate").gather(1, chosen[:, None])[:, 0]
    lowest = [clopper_pearson(hit, draws.estimate, 1 - 2 * draws.alpha)[0] for hit in hits.tolist()]
    return chosen, torch.tensor(lowest, dtype=torch.float64)
