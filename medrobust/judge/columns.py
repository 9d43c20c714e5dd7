"""Every check that compares the cells of a column, with its level, and what becomes of the cells that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from medrobust.judge import comparisons
from medrobust.judge.check import LEVELS, worst_level
from medrobust.judge.column import ColumnEvidence, columns
from medrobust.judge.comparisons import Findings

if TYPE_CHECKING:
    import pandas as pd

    from medrobust.leaderboard.evidence import Record


@dataclass(frozen=True)
class ColumnCheck:
    """A numbered check of one column, how bad it is to fail it, and what it needs to see."""

    id: str
    level: str
    find: Callable[[ColumnEvidence], Findings]
    on: str


COLUMN_CHECKS = (
    ColumnCheck("V06", "warn", comparisons.black_box_beats_white_box, "conditions with white-box and black-box attacks"),
    ColumnCheck("V07", "warn", comparisons.transfer_beats_white_box, "conditions with white-box attacks and transfers"),
    ColumnCheck("V08", "invalid", comparisons.unbounded_attack_fails, "conditions whose budget has `epsilon: inf`"),
    ColumnCheck("V09", "invalid", comparisons.harm_falls, "conditions named by their epsilon; attacks that differ in `steps` alone"),
    ColumnCheck("V12", "warn", comparisons.noise_does_as_well, "conditions with a control such as random noise, an attack and clean cells"),
    ColumnCheck("V20", "info", comparisons.differences_hidden, "conditions with attacks and clean cells, of classifiers and segmenters"),
)


@dataclass(frozen=True)
class ColumnFinding:
    """What a check found, and the digests of the cells that it concerns."""

    id: str
    level: str
    message: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class ColumnVerdict:
    """What the checks made of one column: the worst level, the checks that applied, and the findings."""

    track: str
    data: str
    split: str
    data_label: str
    target: str
    defense: str
    seed: int
    metric: str
    level: str
    checked: tuple[str, ...]
    findings: tuple[ColumnFinding, ...]

    def plain(self) -> dict[str, Any]:
        """One entry of a run's validity.json."""
        findings = [{"id": one.id, "level": one.level, "message": one.message, "cells": list(one.cells)} for one in self.findings]
        return {**vars(self), "checked": list(self.checked), "findings": findings}


def judge_columns(rows: pd.DataFrame, records: Sequence[Record], checks: Iterable[ColumnCheck] = COLUMN_CHECKS) -> tuple[ColumnVerdict, ...]:
    """Every check that applies to every column, those columns left out to which none does.

    rows, records: of a leaderboard's evidence, where rows name their cell in the column `cell`.
    """
    verdicts = (verdict(column, tuple(checks)) for column in columns(rows, records))
    return tuple(one for one in verdicts if one.checked)


def verdict(column: ColumnEvidence, checks: Sequence[ColumnCheck]) -> ColumnVerdict:
    """Of one column."""
    results = [(check, check.find(column)) for check in checks]
    findings = tuple(ColumnFinding(check.id, check.level, one.message, one.cells) for check, found in results for one in found or ())
    names = (column.track, column.data, column.split, column.data_label, column.target, column.defense, column.seed, column.metric)
    checked = tuple(dict.fromkeys(check.id for check, found in results if found is not None))
    return ColumnVerdict(*names, worst_level(finding.level for finding in findings), checked, findings)


def concerned(records: Sequence[Record], verdicts: Sequence[ColumnVerdict]) -> tuple[Record, ...]:
    """The records with what was found of them as further reasons and their level raised; those that nothing concerns as they are."""
    found: dict[str, list[ColumnFinding]] = {}
    for finding in (finding for one in verdicts for finding in one.findings):
        for digest in finding.cells:
            found.setdefault(digest, []).append(finding)
    return tuple(raised(record, found[record.digest]) if record.digest in found else record for record in records)


def raised(record: Record, findings: Sequence[ColumnFinding]) -> Record:
    level = record.level if record.level not in LEVELS else worst_level([record.level, *(finding.level for finding in findings)])
    reasons = dict.fromkeys((*record.reasons, *(f"{finding.id}: {finding.message}" for finding in findings)))
    return replace(record, level=level, reasons=tuple(reasons))
