"""What an attack on a classifier came to: whether it changed the class, how far the probability moved, how much of the image it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.imaging.volumes import SEQUENCES
from medrobust.targets.classification import score
from medrobust.types import Outcome

DIRECTIONS = {"HGG->LGG": True, "LGG->HGG": False}
"""Label of a flip, and whether the case was of class 1 before it."""


def flipped(before: Tensor, after: Tensor) -> dict[str, Tensor]:
    """1 where the class changed in that direction, 0 where it stayed, NaN where it was the other class before, (n,) float each.

    before, after: probabilities of class 1, (n,); class 1 is predicted from .5 up.
    """
    was, now = before >= 0.5, after >= 0.5
    changed = (was != now).float()
    return {label: torch.where(was == high, changed, torch.nan) for label, high in DIRECTIONS.items()}


def probabilities(outcome: Outcome) -> tuple[Tensor, Tensor]:
    """Probability of class 1 of the clean and of the attacked image, (n,); the first asks the target once more, at nobody's cost."""
    if outcome.target is None:
        msg = "found an outcome without its target, expected one that can be asked about the clean image"
        raise ValueError(msg)
    with torch.no_grad():
        return score(outcome.target(outcome.batch.image, outcome.batch)), score(outcome.prediction)


@dataclass(frozen=True)
class Flip:
    """Whether the attack changed the predicted class; each direction also by itself, among the cases that were predicted as its first class.

    Source: this project. A mask that only takes intensity away can hardly flip but one way, which a rate over both classes hides.
    """

    name: ClassVar[str] = "flip"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"
    task: ClassVar[str] = "classification"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """1 or 0, (n,), unlabelled and for `HGG->LGG` and `LGG->HGG`; NaN in the direction that a case cannot go."""
        directions = flipped(*probabilities(outcome))
        return {"": torch.stack(list(directions.values())).nan_to_num(0).amax(0), **directions}


@dataclass(frozen=True)
class ProbabilityChange:
    """How far the probability of class 1 moved, |p' - p|.

    Source: Rajapaksa & Khalvati 2022, arXiv:2211.04926, section 2.1.1, |y_p - y_np|.
    """

    name: ClassVar[str] = "probability-change"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"
    task: ClassVar[str] = "classification"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,) in [0, 1]."""
        before, after = probabilities(outcome)
        return (after - before).abs()


@dataclass(frozen=True)
class ImageL1:
    """Mean of |x' - x| over voxels and sequences, and over the voxels of each sequence, in the image's intensity units. Neither direction is better.

    Source: Rajapaksa & Khalvati 2022, arXiv:2211.04926, section 2.1.1, L1 loss.
    """

    name: ClassVar[str] = "image-l1"
    unit: ClassVar[str] = "a.u."
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = float("inf")
    per: ClassVar[str] = "case"
    task: ClassVar[str] = "classification"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(n,) unlabelled, and labelled by sequence where there are four."""
        moved = (outcome.attacked.image - outcome.batch.image).abs().flatten(2).mean(2)
        parts = dict(zip(SEQUENCES, moved.unbind(1), strict=True)) if moved.shape[1] == len(SEQUENCES) else {}
        return {"": moved.mean(1), **parts}
