"""How far a feature was erased, whether the measurement still held it, and where it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.types import Outcome
from medrobust_attacks.fnaf.feature import feature_loss, information_loss, input_scale

PRESERVED = 1e-4
"""Information loss from which on the measurement preserves a feature; Cheng et al., MIDL 2020."""


@dataclass(frozen=True)
class FeatureLoss:
    """Squared error in the feature's region, judged on the target's answer to the attacked image.

    Source: Cheng et al., MIDL 2020: a feature counts as erased at 1e-3 or more; in input standard deviations, over 102,400 pixels.

    budgets: query counts at which the best loss so far is reported beside the final one, labelled `q=...`.
    """

    name: ClassVar[str] = "fnaf-loss"
    unit: ClassVar[str] = "sigma^2"
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = float("inf")
    per: ClassVar[str] = "case"
    budgets: tuple[int, ...] = (1, 2, 5, 11, 22, 44, 88)

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """Label to (n,); NaN where the attack added nothing to look for."""
        batch, region = outcome.attacked_batch, outcome.attacked.region
        if region is None:
            return {"": torch.full((len(batch),), torch.nan)}
        values = {"": feature_loss(outcome.prediction, batch.image, region, input_scale(batch.image, batch))}
        trace = outcome.attacked.trace.get("loss")
        if trace is not None:
            running = trace.cummax(1).values
            values |= {f"q={queries}": running[:, queries - 1] for queries in self.budgets if queries <= running.shape[1]}
        return values


@dataclass(frozen=True)
class InformationPreservation:
    """How much of the feature the under-sampled measurement still holds; preserved at 1e-4 or more.

    Source: Cheng et al., MIDL 2020. A feature that the measurement lost is no fault of the reconstruction.
    """

    name: ClassVar[str] = "information"
    unit: ClassVar[str] = "sigma^2"
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(n,); NaN where the attack added nothing. Where it found no feature that is preserved, that of the nearest candidate.

        `candidates`: the share of those asked about whose information is preserved, where the attack traced it.
        """
        values = information_loss(outcome.attacked.image, outcome.batch.image, outcome.attacked_batch)
        added = (outcome.attacked.image != outcome.batch.image).flatten(1).any(1)
        trace = outcome.attacked.trace.get("information")
        if trace is None or not trace.any():
            return {"": torch.where(added, values, torch.nan)}
        shown = trace.to(values)
        return {"": torch.where(added, values, shown.amax(1)), "candidates": (shown >= PRESERVED).float().mean(1)}


@dataclass(frozen=True)
class FeatureLocation:
    """Centre of the feature's region in pixels, for the map of where features are lost.

    Source: Cheng et al., MIDL 2020, location distribution within the central crop.
    """

    name: ClassVar[str] = "feature-location"
    unit: ClassVar[str] = "pixel"
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """`row` and `column`, (n,) each; NaN where the attack added nothing."""
        region = outcome.attacked.region
        if region is None:
            nothing = torch.full((len(outcome.batch),), torch.nan)
            return {"row": nothing, "column": nothing}
        weight = region[:, 0].double()
        total = weight.sum((1, 2))
        rows, columns = (torch.arange(size, dtype=torch.double, device=weight.device) for size in weight.shape[-2:])
        return {"row": (weight.sum(2) * rows).sum(1) / total, "column": (weight.sum(1) * columns).sum(1) / total}
