"""Rows computed again: some cases of a finished cell are predicted and measured anew, from the stored images or maps, and held against its rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

import torch

from medrobust.artifacts import load_attacked, load_explained
from medrobust.assemble import Bench, assemble, blame
from medrobust.cell import Cell
from medrobust.chunk import chunked
from medrobust.errors import CellError, MedrobustError, StoreError
from medrobust.guard import BLACK_BOX, Guarded
from medrobust.measure import Measure
from medrobust.outcomes import check_prediction
from medrobust.randomness import derive
from medrobust.run import exact
from medrobust.store import MARKER, CellFolder, Run, State
from medrobust.types import Attacked, Case, Explained, Metric, Outcome, Row
from medrobust.untraced import traced

TOLERANCE = 1e-4
"""Relative: sums in another order, on another processor, move the last digits of a value and no more."""

QUERIES = "read off the attack's queries, which are not stored"

Key = tuple[str, str, str]
"""Case or group, metric, label."""


class NotKeptError(Exception):
    """A metric asked for what no cell stores."""


@dataclass(frozen=True)
class Mismatch:
    """A row that is not what its images give. column: of the row. stored, found: None where there is no such row."""

    case: str
    metric: str
    label: str
    column: str
    stored: str | float | None
    found: str | float | None

    @property
    def text(self) -> str:
        name = f"{self.metric} {self.label}".strip() + ("" if self.column == "value" else f", {self.column}")
        return f"case '{self.case}': {name}: stored {_shown(self.stored)}, computed again {_shown(self.found)}"


def _shown(value: str | float | None) -> str:
    return "no row" if value is None else f"'{value}'" if isinstance(value, str) else f"{value:.9g}"


@dataclass(frozen=True)
class Recheck:
    """What was found of one cell.

    cases, rows: how many were computed again. unable: what could not be, and why, one line each: `metric label: ... stored`, or of all its images.
    differing: rows that differ. problem: why the cell could not be computed again though it should be; empty where it could.
    """

    cell: str
    name: str
    cases: int = 0
    rows: int = 0
    unable: tuple[str, ...] = ()
    differing: tuple[Mismatch, ...] = ()
    problem: str = ""


def recheck(run: Run, folder: CellFolder, sample: int, seed: int = 0, device: str = "cpu", tolerance: float = TOLERANCE) -> Recheck:
    """Compute `sample` cases of a finished cell again, drawn at random; whole groups where a metric is a group's.

    Clean cells need their data alone, others the images or maps that they, or the cell they replay, have stored.
    """
    said = Recheck(folder.digest, folder.cell.name)
    holder = run.cell(folder.cell.source) if folder.cell.source else folder
    if folder.cell.probe and not holder.stored.is_file() and not holder.state().artifact:
        return replace(said, unable=("no images were stored (`store: true` keeps them)",))
    try:
        with exact(device), blame(folder.cell.name):
            bench = assemble(folder.cell, device)
            again = Again(folder.cell, bench, holder, folder.state(), device)
            units = chosen(bench, sample, derive(seed, folder.digest))
            return again.compare(units, folder.rows(), tolerance)
    except MedrobustError as error:
        return replace(said, problem=" ".join(str(error).split()))


def chosen(bench: Bench, sample: int, seed: int) -> list[tuple[Case, ...]]:
    """Cases to compute together, in the order of the data: the groups of the drawn cases where a metric is a group's, else single cases."""
    drawn = {case.case for case in Random(seed).sample(bench.cases, min(sample, len(bench.cases)))}  # noqa: S311 - a sample, no secret
    if all(metric.per == "case" for metric in bench.metrics):
        return [(case,) for case in bench.cases if case.case in drawn]
    groups: dict[str, list[Case]] = {case.group: [] for case in bench.cases if case.case in drawn}
    for case in bench.cases:
        if case.group in groups:
            groups[case.group].append(case)
    return [tuple(cases) for cases in groups.values()]


@dataclass(frozen=True)
class Again:
    """One cell on its way a second time.

    holder: the cell that stored its images or maps. state: what its folder says of it.
    """

    cell: Cell
    bench: Bench
    holder: CellFolder
    state: State
    device: str

    @cached_property
    def judged(self) -> Guarded:
        """The target as the cell's own loop asked it."""
        return chunked(self.bench.target, BLACK_BOX, self.device, self.bench.first)

    def compare(self, units: Sequence[tuple[Case, ...]], stored: Sequence[Row], tolerance: float) -> Recheck:
        """Every unit, against its rows."""
        held = self._held(units, stored)
        found: dict[Key, Row] = {}
        unable: dict[str, None] = {}
        unread: set[Key] = set()
        for cases in units:
            outcome, violated = self.outcome(cases)
            for metric in self.bench.metrics:
                found |= self._rows([metric], outcome, violated, unable)
                if metric.name not in unable:
                    unread |= self._unread(metric, outcome, set(held) - set(found))
            found |= self._rows([], outcome, violated, unable)
        keys = [each for each in sorted({*held, *found}) if each not in unread and each[1] not in unable and not self._seen_once(each, found)]
        differing = [one for each in keys for one in mismatches(each, held.get(each), found.get(each), tolerance)]
        notes = [f"{metric}: needs more than what is stored" for metric in unable]
        notes += [f"{name}: {QUERIES}" for name in sorted({f"{metric} {label}".strip() for _, metric, label in unread})]
        return Recheck(self.cell.digest, self.cell.name, sum(map(len, units)), len(keys), tuple(notes), tuple(differing))

    def _held(self, units: Sequence[tuple[Case, ...]], stored: Sequence[Row]) -> dict[Key, Row]:
        """The rows that the units owe."""
        names = {case.case for cases in units for case in cases}
        if any(metric.per == "group" for metric in self.bench.metrics):
            names |= {case.group for cases in units for case in cases}
        rows = [row for row in stored if row["case"] in names]
        held = {key(row): row for row in rows}
        if len(held) < len(rows):
            msg = f"found {len(rows) - len(held)} rows that stand twice, expected one a case, metric and label"
            raise StoreError(msg)
        return held

    def outcome(self, cases: Sequence[Case]) -> tuple[Outcome, tuple[str, ...]]:
        """What the metrics see, and how each case left the budget."""
        with blame(f"data {self.cell.data.name}"):
            batch = self.bench.data.load(cases).to(self.device)
        attacked = load_attacked(self.holder.path, batch) if self.cell.attack else Attacked(batch.image)
        judged = self.judged
        outcome = Outcome(batch, attacked, batch.image, target=judged, trained=self.bench.fit is not None)
        with blame(f"target {self.cell.columns['target']}"):
            prediction = check_prediction(judged(attacked.image, outcome.attacked_batch), batch)
        outcome = replace(outcome, prediction=prediction)
        if self.cell.explainer:
            outcome = replace(outcome, explained=self._explained(cases), again=not_kept)
        violated = self.bench.budget.audit(batch, attacked) if self.bench.budget and self.cell.attack else ("",) * len(batch)
        return outcome, violated

    def _explained(self, cases: Sequence[Case]) -> Explained:
        maps = [load_explained(self.holder.stored, case.case) for case in cases]
        relevance = torch.stack([torch.from_numpy(one["relevance"]) for one in maps])
        regions = torch.stack([torch.from_numpy(one["regions"]).long() for one in maps]) if "regions" in maps[0] else None
        return Explained(relevance, regions)

    def _rows(self, metrics: Sequence[Metric], outcome: Outcome, violated: Sequence[str], unable: dict[str, None]) -> dict[Key, Row]:
        """Rows of some metrics, of none the markers alone; a metric that needs what is not stored is noted."""
        try:
            rows = Measure(self.cell, metrics, self.bench.cases).rows(outcome, [not left for left in violated])
        except CellError as error:
            if isinstance(error.__cause__, NotKeptError) or (isinstance(error.__cause__, KeyError) and self._attacks):
                unable[metrics[0].name] = None
                return {}
            raise
        return {key(row): row for row in rows if (row["metric"] == MARKER) is not bool(metrics)}

    @property
    def _attacks(self) -> bool:
        """Whether its metrics had the trace of an attack to look at, which is not stored."""
        return self.cell.attack is not None and not self.cell.source

    def _unread(self, metric: Metric, outcome: Outcome, absent: set[Key]) -> set[Key]:
        """Stored rows of these cases that the metric does not give now, and may have read off the attack's trace."""
        names = {name for case in outcome.batch.cases for name in (case.case, case.group)}
        own = {(case, label) for case, name, label in absent if name == metric.name and case in names}
        if not own or not self._attacks:
            return set()
        with blame(f"metric {metric.name}"):
            return {(case, metric.name, label) for case, label in traced(metric, outcome, own)}

    def _seen_once(self, each: Key, found: Mapping[Key, Row]) -> bool:
        """Whether a case left the budget by what only the attack itself showed, such as queries it did not report."""
        return each[1] == MARKER and each in found and found[each]["value"] == 1.0 and each[0] in self.state.violations


def not_kept(*, seed: int = 0, randomised: bool = False) -> Explained:
    """Stands for explaining again."""
    msg = f"explained again with seed {seed}{', shuffled weights' if randomised else ''}"
    raise NotKeptError(msg)


def key(row: Row) -> Key:
    return row["case"], row["metric"], row["label"]


def mismatches(each: Key, stored: Row | None, found: Row | None, tolerance: float) -> list[Mismatch]:
    """Columns in which two rows differ, values by more than rounding."""
    if stored is None or found is None:
        return [Mismatch(*each, "value", stored and stored["value"], found and found["value"])]
    one, other = dict(stored), dict(found)
    apart = [name for name in Row.__annotations__ if name != "value" and one.get(name) != other[name]]
    if not math.isclose(stored["value"], found["value"], rel_tol=tolerance, abs_tol=tolerance * 1e-3):
        apart.append("value")
    return [Mismatch(*each, name, one.get(name), other[name]) for name in apart]  # type: ignore[arg-type]
