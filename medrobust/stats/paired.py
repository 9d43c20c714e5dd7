"""Tests of two entrants on the same patients: sign flips, Wilcoxon, McNemar, Holm's adjustment, and the Hodges-Lehmann effect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medrobust.stats.bootstrap import LEVEL, Floats, Interval, Sample
from medrobust.stats.flips import DRAWS, Flips

NOTHING = float("nan")
# Beyond so many patients the exact distribution of the rank sum gives way to its normal limit, as in R from 50 on.
EXACT_RANKS = 100


@dataclass(frozen=True)
class PairedTest:
    """What a test of a paired difference found.

    effect: what was tested, first less second, in the unit of the values. p: two-sided. patients: how many both have.
    exact: p comes from the whole null distribution, not from draws or a limit.
    """

    effect: float
    p: float
    patients: int
    exact: bool


@dataclass(frozen=True)
class Discordant:
    """McNemar's table.

    first_only, second_only: cases that are 1 in one sample alone. p: two-sided, exact binomial. cases: all of them.
    """

    first_only: int
    second_only: int
    p: float
    cases: int


def permutation(first: Sample, second: Sample, draws: int = DRAWS, seed: int = 0) -> PairedTest:
    """Sign-flip test of the difference of the two means over cases.

    Under the hypothesis a patient's cases may as well have come from the other entrant, so patients change sides, each with all its cases.
    Patients that only one has are left out. p is 1 for fewer than two patients, and never below 2**(1 - patients).
    Source: Fisher 1935; Winkler et al. 2014, doi:10.1016/j.neuroimage.2014.01.060, for flips of whole blocks.
    """
    names = np.intersect1d(first.patients, second.patients)
    sums, counts = (np.stack([one.sums(names, power) for one in (first, second)]) for power in (1, 0))  # (2, patients)
    if len(names) < 2:
        return PairedTest(float(sums[0, 0] / counts[0, 0] - sums[1, 0] / counts[1, 0]) if len(names) else NOTHING, 1.0, len(names), True)
    # With s a sign: what the first entrant then holds is (both + s (first - second)) / 2; the second holds the rest.
    total, gap, cases, excess = sums.sum(), sums[0] - sums[1], counts.sum(), counts[0] - counts[1]

    def statistic(signs: Floats) -> Floats:
        moved, more = signs @ gap, signs @ excess
        return np.asarray((total + moved) / (cases + more) - (total - moved) / (cases - more))

    effect = float(statistic(np.ones((1, len(names))))[0])
    flips = Flips(len(names), draws, seed)
    slack = 1e-9 * np.abs(gap).sum() / cases
    hits = sum(int((np.abs(statistic(signs)) >= abs(effect) - slack).sum()) for signs in flips)
    return PairedTest(effect, float(flips.chance(np.asarray(hits))), len(names), flips.exact)


def wilcoxon(first: Sample, second: Sample) -> PairedTest:
    """Signed-rank test of the differences of patient means, by scipy; `effect` is their Hodges-Lehmann estimate, p is 1 where none differs."""
    from scipy import stats

    gaps = patient_differences(first, second)
    if not gaps.any():
        return PairedTest(0.0 if len(gaps) else NOTHING, 1.0, len(gaps), True)
    kept = np.abs(gaps[gaps != 0])
    exact = bool(len(np.unique(kept)) == len(gaps) <= 50)
    found = stats.wilcoxon(gaps, method="exact" if exact else "approx")
    return PairedTest(float(np.median(_walsh(gaps))), float(found.pvalue), len(gaps), exact)


def hodges_lehmann(first: Sample, second: Sample, level: float = LEVEL) -> Interval:
    """Median of all averages of two differences of patient means, with the interval that inverts the signed-rank test.

    The interval covers at least `level`; with too few patients for that (fewer than 6 at .95) it has no ends.
    Source: Hodges and Lehmann 1963; Hollander and Wolfe 1973, sections 3.2 and 3.3.
    """
    gaps = patient_differences(first, second)
    names = np.intersect1d(first.patients, second.patients)
    cases = int(first.sums(names, 0).sum())
    if not len(gaps):
        return Interval(NOTHING, NOTHING, NOTHING, 0, 0)
    walsh = _walsh(gaps)
    cut = _rank_sum_cut(len(gaps), (1 - level) / 2)
    low, high = (float(walsh[cut]), float(walsh[-1 - cut])) if cut >= 0 else (NOTHING, NOTHING)
    return Interval(float(np.median(walsh)), low, high, len(gaps), cases)


def mcnemar(first: Sample, second: Sample) -> Discordant:
    """Exact McNemar test of two samples of 0 and 1 on the same cases in the same order.

    It takes cases as independent: with several cases a patient its p is too small, so believe `permutation` then.
    Source: McNemar 1947; the binomial of the discordant cases, by scipy.
    """
    from scipy import stats

    for sample in (first, second):
        if not np.isin(sample.values, (0, 1)).all():
            msg = f"mcnemar: found {sample.values[~np.isin(sample.values, (0, 1))][0]:g}, expected values of 0 and 1"
            raise ValueError(msg)
    if not np.array_equal(first.patients, second.patients):
        msg = f"mcnemar: found {len(first.patients)} and {len(second.patients)} cases of other patients, expected the same cases in the same order"
        raise ValueError(msg)
    one, other = int((first.values > second.values).sum()), int((second.values > first.values).sum())
    p = float(stats.binomtest(one, one + other).pvalue) if one + other else 1.0
    return Discordant(one, other, p, len(first.values))


def holm(p: ArrayLike) -> Floats:
    """Adjusted p values, in the order given: at level a, at most a share a of families holds a false one. Source: Holm 1979."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1)
    found = np.empty_like(values)
    found[order] = stepped
    return found


def patient_differences(first: Sample, second: Sample) -> Floats:
    """Mean of `first` less mean of `second` of each patient that both have, (patients,)."""
    names = np.intersect1d(first.patients, second.patients)
    return np.asarray(first.sums(names) / first.sums(names, 0) - second.sums(names) / second.sums(names, 0))


def _walsh(gaps: Floats) -> Floats:
    """Averages of two values, each with itself too, sorted, (n (n + 1) / 2,)."""
    rows, columns = np.triu_indices(len(gaps))
    return np.sort((gaps[rows] + gaps[columns]) / 2)


def _rank_sum_cut(n: int, tail: float) -> int:
    """Largest c with P(rank sum <= c) <= tail, -1 where there is none; the interval's ends are the Walsh averages c from either end."""
    if n > EXACT_RANKS:
        from scipy import stats

        spread = np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return int(np.floor(n * (n + 1) / 4 - 0.5 + stats.norm.ppf(tail) * spread))
    ways = np.ones(1)
    for rank in range(1, n + 1):
        ways = (np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))) / 2
    return int(np.searchsorted(np.cumsum(ways), tail, side="right")) - 1
