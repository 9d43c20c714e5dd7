"""Whether a reconstruction keeps the lesions that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.types import Outcome

KEPT = 0.5
"""A lesion counts as kept where at least this share of its contrast is retained."""


@dataclass(frozen=True)
class LesionContrast:
    """Share of a lesion's contrast that the reconstruction retains: 1 the whole of it, 0 erased, below 0 inverted; kept from 0.5 on.

    It is the least-squares slope of the reconstruction on the truth over the lesion's box and a margin of its surroundings,
    each less its own mean there: sum (p - mean p)(t - mean t) / sum (t - mean t)^2. NaN where there is no lesion or nothing in the box.

    Source: this project; the contrast recovery coefficient of emission tomography (NEMA NU 2) taken as a regression slope. The difference of two
    means, inside less outside, needs an outline where annotations have boxes, cancels where a lesion has a bright rim and a dark core, and gives
    credit to any smear of the right sign; a slope asks that the pattern itself come back, and forgives an offset in intensity.

    margin: pixels of surroundings on each side of the box, at least 0; the contrast is against these.
    """

    name: ClassVar[str] = "lesion-contrast"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"
    margin: int = 2

    def __post_init__(self) -> None:
        if self.margin < 0:
            msg = f"margin: found {self.margin}, expected at least 0"
            raise ValueError(msg)

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """`lesion 1`, `lesion 2`, ... in the order of the boxes, (n,) each; no label where no case has a box."""
        boxes = outcome.batch.context.get("boxes")
        if boxes is None:
            return {}
        truth, prediction = outcome.truth.double(), outcome.prediction.double()
        return {f"lesion {i + 1}": slope(prediction, truth, inside(box, self.margin, truth)) for i, box in enumerate(boxes.unbind(1))}


def inside(box: Tensor, margin: int, image: Tensor) -> Tensor:
    """Pixels of each box (n, 4) and its margin, (n, 1, H, W) bool; none where the box is NaN."""
    row, column, height, width = box.to(image.device)[:, :, None, None, None].unbind(1)
    rows = torch.arange(image.shape[-2], device=image.device)[:, None]
    columns = torch.arange(image.shape[-1], device=image.device)
    down = (rows >= row - margin) & (rows < row + height + margin)
    return down & (columns >= column - margin) & (columns < column + width + margin)


def slope(prediction: Tensor, truth: Tensor, where: Tensor) -> Tensor:
    """Least-squares slope of the prediction on the truth over the pixels `where`, all (n, 1, H, W); (n,), NaN where the truth is constant."""
    count = where.sum((1, 2, 3), keepdim=True)
    t, p = ((image - (image * where).sum((1, 2, 3), keepdim=True) / count) * where for image in (truth, prediction))
    spread = t.square().sum((1, 2, 3))
    level = (truth * where).square().sum((1, 2, 3))
    return ((p * t).sum((1, 2, 3)) / spread).where(spread > 1e-12 * level, torch.nan)


def kept(contrast: Tensor) -> Tensor:
    """Whether each lesion counts as kept; False where its contrast is NaN."""
    return contrast >= KEPT
