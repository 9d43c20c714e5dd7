"""Outcomes to rows: metrics per case at once, metrics per group once its last case has passed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from medrobust.assemble import blame
from medrobust.cell import Cell
from medrobust.errors import CellError
from medrobust.outcomes import join, select
from medrobust.store import MARKER
from medrobust.types import Case, Metric, Outcome, Row


@dataclass
class Measure:
    """Turns the outcomes of one cell, batch after batch, into rows; holds at most one group.

    cases: every case of the cell, cases of one group consecutive.
    """

    cell: Cell
    metrics: Sequence[Metric]
    cases: Sequence[Case]
    waiting: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.per_case = [metric for metric in self.metrics if metric.per == "case"]
        self.per_group = [metric for metric in self.metrics if metric.per == "group"]
        for metric in self.metrics:
            if metric.per not in ("case", "group"):
                msg = f"metric {metric.name}: found per = '{metric.per}', expected 'case' or 'group'"
                raise CellError(msg)
        groups = [case.group for index, case in enumerate(self.cases) if not index or case.group != self.cases[index - 1].group]
        if len(set(groups)) != len(groups):
            msg = f"data {self.cell.data.name}: cases of group '{max(groups, key=groups.count)}' are not consecutive"
            raise CellError(msg)
        self.last = {case.group: case.case for case in self.cases}

    def resumable(self, complete: set[str]) -> set[str]:
        """Of the cases already measured, those that need not be computed again: with group metrics, whole groups."""
        if not self.per_group:
            return {case.case for case in self.cases} & complete
        broken = {case.group for case in self.cases if case.case not in complete}
        return {case.case for case in self.cases if case.group not in broken}

    def rows(self, outcome: Outcome, kept: Sequence[bool]) -> list[Row]:
        """All rows that the batch makes possible, the cases' markers last; kept: which cases stayed within the budget."""
        cases = outcome.batch.cases
        rows = [row for metric in self.per_case for row in self._measured(metric, outcome, cases)]
        if self.per_group:
            rows += list(self._groups(outcome))
        return rows + [self._row(case, case.case, MARKER, "", float(good), "") for case, good in zip(cases, kept, strict=True)]

    def _groups(self, outcome: Outcome) -> Iterator[Row]:
        cases = outcome.batch.cases
        for group in dict.fromkeys(case.group for case in cases):
            indices = [index for index, case in enumerate(cases) if case.group == group]
            self.waiting.append(select(outcome, indices))
            if cases[indices[-1]].case == self.last[group]:
                whole = join(self.waiting)
                self.waiting.clear()
                for metric in self.per_group:
                    yield from self._measured(metric, whole, [Case(group, whole.batch.cases[0].patient, group)])

    def _measured(self, metric: Metric, outcome: Outcome, cases: Sequence[Case]) -> Iterator[Row]:
        with blame(f"metric {metric.name}"):
            values = metric(outcome)
            labelled = values if isinstance(values, Mapping) else {"": values}
            checked = {label: self._numbers(tensor, len(cases)) for label, tensor in labelled.items()}
        for label, numbers in checked.items():
            for case, number in zip(cases, numbers, strict=True):
                if math.isinf(number):
                    msg = f"metric {metric.name}: found {number} for case '{case.case}', expected a finite number"
                    raise CellError(msg)
                if not math.isnan(number):
                    yield self._row(case, case.case, metric.name, label, number, metric.unit)

    @staticmethod
    def _numbers(values: Tensor, expected: int) -> list[float]:
        if tuple(values.shape) != (expected,):
            msg = f"found values of shape {tuple(values.shape)}, expected ({expected},)"
            raise ValueError(msg)
        return [float(value) for value in values.tolist()]

    def _row(self, case: Case, name: str, metric: str, label: str, value: float, unit: str) -> Row:
        cell, columns = self.cell, self.cell.columns
        return Row(
            track=cell.track,
            data=cell.data.name,
            split=cell.split,
            patient=case.patient,
            case=name,
            target=columns["target"],
            defense=columns["defense"],
            attack=columns["attack"],
            condition=cell.condition,
            seed=cell.seed,
            metric=metric,
            label=label,
            value=value,
            unit=unit,
        )
