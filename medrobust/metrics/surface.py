"""How far the outline of an organ in the answer lies from its true one, in millimetres."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt
from torch import Tensor

from medrobust.metrics.organs import ABDOMEN, answered, averaged, require_organs
from medrobust.types import Outcome


@dataclass(frozen=True)
class SurfaceDistance:
    """Average symmetric surface distance of each organ within slices, in mm, averaged over the slices of a subject that show it; and organs' mean.

    A slice whose answer has none of a shown organ counts with the slice's diagonal, the farthest that anything can be: a missed organ makes the
    figure worse, never better. A slice that does not show the organ counts nothing, whatever is found there. Against the truth that moved.

    Source: Heimann et al. 2009, doi:10.1109/TMI.2009.2013851, within slices; an outline is what an erosion by a pixel takes.

    organs: names of labels 1, 2, ...
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "surface-distance"
    unit: ClassVar[str] = "mm"
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = math.inf
    per: ClassVar[str] = "group"
    organs: tuple[str, ...] = ABDOMEN

    def __post_init__(self) -> None:
        object.__setattr__(self, "organs", require_organs(self.organs))

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(1,) by organ, and unlabelled their mean."""
        answer, truth = (labels[:, 0].cpu().numpy() for labels in (answered(outcome, self.organs), outcome.truth))
        spacing = outcome.batch.context["spacing"].tolist()

        def of(label: int) -> float:
            shown = [row for row in range(len(truth)) if (truth[row] == label).any()]
            each = [between(answer[row] == label, truth[row] == label, tuple(spacing[row])) for row in shown]
            return float(np.mean(each)) if each else math.nan

        return averaged(of, self.organs)


def between(answer: NDArray[np.bool_], truth: NDArray[np.bool_], steps: tuple[float, ...]) -> float:
    """Average symmetric distance in mm of two outlines (H, W); the slice's diagonal where the answer is empty."""
    if not answer.any():
        return math.hypot(*(length * step for length, step in zip(truth.shape, steps, strict=True)))
    outlines = [mask & ~binary_erosion(mask) for mask in (answer, truth)]
    there, back = (distance_transform_edt(~other, sampling=steps)[one] for one, other in (outlines, outlines[::-1]))
    return float(np.concatenate([there, back]).mean())
