"""Security curves as places on paper: what a template draws as SVG, in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medrobust.leaderboard.overview.security import WORST
from medrobust.leaderboard.overview.standing import Curve, Curves, Point
from medrobust.leaderboard.text import number

WIDTH, HEIGHT = 360, 236
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 40
STYLES = 8
MOST = 16


@dataclass(frozen=True)
class Mark:
    """One measured point. state: `invalid` where it is not to be believed. said: what it says to who points at it."""

    x: float
    y: float
    state: str
    said: str


@dataclass(frozen=True)
class Line:
    """One entrant. style: 0 to 7, colour and marker; dashed beyond the first eight. lines, bands: paths, split where a number is missing."""

    name: str
    style: int
    dashed: bool
    lines: tuple[str, ...]
    bands: tuple[str, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Tick:
    """A mark of the horizontal axis. anchor: of its text, `middle` or `end`. row: 0, or 1 where row 0 has no room."""

    place: float
    text: str
    anchor: str = "middle"
    row: int = 0


@dataclass(frozen=True)
class Panel:
    """All entrants under one attack.

    x, y: ticks. breaks: place where the axis is broken before an unbounded budget. over: how many attacks a worst case is over, under its budget.
    """

    attack: str
    lines: tuple[Line, ...]
    x: tuple[Tick, ...]
    y: tuple[tuple[float, str], ...]
    breaks: float | None
    left_out: int
    over: tuple[tuple[float, int], ...] = ()

    @property
    def title(self) -> str:
        return attack_said(self.attack)

    @property
    def foot(self) -> int:
        """Where the name of the axis stands, below one or two rows of ticks and the numbers of attacks."""
        return HEIGHT - BOTTOM + 31 + 12 * max((tick.row for tick in self.x), default=0) + (14 if self.over else 0)


@dataclass(frozen=True)
class Drawing:
    """even: budgets are drawn at even steps, since they lie too far apart for a plain axis."""

    panels: tuple[Panel, ...]
    names: tuple[tuple[str, int, bool], ...]
    even: bool


def attack_said(attack: str) -> str:
    """An attack's name, and what the worst case is over."""
    return f"{WORST}, shared attacks" if attack == WORST else attack


def draw(curves: Curves) -> Drawing:
    """One panel an attack; an entrant looks the same in all."""
    names = list(dict.fromkeys(curve.name for curve in curves.curves))
    places = sorted({point.x for curve in curves.curves for point in curve.points if not math.isnan(point.x)})
    finite = [x for x in places if 0 < x < math.inf]
    even = len(finite) > 1 and finite[-1] / finite[0] > 12
    across, breaks = _across(places, even)
    labels = {point.x: point.label for curve in curves.curves for point in curve.points}
    up, ticks = _up(curves)
    panels = []
    for attack in dict.fromkeys(curve.attack for curve in curves.curves):
        own = [curve for curve in curves.curves if curve.attack == attack]
        lines = tuple(_line(curve, names.index(curve.name), across, up, curves) for curve in own[:MOST])
        shown = _apart([(across[x], labels[x] or f"{x:g}") for x in places])
        over = tuple((across[x], count) for x, count in curves.over if x in across) if attack == WORST else ()
        panels.append(Panel(attack, lines, shown, ticks, breaks, max(0, len(own) - MOST), over))
    return Drawing(tuple(panels), tuple((name, i % STYLES, i >= STYLES) for i, name in enumerate(names[: 4 * STYLES])), even)


def _across(places: Sequence[float], even: bool) -> tuple[dict[float, float], float | None]:
    finite = [x for x in places if math.isfinite(x)]
    broken = len(finite) < len(places)
    room = (WIDTH - LEFT - RIGHT) * (0.84 if broken and finite else 1)
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    found = {}
    for i, x in enumerate(finite):
        share = i / max(1, len(finite) - 1) if even else (x - low) / ((high - low) or 1)
        found[x] = round(LEFT + room * share, 1)
    found.update({x: float(WIDTH - RIGHT - 4) for x in places if math.isinf(x)})
    return found, round(LEFT + room + 0.08 * (WIDTH - LEFT - RIGHT), 1) if broken and finite else None


def _up(curves: Curves) -> tuple[tuple[float, float], tuple[tuple[float, str], ...]]:
    """Ends of the vertical axis, and its ticks; it begins at 0 where the numbers come near."""
    entries = [point.entry for curve in curves.curves for point in curve.points]
    values = [v for e in entries for v in (e.estimate, e.low, e.high) if v is not None and math.isfinite(v)] or [0.0, 1.0]
    low, high = min(values), max(values)
    if 0 < low < 0.6 * high:
        low = 0.0
    step = _step((high - low) or abs(high) or 1.0)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    high = high if high > low else low + step
    column, count = curves.column, round((high - low) / step)
    places = [low + step * i for i in range(count + 1)]
    return (low, high), tuple((_y(v, (low, high)), f"{float(f'{v * column.scale:.9g}'):g}".replace("-", "\N{MINUS SIGN}")) for v in places)


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten, four to eight to a span."""
    base = 10.0 ** math.floor(math.log10(span / 4))
    return next(base * k for k in (1, 2, 5, 10) if span / (base * k) <= 6)


def _y(value: float, ends: tuple[float, float]) -> float:
    share = min(max((value - ends[0]) / (ends[1] - ends[0]), 0), 1)
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)


def _line(curve: Curve, index: int, across: dict[float, float], ends: tuple[float, float], curves: Curves) -> Line:
    runs: list[list[Point]] = [[]]
    for point in sorted(curve.points, key=lambda one: one.x):
        if _drawn(point):
            if math.isinf(point.x) and runs[-1]:  # nothing was measured in between, however far that is
                runs.append([])
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    lines, bands, marks = [], [], []
    for run in filter(None, runs):
        lines.append("M" + "L".join(f"{across[p.x]} {_y(p.entry.estimate or 0, ends)}" for p in run))
        band = [p for p in run if p.entry.low is not None and p.entry.high is not None]
        if band:
            sides = [(across[p.x], p) for p in band] if len(band) > 1 else [(round(across[band[0].x] + dx, 1), band[0]) for dx in (-2, 2)]
            up = [f"{x} {_y(p.entry.high or 0, ends)}" for x, p in sides]
            down = [f"{x} {_y(p.entry.low or 0, ends)}" for x, p in reversed(sides)]
            bands.append("M" + "L".join(up + down) + "Z")
        for point in run:
            state = "invalid" if point.entry.validity.level == "invalid" else ""
            said = f"{curve.name}, {point.label}: {number(point.entry.estimate or 0, curves.column)}"
            marks.append(Mark(across[point.x], _y(point.entry.estimate or 0, ends), state, said))
    return Line(curve.name, index % STYLES, index >= STYLES, tuple(lines), tuple(bands), tuple(marks))


def _drawn(point: Point) -> bool:
    return point.entry.estimate is not None and not math.isnan(point.entry.estimate) and not math.isnan(point.x)


def _apart(ticks: Sequence[tuple[float, str]]) -> tuple[Tick, ...]:
    """Ticks in two rows, so that their words do not run into each other; the last one always, one that no row has room for never."""
    kept: list[Tick] = []
    free = [math.inf, math.inf]
    for place, text in reversed(ticks):
        half = 3.1 * len(text)
        anchor = "end" if place + half > WIDTH - 4 else "middle"
        left, right = (WIDTH - 4 - 2 * half, WIDTH - 4.0) if anchor == "end" else (place - half, place + half)
        row = next((row for row in (0, 1) if right + 4 < free[row]), None)
        if row is not None:
            free[row] = left
            kept.append(Tick(place, text, anchor, row))
    return tuple(reversed(kept))
