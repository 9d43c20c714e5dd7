"""What a reconstructor's training is judged by: validation loss, and SSIM and NMSE on the test split, per acceleration."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

import torch

from medrobust.metrics.reconstruction import NMSE, SSIM
from medrobust.types import Attacked, Batch, Data, Outcome, Target

CONDITIONS = {"4x": (4.0, 0.08), "8x": (8.0, 0.04)}


def validate(target: Target, data: Data, device: str) -> dict[str, float]:
    """`loss`: mean over the validation split's slices of the target's loss, slices one at a time."""
    with torch.inference_mode():
        losses = [float(target.loss(one.image, one)) for one in (data.load([case]).to(device) for case in data.cases("val"))]
    return {"loss": sum(losses) / len(losses)}


def figures(target: Target, data: Data, device: str) -> dict[str, float]:
    """Mean over the test split's volumes of each metric, such as `nmse@4x`; slices one at a time.

    data: a reconstruction data set with the fields `acceleration` and `center_fraction`.
    """
    found: dict[str, float] = {}
    for condition, (acceleration, center_fraction) in CONDITIONS.items():
        sampled: Any = replace(data, acceleration=acceleration, center_fraction=center_fraction)  # type: ignore[type-var]
        values: dict[str, list[float]] = {"ssim": [], "nmse": []}
        for _, group in groupby(sampled.cases("test"), key=lambda case: case.group):
            batch: Batch = sampled.load(list(group))
            with torch.inference_mode():
                slices = [target(one.image, one) for one in (batch.select([i]).to(device) for i in range(len(batch)))]
            outcome = Outcome(batch, Attacked(batch.image), torch.cat(slices).cpu())
            values["ssim"].append(float(SSIM()(outcome)))
            values["nmse"].append(float(NMSE()(outcome)))
        found |= {f"{name}@{condition}": sum(each) / len(each) for name, each in values.items()}
    return found
