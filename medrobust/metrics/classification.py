"""What a classifier said of a clean case: its score, whether it was right, and whether an explanation can be expected of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.types import Outcome


@dataclass(frozen=True)
class Score:
    """Probability of the positive class, the last one, in [0, 1]. Neither direction is better; areas under the ROC curve are computed from it.

    Source: none needed; with `correct` it gives the truth too.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "score"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.5
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return outcome.prediction[:, -1].double()


@dataclass(frozen=True)
class TamperScore:
    """Probability in [0, 1] that a tamper detector gives an image of not being as it was taken; for targets whose class 1 is `tampered`.

    Source: none needed; areas under the ROC curve come from it, clean images against tampered ones.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "tamper-score"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.5
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return outcome.prediction[:, -1].double()


@dataclass(frozen=True)
class Correct:
    """1 where the most probable class is the true one, else 0; a tie goes to the positive class, so of two classes it wins from .5 on.

    Source: none needed; its mean is the accuracy.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "correct"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return (predicted(outcome.prediction) == outcome.truth).double()


@dataclass(frozen=True)
class Undecided:
    """1 where the most probable class stays below .5 + `margin`, else 0: what the map of such a case explains is a coin toss.

    Source: this project; of two classes, |p - .5| < margin.

    margin: in (0, .5).
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "undecided"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"
    margin: float = 0.05

    def __post_init__(self) -> None:
        between(self.margin, "margin")

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return (probabilities(outcome.prediction).amax(1) < 0.5 + self.margin).double()


@dataclass(frozen=True)
class Saturated:
    """1 where every other class is less probable than `margin`, else 0: changes of such a probability drown in rounding, and so do maps of them.

    Source: this project; of two classes, p < margin or p > 1 - margin.

    margin: in (0, .5).
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "saturated"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"
    margin: float = 1e-4

    def __post_init__(self) -> None:
        between(self.margin, "margin")

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return (probabilities(outcome.prediction).amax(1) > 1 - self.margin).double()


def probabilities(prediction: Tensor) -> Tensor:
    """Probabilities of all classes, (n, k) float64 with k at least 2, of a prediction (n, 1) or (n, k)."""
    answer = prediction.double()
    return torch.cat([1 - answer, answer], 1) if answer.shape[1] == 1 else answer


def predicted(prediction: Tensor) -> Tensor:
    """The most probable class, (n,) int64; of equally probable ones the last."""
    classes = probabilities(prediction)
    return classes.shape[1] - 1 - classes.flip(1).argmax(1)


def between(value: float, name: str) -> None:
    if not 0 < value < 0.5:
        msg = f"{name}: found {value}, expected a number between 0 and 0.5"
        raise ValueError(msg)
