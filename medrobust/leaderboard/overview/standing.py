"""What the overview of one data set shows, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medrobust.leaderboard.tables import Column, Entry, Validity
from medrobust.stats import Detectable


@dataclass(frozen=True)
class Standing:
    """One entrant under one condition: a target with its defense, or an explainer of a target.

    tier: 1 is best; entrants that the data do not separate share one. None where the entrant is not ranked: invalid, incomplete, or alone.
    low_rank, high_rank: 95 % interval of the rank, 1 is best. best: share of resamples of patients in which it leads.
    None where not ranked.
    clean, worst: the headline metric on clean images, and where each case has the worst value of all attacks; `by_attack` one entry an attack.
    missed: structures that are missed altogether, where the track knows them; else None.
    cost: totals over the entrant's cells: `queries`, `gradients`, `seconds`, `megabytes`; what is not known is left out.
    own: worst case over every attack made on this entrant, where there are others than `worst` is over; else None.
    """

    target: str
    defense: str
    condition: str
    tier: int | None
    low_rank: int | None
    high_rank: int | None
    best: float | None
    clean: Entry
    worst: Entry
    by_attack: tuple[Entry, ...]
    missed: Entry | None
    patients: int
    cases: int
    validity: Validity
    cost: Mapping[str, float] = field(default_factory=dict)
    own: Entry | None = None

    @property
    def name(self) -> str:
        return self.target if self.defense == "none" else f"{self.target} + {self.defense}"


@dataclass(frozen=True)
class Point:
    """One point of a curve: x in the curve's unit, the headline metric with its interval and validity."""

    x: float
    label: str
    entry: Entry


@dataclass(frozen=True)
class Curve:
    """A security curve: one entrant under one attack, the budget growing. x = 0 is the clean score."""

    name: str
    attack: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Curves:
    """All curves over one kind of budget.

    unit: of x, such as `linf, HU`. said: what a budget is, in words. over: of each x how many attacks the worst case is over, where that differs.
    """

    title: str
    unit: str
    column: Column
    curves: tuple[Curve, ...]
    said: str = ""
    over: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True)
class Matrix:
    """Rows against columns: transfer (source against judged target) or significance (p of row against column).

    cells: one entry a row and column; None on the diagonal of a significance map. low, high: ends of the colour scale.
    """

    name: str
    title: str
    caption: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Entry | None, ...], ...]
    column: Column
    low: float
    high: float


@dataclass(frozen=True)
class HeatMap:
    """Where attacks hurt, over places of the image: a grid of counts or means from the front and the left.

    values: (rows, columns); None where nothing was tried.
    """

    title: str
    caption: str
    unit: str
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Shown:
    """Pictures of one case: what a reader drills down to.

    target, defense, condition: whose standing they belong to.
    images: (caption, png) in order, such as clean, attacked, difference, prediction, truth.
    facts: what is said of the case, such as `dice: .91 -> .42`. turned: right when clean and wrong when attacked.
    """

    target: str
    defense: str
    condition: str
    attack: str
    case: str
    images: tuple[tuple[str, bytes], ...]
    facts: tuple[tuple[str, str], ...] = ()
    turned: bool = False


@dataclass(frozen=True)
class Overview:
    """One data set of one track.

    headline: the metric that standings are ranked by. attacks: names of the columns of `by_attack`.
    method: how tiers, rank intervals and worst cases were found, in a sentence or two.
    agreement: Kendall's tau of the three ranking schemes, by pair.
    detectable: by condition, what true differences of the headline its tests could show, in its unit; nothing for a condition that could show none.
    sensitivity: (what was changed, who win then, whether they are the same winners). findings: what the checks that compare cells found.
    group: what its conditions share, such as `linf` for those of one budget; empty where they share nothing but the data.
    compared: of each condition the attacks that `worst` is over, those that every ranked entrant was put through.
    allowed: of each condition what attacks may change, in words, where a norm bounds them.
    """

    track: str
    data: str
    data_label: str
    patients: int
    cases: int
    headline: Column
    attacks: tuple[str, ...]
    standings: tuple[Standing, ...]
    method: str = ""
    agreement: tuple[tuple[str, float], ...] = ()
    detectable: Mapping[str, Detectable] = field(default_factory=dict)
    sensitivity: tuple[tuple[str, str, bool], ...] = ()
    curves: tuple[Curves, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    heat: HeatMap | None = None
    shown: tuple[Shown, ...] = ()
    findings: tuple[Mapping[str, str], ...] = ()
    group: str = ""
    compared: tuple[tuple[str, tuple[str, ...]], ...] = ()
    allowed: tuple[tuple[str, str], ...] = ()
