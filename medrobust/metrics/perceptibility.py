"""How much of a CT slice an attack changed, as a reader would measure it: in z-scores, millimetres and Hounsfield units."""

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
    """Structural similarity of the attacked slice to the clean one, both as displayed in the soft-tissue window from -160 to 240 HU.

    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, through scikit-image, 7x7 window.
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "image-ssim"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = -1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,) in [-1, 1]."""
        low, high = WINDOW
        clean, attacked = (image[:, 0].cpu().double().clamp(low, high).numpy() for image in (outcome.batch.image, outcome.attacked.image))
        values = [structural_similarity(one, other, data_range=high - low) for one, other in zip(clean, attacked, strict=True)]
        return torch.from_numpy(np.array(values))
