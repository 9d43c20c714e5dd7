"""What a cell cost, per case, from what it recorded when it was computed."""

from __future__ import annotations

from collections.abc import Sequence

from medrobust.leaderboard.measure import missing
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry

COLUMNS = (
    Column("forward passes", "per case", "per case", digits=1),
    Column("gradient passes", "per case", "per case", digits=1),
    Column("seconds", "s per case", "s per case", digits=3),
)


def costs(section: Section, attack: str, condition: str, model: Model, names: Sequence[str]) -> tuple[Entry, ...]:
    """One entry a name of `Record.cost`."""
    return tuple(_entry(section, attack, condition, model, name) for name in names)


def _entry(section: Section, attack: str, condition: str, model: Model, name: str) -> Entry:
    records = section.cells(model, attack, condition)
    validity = section.validity(records)
    if validity.level == "missing":
        return missing(validity)
    known = [record.cost[name] / record.cases for record in records if name in record.cost and record.cases]
    if len(known) < len(records):
        return Entry(note="not recorded")
    return Entry(sum(known) / len(known), cases=sum(record.cases for record in records))
