"""Intervals of many means at once: the same numbers as one by one, in matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medrobust.leaderboard.measure import entry, missing
from medrobust.leaderboard.tables import UNMEASURED, Entry, Validity
from medrobust.stats import Interval, Sample, clustered_rate, expanded, mean, rate_bounds
from medrobust.stats.bootstrap import RESAMPLES, Floats, Resampled, draws, without_collapse

CHUNK = 256
"""Means at a time; 2000 resamples of them are 4 MB."""


def entries(values: Floats, patients: NDArray[np.str_], validity: Sequence[Validity], owed: int, rate: bool) -> list[Entry]:
    """One a line of values, (k, n), NaN where a case has none; `validity` says what is known of each line."""
    found = means(values, patients, rate)
    return [_entry(one, believed, owed) for one, believed in zip(found, validity, strict=True)]


def _entry(found: Interval, believed: Validity, owed: int) -> Entry:
    if believed.level == "missing":
        return missing(believed)
    if not found.cases:
        return Entry(expected=owed, note=UNMEASURED, validity=Validity("missing", (UNMEASURED,)))
    return entry(found, owed, believed)


def means(values: Floats, patients: NDArray[np.str_], rate: bool = False) -> list[Interval]:
    """`clustered_rate` of each line where it is a rate, else `mean`: (k, n) values, NaN where a case has none, and whose cases they are, (n,)."""
    held = ~np.isnan(values)
    names, owner = np.unique(patients, return_inverse=True)
    found: list[Interval | None] = [None] * len(values)
    whole = held.all(axis=1) if len(names) > 1 else np.zeros(len(values), dtype=bool)
    if whole.any():
        lines = np.flatnonzero(whole)
        for start in range(0, len(lines), CHUNK):
            part = lines[start : start + CHUNK]
            for line, one in zip(part.tolist(), _whole(values[part], owner, len(names), rate), strict=True):
                found[line] = one
    for line in np.flatnonzero(~whole).tolist():
        sample = Sample(values[line, held[line]], patients[held[line]])
        found[line] = clustered_rate(sample) if rate else mean(sample)
    return [one for one in found if one is not None]


def _whole(values: Floats, owner: NDArray[np.int64], patients: int, rate: bool) -> list[Interval]:
    """Of lines without a gap."""
    lines, cases = values.shape
    member = np.zeros((cases, patients))
    member[np.arange(cases), owner] = 1
    sums, counts = values @ member, member.sum(axis=0)
    drawn = draws(patients, RESAMPLES, 0)
    replicates = (drawn @ sums.T) / (drawn @ counts)[:, None]
    low, high = np.quantile(replicates, _tails(patients), axis=0)
    estimates = sums.sum(axis=1) / cases
    found = []
    for line in range(lines):
        one = Interval(float(estimates[line]), float(low[line]), float(high[line]), patients, cases)
        found.append(_widened(one, sums[line], counts) if rate else without_collapse(one))
    return found


def _widened(found: Interval, hits: Floats, cases: Floats) -> Interval:
    """As `clustered_rate` does."""
    low, high = rate_bounds(hits, cases)
    return replace(found, low=min(found.low, low), high=max(found.high, high))


@lru_cache(maxsize=64)
def _tails(patients: int) -> tuple[float, float]:
    """The two quantiles that `expanded` takes for so many patients: of 0 and 1 joined by a line, the quantile q is q."""
    return expanded(Resampled(0.5, np.linspace(0.0, 1.0, 2), np.zeros(patients)))
