"""How much of an image an attack changed, as a reader would measure it: in z-scores, millimetres and Hounsfield units, and as displayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from medrobust.imaging import deformation
from medrobust.imaging.window import WINDOW
from medrobust.types import Outcome


@dataclass(frozen=True)
class Perceptibility:
    """Mean absolute change over the pixels in standard deviations of the subject's volume, p.

    Source: Chen et al. 2019, arXiv:1909.11167, equation 7.
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "perceptibility"
    unit: ClassVar[str] = "SD"
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        change = (outcome.attacked.image - outcome.batch.image).abs().flatten(1).double().mean(1)
        return change / outcome.batch.context["std"].to(change)


@dataclass(frozen=True)
class Displacement:
    """How far anatomy moved, in mm: the largest and the mean length of the displacement over the pixels of a slice; 0 where nothing moved.

    Source: this project.
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "displacement"
    unit: ClassVar[str] = "mm"
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(n,) labelled `max` and `mean`."""
        field, spacing = outcome.attacked.field, outcome.batch.context["spacing"]
        if field is None:
            nothing = torch.zeros(len(outcome.batch), dtype=torch.float64)
            return {"max": nothing, "mean": nothing.clone()}
        length = deformation.displacement(field, spacing.to(field)).flatten(1).double()
        return {"max": length.amax(1), "mean": length.mean(1)}


@dataclass(frozen=True)
class Folding:
    """Share of the pixels at which the deformation folds the slice over or tears it: its Jacobian's determinant is 0 or less.

    Source: Jacobian survey as in Chen et al. 2022 (AdvChain), doi:10.1016/j.media.2022.102597.
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "folding"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,) in [0, 1]."""
        field = outcome.attacked.field
        return torch.zeros(len(outcome.batch), dtype=torch.float64) if field is None else deformation.folding(field).double()


@dataclass(frozen=True)
class Shading:
    """The lowest and the highest intensity in HU that was added to a slice beside moving it.

    Source: this project; what is added is the attacked image less the clean one, moved alike.
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "shading"
    unit: ClassVar[str] = "HU"
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(n,) labelled `min` and `max`."""
        clean, field = outcome.batch.image, outcome.attacked.field
        moved = clean if field is None else deformation.warp(clean, field)
        added = (outcome.attacked.image - moved).flatten(1).double()
        return {"min": added.amin(1), "max": added.amax(1)}


@dataclass(frozen=True)
class ImageSSIM:
    """Structural similarity of the attacked image to the clean one, both as displayed: 1 where they look alike, near 0 where the image is destroyed.

    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, through scikit-image, window of 7 pixels (less in a smaller image), mean over the channels.
    CT slices are displayed in the soft-tissue window from -160 to 240 HU, other images in the range of the clean one; of any number of axes.
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "image-ssim"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = -1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,) in [-1, 1]; NaN where a clean image that is no CT slice is all of one intensity."""
        computed_tomography = "std" in outcome.batch.context
        values = []
        for clean, attacked in zip(outcome.batch.image.cpu().double(), outcome.attacked.image.cpu().double(), strict=True):
            low, high = WINDOW if computed_tomography else (float(clean.min()), float(clean.max()))
            values.append(displayed_alike(clean, attacked, low, high) if low < high else float("nan"))
        return torch.tensor(values, dtype=torch.float64)


def displayed_alike(clean: Tensor, attacked: Tensor, low: float, high: float) -> float:
    """Structural similarity of two images (c, *space), both clamped to what is displayed, mean over the channels."""
    window = min(7, *clean.shape[1:])
    window -= 1 - window % 2
    shown = [image.clamp(low, high).numpy() for image in (clean, attacked)]
    return float(np.mean([structural_similarity(*pair, data_range=high - low, win_size=window) for pair in zip(*shown, strict=True)]))
