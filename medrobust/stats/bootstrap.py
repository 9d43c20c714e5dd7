"""Bootstrap intervals of means and ratios, clustered by patient.

A patient is drawn with all its cases. Every statistic here is a function of sums over cases, so one resample is a vector
of how often each patient was drawn, and all resamples are one matrix product: (resamples, patients) @ (patients, sums).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Callable[[Floats], Floats]
Method: TypeAlias = Callable[["Resampled", float], tuple[float, float]]

RESAMPLES = 2000
LEVEL = 0.95
NOTHING = float("nan")
# Sums of one value differ by rounding alone.
SAME = 1e-12


@dataclass(frozen=True)
class Interval:
    """An estimate and where it may lie, all in the unit of the values.

    low, high: NaN where no interval can be had: fewer than two patients, a statistic that is undefined, or the same value in every resample, which
    tells nothing of how much it varies.
    patients: how many patients were resampled.
    cases: how many cases they have.
    """

    estimate: float
    low: float
    high: float
    patients: int
    cases: int


@dataclass(frozen=True)
class Sample:
    """One value a case, and whose case it is.

    values: (n,), finite. patients: (n,) names, in any order. cases: (n,) names, each once a patient; None where they have none, and two samples can
    be paired only if each patient has as many cases in both, in the same order.
    """

    values: Floats
    patients: NDArray[np.str_]
    cases: NDArray[np.str_] | None = None

    @staticmethod
    def of(values: ArrayLike, patients: ArrayLike, cases: ArrayLike | None = None) -> Sample:
        """Check lengths and refuse NaN and infinity: a value that misses is the caller's to count, never averaged away."""
        names = None if cases is None else np.asarray(cases, dtype=str).ravel()
        sample = Sample(np.asarray(values, dtype=np.float64).ravel(), np.asarray(patients, dtype=str).ravel(), names)
        if len(sample.values) != len(sample.patients):
            msg = f"sample: {len(sample.values)} values for {len(sample.patients)} patients"
            raise ValueError(msg)
        if names is not None and len(names) != len(sample.values):
            msg = f"sample: {len(sample.values)} values for {len(names)} cases"
            raise ValueError(msg)
        if not np.isfinite(sample.values).all():
            msg = f"sample: {int((~np.isfinite(sample.values)).sum())} of {len(sample.values)} values are not finite"
            raise ValueError(msg)
        return sample

    def sums(self, names: NDArray[np.str_], power: int = 1) -> Floats:
        """Sum of values**power a patient of `names`, (len(names),); patients not named are left out."""
        index = np.searchsorted(names, self.patients).clip(max=max(len(names) - 1, 0))
        known = names[index] == self.patients if len(names) else np.zeros(len(self.patients), dtype=bool)
        return np.bincount(index[known], weights=self.values[known] ** power, minlength=len(names)).astype(np.float64)


@dataclass(frozen=True)
class Resampled:
    """A statistic of the data, of every resample and of the data without each patient.

    estimate: the statistic. replicates: (resamples,). jackknife: (patients,).
    """

    estimate: float
    replicates: Floats
    jackknife: Floats


@lru_cache(maxsize=16)
def draws(patients: int, resamples: int, seed: int) -> Floats:
    """How often each patient is drawn in each resample, (resamples, patients)."""
    drawn = _counts(patients, resamples, seed).astype(np.float64)
    drawn.setflags(write=False)
    return drawn


@lru_cache(maxsize=128)
def _counts(patients: int, resamples: int, seed: int) -> NDArray[np.uint16]:
    """The same in a quarter of the memory: tables whose entries have many different numbers of patients ask for each again and again."""
    return np.random.default_rng(seed).multinomial(patients, np.full(patients, 1 / patients), size=resamples).astype(np.uint16)


def resample(totals: Floats, statistic: Statistic, resamples: int = RESAMPLES, seed: int = 0) -> Resampled:
    """Resample patients.

    totals: (patients, k) sums a patient. statistic: sums (..., k) -> values (...,).
    One seed draws the same patients for every statistic, so intervals of one table move together.
    """
    whole = totals.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(statistic(whole))
        replicates = statistic(draws(len(totals), resamples, seed) @ totals)
        return Resampled(estimate, replicates, statistic(whole - totals))


def percentile(resampled: Resampled, level: float = LEVEL) -> tuple[float, float]:
    """Quantiles of the replicates. Source: Efron 1979."""
    return _quantiles(resampled.replicates, (1 - level) / 2, (1 + level) / 2)


def expanded(resampled: Resampled, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval widened for few patients, by Student's t and by the variance's n / (n - 1).

    Source: Hesterberg 2015, doi:10.1080/00031305.2015.1089789, section 5.3: quantile Phi(-sqrt(n / (n - 1)) t).
    """
    tail = _tail(len(resampled.jackknife), level)
    return _quantiles(resampled.replicates, tail, 1 - tail)


@lru_cache(maxsize=1024)
def _tail(n: int, level: float) -> float:
    from scipy import stats

    return float(stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf((1 - level) / 2, n - 1)))


def bca(resampled: Resampled, level: float = LEVEL) -> tuple[float, float]:
    """Bias-corrected and accelerated interval; the estimate itself where no replicate differs from it.

    Source: Efron 1987; Efron and Tibshirani 1993, section 14.3; acceleration from the jackknife over patients.
    """
    from scipy import stats

    replicates, estimate = resampled.replicates, resampled.estimate
    if np.isfinite(replicates).all() and np.ptp(replicates) <= 1e-12 * abs(estimate):
        return estimate, estimate
    below = (np.mean(replicates < estimate) + np.mean(replicates <= estimate)) / 2
    if not 0 < below < 1:
        return percentile(resampled, level)
    bias = stats.norm.ppf(below)
    centred = resampled.jackknife.mean() - resampled.jackknife
    spread = np.sum(centred**2) ** 1.5
    acceleration = np.sum(centred**3) / (6 * spread) if spread > 0 else 0.0
    moved = bias + stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    low, high = stats.norm.cdf(bias + moved / (1 - acceleration * moved))
    return _quantiles(replicates, float(low), float(high))


def _quantiles(replicates: Floats, low: float, high: float) -> tuple[float, float]:
    """Two quantiles; a replicate that is undefined (0 / 0) counts as the extreme on both sides."""
    if np.isfinite(replicates).all():
        lower, upper = np.quantile(replicates, [low, high])
        return float(lower), float(upper)
    lower = np.quantile(np.where(np.isnan(replicates), -np.inf, replicates), low, method="lower")
    upper = np.quantile(np.where(np.isnan(replicates), np.inf, replicates), high, method="higher")
    return float(lower), float(upper)


def mean(sample: Sample, method: Method = expanded, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Mean over cases. One patient, or one value in all of them, gives no interval; of values 0 and 1 take `clustered_rate`."""
    names = np.unique(sample.patients)
    return interval(np.stack([sample.sums(names), sample.sums(names, 0)], axis=1), quotient, len(sample.values), method, level, resamples, seed)


def ratio(
    numerator: Sample, denominator: Sample, method: Method = expanded, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Sum of one sample over the sum of another on the same patients; infinite over zero."""
    names = np.intersect1d(numerator.patients, denominator.patients)
    totals = np.stack([numerator.sums(names), denominator.sums(names)], axis=1)
    return interval(totals, quotient, int(numerator.sums(names, 0).sum()), method, level, resamples, seed)


def quotient(sums: Floats) -> Floats:
    """The first of the last axis over the second."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def interval(totals: Floats, statistic: Statistic, cases: int, method: Method, level: float, resamples: int, seed: int) -> Interval:
    """A statistic of sums a patient, (patients, k), with its interval."""
    patients = len(totals)
    if patients == 0:
        return Interval(NOTHING, NOTHING, NOTHING, 0, 0)
    if patients == 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            return Interval(float(statistic(totals[0])), NOTHING, NOTHING, 1, cases)
    resampled = resample(totals, statistic, resamples, seed)
    low, high = method(resampled, level) if np.isfinite(resampled.estimate) else (NOTHING, NOTHING)
    return without_collapse(Interval(resampled.estimate, low, high, patients, cases))


def without_collapse(found: Interval) -> Interval:
    """No ends where both are one number: what never varied in the data may vary beyond them, and a bootstrap cannot say by how much."""
    collapsed = found.high - found.low <= SAME * min(abs(found.low), abs(found.high))
    return replace(found, low=NOTHING, high=NOTHING) if collapsed else found
