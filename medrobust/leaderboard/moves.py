"""What moved a rank between two leaderboards: each entrant's tier and rank interval on both sides, and what lies behind a change."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medrobust.leaderboard.overview.standing import Overview, Standing
from medrobust.leaderboard.pairs import Pair
from medrobust.leaderboard.tables import Column, Entry
from medrobust.leaderboard.text import estimate, number

ABSENT = "not there"


@dataclass(frozen=True)
class Side:
    """Where an entrant stands on one side. tier, low_rank, high_rank: None where it is not ranked. worst: its worst case, as text."""

    tier: int | None
    low_rank: int | None
    high_rank: int | None
    worst: str

    @property
    def place(self) -> tuple[int | None, int | None, int | None]:
        return self.tier, self.low_rank, self.high_rank

    @property
    def text(self) -> str:
        """Such as `tier 2, rank 3 to 5`."""
        if self.tier is None:
            return "not ranked"
        ranks = "" if self.low_rank is None else f", rank {self.low_rank}" + (f" to {self.high_rank}" if self.high_rank != self.low_rank else "")
        return f"tier {self.tier}{ranks}"


@dataclass(frozen=True)
class Move:
    """One entrant of one condition. first, second: None where it is not there. why: one line each, empty where nothing moved."""

    track: str
    data: str
    condition: str
    entrant: str
    first: Side | None
    second: Side | None
    why: tuple[str, ...]

    @property
    def moved(self) -> bool:
        return (self.first and self.first.place) != (self.second and self.second.place)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        sides = {name: None if side is None else vars(side) for name, side in (("first", self.first), ("second", self.second))}
        named = {name: getattr(self, name) for name in ("track", "data", "condition", "entrant")}
        return {**named, **sides, "moved": self.moved, "why": list(self.why)}


def moves(first: Sequence[Overview], second: Sequence[Overview], pairs: Iterable[Pair] = ()) -> tuple[Move, ...]:
    """Every entrant of overviews of one data set; data sets that one side alone has are left out.

    pairs: the cells behind them; conditions whose cells hold other data under one name are left out.
    """
    others = {_data_set(one): one for one in second}
    apart = {(pair.first.track, pair.first.data, pair.first.data_label, pair.first.condition) for pair in pairs if not pair.paired}
    found = [(one, others[_data_set(one)]) for one in first if _data_set(one) in others]
    made = [(one, move) for one, two in found for move in _moves(one, two)]
    return tuple(move for one, move in made if (one.track, one.data, one.data_label, move.condition) not in apart)


def _data_set(overview: Overview) -> tuple[str, str, str, str]:
    return overview.track, overview.data, overview.data_label, overview.group


def _moves(first: Overview, second: Overview) -> list[Move]:
    held = [{(one.condition, one.name): one for one in side.standings} for side in (first, second)]
    keys = list(dict.fromkeys((*held[0], *held[1])))
    changed = {key: _own(key, held, (first, second)) for key in keys}
    found = []
    for condition, name in keys:
        one, other = (side.get((condition, name)) for side in held)
        sides = [None if standing is None else _side(standing, overview) for standing, overview in ((one, first), (other, second))]
        move = Move(first.track, first.data_label, condition, name, sides[0], sides[1], ())
        own = changed[condition, name] or ("its own numbers are the same",)
        others = [key[1] for key in keys if key[0] == condition and key[1] != name and changed[key]]
        why = (*_compared(condition, first, second), *own, *([f"changed beside it: {', '.join(others)}"] if others else []))
        found.append(Move(**{**vars(move), "why": why}) if move.moved else move)
    return found


def _side(standing: Standing, overview: Overview) -> Side:
    column = overview.headline
    worst = f"{estimate(standing.worst, column)} {column.shown if standing.worst.estimate is not None else ''}"
    return Side(standing.tier, standing.low_rank, standing.high_rank, worst.rstrip())


def _own(key: tuple[str, str], held: Sequence[Mapping[tuple[str, str], Standing]], overviews: tuple[Overview, Overview]) -> tuple[str, ...]:
    """What changed of an entrant's own numbers, clean images first."""
    one, other = (side.get(key) for side in held)
    if one is None or other is None:
        return (f"{'entered' if one is None else 'left'}: {ABSENT} in {'A' if one is None else 'B'}",)
    before, after = _entries(one, overviews[0]), _entries(other, overviews[1])
    found = [_change(name, before.get(name), after.get(name), overviews[0].headline) for name in dict.fromkeys((*before, *after))]
    return tuple(line for line in found if line)


def _entries(standing: Standing, overview: Overview) -> dict[str, Entry]:
    return {"clean": standing.clean, **dict(zip(overview.attacks, standing.by_attack, strict=True))}


def _change(name: str, first: Entry | None, second: Entry | None, column: Column) -> str:
    """How a number became another, or stopped or began to be one; empty where it is what it was."""
    states = [_state(entry) for entry in (first, second)]
    if states[0] != states[1]:
        return f"{name}: {states[0]} in A, {states[1]} in B"
    if first is None or second is None or first.estimate is None or second.estimate is None:
        return ""
    if math.isclose(first.estimate, second.estimate, rel_tol=1e-9, abs_tol=1e-12):
        return "" if first.cases == second.cases else f"{name}: {first.cases} cases in A, {second.cases} in B"
    return f"{name}: {number(first.estimate, column)} to {number(second.estimate, column)} {column.shown}".rstrip()


def _state(entry: Entry | None) -> str:
    """Whether a number is there and counts."""
    if entry is None:
        return "not in the plan"
    if entry.estimate is None:
        return entry.note or "missing"
    if entry.validity.level == "invalid":
        return f"invalid ({'; '.join(entry.validity.reasons)})"
    return "incomplete" if not entry.complete else "measured"


def _compared(condition: str, first: Overview, second: Overview) -> tuple[str, ...]:
    """Whether the worst case is over other attacks now."""
    one, other = (dict(side.compared).get(condition, ()) for side in (first, second))
    if one == other:
        return ()
    words = [f"no longer over {', '.join(name for name in one if name not in other)}"] if set(one) - set(other) else []
    words += [f"now over {', '.join(name for name in other if name not in one)} too"] if set(other) - set(one) else []
    return (f"worst case {' and '.join(words)}",) if words else ()
