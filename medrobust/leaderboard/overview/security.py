"""Security curves: the headline over a growing budget, one attack at a time and at the worst of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from medrobust.amounts import amount
from medrobust.leaderboard.evidence import Record
from medrobust.leaderboard.overview.placing import Placed
from medrobust.leaderboard.overview.standing import Curve, Curves, Point
from medrobust.leaderboard.section import Model
from medrobust.leaderboard.tables import Entry

WORST = "worst case"
NORMS = {"linf": "each pixel may change by up to", "l2": "the Euclidean length of the change is at most"}
AXES = {"linf": "budget: largest change of any pixel", "l2": "budget: Euclidean length of the change"}
MOST = 24
"""How many entrants have curves: those that stand highest under the first bounded budget."""


def norm_of(record: Record) -> str:
    """The norm that bounds a cell's attack, such as `linf`; empty where none does."""
    return str(record.budget.get("norm", "")) if record.budget.get("epsilon") is not None else ""


def epsilon(record: Record) -> tuple[float, str]:
    """How far an attack may go, and in which unit."""
    found = record.budget.get("epsilon")
    return amount(found if isinstance(found, str | float | int) else str(found))


def budgets(records: Sequence[Record]) -> dict[str, tuple[float, str]]:
    """Condition to its epsilon, of conditions whose attacks are bounded by a norm."""
    return {record.condition: epsilon(record) for record in records if norm_of(record)}


def allowed(records: Sequence[Record], conditions: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Of each condition that a norm bounds, what an attack may change, in words; of the range of intensities where that is known."""
    found = {record.condition: _allowed(record) for record in records if norm_of(record) and record.condition in conditions}
    return tuple(found.items())


def _allowed(record: Record) -> str:
    bound, unit = epsilon(record)
    if math.isinf(bound):
        return "no bound"
    what = NORMS.get(norm_of(record), f"the {norm_of(record)} norm of the change is at most")
    size = str(record.budget["epsilon"])
    low, high = (record.budget.get(end) for end in ("low", "high"))
    if norm_of(record) != "linf" or unit or not isinstance(low, float | int) or not isinstance(high, float | int):
        return f"{what} {size}"
    ends = f"{low:g} and {high:g}".replace("-", "\N{MINUS SIGN}")
    return f"{what} {size} where intensities lie between {ends}: {100 * bound / (high - low):.2g} % of that range"


def curves(placed: Sequence[Placed], norm: str, known: Mapping[str, tuple[float, str]]) -> tuple[Curves, ...]:
    """One set of axes a unit; nothing below two budgets. placed: the conditions of one norm."""
    found = []
    for unit in dict.fromkeys(known[one.trials.condition][1] for one in placed):
        along = sorted((one for one in placed if known[one.trials.condition][1] == unit), key=lambda one: known[one.trials.condition][0])
        if len(along) > 1:
            found.append(_axes(along, norm, unit, [known[one.trials.condition][0] for one in along]))
    return tuple(found)


def _axes(along: Sequence[Placed], norm: str, unit: str, at: Sequence[float]) -> Curves:
    first = next((one for one in along if one.shown), along[0])
    everyone = [first.trials.entrants[entrant] for entrant in first.order]
    chosen = everyone[:MOST]
    attacks = dict.fromkeys(attack for one in along for attack in one.trials.attacks if attack)
    drawn = [_curve(along, at, entrant, attack) for attack in (WORST, *attacks) for entrant in chosen]
    several = f", the {MOST} of {len(everyone)} that stand highest at {first.trials.condition}" if len(everyone) > MOST else ""
    words = f"{norm}, {unit}" if unit else norm
    name = first.headline.column.name
    said = AXES.get(norm, f"budget ({norm})") + (f", {unit}" if unit else "")
    over = tuple((x, len(one.comparison.attacks)) for one, x in zip(along, at, strict=True))
    return Curves(
        f"{name[0].upper()}{name[1:]} over the budget ({norm}){several}",
        words,
        first.headline.column,
        tuple(filter(None, drawn)),
        said,
        over if len({count for _, count in over}) > 1 else (),
    )


def _curve(along: Sequence[Placed], at: Sequence[float], entrant: Model, attack: str) -> Curve | None:
    """One entrant under one attack; nothing where that was measured under fewer than two budgets."""
    places = [one.trials.entrants.index(entrant) if entrant in one.trials.entrants else None for one in along]
    clean = next((one.by_attack[0][place] for one, place in zip(along, places, strict=True) if place is not None and _there(one, place)), None)
    points = [Point(0.0, "clean", clean)] if clean else []
    measured = 0
    for one, place, x in zip(along, places, at, strict=True):
        entry = _entry(one, place, attack) if place is not None else None
        if entry is not None and entry.estimate is not None:
            points.append(Point(x, one.trials.condition, entry))
            measured += 1
    return Curve(str(entrant), attack, tuple(points)) if measured > 1 else None


def _there(one: Placed, place: int) -> bool:
    return one.by_attack[0][place].estimate is not None


def _entry(one: Placed, place: int, attack: str) -> Entry | None:
    if attack == WORST:
        return one.worst_entries[place]
    return one.by_attack[one.trials.attacks.index(attack)][place] if attack in one.trials.attacks else None
