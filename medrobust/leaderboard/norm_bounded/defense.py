"""What a defense changes: the defended model against the plain one, each under attacks made on itself, paired case by case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.measure import Measured, contrast
from medrobust.leaderboard.norm_bounded.rule import ATTACK_HEADS, INTERVALS, budgets, labels, measured
from medrobust.leaderboard.overview.headlines import HEADLINES
from medrobust.leaderboard.overview.placing import Placed
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table, Validity
from medrobust.leaderboard.tables import worst as together
from medrobust.stats import holm, paired_difference, permutation

WORST, CLEAN = "worst case", "clean"
MOST = 200
"""Lines that are tested at most: of more the worst cases alone, and of these the first."""
P, HOLM = Column("p", digits=4), Column("p, Holm", digits=4)


def defense(section: Section) -> list[Table]:
    """One line a budget, defended model and attack, the clean one first; nothing without such a pair of models."""
    pairs = [
        (labels(placed, defended, name), plain, other)
        for placed in budgets(section)
        for without, defended in section.defended
        for name, plain, other in _both(placed, without, defended)
    ]
    several = len(pairs)
    if several > MOST:
        pairs = [pair for pair in pairs if pair[0][-1] == WORST][:MOST]
    tests = [_p(plain, other) for _, plain, other in pairs]
    adjusted = iter(holm([one for one in tests if one is not None]).tolist() if any(one is not None for one in tests) else [])
    found = tuple(
        Line(
            names,
            (
                plain.entry,
                other.entry,
                contrast(other, plain, paired_difference),
                *(_number(one, plain, other) for one in (p, None if p is None else next(adjusted))),
            ),
        )
        for (names, plain, other), p in zip(pairs, tests, strict=True)
    )
    if not any_number(found):
        return []
    column = HEADLINES[section.track].column
    columns = (replace(column, name="plain", better=None), replace(column, name="defended", better=None), _gain(column), P, HOLM)
    part = f" Shown are {len(pairs)} worst cases of {several} comparisons." if several > MOST else ""
    caption = (
        f"{column.name[0].upper()}{column.name[1:]} of the plain and of the defended model, each under attacks made on itself, and the difference: "
        "what the defense gains, and on clean images what it costs. Worst case: clean and over attacks that both were put through. p: sign flips of "
        f"patients; Holm: adjusted for all lines of this table. {INTERVALS} Paired by patient.{part}"
    )
    return [Table("defense", "What a defense gains", caption, section.data_label, ATTACK_HEADS, columns, found)]


def _gain(column: Column) -> Column:
    return replace(column, name="difference", shown="points" if column.shown == "%" else column.shown, better=None)


def _both(placed: Placed, plain: Model, defended: Model) -> list[tuple[str, Measured, Measured]]:
    """Clean, worst case and each attack that the plan has of both."""
    trials = placed.trials
    if plain not in trials.entrants or defended not in trials.entrants:
        return []
    pair = [trials.entrants.index(model) for model in (plain, defended)]
    shared = [at for at in range(len(trials.attacks)) if all(trials.records[at][entrant] for entrant in pair)]
    made: list[tuple[str, Measured, Measured]] = []
    for at in shared:
        one, other = (measured(placed, placed.by_attack[at][entrant], trials.values[at, entrant]) for entrant in pair)
        made.append((trials.attacks[at] or CLEAN, one, other))
    sound = tuple(at for at in shared if at and all(trials.sound[at, entrant] for entrant in pair))
    if len(sound) > 1:
        one, other = _worst(placed, sound, pair)
        made.insert(1 if shared and not shared[0] else 0, (WORST, one, other))
    return made


def _worst(placed: Placed, attacks: tuple[int, ...], pair: list[int]) -> list[Measured]:
    """Worst case over attacks that both have whole and valid."""
    values = placed.over([attacks] * len(placed.trials.entrants))[pair]
    validity = [together([placed.trials.validity[at][entrant] for at in attacks]) for entrant in pair]
    found = placed.entries(values, validity)
    return [measured(placed, one, line) for one, line in zip(found, values, strict=True)]


def _p(plain: Measured, defended: Measured) -> float | None:
    """Of what can be compared: both have numbers to be believed."""
    if plain.sample is None or defended.sample is None or "invalid" in (plain.entry.validity.level, defended.entry.validity.level):
        return None
    found = permutation(defended.sample, plain.sample)
    return None if found.patients < 2 or np.isnan(found.p) else found.p


def _number(p: float | None, plain: Measured, defended: Measured) -> Entry:
    if p is None:
        return Entry(note="not compared", validity=Validity("missing", ("not compared",)))
    return Entry(p, patients=min(plain.entry.patients, defended.entry.patients), cases=min(plain.entry.cases, defended.entry.cases))
