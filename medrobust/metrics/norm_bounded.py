"""What a norm-bounded attack did to a case: whether it turned a right answer wrong, and how far the image truly moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.metrics.classification import predicted
from medrobust.types import Outcome


@dataclass(frozen=True)
class Fooled:
    """1 where the answer to the attacked image is wrong and that to the clean one was right, else 0; no value where the clean answer was wrong.

    Source: this project; its mean is the success rate of an attack, `correct` and 1 - `correct` count cases that needed no attack.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "fooled"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        wrong = (predicted(outcome.prediction) != outcome.truth).double()
        return torch.where(clean_right(outcome), wrong, torch.nan)


@dataclass(frozen=True)
class ChangeLinf:
    """Largest change of a pixel, in the data's intensity units, measured anew in float64 between the clean image and what the attack returned.

    Source: Goodfellow et al. 2015, arXiv:1412.6572.
    """

    name: ClassVar[str] = "change-linf"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,), at least 0."""
        return change(outcome).abs().amax(1)


@dataclass(frozen=True)
class ChangeL2:
    """Euclidean length of the change over all channels and pixels, in the data's intensity units, measured anew in float64.

    Source: Szegedy et al. 2014, arXiv:1312.6199.
    """

    name: ClassVar[str] = "change-l2"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,), at least 0."""
        return change(outcome).square().sum(1).sqrt()


def change(outcome: Outcome) -> Tensor:
    """What the attack added, a row a case, (n, channels * pixels) float64."""
    return (outcome.attacked.image.double() - outcome.batch.image.double()).flatten(1)


def clean_right(outcome: Outcome) -> Tensor:
    """Whether the target's answer to the clean image is right, (n,) bool: the target is asked once more, which is nobody's cost."""
    if outcome.target is None:
        msg = "found no target to ask for its clean answer, expected one"
        raise ValueError(msg)
    return predicted(outcome.target(outcome.batch.image, outcome.batch)) == outcome.batch.truth
