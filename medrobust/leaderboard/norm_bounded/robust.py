"""The headline: every model clean, under each attack, and where each case is at its worst."""

from __future__ import annotations

from dataclasses import replace

from medrobust.leaderboard.layout import PAIRED, Labelled, any_number, lines
from medrobust.leaderboard.norm_bounded.rule import HEADS, INTERVALS, MANY, attacks, budgets, labels, measured, worst
from medrobust.leaderboard.overview.headlines import HEADLINES
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Table


def robust(section: Section) -> list[Table]:
    """One line a budget and model."""
    names = attacks(section)
    column = HEADLINES[section.track].column
    marked = column.better if len(section.models) <= MANY else None
    columns = [replace(column, name="clean", better=marked), replace(column, name="worst case", better=marked)]
    columns += [replace(column, name=name, better=None) for name in names]
    labelled: list[Labelled] = []
    for placed in budgets(section):
        trials = placed.trials
        for entrant, model in enumerate(trials.entrants):
            entries = [line[entrant] for line in placed.by_attack]
            each = {name: measured(placed, entries[at], trials.values[at, entrant]) for at, name in enumerate(trials.attacks)}
            labelled.append((labels(placed, model), [each[""], worst(placed, entrant), *(each[name] for name in names)]))
    found = lines(labelled, columns, 1)
    if not any_number(found):
        return []
    caption = (
        f"{column.name[0].upper()}{column.name[1:]}: {HEADLINES[section.track].said}. Worst case: of each case the worst value, clean or under any "
        "attack of the line, so it can lie below every one of them; attacks that are invalid are left out. Every attack is made on the very model of "
        f"its line, a defended one with its defense in place. {INTERVALS} Bold: not measurably worse than the best of its "
        f"budget ({PAIRED})."
    )
    return [Table("robust", f"{column.name[0].upper()}{column.name[1:]} under attack", caption, section.data_label, HEADS, tuple(columns), found)]

