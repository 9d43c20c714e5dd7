"""Intervals of a rate: for independent cases, and clustered by patient."""

from __future__ import annotations

from dataclasses import replace

from medrobust.stats.bootstrap import LEVEL, RESAMPLES, Interval, Sample, mean


def wilson(hits: int, cases: int, level: float = LEVEL) -> tuple[float, float]:
    """Score interval of hits / cases, in [0, 1]; the whole of it without cases. Source: Wilson 1927, without continuity correction."""
    return _binomial(hits, cases, level, "wilson")


def clopper_pearson(hits: int, cases: int, level: float = LEVEL) -> tuple[float, float]:
    """Exact interval of hits / cases, in [0, 1]; never covers less than `level`. Source: Clopper and Pearson 1934."""
    return _binomial(hits, cases, level, "exact")


def _binomial(hits: int, cases: int, level: float, method: str) -> tuple[float, float]:
    from scipy import stats

    if cases == 0:
        return 0.0, 1.0
    interval = stats.binomtest(hits, cases).proportion_ci(confidence_level=level, method=method)
    return float(interval.low), float(interval.high)


def clustered_rate(sample: Sample, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Rate of values 0 and 1, its interval clustered by patient.

    The expanded percentile bootstrap, but never narrower than Wilson's interval of as many independent cases: a bootstrap
    of no hits at all has no width, and cases of one patient cannot say more than independent ones. One patient gives NaN.
    """
    found = mean(sample, level=level, resamples=resamples, seed=seed)
    if found.patients < 2:
        return found
    low, high = wilson(round(float(sample.values.sum())), len(sample.values), level)
    return replace(found, low=min(found.low, low), high=max(found.high, high))
