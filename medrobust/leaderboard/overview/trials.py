"""One condition as numbers: every entrant under every attack, case by case, beside what is known of the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medrobust.leaderboard.evidence import Record
from medrobust.leaderboard.overview.headlines import Headline
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Validity
from medrobust.stats.bootstrap import Floats

if TYPE_CHECKING:
    import pandas as pd


class Place(NamedTuple):
    """Where a cell stands. entrant: name and defense. attack: empty for clean images."""

    entrant: Model
    attack: str


@dataclass(frozen=True, eq=False)
class Trials:
    """Entrants by attacks by cases.

    entrants: in the order of the plan. attacks: the first is the empty one, clean images. cases, patients: (n,), names.
    values: (attacks, entrants, n), NaN where there is none. validity: of the cells of each attack and entrant. records: likewise.
    """

    condition: str
    entrants: tuple[Model, ...]
    attacks: tuple[str, ...]
    cases: NDArray[np.str_]
    patients: NDArray[np.str_]
    values: Floats
    validity: tuple[tuple[Validity, ...], ...]
    records: tuple[tuple[tuple[Record, ...], ...], ...]

    @property
    def size(self) -> int:
        return len(self.cases)

    @cached_property
    def planned(self) -> NDArray[np.bool_]:
        """(attacks, entrants)."""
        return np.array([[bool(found) for found in line] for line in self.records], dtype=bool)

    @cached_property
    def held(self) -> NDArray[np.int64]:
        """How many cases have a value, (attacks, entrants)."""
        return np.asarray((~np.isnan(self.values)).sum(axis=2), dtype=np.int64)

    @cached_property
    def sound(self) -> NDArray[np.bool_]:
        """Whole and to be believed, (attacks, entrants)."""
        believed = np.array([[one.level not in {"missing", "invalid"} for one in line] for line in self.validity], dtype=bool)
        return np.asarray(self.planned & believed & (self.held == self.size) & (self.size > 0))


def place(record: Record, section: Section, headline: Headline) -> Place | None:
    """Where a cell counts: replays of others' images and cells of another kind do not."""
    if record.explains != (not headline.attacked) or record.source is not None:
        return None
    model = Model(record.target, record.defense)
    if record.explains:
        return Place(Model(record.attack, "none"), "")
    if record.control:
        return Place(model, "") if headline.control and record.attack == section.controls[0] else None
    if record.attack == "none":
        return None if headline.control else Place(model, "")
    return Place(model, record.attack)


def trials(section: Section, headline: Headline, conditions: Sequence[str], shared: bool = False) -> list[Trials]:
    """One a condition. shared: conditions differ in their budget alone, so clean images that one of them lacks are another's.

    A model that was measured and has not one value, such as a detector among readers, is no entrant.
    """
    table = Values.of(headline.rows(section))
    placed: dict[str, dict[Place, list[Record]]] = {name: {} for name in conditions}
    for record in section.records:
        where = place(record, section, headline) if record.condition in placed else None
        if where:
            placed[record.condition].setdefault(where, []).append(record)
    able = {
        where.entrant
        for found in placed.values()
        for where, records in found.items()
        if any(not record.measured or record.digest in table.cells for record in records)
    }
    attacks = tuple(dict.fromkeys(where.attack for found in placed.values() for where in found if where.attack and where.entrant in able))
    clean: dict[Model, list[Record]] = {}
    for found in placed.values():
        clean |= {where.entrant: records for where, records in found.items() if not where.attack and where.entrant not in clean}
    made = []
    for condition, found in placed.items():
        if shared:
            present = {where.entrant for where in found}
            found = {**{Place(entrant, ""): records for entrant, records in clean.items() if entrant in present}, **found}
        found = {where: records for where, records in found.items() if where.entrant in able}
        if found:
            made.append(_one(section, condition, ("", *attacks), found, table))
    return made


@dataclass(frozen=True, eq=False)
class Values:
    """Rows as codes. cells: digest to its code. cell, key: (rows,), the cell and the case (under its seed and label) of each row."""

    cells: Mapping[str, int]
    cell: NDArray[np.int64]
    key: NDArray[np.int64]
    case: NDArray[np.object_]
    patient: NDArray[np.object_]
    value: Floats

    @staticmethod
    def of(rows: pd.DataFrame) -> Values:
        import pandas as pd

        cell, digests = pd.factorize(rows["cell"])
        key = np.zeros(len(rows), dtype=np.int64)
        for name in ("seed", "patient", "case", "label"):
            codes, known = pd.factorize(rows[name])
            key = key * max(len(known), 1) + codes
        case, patient = (rows[name].to_numpy(dtype=object) for name in ("case", "patient"))
        return Values({str(name): code for code, name in enumerate(digests)}, cell, key, case, patient, rows["value"].to_numpy(dtype=float))


def _one(section: Section, condition: str, attacks: tuple[str, ...], found: Mapping[Place, Sequence[Record]], table: Values) -> Trials:
    entrants = tuple(dict.fromkeys(where.entrant for where in found))
    rank, column = ({name: index for index, name in enumerate(names)} for names in (entrants, attacks))
    place_of = np.full((len(table.cells) + 1, 2), -1)
    records: list[list[tuple[Record, ...]]] = [[() for _ in entrants] for _ in attacks]
    for where, cells in found.items():
        at = column[where.attack], rank[where.entrant]
        records[at[0]][at[1]] = tuple(cells)
        for record in cells:
            if record.digest in table.cells:
                place_of[table.cells[record.digest]] = at
    here = place_of[table.cell]
    mine = here[:, 0] >= 0
    _, first, case = np.unique(table.key[mine], return_index=True, return_inverse=True)
    values = np.full((len(attacks), len(entrants), len(first)), np.nan)
    values[here[mine, 0], here[mine, 1], case] = table.value[mine]
    names, patients = (array[mine][first].astype(str) for array in (table.case, table.patient))
    validity = tuple(tuple(section.validity(list(cells)) for cells in line) for line in records)
    return Trials(condition, entrants, attacks, names, patients, values, validity, tuple(map(tuple, records)))
