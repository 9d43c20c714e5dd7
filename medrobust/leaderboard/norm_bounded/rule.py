"""What the tables share: conditions with their entrants, lines of a model under a budget, and words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medrobust.leaderboard.measure import Measured
from medrobust.leaderboard.overview.placing import Placed
from medrobust.leaderboard.overview.placings import placings
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Entry
from medrobust.stats import Sample
from medrobust.stats.bootstrap import Floats

HEADS = ("budget", "target", "defense")
ATTACK_HEADS = (*HEADS, "attack")
INTERVALS = (
    "95 % intervals in brackets, from 2000 bootstrap resamples of patients; of rates never narrower than Wilson's for as many cases as these are "
    "worth."
)
MANY = 300
"""Beyond so many models a column is not searched for those that are not measurably worse than its best: tiers are in the overview."""


def budgets(section: Section) -> Iterator[Placed]:
    """Every budget that has entrants, in the order of the plan."""
    order = {condition: place for place, condition in enumerate(section.conditions)}
    yield from sorted((one for group in placings(section) for one in group.placed), key=lambda one: order[one.trials.condition])


def attacks(section: Section) -> tuple[str, ...]:
    """Every attack made on a model itself, controls such as random noise last."""
    return tuple(dict.fromkeys(attack for group in placings(section) for one in group.placed for attack in one.trials.attacks if attack))


def sample(placed: Placed, values: Floats) -> Sample | None:
    """Cases that have a value; None where none has."""
    held = ~np.isnan(values)
    return Sample(values[held], placed.trials.patients[held], np.flatnonzero(held).astype(str)) if held.any() else None


def measured(placed: Placed, entry: Entry, values: Floats) -> Measured:
    """An entry with its cases; without them where it has no number."""
    return Measured(entry, sample(placed, values) if entry.estimate is not None else None)


def worst(placed: Placed, entrant: int) -> Measured:
    """Worst case over every attack made on this entrant."""
    own = placed.own_entries[entrant]
    if own is None:
        return measured(placed, placed.worst_entries[entrant], placed.worst[entrant])
    return measured(placed, own, placed.own_values[entrant])


def labels(placed: Placed, model: Model, *further: str) -> tuple[str, ...]:
    """The labels of a line."""
    return (placed.trials.condition, *model, *further)
