"""Whether the winner of a condition hangs on a choice that might as well have been another: the metric, the attacks, the patients, who is let in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from medrobust.leaderboard.overview.placing import Placed
from medrobust.leaderboard.overview.trials import trials
from medrobust.stats.board import Board
from medrobust.stats.detectable import detectable_on
from medrobust.stats.sensitivity import filled, sensitivity, winner

PATIENTS = 5
"""How many single patients are named whose absence changes the winner."""

Tried = tuple[str, str, bool]


def detectable(placed: Sequence[Placed]) -> float | None:
    """The least difference that the test set could show, of several conditions the largest; None where nothing is compared."""
    found = [detectable_on(one.board, one.ranking.tests).difference for one in placed if one.board is not None and one.ranking is not None]
    known = [one for one in found if not np.isnan(one)]
    return max(known) if known else None


def tried(placed: Placed, several: bool, shared: bool) -> list[Tried]:
    """(what was changed, who wins then, whether it is the same winner). shared: conditions differ in their budget alone."""
    if placed.board is None:
        return []
    ranked = in_order(placed)
    board = Board.of(placed.worst[ranked], placed.trials.patients, placed.headline.better)
    names = [str(placed.trials.entrants[entrant]) for entrant in ranked]
    attacks = {placed.trials.attacks[attack]: placed.over([[attack]] * len(placed.trials.entrants))[ranked] for attack in placed.comparison.attacks}
    changes = sensitivity(board, attacks, _others(placed, ranked, shared))
    found: list[Tried] = [(change.what, names[change.winner], change.same) for change in changes]
    found += _let_in(placed, ranked)
    where = f"{placed.trials.condition}: " if several else ""
    return [(f"{where}{what}", who, same) for what, who, same in _short(found)]


def in_order(placed: Placed) -> list[int]:
    """Ranked entrants, the winner first, so that of equal ones the winner is the one that was."""
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
    first = str(placed.trials.entrants[everyone[0]])
    board = Board.of(placed.worst[everyone], placed.trials.patients, placed.headline.better)
    found = []
    for what, other in filled(board).items():
        who = str(placed.trials.entrants[everyone[winner(other)]])
        found.append((f"entrants with missing values let in: {what}", who, who == first))
    return found


def _short(found: Sequence[Tried]) -> list[Tried]:
    """Of many patients whose absence changes the winner the first few, and how many more there are."""
    single = [one for one in found if one[0].startswith("without patient ")]
    if len(single) <= PATIENTS:
        return list(found)
    kept = [one for one in found if one not in single[PATIENTS:]]
    return [*kept, (f"without one of {len(single) - PATIENTS} further patients", "others", False)]
