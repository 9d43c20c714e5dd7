"""Dice of a segmenter's answer by three rulers: the truth as it was, the truth as it moved, and the one against the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.metrics.organs import ABDOMEN, answered, dice, require_organs
from medrobust.types import Outcome


@dataclass(frozen=True)
class Dice:
    """Dice of each organ over all slices of a subject, and their mean, against the truth of the clean image.

    A deformation moves the organs and this truth stays: a perfect segmenter loses by it. See `dice-warped` and `dice-floor`.

    Source: Dice 1945; Chen et al. 2019, arXiv:1909.11167, table 1. A subject whose truth has none of an organ has no value for it; one whose answer
    has none of it has 0.

    organs: names of labels 1, 2, ...
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "dice"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "group"
    organs: tuple[str, ...] = ABDOMEN

    def __post_init__(self) -> None:
        object.__setattr__(self, "organs", require_organs(self.organs))

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(1,) by organ, and unlabelled their mean."""
        return dice(answered(outcome, self.organs), outcome.batch.truth, self.organs)


@dataclass(frozen=True)
class DiceWarped:
    """Dice of each organ over all slices of a subject, and their mean, against the truth that moved with the image.

    Source: this project. Where nothing moved it equals `dice`; a segmenter that follows the anatomy keeps its Dice here.

    organs: names of labels 1, 2, ...
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "dice-warped"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "group"
    organs: tuple[str, ...] = ABDOMEN

    def __post_init__(self) -> None:
        object.__setattr__(self, "organs", require_organs(self.organs))

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(1,) by organ, and unlabelled their mean."""
        return dice(answered(outcome, self.organs), outcome.truth, self.organs)


@dataclass(frozen=True)
class DiceFloor:
    """Dice of the truth that moved against the truth as it was, by organ and in the mean: what a perfect segmenter scores by the ruler of `dice`.

    Source: this project. Neither direction is better, for it says nothing of the target.

    organs: names of labels 1, 2, ...
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "dice-floor"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "group"
    organs: tuple[str, ...] = ABDOMEN

    def __post_init__(self) -> None:
        object.__setattr__(self, "organs", require_organs(self.organs))

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(1,) by organ, and unlabelled their mean."""
        return dice(outcome.truth, outcome.batch.truth, self.organs)


@dataclass(frozen=True)
class MissedOrgan:
    """1 where a slice shows an organ and the answer has not one pixel of it, else 0.

    Source: this project; the truth is the one that moved, where it did.

    organs: names of labels 1, 2, ...
    """

    task: ClassVar[str] = "segmentation"
    name: ClassVar[str] = "missed-organ"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"
    organs: tuple[str, ...] = ABDOMEN

    def __post_init__(self) -> None:
        object.__setattr__(self, "organs", require_organs(self.organs))

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(n,) by organ; NaN where the slice does not show it."""
        answer = answered(outcome, self.organs)
        found = {}
        for label, organ in enumerate(self.organs, 1):
            shown, seen = ((tensor == label).flatten(1).any(1) for tensor in (outcome.truth, answer))
            found[organ] = torch.where(shown, (~seen).double(), torch.nan)
        return found
