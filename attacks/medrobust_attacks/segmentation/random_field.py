"""The control of every smooth attack: anatomy moved and intensity shifted at random, as much as the budget allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from medrobust.imaging.deformation import displacement, warp, warp_labels
from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.deformation.budget import DeformationBudget
from medrobust_attacks.segmentation.best import Best
from medrobust_attacks.segmentation.splines import require_knots, surface

MOST = 4.0
"""Times half of p that each part may spend where they cancel each other."""


@dataclass(frozen=True)
class RandomField:
    """Warp each slice by a smooth random field and add smooth random shading, each for half of the budget's p; one factor then brings both to p.

    Source: this project. An attack that does no more harm at equal p owes nothing to what it knows of the target. Both are cubic B-splines over
    normal draws, the field as long in mm along either axis. Less than p is spent where the limits on displacement, folding or shading bind.
    The draws are the same whatever `parts`.

    knots: stretches of the spline along each axis, at least 1; more are less smooth.
    parts: `both`, or the `field` or the `shading` alone, which then spends all of p.
    draws: fields tried a slice, at least 1; of several the one of highest loss is kept, against the truth moved alike, and each costs a forward pass.
        Of one nothing is asked.
    """

    threat: ClassVar[str] = "black-box"
    task: ClassVar[str] = "segmentation"
    gradients: ClassVar[int] = 0
    knots: int = 6
    parts: Literal["both", "field", "shading"] = "both"
    draws: int = 1

    def __post_init__(self) -> None:
        require_knots(self.knots)
        if self.parts not in ("both", "field", "shading"):
            msg = f"parts: found {self.parts!r}, expected 'both', 'field' or 'shading'"
            raise ValueError(msg)
        if self.draws < 1:
            msg = f"draws: found {self.draws}, expected 1 or more"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes a slice."""
        return self.draws if self.draws > 1 else 0

    def __call__(self, target: Target, batch: Batch, budget: DeformationBudget, rng: CaseRandom) -> Attacked:
        """Attack every slice of the batch; slices share the passes."""
        best = Best()
        for _ in range(self.draws):
            found = self._drawn(batch, budget, rng)
            loss = target.loss(found["image"], replace(batch, truth=found["truth"])) if self.draws > 1 else torch.zeros(len(batch))
            best.take(loss, **found)
        trace = best.trace if self.draws > 1 else {}
        if self.parts == "shading":
            return Attacked(best.kept["image"], trace=trace)
        return Attacked(best.kept["image"], best.kept["truth"], trace=trace, field=best.kept["field"])

    def _drawn(self, batch: Batch, budget: DeformationBudget, rng: CaseRandom) -> dict[str, Tensor]:
        """One draw a case at the budget's p: image, truth and field."""
        field, shading = self._full(batch, budget, rng)
        nothing = torch.zeros_like(shading)
        if self.parts == "both":
            half = replace(budget, p=budget.p / 2)
            field, _ = moving(half, batch, field, nothing)
            _, shading = half.project(batch, None, shading)
            field, shading = moving(budget, batch, MOST * field, MOST * shading)
        elif self.parts == "field":
            field, shading = moving(budget, batch, field, nothing)
        else:
            field, (_, shading) = torch.zeros_like(field), budget.project(batch, None, shading)
        return {"image": warp(batch.image, field) + shading, "truth": warp_labels(batch.truth, field), "field": field}

    def _full(self, batch: Batch, budget: DeformationBudget, rng: CaseRandom) -> tuple[Tensor, Tensor]:
        """Field (n, 2, H, W) in pixels and shading (n, 1, H, W) in HU, each as far as the budget's own limit on it."""
        spacing = batch.context["spacing"]
        control = rng.normal(3, self.knots + 3, self.knots + 3).to(batch.image.device)
        smooth = surface(control, *batch.image.shape[2:])
        field = smooth[:, :2] / spacing.view(-1, 2, 1, 1)
        longest = displacement(field, spacing).flatten(1).amax(1).view(-1, 1, 1, 1)
        highest = smooth[:, 2:].abs().flatten(1).amax(1).view(-1, 1, 1, 1)
        return budget.displacement * field / longest, budget.shading * smooth[:, 2:] / highest


def moving(budget: DeformationBudget, batch: Batch, field: Tensor, shading: Tensor) -> tuple[Tensor, Tensor]:
    """`budget.project` of a field that there is."""
    kept, rest = budget.project(batch, field, shading)
    assert kept is not None  # noqa: S101 - it is None where the field is
    return kept, rest
