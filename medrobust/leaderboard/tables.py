"""What every renderer is given: tables and figures as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

MISSING = "missing"
PRINTED = "as printed"
UNMEASURED = "not measured"
LEVELS = ("ok", "info", "warn", "invalid")


@dataclass(frozen=True)
class Validity:
    """Whether a number is to be believed.

    level: ok, info, warn, invalid; `missing` where there is no number, `as printed` where it is a paper's. reasons: one line each.
    """

    level: str = "ok"
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One number of a table, in the natural unit of its column.

    estimate: None where there is no number; `note` then says why. low, high: 95 % interval, None where there is none.
    spread: what the paper prints after a plus-minus sign, for its own numbers alone.
    patients, cases: what it was measured on. expected: how many cases it owes.
    best: not measurably worse than the best of its column and group.
    """

    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    patients: int = 0
    cases: int = 0
    expected: int = 0
    note: str = ""
    validity: Validity = field(default_factory=Validity)
    best: bool = False
    spread: float | None = None

    @property
    def complete(self) -> bool:
        return self.estimate is not None and self.cases >= self.expected


@dataclass(frozen=True)
class Column:
    """How the numbers of one column read.

    unit: natural unit, as in csv and json. shown: unit as people read it, of the number times `scale`. digits: after the point.
    better: True where higher is better, False where lower is, None where neither.
    """

    name: str
    unit: str = ""
    shown: str = ""
    scale: float = 1.0
    digits: int = 3
    better: bool | None = None


@dataclass(frozen=True)
class Line:
    """One row of a table: what it is about, and one entry a column."""

    labels: tuple[str, ...]
    entries: tuple[Entry, ...]

    @property
    def validity(self) -> Validity:
        """The worst of its entries, with every reason once."""
        return worst([entry.validity for entry in self.entries])

    @property
    def partial(self) -> bool:
        """Some of its numbers are missing, others are not."""
        return len({entry.estimate is None for entry in self.entries if entry.note != UNMEASURED}) == 2


@dataclass(frozen=True)
class Table:
    """A table that can stand alone.

    name: for files and anchors, [a-z0-9-]. caption: what was measured and how to read it. data: label of the data.
    heads: names of the label columns. group: how many leading labels lines must share to be compared with each other.
    fold: detail that a page may keep closed.
    """

    name: str
    title: str
    caption: str
    data: str
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    group: int = 1
    fold: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing beside a table.

    svg: the drawing, deterministic. description: what it shows, for who cannot see it. points: the numbers drawn.
    png: the same, to be written beside the page, where it is a picture of images.
    """

    name: str
    title: str
    description: str
    data: str
    svg: str
    points: Mapping[str, Any]
    png: bytes = b""


def worst(validities: Sequence[Validity]) -> Validity:
    """The worst level, every reason once; missing entries and printed ones say nothing about the others."""
    present = [validity for validity in validities if validity.level not in (MISSING, PRINTED)]
    if not present:
        return Validity(MISSING) if validities else Validity()
    level = max((validity.level for validity in present), key=lambda level: LEVELS.index(level) if level in LEVELS else len(LEVELS))
    return Validity(level, tuple(dict.fromkeys(reason for validity in present for reason in validity.reasons)))


def with_best(entries: Sequence[Entry], best: Sequence[int]) -> list[Entry]:
    """The entries, those at `best` marked."""
    return [replace(entry, best=index in best) for index, entry in enumerate(entries)]
