"""Whether the winner of a condition hangs on a choice that might as well have been another: the metric, the attacks, the patients, who is let in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from medrobust.leaderboard.overview.placing import Placed
from medrobust.leaderboard.overview.trials import trials
from medrobust.stats.board import Board
from medrobust.stats.detectable import Detectable, detectable_on
from medrobust.stats.sensitivity import filled, sensitivity, winners

PATIENTS = 5
"""How many single patients are named whose absence changes the winner."""

Tried = tuple[str, str, bool]


MANY = 4
"""How many are named that win together."""


def detectable(placed: Sequence[Placed]) -> dict[str, Detectable]:
    """What differences the tests behind the tiers of each condition could show; a condition whose tests can show none is left out."""
    found = {one.trials.condition: detectable_on(one.board, one.ranking.tests) for one in placed if one.board is not None and one.ranking is not None}
    return {condition: one for condition, one in found.items() if not np.isnan(one.typical)}


def tried(placed: Placed, several: bool, shared: bool) -> list[Tried]:
    """(what was changed, who win then, whether they are the same winners). shared: conditions differ in their budget alone."""
    if placed.board is None:
        return []
    ranked = in_order(placed)
    board = Board.of(placed.worst[ranked], placed.trials.patients, placed.headline.better)
    names = [str(placed.trials.entrants[entrant]) for entrant in ranked]
    attacks = {placed.trials.attacks[attack]: placed.over([[attack]] * len(placed.trials.entrants))[ranked] for attack in placed.comparison.attacks}
    changes = sensitivity(board, attacks, _others(placed, ranked, shared))
    found: list[Tried] = [(change.what, together([names[who] for who in change.winners]), change.same) for change in changes]
    found += _let_in(placed, ranked)
    where = f"{placed.trials.condition}: " if several else ""
    return [(f"{where}{what}", who, same) for what, who, same in _short(found)]


def together(names: Sequence[str]) -> str:
    """One winner by name; of several that they are equal."""
    if len(names) == 1:
        return names[0]
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return f"equal: {', '.join(names[:MANY])}{more}"


def in_order(placed: Placed) -> list[int]:
    """Ranked entrants, the best first."""
    ranked = set(placed.comparison.ranked)
    return [entrant for entrant in placed.order if entrant in ranked]


def _others(placed: Placed, ranked: Sequence[int], shared: bool) -> Mapping[str, Board]:
    """The same entrants under the same attacks by another metric; nothing where one of them has no value of it."""
    made = {}
    names = [placed.trials.entrants[entrant] for entrant in ranked]
    attacks = [placed.trials.attacks[attack] for attack in placed.comparison.attacks] or [""]
    for name, other in placed.headline.others:
        rule = replace(placed.headline, rows=other.rows, column=other.column)
        for found in trials(placed.section, rule, [placed.trials.condition], shared):
            if set(names) <= set(found.entrants) and set(attacks) <= set(found.attacks):
                lines, rows = [found.attacks.index(attack) for attack in attacks], [found.entrants.index(one) for one in names]
                pick = np.min if other.better else np.max
                clean = [0] if "" in found.attacks and found.sound[0, rows].all() else []
                values = pick(found.values[np.ix_([*clean, *lines], rows)], axis=0)
                if values.size and not np.isnan(values).all(axis=1).any():
                    made[name] = Board.of(values, found.patients, other.better)
    return made


def _let_in(placed: Placed, ranked: Sequence[int]) -> list[Tried]:
    """With entrants that are not ranked because values are missing, under other policies for what is missing."""
    levels = {entrant: reason.level for entrant, reason in placed.comparison.reasons.items()}
    further = [entrant for entrant, level in levels.items() if level == "warn" and not np.isnan(placed.worst[entrant]).all()]
    if not further:
        return []
    everyone = [*ranked, *further]
    board = Board.of(placed.worst[everyone], placed.trials.patients, placed.headline.better)
    first = winners(Board.of(placed.worst[ranked], placed.trials.patients, placed.headline.better))
    found = []
    for what, other in filled(board).items():
        who = winners(other)
        names = [str(placed.trials.entrants[everyone[one]]) for one in who]
        found.append((f"entrants with missing values let in: {what}", together(names), who == first))
    return found


def _short(found: Sequence[Tried]) -> list[Tried]:
    """Of many patients whose absence changes the winner the first few, and how many more there are."""
    single = [one for one in found if one[0].startswith("without patient ")]
    if len(single) <= PATIENTS:
        return list(found)
    kept = [one for one in found if one not in single[PATIENTS:]]
    return [*kept, (f"without one of {len(single) - PATIENTS} further patients", "others", False)]
