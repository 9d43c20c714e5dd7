"""What the checks that compare cells look at: one target's cells on one data set, each with how much harm was done to every case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medrobust.amounts import amount
from medrobust.stats import Sample
from medrobust.stats.bootstrap import Floats

if TYPE_CHECKING:
    import pandas as pd

    from medrobust.leaderboard.evidence import Record

HEADLINES: tuple[tuple[tuple[str, ...], bool], ...] = (
    (("correct",), True),
    (("dice-warped", "dice"), True),
    (("nmse",), False),
    (("fnaf-loss",), False),
)
"""What harm is read off, the first that there is, and whether more of it is better for the target; `dice-warped` is Dice where anatomy moved."""
SIZES = ("epsilon", "radius")


@dataclass(frozen=True, eq=False)
class Measured:
    """One cell.

    cases, patients: (n,) numbers that stand for their names, in one order.
    harm: (n,), more is worse for the target: 1 for a wrong answer, 1 less Dice, an error.
    """

    record: Record
    cases: NDArray[np.int64]
    patients: NDArray[np.int64]
    harm: Floats

    @property
    def mean(self) -> float:
        return float(self.harm.mean())

    @property
    def blind(self) -> bool:
        """Made without ever asking the target, as fields drawn at random are."""
        record = self.record
        asked = record.cost.get("forward passes", 0.0) + record.cost.get("gradient passes", 0.0)
        return record.source is None and (record.threat == "no-box" or (record.threat == "black-box" and not asked and bool(record.cost)))

    @property
    def sample(self) -> Sample:
        return Sample.of(self.harm, self.patients)

    def of(self, cases: NDArray[np.int64]) -> Measured:
        """Those of the cases, which it has, in their order."""
        if np.array_equal(cases, self.cases):
            return self
        order = np.argsort(self.cases)
        found = order[np.searchsorted(self.cases, cases, sorter=order)]
        return Measured(self.record, cases, self.patients[found], self.harm[found])


@dataclass(frozen=True, eq=False)
class ColumnEvidence:
    """One column of a run: a data set and split, a target with its defense, a seed; over attacks and conditions.

    metric: what harm is read off. cells: those that are measured and have it, clean ones too; explained ones never.
    """

    track: str
    data: str
    split: str
    data_label: str
    target: str
    defense: str
    seed: int
    metric: str
    cells: tuple[Measured, ...]

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.record.condition for cell in self.cells))

    def clean(self, condition: str) -> Measured | None:
        return next((cell for cell in self.cells if cell.record.attack == "none" and cell.record.condition == condition), None)

    @cached_property
    def _attacks(self) -> dict[tuple[str, str], list[Measured]]:
        """Cells by (condition, what made their images): a threat, `control` or `transfer`."""
        found: dict[tuple[str, str], list[Measured]] = {}
        for cell in self.cells:
            record = cell.record
            if record.attack != "none":
                kind = "transfer" if record.source else "control" if record.control or cell.blind else record.threat
                found.setdefault((record.condition, kind), []).append(cell)
        return found

    def attacks(self, condition: str, kind: str) -> list[Measured]:
        """kind: `white-box`, `black-box`, `transfer`, or `control`, what attacks are compared with, such as noise; a threat not known is none."""
        return self._attacks.get((condition, kind), [])


def worst_case(cells: Sequence[Measured]) -> Measured:
    """The most harm of several cells to each case that all have."""
    shared = cells[0].cases
    for cell in cells[1:]:
        shared = shared if np.array_equal(shared, cell.cases) else np.intersect1d(shared, cell.cases)
    aligned = [cell.of(shared) for cell in cells]
    return Measured(cells[0].record, shared, aligned[0].patients, np.max([cell.harm for cell in aligned], axis=0))


def size(record: Record) -> tuple[float, str] | None:
    """How large its budget is, with the unit; None where it has no such number."""
    written = next((record.budget[name] for name in SIZES if record.budget.get(name) is not None), None)
    return None if written is None else amount(written)


def columns(rows: pd.DataFrame, records: Sequence[Record]) -> Iterator[ColumnEvidence]:
    """Every column that has a headline; rows: as in a leaderboard's evidence, with `cell`."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        if record.measured and not record.explains:
            key = (record.track, record.data, record.split, record.data_label, record.target, record.defense, record.seed)
            groups.setdefault(key, []).append(record)
    held = harms(rows, {record.digest for group in groups.values() for record in group if comparable(group)})
    for key, group in groups.items():
        for metrics, better in HEADLINES:
            cells = [cell for record in group if (cell := measured(record, metrics, better, held)) is not None]
            if any(cell.record.attack != "none" for cell in cells):
                yield ColumnEvidence(*key, metrics[-1], tuple(cells))
                break


def comparable(group: Sequence[Record]) -> bool:
    """Whether it is known of any cell what its attack was shown; it is not of older ones."""
    return any(record.threat for record in group)


Harms = Mapping[tuple[str, str], tuple[NDArray[np.int64], NDArray[np.int64], Floats]]


def harms(rows: pd.DataFrame, digests: set[str]) -> Harms:
    """(cell, metric) -> cases, patients and values of the headlines, unlabelled; rows of one cell and metric stand together."""
    if not digests:
        return {}
    import pandas as pd

    names = [name for metrics, _ in HEADLINES for name in metrics]
    kept = rows[rows["metric"].isin(names)]
    kept = kept[(kept["label"] == "") & kept["cell"].isin(digests)]
    cases, patients = (pd.factorize(kept[name], sort=True)[0] for name in ("case", "patient"))
    values = kept["value"].to_numpy(dtype=float)
    keys = list(zip(kept["cell"].tolist(), kept["metric"].tolist(), strict=True))
    ends = [at for at in range(1, len(keys) + 1) if at == len(keys) or keys[at] != keys[at - 1]]
    return {keys[start]: (cases[start:end], patients[start:end], values[start:end]) for start, end in pairwise([0, *ends])}


def measured(record: Record, metrics: Sequence[str], better: bool, held: Harms) -> Measured | None:
    """The cell by the first of the metrics that it has."""
    for metric in metrics:
        if (record.digest, metric) in held:
            cases, patients, values = held[record.digest, metric]
            return Measured(record, cases, patients, 1 - values if better else values)
    return None
