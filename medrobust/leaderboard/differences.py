"""Two runs, or two cells, case by case: paired differences of every value that both hold."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrobust.errors import StoreError
from medrobust.leaderboard.evidence import Evidence, evidence, joined
from medrobust.leaderboard.sources import load
from medrobust.stats import Sample, mean
from medrobust.stats.paired import holm, permutation
from medrobust.store import MARKER

if TYPE_CHECKING:
    import pandas as pd

CASE = ["patient", "case", "metric", "label"]


@dataclass(frozen=True)
class Difference:
    """One metric of one cell that both sides hold.

    first, second: means over the shared cases. difference: second less first, with its 95 % interval clustered by patient, NaN for
    one patient. equal: how many cases have the very same value. only_first, only_second: cases that one side alone has.
    p: of a permutation test that flips patients. adjusted: the same by Holm over all cells of this metric and label.
    """

    cell: str
    metric: str
    label: str
    unit: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    patients: int
    cases: int
    equal: int
    only_first: int
    only_second: int
    p: float
    adjusted: float

    def plain(self) -> dict[str, Any]:
        """For JSON: NaN as null."""
        return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in asdict(self).items()}


def side(path: Path) -> Evidence:
    """A run or a committed folder, judged, or one cell as `RUN/cells/DIGEST`."""
    if path.parent.name != "cells":
        return joined([load(path)])
    whole = load(path.parent.parent)
    records = [record for record in whole.records if record.digest == path.name]
    if not records:
        msg = f"{path}: found no such cell in {path.parent.parent}, expected one of its digests"
        raise StoreError(msg)
    return evidence(f"{whole.suite}/{path.name}", whole.rows[whole.rows["cell"] == path.name], records)


def differences(first: Evidence, second: Evidence, every_label: bool = False) -> list[Difference]:
    """Two runs by cells of one name, two single cells whatever their names; query labels `q=...` only where asked for.

    Raises StoreError where nothing is shared.
    """
    pairs = _pairs(first, second)
    found = [difference for name, one, two in pairs for difference in _cell(name, first.rows, second.rows, one, two, every_label)]
    if not found:
        msg = f"{first.suite} and {second.suite}: found no value of one cell and case in both; expected runs of one spec, or cells on the same cases"
        raise StoreError(msg)
    return adjusted(found)


def adjusted(found: list[Difference]) -> list[Difference]:
    """With p values held against each other within each metric and label, over its cells."""
    families: dict[tuple[str, str], list[int]] = {}
    for index, one in enumerate(found):
        families.setdefault((one.metric, one.label), []).append(index)
    better = {index: p for indices in families.values() for index, p in zip(indices, holm([found[i].p for i in indices]).tolist(), strict=True)}
    return [replace(one, adjusted=better[index]) for index, one in enumerate(found)]


def _pairs(first: Evidence, second: Evidence) -> list[tuple[str, str, str]]:
    """Names and the two digests, of cells that both measured."""
    if len(first.records) == len(second.records) == 1:
        one, two = first.records[0], second.records[0]
        names = [" ".join(_words(record)) for record in (one, two)]
        return [(names[0] if names[0] == names[1] else f"{names[0]} | {names[1]}", one.digest, two.digest)]
    others = {record.names: record for record in second.records if record.measured}
    shared = [(record, others[record.names]) for record in first.records if record.measured and record.names in others]
    return [(" ".join(_words(one)), one.digest, two.digest) for one, two in shared]


def _words(record: Any) -> list[str]:
    return [record.condition, record.target, *([] if record.defense == "none" else [f"+ {record.defense}"]), record.attack]


def _cell(name: str, first: pd.DataFrame, second: pd.DataFrame, one: str, two: str, every_label: bool) -> list[Difference]:
    both = first[first["cell"] == one].merge(second[second["cell"] == two], on=CASE, how="outer", suffixes=("_1", "_2"), indicator=True)
    found = []
    for (metric, label), rows in both.groupby(["metric", "label"], sort=True):
        shared = rows[rows["_merge"] == "both"]
        if shared.empty or metric == MARKER or (re.fullmatch(r"q=\d+", str(label)) and not every_label):
            continue
        patients = shared["patient"].to_numpy(dtype=str)
        before, after = shared["value_1"].to_numpy(float), shared["value_2"].to_numpy(float)
        change = after - before
        interval = mean(Sample.of(change, patients))
        p = permutation(Sample.of(after, patients), Sample.of(before, patients)).p if change.any() else 1.0
        found.append(
            Difference(
                name,
                str(metric),
                str(label),
                str(shared["unit_1"].iloc[0]),
                float(shared["value_1"].mean()),
                float(shared["value_2"].mean()),
                interval.estimate,
                interval.low,
                interval.high,
                interval.patients,
                interval.cases,
                int((change == 0).sum()),
                int((rows["_merge"] == "left_only").sum()),
                int((rows["_merge"] == "right_only").sum()),
                p,
                p,
            )
        )
    return found
