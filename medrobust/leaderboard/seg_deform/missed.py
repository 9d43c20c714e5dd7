"""Organs that an answer leaves out altogether, as rates and as counts."""

from __future__ import annotations

from medrobust.leaderboard.layout import Labelled, any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, measure
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.seg_deform.rule import CLEAN, HEADS, INTERVALS, attacked, organs, percent
from medrobust.leaderboard.tables import Column, Entry, Table
from medrobust.stats import clustered_rate

COLUMNS = (percent("missed"), Column("slices missed", digits=0), Column("slices with the organ", digits=0))


def missed(section: Section) -> list[Table]:
    """One line a model, attack and organ."""
    labelled: list[Labelled] = [
        ((condition, *model, CLEAN if attack == "none" else attack, organ), counted(measure(section, model, attack, condition, of(organ))))
        for condition in section.conditions
        for model in section.models
        for attack in ("none", *attacked(section))
        if section.cells(model, attack, condition)
        for organ in organs(section)
    ]
    found = lines(labelled, COLUMNS, 3)
    caption = f"Slices that show an organ and of which the answer has not one pixel of it; each such organ has a Dice of 0 there. {INTERVALS}"
    heads = (*HEADS, "organ")
    return [Table("missed", "Missed organs", caption, section.data_label, heads, COLUMNS, found, 3, fold=True)] if any_number(found) else []


def of(organ: str) -> Quantity:
    return Quantity("missed-organ", organ, estimator=clustered_rate)


def counted(rate: Measured) -> list[Measured]:
    """The rate, how many slices it counts and of how many; where there is no rate, why, thrice."""
    if rate.sample is None:
        return [rate] * len(COLUMNS)
    found, values = rate.entry, rate.sample.values
    counts = [Entry(float(count), patients=found.patients, cases=found.cases, expected=found.expected) for count in (values.sum(), len(values))]
    return [rate, *map(Measured, counts)]
