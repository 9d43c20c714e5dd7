"""The clean figures that a model's card quotes: SSIM and NMSE on the test split, per acceleration."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

import torch

from medrobust.metrics.reconstruction import NMSE, SSIM
from medrobust.types import Attacked, Batch, Data, Outcome, Target

CONDITIONS = {"4x": (4.0, 0.08), "8x": (8.0, 0.04)}


def measure(target: Target, data: Data, split: str = "test", device: str = "cpu") -> dict[str, float]:
    """Mean over volumes of each metric, such as `nmse@4x`; slices one at a time.

    data: a reconstruction data set with the fields `acceleration` and `center_fraction`.
    """
    figures: dict[str, float] = {}
    for condition, (acceleration, center_fraction) in CONDITIONS.items():
        sampled: Any = replace(data, acceleration=acceleration, center_fraction=center_fraction)  # type: ignore[type-var]
        values: dict[str, list[float]] = {"ssim": [], "nmse": []}
        for _, group in groupby(sampled.cases(split), key=lambda case: case.group):
            batch: Batch = sampled.load(list(group))
            with torch.inference_mode():
                slices = [target(one.image, one) for one in (batch.select([i]).to(device) for i in range(len(batch)))]
            outcome = Outcome(batch, Attacked(batch.image), torch.cat(slices).cpu())
            values["ssim"].append(float(SSIM()(outcome)))
            values["nmse"].append(float(NMSE()(outcome)))
        figures |= {f"{name}@{condition}": sum(found) / len(found) for name, found in values.items()}
    return figures
