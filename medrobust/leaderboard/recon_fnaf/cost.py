"""What each cell cost: passes of the model, which any machine repeats, and seconds, which it does not."""

from __future__ import annotations

from medrobust.leaderboard.layout import ATTACK_HEADS, any_number
from medrobust.leaderboard.measure import missing
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table

COLUMNS = (
    Column("forward passes", "per case", "per case", digits=1),
    Column("gradient passes", "per case", "per case", digits=1),
    Column("seconds", "s per case", "s per case", digits=3),
)


COSTS = ("forward passes", "gradient passes", "seconds")


def cost(section: Section) -> list[Table]:
    """Per case, from what each cell recorded when it was computed."""
    found = tuple(
        Line((condition, attack, *model), tuple(_entry(section, attack, condition, model, name) for name in COSTS))
        for condition in section.conditions
        for attack in ("none", *section.attacks, *section.controls)
        for model in section.models
    )
    caption = (
        "Passes that the attack itself asked of the model, and seconds in all (loading, attacking, judging), per case; "
        "seconds hold on the machine named at the foot of the page alone."
    )
    return [Table("cost", "Cost", caption, section.data_label, ATTACK_HEADS, COLUMNS, found, 2, fold=True)] if any_number(found) else []


def _entry(section: Section, attack: str, condition: str, model: Model, name: str) -> Entry:
    records = section.cells(model, attack, condition)
    validity = section.validity(records)
    if validity.level == "missing":
        return missing(validity)
    known = [record.cost[name] / record.cases for record in records if name in record.cost and record.cases]
    if len(known) < len(records):
        return Entry(note="not recorded")
    return Entry(sum(known) / len(known), cases=sum(record.cases for record in records))
