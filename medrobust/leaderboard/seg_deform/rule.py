"""The track's words and fixed numbers: which organs there are, what counts as success, and how its lines are laid out.

Source: Chen et al., SASHIMI 2019, arXiv:1909.11167; success is its relative drop of 30 % in an organ's Dice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from medrobust.leaderboard.layout import Labelled
from medrobust.leaderboard.measure import Measured, Quantity, measure
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column

FALL = 0.3
"""The relative drop of an organ's Dice from which an attack has succeeded on it."""

LEAST = 0.01
"""The drop in Dice that must be certain before shares of it are given."""

DICE, WARPED, FLOOR = "dice", "dice-warped", "dice-floor"
ORDERS = (
    ("pancreas", "kidneys", "liver", "spleen"),
    ("brainstem", "spinal cord", "right parotid", "left parotid", "esophagus", "larynx", "mandible"),
)
"""Organs of the known data sets in the order of their labels, from 1."""

CLEAN = "clean"
HEADS = ("condition", "target", "defense", "attack")
INTERVALS = "95 % intervals in brackets, from 2000 bootstrap resamples of subjects."
PERCEPTIBILITY = Quantity("perceptibility", per_case=True)
P = Column("p", "standard deviations", "SD", digits=3)

Row = Callable[[Model, str, str], list[Measured]]


def organs(section: Section) -> tuple[str, ...]:
    """Organs that the section has a Dice of: in the order of their labels where that is known, by name otherwise."""
    found = {label for label in section.labels(DICE) if label}
    known = next((order for order in ORDERS if found <= set(order)), tuple(sorted(found)))
    return tuple(organ for organ in known if organ in found)


def attacked(section: Section) -> tuple[str, ...]:
    """Every attack of the section, replays of stored ones last."""
    names = dict.fromkeys(record.attack for record in section.records if record.attack != "none" and not record.explains)
    own = (*section.attacks, *section.controls)
    return tuple(sorted(names, key=lambda name: name not in own))


def by_model_and_attack(section: Section, row: Row, names: Sequence[str]) -> list[Labelled]:
    """One line a condition, model and attack that the plan puts together; `row` is given the model, the attack and the condition."""
    return [
        ((condition, *model, CLEAN if name == "none" else name), row(model, name, condition))
        for condition in section.conditions
        for model in section.models
        for name in names
        if section.cells(model, name, condition)
    ]


def measures(section: Section, quantities: Sequence[Quantity]) -> Row:
    """A row of plain quantities."""
    return lambda model, name, condition: [measure(section, model, name, condition, quantity) for quantity in quantities]


def percent(name: str, better: bool | None = None) -> Column:
    """A column of Dice, as percent."""
    return Column(name, "", "%", 100, 1, better)
