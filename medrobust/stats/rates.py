"""Intervals of a rate: for independent cases, and clustered by patient."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from medrobust.stats.bootstrap import LEVEL, RESAMPLES, Floats, Interval, Sample, mean
from medrobust.stats.design_effect import effective_cases


def wilson(hits: float, cases: float, level: float = LEVEL) -> tuple[float, float]:
    """Score interval of hits / cases, in [0, 1]; the whole of it without cases. Both may be fractions of as many independent cases.

    Source: Wilson 1927, without continuity correction, as Newcombe 1998 writes it; scipy's, without the p value that it computes first.
    """
    if not 0 <= hits <= cases:
        msg = f"rate: found {hits:g} hits of {cases:g} cases, expected 0 to {cases:g}"
        raise ValueError(msg)
    if cases == 0:
        return 0.0, 1.0
    z, rate = _quantile(level), hits / cases
    size = 2 * (cases + z**2)
    centre = (2 * cases * rate + z**2) / size
    width = z / size * math.sqrt(4 * cases * rate * (1 - rate) + z**2)
    return 0.0 if hits == 0 else centre - width, 1.0 if hits == cases else centre + width


@lru_cache(maxsize=16)
def _quantile(level: float) -> float:
    from scipy import special

    return float(special.ndtri(0.5 + 0.5 * level))


def clopper_pearson(hits: int, cases: int, level: float = LEVEL) -> tuple[float, float]:
    """Exact interval of hits / cases, in [0, 1]; never covers less than `level`. Source: Clopper and Pearson 1934."""
    from scipy import stats

    if cases == 0:
        return 0.0, 1.0
    interval = stats.binomtest(hits, cases).proportion_ci(confidence_level=level, method="exact")
    return float(interval.low), float(interval.high)


def clustered_rate(sample: Sample, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Rate of values 0 and 1, its interval clustered by patient.

    The expanded percentile bootstrap, but never narrower than `rate_bounds`: near 0 and 1 a bootstrap has hardly any width. One patient gives NaN.
    """
    found = mean(sample, level=level, resamples=resamples, seed=seed)
    if found.patients < 2:
        return found
    names = np.unique(sample.patients)
    low, high = rate_bounds(sample.sums(names), sample.sums(names, 0), level)
    return replace(found, low=float(np.fmin(found.low, low)), high=float(np.fmax(found.high, high)))


def rate_bounds(hits: Floats, cases: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of a rate for as many independent cases as the cases are worth, in [0, 1].

    hits, cases: (patients,) of two patients or more. No hits at all, or nothing but hits, are worth one case a patient.
    """
    total = float(cases.sum())
    rate = float(hits.sum()) / total
    departing = min(int((hits > 0).sum()), int((hits < cases).sum()))
    worth = effective_cases(hits, cases, rate * (1 - rate), departing, level)
    return wilson(rate * worth, worth, level)
