"""FNAF by finite differences over the feature's place: as published, and repaired."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_attacks.fnaf.feature import Feature, inside
from medrobust_attacks.fnaf.search import Best, redraw

AXES = ((1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True)
class PaperFiniteDifferences:
    """Climb the loss over the feature's row and column by central differences, with the published code's behaviour.

    Source: Cheng et al., MIDL 2020, FNAF by finite differences (FD): 2 iterations, +-5 pixels, step 1e7 x slope, 11 evaluations, best one kept.
    Kept as released: every evaluation draws a new feature and mask, so a difference is mostly noise; each axis stays displaced by the
    half-width while the next is probed and when the step is taken; the step overshoots, so places end on the box's edge.

    iterations: ascent steps. half_width: displacement in pixels. rate: pixels moved per unit of slope. None of them is negative.
    redraw_mask: a new sampling mask for each evaluation, or the acquisition's own.
    """

    threat: ClassVar[str] = "black-box"
    iterations: int = 2
    half_width: float = 5.0
    rate: float = 1e7
    redraw_mask: bool = True

    def __post_init__(self) -> None:
        at_least((("iterations", self.iterations, 0), ("half_width", self.half_width, 0), ("rate", self.rate, 0)))

    @property
    def queries(self) -> int:
        """Forward passes per slice."""
        return 1 + 5 * self.iterations

    def __call__(self, target: Target, batch: Batch, budget: FeatureBudget, rng: CaseRandom) -> Attacked:
        """Attack every slice of the batch."""
        best = Best.none(batch, budget.information)
        low, high = budget.bounds(batch.image)
        place = budget.place(batch.image, rng).double()

        def ask(at: Tensor) -> Tensor:
            feature = budget.draw(batch.image, rng, inside(at.round().long(), low, high))
            mask = redraw(batch, rng) if self.redraw_mask else batch.context["mask"]
            return best.ask(target, Feature.stack([feature]), mask[:, None])[:, 0].cpu()

        ask(place)
        for _ in range(self.iterations):
            slopes = []
            for axis in torch.tensor(AXES, dtype=torch.double):
                minus = ask(place - self.half_width * axis)
                plus = ask(place + self.half_width * axis)
                slopes.append((plus - minus) / (2 * self.half_width))
                place = place + self.half_width * axis
            place = inside(place + self.rate * torch.stack(slopes, 1).double(), low.double(), high.double())
            ask(place)
        return best.attacked()


@dataclass(frozen=True)
class FiniteDifferences:
    """Climb the loss over the feature's row and column by central differences of one feature under one mask.

    Source: Cheng et al., MIDL 2020, repaired: common feature and mask within an iteration, no displacement left behind, a step of fixed length
    along the slope. With 11 evaluations it sees 1 feature where random search sees 11; `restarts` shares the queries between features.

    iterations: ascent steps of each restart. half_width: displacement in pixels. step: pixels of the first move, halved at each next one.
    restarts: features climbed, one after the other, at least 1. redraw_mask: a new sampling mask for each restart, or the acquisition's own.
    """

    threat: ClassVar[str] = "black-box"
    iterations: int = 2
    half_width: float = 5.0
    step: float = 20.0
    restarts: int = 1
    redraw_mask: bool = True

    def __post_init__(self) -> None:
        at_least((("iterations", self.iterations, 0), ("half_width", self.half_width, 0), ("step", self.step, 0), ("restarts", self.restarts, 1)))

    @property
    def queries(self) -> int:
        """Forward passes per slice."""
        return self.restarts * (1 + 5 * self.iterations)

    def __call__(self, target: Target, batch: Batch, budget: FeatureBudget, rng: CaseRandom) -> Attacked:
        """Attack every slice of the batch; the four probes of an iteration share the forward passes."""
        best = Best.none(batch, budget.information)
        for _ in range(self.restarts):
            self._climb(target, batch, budget, rng, best)
        return best.attacked()

    def _climb(self, target: Target, batch: Batch, budget: FeatureBudget, rng: CaseRandom, best: Best) -> None:
        feature = budget.draw(batch.image, rng)
        mask = redraw(batch, rng) if self.redraw_mask else batch.context["mask"]
        place = feature.start.double()

        def ask(places: list[Tensor]) -> Tensor:
            moved = Feature.stack([move(feature, at, budget) for at in places])
            return best.ask(target, moved, torch.stack([mask] * len(places), 1)).cpu().double()

        ask([place])
        axes = torch.tensor(AXES, dtype=torch.double)
        for iteration in range(self.iterations):
            probes = ask([place + sign * self.half_width * axis for axis in axes for sign in (1.0, -1.0)])
            slope = torch.stack([probes[:, 0] - probes[:, 1], probes[:, 2] - probes[:, 3]], 1)
            length = slope.norm(dim=1, keepdim=True).clamp_min(1e-30)
            place = place + self.step / 2**iteration * slope / length
            ask([place])


def at_least(options: tuple[tuple[str, float, float], ...]) -> None:
    """Raise ValueError for the first option (name, value, least) that lies below its least."""
    for name, value, least in options:
        if not value >= least:
            msg = f"{name}: found {value}, expected at least {least}"
            raise ValueError(msg)


def move(feature: Feature, place: Tensor, budget: FeatureBudget) -> Feature:
    """The same features begun at the pixel nearest to `place` (n, 2), or as near as the box allows."""
    low, high = budget.bounds(feature.support)
    wanted = place.round().long() - feature.start
    shift = torch.maximum(torch.minimum(wanted, high - feature.positions.amax(1)), low - feature.positions.amin(1))
    return replace(feature, positions=feature.positions + shift[:, None])
