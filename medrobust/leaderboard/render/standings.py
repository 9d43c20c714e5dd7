"""The standings of an overview as the page shows them: columns, cells and what they are sorted by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from medrobust.leaderboard.overview.security import WORST
from medrobust.leaderboard.overview.standing import Overview, Shown, Standing
from medrobust.leaderboard.render.drawn_curves import attack_said
from medrobust.leaderboard.render.reasons import Reason, reasons
from medrobust.leaderboard.tables import Column, Entry
from medrobust.leaderboard.text import estimate, interval, number

COSTS = {"queries": ("queries", ""), "gradients": ("gradients", ""), "seconds": ("time", "s"), "megabytes": ("memory", "MB")}
UNRANKED = "not ranked"


@dataclass(frozen=True)
class Head:
    """One column.

    key: its name in addresses, [a-z0-9-]. group: where the column chooser lists it. kind: how its cells are drawn: entrant, tier, number,
    loss, validity or cases. better: True where higher is better, False where lower is, None where neither. off: put away until it is asked for.
    """

    key: str
    name: str
    group: str
    kind: str = "number"
    unit: str = ""
    better: bool | None = None
    off: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell. text: the number or word. beside: its interval. key: what it is sorted by, empty for last. state: best, absent or invalid."""

    text: str
    beside: str = ""
    key: str = ""
    state: str = ""


@dataclass(frozen=True)
class Dumbbell:
    """Clean and worst case on the common scale, each with its interval, in [0, 100]; None where there is no number."""

    clean: float | None
    worst: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row:
    """One entrant. number: from 1, in the order of the overview. reasons: why its numbers are what they are. shown: its cases with pictures."""

    number: int
    standing: Standing
    cells: tuple[Cell, ...]
    dumbbell: Dumbbell
    reasons: tuple[Reason, ...]
    shown: tuple[Shown, ...]

    @property
    def turned(self) -> int:
        """How many of its pictures are of cases that the attack turned."""
        return sum(one.turned for one in self.shown)


@dataclass(frozen=True)
class View:
    """One overview. number: from 1, its anchors begin with `o<number>-`. groups: rows by condition. scale: ends of the dumbbells."""

    number: int
    overview: Overview
    heads: tuple[Head, ...]
    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    scale: tuple[float, float]

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for _, rows in self.groups for row in rows)

    @property
    def tiers(self) -> tuple[int, ...]:
        return tuple(sorted({one.tier for one in self.overview.standings if one.tier is not None}))

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.validity.level for one in self.overview.standings))

    @property
    def choices(self) -> tuple[tuple[str, tuple[Head, ...]], ...]:
        """Columns that can be put away, by group."""
        heads = self.heads[1:]
        return tuple((group, tuple(head for head in heads if head.group == group)) for group in dict.fromkeys(head.group for head in heads))

    @property
    def unit(self) -> str:
        return self.overview.headline.shown

    @property
    def off(self) -> tuple[int, ...]:
        """Places, from 1, of the columns that are put away until they are asked for."""
        return tuple(i for i, head in enumerate(self.heads, 1) if head.off)

    @property
    def alike(self) -> bool:
        """Every entrant was measured on the same patients and cases."""
        return len({(one.patients, one.cases) for one in self.overview.standings}) < 2

    @property
    def unit_of_difference(self) -> str:
        return "points" if self.unit == "%" else self.unit


def view(number_: int, overview: Overview) -> View:
    """What the page draws of an overview, entrants grouped by condition, in the order given."""
    heads, scale = _heads(overview), _scale(overview)
    rows = [_row(i, overview, standing, heads, scale) for i, standing in enumerate(overview.standings, 1)]
    conditions = dict.fromkeys(standing.condition for standing in overview.standings)
    groups = tuple((name, tuple(row for row in rows if row.standing.condition == name)) for name in conditions)
    return View(number_, overview, heads, groups, scale)


def _heads(overview: Overview) -> tuple[Head, ...]:
    headline, standings = overview.headline, overview.standings
    unit, better = headline.shown, headline.better
    heads = [Head("entrant", "entrant", "who", "entrant"), Head("tier", "tier", "standing", "tier")]
    if overview.attacks:
        heads.append(Head("worst", attack_said(WORST), "results", "number", unit, better))
    heads.append(Head("clean", "clean" if overview.attacks else headline.name, "results", "number", unit, better))
    if overview.attacks:
        heads.append(Head("loss", "clean to worst case", "results", "loss", "points" if unit == "%" else unit, better))
    heads.append(Head("validity", "validity", "standing", "validity"))
    if overview.shown:
        heads.append(Head("cases", "pictures", "size", "cases"))
    if any(one.missed is not None for one in standings):
        heads.append(Head("missed", "missed structures", "results", "number", "%", better=False, off=True))
    if any(one.own is not None for one in standings):
        heads.append(Head("own", "worst of all its attacks", "results", "number", unit, better, off=True))
    heads.append(Head("patients", "patients", "size", "patients", off=len({(one.patients, one.cases) for one in standings}) < 2))
    heads += [Head(f"attack-{i}", name, "attacks", "number", unit, better, off=True) for i, name in enumerate(overview.attacks, 1)]
    known = [(key, name, shown) for key, (name, shown) in COSTS.items() if any(key in one.cost for one in standings)]
    heads += [Head(key, name, "cost", "number", shown, off=True) for key, name, shown in known]
    if any(one.best is not None for one in standings):
        heads.append(Head("best", "leads in resamples of patients", "standing", "number", "%", off=True))
    return tuple(heads)


def _row(index: int, overview: Overview, standing: Standing, heads: Sequence[Head], scale: tuple[float, float]) -> Row:
    who = (standing.target, standing.defense, standing.condition)
    shown = tuple(one for one in overview.shown if (one.target, one.defense, one.condition) == who)
    cells = tuple(_cell(head, overview, standing, len(shown)) for head in heads)
    return Row(index, standing, cells, _dumbbell(standing, scale), reasons(overview, standing), shown)


def _cell(head: Head, overview: Overview, standing: Standing, shown: int) -> Cell:
    headline = overview.headline
    if head.key.startswith("attack-"):
        return _number(standing.by_attack[int(head.key[7:]) - 1], headline)
    if head.key in COSTS:
        spent = standing.cost.get(head.key)
        return UNKNOWN if spent is None else Cell(amount(spent), key=f"{spent:.9g}")
    makers: dict[str, Callable[[], Cell]] = {
        "entrant": lambda: Cell(standing.name),
        "tier": lambda: _tier(standing),
        "clean": lambda: _number(standing.clean, headline),
        "loss": lambda: _loss(standing, headline),
        "worst": lambda: _worst(overview, standing),
        "own": lambda: Cell("the same", state="absent") if standing.own is None else _number(standing.own, headline),
        "missed": lambda: UNKNOWN if standing.missed is None else _number(standing.missed, PERCENT),
        "validity": lambda: Cell(standing.validity.level, key=str(_severity(standing.validity.level))),
        "patients": lambda: Cell(str(standing.patients), beside=f"{standing.cases} values", key=str(standing.patients)),
        "cases": lambda: Cell(f"{shown} shown" if shown else "none", key=str(shown), state="" if shown else "absent"),
        "best": lambda: _chance(standing.best),
    }
    return makers[head.key]()


UNKNOWN = Cell("not known", state="absent")
PERCENT = Column("", shown="%", scale=100.0, digits=1)


def _number(entry: Entry, column: Column) -> Cell:
    if entry.estimate is None:
        return Cell(estimate(entry, column), state="absent")
    state = "invalid" if entry.validity.level == "invalid" else ""
    return Cell(estimate(entry, column), interval(entry, column), f"{entry.estimate:.9g}", state)


def _worst(overview: Overview, standing: Standing) -> Cell:
    """Marked where nobody is found better: the first tier, unless it is the only one."""
    found = _number(standing.worst, overview.headline)
    several = any(one.condition == standing.condition and (one.tier or 1) > 1 for one in overview.standings)
    return replace(found, state="best") if standing.tier == 1 and several and not found.state else found


def _tier(standing: Standing) -> Cell:
    if standing.tier is None:
        return Cell(UNRANKED, state="absent")
    beside = ""
    if standing.low_rank is not None and standing.high_rank is not None:
        beside = f"rank {standing.low_rank}" if standing.low_rank == standing.high_rank else f"ranks {standing.low_rank} to {standing.high_rank}"
    return Cell(str(standing.tier), beside, f"{standing.tier + (standing.low_rank or 0) / 1e6:.9g}")


def _chance(best: float | None) -> Cell:
    return Cell(UNRANKED, state="absent") if best is None else Cell(number(best, PERCENT), key=f"{best:.9g}")


def _loss(standing: Standing, column: Column) -> Cell:
    clean, worst = standing.clean.estimate, standing.worst.estimate
    if clean is None or worst is None or not math.isfinite(worst - clean):
        return UNKNOWN
    text = number(worst - clean, column)
    invalid = "invalid" in (standing.clean.validity.level, standing.worst.validity.level)
    sign = "" if not text.strip("0.") or worst < clean else "+"
    return Cell(sign + text.replace("-", "\N{MINUS SIGN}"), key=f"{worst - clean:.9g}", state="invalid" if invalid else "")


def _dumbbell(standing: Standing, scale: tuple[float, float]) -> Dumbbell:
    def place(value: float | None) -> float | None:
        if value is None or math.isnan(value):
            return None
        return round(100 * min(max((value - scale[0]) / ((scale[1] - scale[0]) or 1), 0), 1), 1)

    return Dumbbell(*map(place, (standing.clean.estimate, standing.worst.estimate, standing.worst.low, standing.worst.high)))


def _scale(overview: Overview) -> tuple[float, float]:
    """From 0, or from what is below it, to the highest number; to 1 where it is a share of one and comes near."""
    entries = [entry for one in overview.standings for entry in (one.clean, one.worst)]
    values = [value for entry in entries for value in (entry.estimate, entry.low, entry.high) if value is not None and math.isfinite(value)]
    low, high = min([0.0, *values]), max([0.0, *values])
    return low, 1.0 if low == 0 and 0.5 < high <= 1 else high or 1.0


def _severity(level: str) -> int:
    known = ("ok", "info", "warn", "invalid", "missing")
    return known.index(level) if level in known else 3


def amount(value: float) -> str:
    """A total as people read it: 12, 3 400, 1.2 million."""
    if not math.isfinite(value):
        return "not known"
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if abs(value) >= size:
            return f"{value / size:.3g} {word}"
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}") if abs(value) >= 100 else f"{value:.3g}"
