"""From a section's rows to one entry of a table: estimate, interval, what is missing, and whether to believe it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import UNMEASURED, Entry, Validity, with_best, worst
from medrobust.stats import Interval, Sample, clustered_rate, mean, paired_difference
from medrobust.stats.bootstrap import Floats

if TYPE_CHECKING:
    import pandas as pd

PARTIAL = "partial"
"""How a reason begins that says that a number is not of all that its column is of."""

Contrast = Callable[[Sample, Sample], Interval]
Estimator = Callable[[Sample], Interval]

RATES = frozenset(
    {
        "abstained",
        "clean-correct",
        "correct",
        "flip",
        "fooled",
        "missed",
        "missed-organ",
        "pointing",
        "saturated",
        "silent-success",
        "survives-saving",
        "undecided",
        "within-budget",
    }
)
"""Metrics that are 1 or 0 of a case, whatever the cases at hand happen to be."""
SHARES = frozenset({("pointing", "fraction")})
"""Labels of theirs that are not."""


def estimator(metric: str, label: str | None = "") -> Estimator:
    """How the mean of a metric over cases is estimated, wherever it is shown: as a rate or as any other mean."""
    return clustered_rate if metric in RATES and (metric, label) not in SHARES else mean


@dataclass(frozen=True)
class Quantity:
    """What is averaged over cases.

    metric, label: which rows; any label where None. of: values -> values, such as a threshold.
    estimator: sample -> interval; that of the metric where None.
    per_case: every case owes a value; otherwise only cases that some cell of the condition has one for.
    """

    metric: str
    label: str | None = ""
    of: Callable[[Floats], Floats] | None = None
    estimator: Estimator | None = None
    per_case: bool = False


@dataclass(frozen=True)
class Measured:
    """An entry and the sample behind it; no sample where there is nothing to compare."""

    entry: Entry
    sample: Sample | None = None


def over(metric: str, threshold: float, label: str = "") -> Quantity:
    """Share of cases whose value is at least `threshold`; every case owes one."""
    return Quantity(metric, label, lambda values: (values >= threshold).astype(float), clustered_rate, per_case=True)


def measure(section: Section, model: Model, attack: str, condition: str, quantity: Quantity) -> Measured:
    """One quantity of one model under one attack and condition."""
    records = section.cells(model, attack, condition)
    validity = section.validity(records)
    if validity.level == "missing":
        return Measured(missing(validity))
    frame = section.frame(model, attack, condition, quantity.metric, quantity.label)
    owed = sum(record.cases for record in records) if quantity.per_case else len(records) * section.owed(condition, quantity.metric, quantity.label)
    if frame.empty:
        return Measured(Entry(expected=owed, note=UNMEASURED, validity=Validity("missing", (UNMEASURED,))))
    values = frame["value"].to_numpy(dtype=float)
    names = case_names(frame, labelled=quantity.label is None)
    sample = Sample.of(quantity.of(values) if quantity.of else values, frame["patient"].to_numpy(dtype=str), names)
    estimate = quantity.estimator or estimator(quantity.metric, quantity.label)
    return Measured(entry(estimate(sample), owed, validity), sample)


def case_names(frame: pd.DataFrame, labelled: bool = False) -> NDArray[np.str_]:
    """What rows are paired by within a patient, (rows,): the case under its seed, and under its label where labels are mixed."""
    names = frame["case"].to_numpy(dtype=str)
    for column in ("seed", "label") if labelled else ("seed",):
        known = frame[column].unique()
        names = np.char.add(f"{known[0]}/" if len(known) == 1 else np.char.add(frame[column].to_numpy(dtype=str), "/"), names)
    return names


def missing(validity: Validity) -> Entry:
    """The entry of a cell that is not done: its state, never a number."""
    state = validity.reasons[0] if validity.reasons else "missing"
    note = "not run" if state in {"queued", "not in the plan"} else state.split(":")[0]
    return Entry(note=note, validity=validity)


def entry(interval: Interval, owed: int, validity: Validity) -> Entry:
    """An interval as an entry; fewer cases than owed is a reason to warn."""
    if interval.cases < owed:
        reason = f"{owed - interval.cases} of {owed} values are missing and enter no average"
        level = "invalid" if validity.level == "invalid" else "warn"
        validity = Validity(level, (*validity.reasons, reason))
    low, high = finite(interval.low), finite(interval.high)
    return Entry(finite(interval.estimate), low, high, interval.patients, interval.cases, max(owed, interval.cases), validity=validity)


def contrast(first: Measured, second: Measured, by: Contrast) -> Entry:
    """A paired contrast of two entries; missing where either is."""
    if first.sample is None or second.sample is None:
        return first.entry if first.sample is None else second.entry
    found = by(first.sample, second.sample)
    return entry(found, found.cases, worst([first.entry.validity, second.entry.validity]))


def finite(value: float) -> float | None:
    """NaN is no number; infinity stays, as the open end of a ratio's interval."""
    return None if math.isnan(value) else value


def ranked(measured: Sequence[Measured], better: bool | None) -> list[Entry]:
    """Entries of one column and group, marked where they are not measurably worse than the best.

    An entry competes if it is complete, of all that its column is of, and not invalid. Not measurably worse: the paired 95 % interval of its
    difference from the best, over the cases that both have, contains zero, or there is none. Nothing is marked without a second competitor, on one
    patient, or where all are equal.
    """
    entries = [one.entry for one in measured]
    able = [i for i, one in enumerate(measured) if one.sample is not None and _competes(one.entry)]
    if better is None or len(able) < 2 or max(entries[i].patients for i in able) < 2 or len({entries[i].estimate for i in able}) < 2:
        return entries
    sign = 1.0 if better else -1.0
    top = max(able, key=lambda i: sign * (entries[i].estimate or 0.0))
    return with_best(entries, [i for i in able if i == top or _level_with(measured[top], measured[i])])


def _competes(found: Entry) -> bool:
    return found.complete and found.validity.level != "invalid" and not any(reason.startswith(PARTIAL) for reason in found.validity.reasons)


def _level_with(top: Measured, other: Measured) -> bool:
    if top.sample is None or other.sample is None:
        return False
    difference = paired_difference(top.sample, other.sample)
    return not (difference.low > 0 or difference.high < 0)


def flagged(found: Entry, reason: str) -> Entry:
    """The entry with a further reason to be careful."""
    level = "invalid" if found.validity.level == "invalid" else "warn"
    return replace(found, validity=Validity(level, (*found.validity.reasons, reason)))
