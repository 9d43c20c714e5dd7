"""The same perturbations as attacks: how often they flip the answer, each direction apart, and what they change for it."""

from __future__ import annotations

from medrobust.leaderboard.layout import any_number, by_attack, lines
from medrobust.leaderboard.measure import Quantity
from medrobust.leaderboard.roi.rule import INTERVALS
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Table
from medrobust.stats import clustered_rate

DIRECTIONS = ("HGG->LGG", "LGG->HGG")
HEADS = ("condition", "attack", "target", "defense")
COLUMNS = (
    *(Column(direction.replace("->", " → "), "", "%", 100, 1) for direction in DIRECTIONS),
    Column("probability change", digits=3),
    Column("mean change", "of the range", "10⁻³ of the range", 1000, 2),
)


def flips(section: Section) -> list[Table]:
    """One line an attack and model; directions are never averaged: what only removes intensity can flip one way alone."""
    rates = [Quantity("flip", direction, estimator=clustered_rate) for direction in DIRECTIONS]
    quantities = [*rates, Quantity("probability-change"), Quantity("image-l1")]
    found = lines(by_attack(section, quantities, (*section.attacks, *section.controls)), COLUMNS, 2)
    caption = (
        "Share of answers that each attack turns, by the answer on the clean volume, mean change of the probability, and mean absolute change of a "
        f"voxel (volumes lie in [0, 1]). {INTERVALS}"
    )
    return [Table("flips", "As attacks", caption, section.data_label, HEADS, COLUMNS, found, 2)] if any_number(found) else []
