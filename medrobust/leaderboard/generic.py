"""The table of a track that has none of its own: the mean of every metric."""

from __future__ import annotations

from medrobust.leaderboard.layout import ATTACK_HEADS, Labelled, any_number, lines
from medrobust.leaderboard.measure import Quantity, measure
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Table
from medrobust.store import MARKER


def means(section: Section) -> list[Table]:
    """One line a condition, attack and model; one column a metric and label."""
    pairs = section.rows[["metric", "label"]].drop_duplicates().to_numpy().tolist()
    names = sorted((str(metric), str(label)) for metric, label in pairs if metric != MARKER)
    units = dict(section.rows[["metric", "unit"]].drop_duplicates().to_numpy().tolist())
    columns = tuple(Column(f"{metric} {label}".strip(), units[metric], units[metric], digits=4) for metric, label in names)
    labelled: list[Labelled] = [
        ((condition, attack, *model), [measure(section, model, attack, condition, Quantity(metric, label)) for metric, label in names])
        for condition in section.conditions
        for attack in dict.fromkeys(record.attack for record in section.records)
        for model in section.models
        if section.cells(model, attack, condition)
    ]
    found = lines(labelled, columns, 2)
    caption = "Mean of every metric over cases. 95 % intervals in brackets, from 2000 bootstrap resamples of patients."
    return [Table("means", "All metrics", caption, section.data_label, ATTACK_HEADS, columns, found, 2)] if any_number(found) else []
