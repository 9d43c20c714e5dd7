"""Tables of the two shapes there are: one line a model and condition, or one line a model, attack and condition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from medrobust.leaderboard.measure import Measured, Quantity, measure, ranked
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Line

MODEL_HEADS = ("condition", "target", "defense")
ATTACK_HEADS = ("condition", "attack", "target", "defense")
PAIRED = "paired by patient, each pair by itself: tiers, which test all pairs together, tell fewer apart"
"""How columns are searched for entries that are not measurably worse than the best."""
Labelled = tuple[tuple[str, ...], list[Measured]]


def lines(labelled: Sequence[Labelled], columns: Sequence[Column], group: int) -> tuple[Line, ...]:
    """Lines in order; entries are compared down a column among lines that share their first `group` labels."""
    found: list[Line] = []
    for _, block in groupby(labelled, key=lambda line: line[0][:group]):
        part = list(block)
        down = [ranked([measured[i] for _, measured in part], column.better) for i, column in enumerate(columns)]
        found += [Line(labels, tuple(column[row] for column in down)) for row, (labels, _) in enumerate(part)]
    return tuple(found)


def by_model(section: Section, attack: str, quantities: Sequence[Quantity]) -> list[Labelled]:
    """One line a condition and model, under one attack."""
    return [
        ((condition, model.target, model.defense), [measure(section, model, attack, condition, quantity) for quantity in quantities])
        for condition in section.conditions
        for model in section.models
    ]


def by_attack(section: Section, quantities: Sequence[Quantity], attacks: Sequence[str]) -> list[Labelled]:
    """One line a condition, attack and model that the plan puts together."""
    return [
        ((condition, attack, model.target, model.defense), [measure(section, model, attack, condition, quantity) for quantity in quantities])
        for condition in section.conditions
        for attack in attacks
        for model in section.models
        if section.cells(model, attack, condition)
    ]


def across_attacks(section: Section, quantity: Quantity, attacks: Sequence[str]) -> list[Labelled]:
    """One line a condition and model, one entry an attack."""
    return [
        ((condition, model.target, model.defense), [measure(section, model, attack, condition, quantity) for attack in attacks])
        for condition in section.conditions
        for model in section.models
    ]


def any_number(found: Sequence[Line]) -> bool:
    """Whether a table has anything to show."""
    return any(entry.estimate is not None for line in found for entry in line.entries)
