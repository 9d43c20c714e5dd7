"""Two runs, or two cells, case by case: differences of every value that both hold, paired where both hold the same cases."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrobust.errors import StoreError
from medrobust.leaderboard.evidence import Evidence, evidence, joined
from medrobust.leaderboard.pairs import Pair, pairs
from medrobust.leaderboard.sources import load
from medrobust.leaderboard.tables import LEVELS, Validity, worst
from medrobust.stats import Sample, paired_difference
from medrobust.stats.bootstrap import Interval
from medrobust.stats.paired import Discordant, hodges_lehmann, holm, mcnemar, permutation, wilcoxon
from medrobust.stats.unpaired import unpaired_difference
from medrobust.store import MARKER

if TYPE_CHECKING:
    import pandas as pd

CASE = ["patient", "case", "metric", "label"]
NOTHING = float("nan")


@dataclass(frozen=True)
class Difference:
    """One metric of one cell that both sides hold.

    first, second: means over the shared cases. difference: second less first, with its 95 % interval clustered by patient, NaN for
    one patient and where all cases of a metric that is no rate differ alike. equal: how many cases have the very same value.
    only_first, only_second: cases that one side alone has.
    paired: whether both hold the same data; else means are over each side's own cases, none is shared, and there are no tests.
    level, reasons: validity of the cell, the worse of both sides; numbers of an invalid one are not to be believed.
    p: of a permutation test that flips patients. adjusted: the same by Holm over all valid cells of this metric and label. NaN where there is none.
    shift, wilcoxon: Hodges-Lehmann estimate of the difference of a patient and p of the signed-rank test, where values are not just 0 and 1.
    mcnemar: where they are; it takes cases as independent, so with several cases a patient its p is too small. Neither p is adjusted.
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
    paired: bool = True
    level: str = "ok"
    reasons: tuple[str, ...] = ()
    shift: Interval | None = None
    wilcoxon: float | None = None
    mcnemar: Discordant | None = None

    @property
    def believed(self) -> bool:
        return self.level != "invalid"

    def plain(self) -> dict[str, Any]:
        """For JSON: NaN as null."""
        return _plain(asdict(self))


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    said = {name: _plain(value) if isinstance(value, dict) else value for name, value in fields.items()}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in said.items()}


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
    found = [difference for pair in pairs(first, second) for difference in _cell(pair, first.rows, second.rows, every_label)]
    if not found:
        msg = f"{first.suite} and {second.suite}: found no value of one cell and case in both; expected runs of one spec, or cells on the same cases"
        raise StoreError(msg)
    return adjusted(found)


def adjusted(found: Sequence[Difference]) -> list[Difference]:
    """With p values held against each other within each metric and label, over its cells that are valid and paired; others have none."""
    families: dict[tuple[str, str], list[int]] = {}
    for index, one in enumerate(found):
        if one.believed and one.paired:
            families.setdefault((one.metric, one.label), []).append(index)
    better = {index: p for indices in families.values() for index, p in zip(indices, holm([found[i].p for i in indices]).tolist(), strict=True)}
    return [replace(one, adjusted=better.get(index, NOTHING)) for index, one in enumerate(found)]


def _cell(pair: Pair, first: pd.DataFrame, second: pd.DataFrame, every_label: bool) -> list[Difference]:
    one, two = first[first["cell"] == pair.first.digest], second[second["cell"] == pair.second.digest]
    levels = [Validity(record.level if record.level in LEVELS else "invalid", record.reasons) for record in (pair.first, pair.second)]
    validity = worst(levels)
    named = {"level": validity.level, "reasons": validity.reasons}
    if not pair.paired:
        sides = [_by_label(side, every_label) for side in (one, two)]
        return [_unpaired(pair, key, rows, sides[1][key], named) for key, rows in sides[0].items() if key in sides[1]]
    both = _by_label(one.merge(two, on=CASE, how="outer", suffixes=("_1", "_2"), indicator=True), every_label)
    return [_paired(pair, key, rows, named) for key, rows in both.items() if (rows["_merge"] == "both").any()]


def _by_label(rows: pd.DataFrame, every_label: bool) -> dict[tuple[str, str], pd.DataFrame]:
    """Rows by metric and label, markers and, unless asked for, query labels left out."""
    found = {(str(metric), str(label)): part for (metric, label), part in rows.groupby(["metric", "label"], sort=True)}
    return {key: part for key, part in found.items() if key[0] != MARKER and (every_label or not re.fullmatch(r"q=\d+", key[1]))}


def _paired(pair: Pair, key: tuple[str, str], rows: pd.DataFrame, named: dict[str, Any]) -> Difference:
    shared = rows[rows["_merge"] == "both"]
    patients = shared["patient"].to_numpy(dtype=str)
    one, two = (shared[name].to_numpy(float) for name in ("value_1", "value_2"))
    before, after = (Sample.of(values, patients) for values in (one, two))
    interval = paired_difference(after, before)
    p = permutation(after, before).p if (one != two).any() else 1.0
    binary = bool(np.isin([one, two], (0, 1)).all())
    return Difference(
        cell=pair.name,
        metric=key[0],
        label=key[1],
        unit=str(shared["unit_1"].iloc[0]),
        first=float(one.mean()),
        second=float(two.mean()),
        difference=interval.estimate,
        low=interval.low,
        high=interval.high,
        patients=interval.patients,
        cases=interval.cases,
        equal=int((one == two).sum()),
        only_first=int((rows["_merge"] == "left_only").sum()),
        only_second=int((rows["_merge"] == "right_only").sum()),
        p=p,
        adjusted=p,
        shift=None if binary else hodges_lehmann(after, before),
        wilcoxon=None if binary else wilcoxon(after, before).p,
        mcnemar=mcnemar(before, after) if binary else None,
        **named,
    )


def _unpaired(pair: Pair, key: tuple[str, str], first: pd.DataFrame, second: pd.DataFrame, named: dict[str, Any]) -> Difference:
    one, two = (rows["value"].to_numpy(float) for rows in (first, second))
    before, after = (Sample.of(values, rows["patient"].to_numpy(dtype=str)) for values, rows in ((one, first), (two, second)))
    interval = unpaired_difference(after, before)
    return Difference(
        cell=pair.name,
        metric=key[0],
        label=key[1],
        unit=str(first["unit"].iloc[0]),
        first=float(one.mean()),
        second=float(two.mean()),
        difference=interval.estimate,
        low=interval.low,
        high=interval.high,
        patients=interval.patients,
        cases=0,
        equal=0,
        only_first=len(one),
        only_second=len(two),
        p=NOTHING,
        adjusted=NOTHING,
        paired=False,
        **named,
    )
