"""Where the features that hurt most were found, inside the 120 x 120 box of the paper."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.figures import Map, maps
from medrobust.leaderboard.layout import ATTACK_HEADS, any_number, by_attack, lines
from medrobust.leaderboard.measure import Quantity
from medrobust.leaderboard.recon_fnaf.rule import BOX, INTERVALS
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Figure, Table
from medrobust.stats import clustered_rate

BINS = 12
COLUMNS = (
    Column("row", "pixel", "pixel", digits=1),
    Column("column", "pixel", "pixel", digits=1),
    Column("row in box", "", "%", 100, 1),
    Column("column in box", "", "%", 100, 1),
)


def _inside(label: str) -> Quantity:
    return Quantity("feature-location", label, lambda v: ((v >= BOX[0]) & (v <= BOX[1])).astype(float), clustered_rate)


def locations(section: Section) -> list[Table | Figure]:
    """A heat map of every model, attack and condition, and mean place in a table."""
    quantities = [Quantity("feature-location", "row"), Quantity("feature-location", "column"), _inside("row"), _inside("column")]
    found = lines(by_attack(section, quantities, section.attacks), COLUMNS, 2)
    if not any_number(found):
        return []
    drawn = tuple(
        heat(section, model, attack, condition)
        for condition in section.conditions
        for attack in section.attacks
        for model in section.models
        if section.cells(model, attack, condition)
    )
    caption = f"Mean centre of the features found, and share of them inside rows and columns {BOX[0]} to {BOX[1]}. {INTERVALS}"
    table = Table("locations", "Feature locations", caption, section.data_label, ATTACK_HEADS, COLUMNS, found, 2, fold=True)
    size = (BOX[1] - BOX[0]) // BINS
    words = (
        f"How many features were centred in each square of {size} x {size} pixels of rows and columns {BOX[0]} to {BOX[1]}; "
        f"stronger is more, each map scaled to its own maximum, row {BOX[0]} on top."
    )
    if not any(one.counts for one in drawn):
        return [table]
    return [maps("locations-figure", "Where features were found", words, section.data_label, drawn, BOX, min(len(section.models), 6)), table]


def heat(section: Section, model: Model, attack: str, condition: str) -> Map:
    """Counts in the box, (BINS, BINS); empty where there is nothing inside it or the cell is invalid."""
    title = f"{model}, {attack}, {condition}"
    if section.validity(section.cells(model, attack, condition)).level in {"missing", "invalid"}:
        return Map(title, ())
    keys = ["cell", "case"]
    rows, columns = (section.frame(model, attack, condition, "feature-location", label)[[*keys, "value"]] for label in ("row", "column"))
    both = rows.merge(columns, on=keys)
    counts, _, _ = np.histogram2d(both["value_x"], both["value_y"], bins=BINS, range=(BOX, BOX))
    return Map(title, tuple(tuple(int(n) for n in row) for row in counts) if counts.any() else ())
