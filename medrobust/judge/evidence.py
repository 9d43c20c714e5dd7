"""What the checks of one cell look at, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from medrobust.amounts import amount
from medrobust.cell import Cell
from medrobust.types import Row


@dataclass(frozen=True)
class Probed:
    """What a target showed when the harness asked it about the first cases of a cell, beside the attack's own questions.

    moved: largest difference between answers to one question asked again, relative to the largest value.
    stochastic: the target says that it draws at random. averaged: the attack says that it averages over such draws.
    alters: what answering alone changes in the target, such as `weights` for the running means of a batch normalisation; empty where nothing.
    autograd: gradients that were asked for inside one answer, by the target itself.
    normalised: what a classifier calls logits are probabilities; None for one logit, and where the target shows none.
    certain: share of cases where no other class is more probable than the rounding of float32; None for other tasks.
    reached: whether a graph leads from answer and loss back to the image; None where no gradient was asked for, as in black-box cells.
    broken, zero: share of the gradient's entries that are not finite, or 0. flat: share of cases where all of them are 0. None as above.
    grey: radius of a norm budget over what it takes to turn the image all grey, the lowest of the cases; None where the norm is no bound.
    """

    moved: float = 0.0
    stochastic: bool = False
    averaged: bool = False
    alters: str = ""
    autograd: int = 0
    normalised: bool | None = None
    certain: float | None = None
    reached: bool | None = None
    broken: float | None = None
    zero: float | None = None
    flat: float | None = None
    grey: float | None = None


@dataclass(frozen=True)
class Evidence:
    """What the checks look at.

    rows: all rows of the cell. violations: case -> how it left the budget.
    dependence: relative difference between a case predicted alone and in a batch. training_mode: some network was not in evaluation mode.
    lowest: lowest intensity of an attacked image where no clean one of the cell has any below zero, else 0.
    patients: of the cell's cases. trained_on: who learned from these data, such as `target` or `defense` -> from which patients.
    figures: the card's measured figures, empty where they were measured on other data or other cases.
    threat: what the cell's own attack was shown; empty for clean, explained and replayed cells.
    passes: forward passes that the attack made, a case. probed: None where the target was not asked, as in cells of older versions.
    """

    cell: Cell
    rows: Sequence[Row]
    violations: Mapping[str, str] = field(default_factory=dict)
    dependence: float = 0.0
    training_mode: bool = False
    lowest: float = 0.0
    patients: frozenset[str] = frozenset()
    trained_on: Mapping[str, frozenset[str]] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    threat: str = ""
    passes: float = 0.0
    probed: Probed | None = None

    def values(self, metric: str, label: str = "") -> dict[str, float]:
        """case -> value."""
        return {row["case"]: row["value"] for row in self.rows if row["metric"] == metric and row["label"] == label}

    @property
    def drawn(self) -> bool:
        """Whether the target says that it draws at random: what two answers to one image tell apart is then chance."""
        return self.probed is not None and self.probed.stochastic

    @property
    def attacked(self) -> bool:
        return self.cell.attack is not None

    @property
    def control(self) -> bool:
        """Whether its attack is there to be compared with, such as random noise."""
        return bool(self.cell.attack and self.cell.attack.options.get("control"))

    @property
    def bounded(self) -> bool:
        """Whether its budget is a bound at all: False for `epsilon: inf`, which is there to see an attack win."""
        epsilon = self.cell.budget.options.get("epsilon") if self.cell.budget else None
        return epsilon is None or amount(epsilon)[0] != float("inf")
