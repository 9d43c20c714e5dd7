"""What a report shows, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medrobust.leaderboard.overview.standing import Curves, Shown
from medrobust.leaderboard.section import Model
from medrobust.leaderboard.tables import Table


@dataclass(frozen=True)
class Doubt:
    """Something that speaks against believing numbers. level: info, warn or invalid. about: the cells, or what was compared."""

    level: str
    reason: str
    about: tuple[str, ...]


@dataclass(frozen=True)
class Gap:
    """Something that was not tested. why: in words; level: of its badge, `missing` or `invalid`."""

    what: str
    why: str
    level: str = "missing"


@dataclass(frozen=True)
class Case:
    """One case, as text.

    clean, attacked: the headline before and after. by: of a rate, how many attacks do it, such as `3 of 5`, and how many replays, `1 of 2 replays`.
    """

    case: str
    patient: str
    condition: str
    attack: str
    clean: str
    attacked: str
    by: str


@dataclass(frozen=True)
class Part:
    """One data set.

    short: what matters, a sentence each. clean: scores on images as they are. attacks: the headline by attack, a column a condition.
    curves: of this model alone. missed: structures missed altogether. worst: the cases that lose most of what `headline` names. shown: pictures.
    tables: of the leaderboard, cut to this model. sure: facts behind the intervals. method: how numbers were found. doubts: what checks found.
    gaps: what of this track was not tested here.
    """

    track: str
    data: str
    split: str
    data_label: str
    patients: int
    cases: int
    conditions: tuple[str, ...]
    short: tuple[str, ...]
    clean: Table | None
    attacks: tuple[Table, ...]
    curves: tuple[Curves, ...]
    missed: Table | None
    headline: str
    worst: tuple[Case, ...]
    shown: tuple[Shown, ...]
    tables: tuple[Table, ...]
    sure: tuple[tuple[str, str], ...]
    method: tuple[str, ...]
    doubts: tuple[Doubt, ...]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class Report:
    """One model.

    card: what it is, by name; card_note: where that comes from, or why it is not known. figures: as the card declares them.
    attacks: name and configuration. environments: what the numbers were made with. digests: its cells.
    """

    suite: str
    model: Model
    card: tuple[tuple[str, str], ...]
    card_note: str
    figures: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    attacks: tuple[tuple[str, str], ...]
    environments: tuple[Mapping[str, str], ...]
    digests: tuple[tuple[str, str], ...]
