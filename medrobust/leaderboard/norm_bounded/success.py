"""How often attacks succeed where there is something to succeed at: among cases that are answered rightly when clean."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.norm_bounded.rule import HEADS, INTERVALS, attacks, budgets, labels
from medrobust.leaderboard.overview.intervals import entries
from medrobust.leaderboard.overview.placing import Placed
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table, Validity, worst
from medrobust.stats.bootstrap import Floats

ANY = "any attack"
NONE = Validity("missing", ("no attack counts",))


def success(section: Section) -> list[Table]:
    """One line a budget and model, one column an attack, and one of cases that any of them turns."""
    names = attacks(section)
    columns = tuple(Column(name, "", "%", 100, 1) for name in (ANY, *names))
    found = tuple(line for placed in budgets(section) for line in _lines(placed, names))
    if not any_number(found):
        return []
    caption = (
        "Share of the cases that a model answers rightly when clean and wrongly under attack; cases that were wrong before need no attack and are "
        f"not counted. Any attack: turned by at least one of the line. Lower is better. {INTERVALS}"
    )
    return [Table("success", "Success among right answers", caption, section.data_label, HEADS, columns, found)]


def _lines(placed: Placed, names: tuple[str, ...]) -> list[Line]:
    trials = placed.trials
    models = range(len(trials.entrants))
    table = {ANY: _turned(placed, placed.own_values, [_of(placed, placed.own(entrant), entrant) for entrant in models])}
    for at, name in enumerate(trials.attacks):
        if name:
            table[name] = _turned(placed, trials.values[at], [_of(placed, (at,), entrant) for entrant in models])
    return [Line(labels(placed, model), tuple(table[name][entrant] for name in (ANY, *names))) for entrant, model in enumerate(trials.entrants)]


def _of(placed: Placed, over: tuple[int, ...], entrant: int) -> Validity:
    """Of the clean cell and of these attacks; missing where one of them is, and where none of them counts."""
    if not over:
        return NONE
    found = [placed.trials.validity[at][entrant] for at in (0, *over)]
    lacking = [one for one in found if one.level == "missing"]
    return lacking[0] if lacking else worst(found)


def _turned(placed: Placed, values: Floats, validity: list[Validity]) -> list[Entry]:
    """1 where a right answer became a wrong one, no value where the clean answer was wrong."""
    clean = placed.trials.values[0]
    right = np.where(clean == 1, 1 - values, np.nan)
    return entries(right, placed.trials.patients, validity, 0, rate=True)
