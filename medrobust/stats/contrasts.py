"""Paired differences and ratios of two entrants on the cases that both have, with intervals clustered by patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medrobust.stats.bootstrap import LEVEL, RESAMPLES, Floats, Interval, Method, Sample, expanded, interval, mean, quotient
from medrobust.stats.pairing import on_shared_cases
from medrobust.stats.rate_difference import difference_bounds


def paired_difference(
    first: Sample, second: Sample, method: Method = expanded, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of `first` less mean of `second` over the cases that both have; others are left out, so look at `cases`.

    Where both hold nothing but 0 and 1 it is a difference of rates, and the interval never narrower than `difference_bounds`, so that it has a width
    also where all cases differ alike. Other differences that are all one number have no interval.
    """
    one, other = on_shared_cases(first, second)
    found = mean(Sample(one.values - other.values, one.patients), method, level, resamples, seed)
    if found.patients < 2 or not all(np.isin(sample.values, (0.0, 1.0)).all() for sample in (one, other)):
        return found
    low, high = difference_bounds(one.values - other.values, one.patients, level)
    return replace(found, low=float(np.fmin(found.low, low)), high=float(np.fmax(found.high, high)))


def paired_ratio(
    first: Sample, second: Sample, method: Method = expanded, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of `first` over mean of `second` over the cases that both have; the high end is infinite where `second` may be zero."""
    one, other = on_shared_cases(first, second)
    names = np.unique(one.patients)
    totals: Floats = np.stack([one.sums(names), other.sums(names)], axis=1)
    return interval(totals, quotient, len(one.values), method, level, resamples, seed)
