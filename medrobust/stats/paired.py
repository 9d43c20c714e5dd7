"""Tests of two entrants on the same patients: sign flips, Wilcoxon, McNemar, Holm's adjustment, and the Hodges-Lehmann effect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medrobust.stats.bootstrap import LEVEL, Floats, Interval, Sample, without_collapse
from medrobust.stats.flips import DRAWS, Flips
from medrobust.stats.pairing import on_shared_cases, patient_differences

NOTHING = float("nan")
# Beyond so many patients the exact distribution of the rank sum gives way to its normal limit, as in R from 50 on.
EXACT_RANKS = 100
# Differences that are equal but for rounding, of the largest, share a rank.
TIED = 1e-12


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
    """Sign-flip test of the difference of the two means over the cases that both have.

    Under the hypothesis a patient's cases may as well have come from the other entrant, so patients change sides, each with all its cases.
    p is 1 for fewer than two patients, and never below 2**(1 - patients).
    Source: Fisher 1935; Winkler et al. 2014, doi:10.1016/j.neuroimage.2014.01.060, for flips of whole blocks.
    """
    one, other = on_shared_cases(first, second)
    names = np.unique(one.patients)
    if not len(names):
        return PairedTest(NOTHING, 1.0, 0, True)
    gap = (one.sums(names) - other.sums(names)) / len(one.values)
    effect = float(gap.sum())
    if len(names) < 2:
        return PairedTest(effect, 1.0, len(names), True)
    flips = Flips(len(names), draws, seed)
    slack = 1e-9 * np.abs(gap).sum()
    hits = sum(int((np.abs(signs @ gap) >= abs(effect) - slack).sum()) for signs in flips)
    return PairedTest(effect, float(flips.chance(np.asarray(hits))), len(names), flips.exact)


def wilcoxon(first: Sample, second: Sample) -> PairedTest:
    """Signed-rank test of the differences of patient means over the cases that both have; `effect` is their Hodges-Lehmann estimate.

    Patients without a difference are left out, equal differences share the mean of their ranks, and p counts every way of giving these very ranks
    signs; beyond `EXACT_RANKS` patients it is the normal limit with ties counted. p is 1 where none differs.
    Source: Wilcoxon 1945; Pratt and Gibbons 1981, chapter 3, for ties.
    """
    from scipy import stats

    gaps = patient_differences(first, second)
    effect = _pseudomedian(np.sort(gaps)) if len(gaps) else NOTHING
    size = np.abs(gaps)
    kept = size > TIED * size.max(initial=0.0)
    if not kept.any():
        return PairedTest(effect, 1.0, len(gaps), True)
    step = TIED * size.max()
    twice = np.rint(2 * stats.rankdata(np.rint(size[kept] / step))).astype(np.int64)
    total, above = int(twice.sum()), int(twice[gaps[kept] > 0].sum())
    if len(twice) > EXACT_RANKS:
        z = abs(above - total / 2) / np.sqrt((twice**2).sum() / 4)
        return PairedTest(effect, float(2 * stats.norm.sf(z)), len(gaps), False)
    ways = _rank_sums(twice)
    return PairedTest(effect, float(min(1.0, 2 * ways[: min(above, total - above) + 1].sum())), len(gaps), True)


def hodges_lehmann(first: Sample, second: Sample, level: float = LEVEL) -> Interval:
    """Median of all averages of two differences of patient means, with the interval that inverts the signed-rank test.

    The interval covers at least `level`; with too few patients for that (fewer than 6 at .95), or one difference in all of them, it has no ends.
    Source: Hodges and Lehmann 1963; Hollander and Wolfe 1973, sections 3.2 and 3.3.
    """
    gaps = patient_differences(first, second)
    cases = len(on_shared_cases(first, second)[0].values)
    if not len(gaps):
        return Interval(NOTHING, NOTHING, NOTHING, 0, 0)
    gaps = np.sort(gaps)
    cut = _rank_sum_cut(len(gaps), (1 - level) / 2)
    low, high = (_walsh(gaps, cut), _walsh(gaps, _pairs(len(gaps)) - 1 - cut)) if cut >= 0 else (NOTHING, NOTHING)
    return without_collapse(Interval(_pseudomedian(gaps), low, high, len(gaps), cases))


def mcnemar(first: Sample, second: Sample) -> Discordant:
    """Exact McNemar test of two samples of 0 and 1 on the cases that both have; without names of cases they must be the same, in the same order.

    It takes cases as independent: with several cases a patient its p is too small, so believe `permutation` then.
    Source: McNemar 1947; the binomial of the discordant cases, by scipy.
    """
    from scipy import stats

    for sample in (first, second):
        if not np.isin(sample.values, (0, 1)).all():
            msg = f"mcnemar: found {sample.values[~np.isin(sample.values, (0, 1))][0]:g}, expected values of 0 and 1"
            raise ValueError(msg)
    if (first.cases is None or second.cases is None) and not np.array_equal(first.patients, second.patients):
        msg = f"mcnemar: found {len(first.patients)} and {len(second.patients)} cases of other patients, expected the same cases in the same order"
        raise ValueError(msg)
    before, after = on_shared_cases(first, second)
    one, other = int((before.values > after.values).sum()), int((after.values > before.values).sum())
    p = float(stats.binomtest(one, one + other).pvalue) if one + other else 1.0
    return Discordant(one, other, p, len(before.values))


def holm(p: ArrayLike) -> Floats:
    """Adjusted p values, in the order given: at level a, at most a share a of families holds a false one. Source: Holm 1979."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1)
    found = np.empty_like(values)
    found[order] = stepped
    return found


def _pseudomedian(gaps: Floats) -> float:
    """Median of the averages of every two gaps, each with itself too; gaps: sorted."""
    last = _pairs(len(gaps)) - 1
    return (_walsh(gaps, last // 2) + _walsh(gaps, last - last // 2)) / 2


def _pairs(n: int) -> int:
    return n * (n + 1) // 2


def _walsh(gaps: Floats, place: int) -> float:
    """The average of two gaps, each with itself too, at a place of their order, from 0.

    The averages are n (n + 1) / 2 and are never held: how many lie at or below a value takes one search a gap, and halving finds the value.
    """
    own = np.arange(len(gaps))
    # `place` of them or fewer lie at or below the first, more at or below the second
    below, at = float(np.nextafter(gaps[0], -np.inf)), float(gaps[-1])

    def beyond(value: float) -> NDArray[np.intp]:
        """Of each gap the first partner, itself or later, with which the average lies above a value."""
        return np.maximum(np.searchsorted(gaps, 2 * value - gaps, side="right"), own)

    while below < (middle := below + (at - below) / 2) < at:
        if int((beyond(middle) - own).sum()) <= place:
            below = middle
        else:
            at = middle
    partner = beyond(below)
    held = partner < len(gaps)
    return float(((gaps[held] + gaps[partner[held]]) / 2).min())


def _rank_sum_cut(n: int, tail: float) -> int:
    """Largest c with P(rank sum <= c) <= tail, -1 where there is none; the interval's ends are the Walsh averages c from either end."""
    if n > EXACT_RANKS:
        from scipy import stats

        spread = np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return int(np.floor(n * (n + 1) / 4 - 0.5 + stats.norm.ppf(tail) * spread))
    return int(np.searchsorted(np.cumsum(_rank_sums(np.arange(1, n + 1))), tail, side="right")) - 1


def _rank_sums(ranks: NDArray[np.int64]) -> Floats:
    """Probability of each sum, from 0 to that of all, of ranks that are in it or not as a coin falls."""
    ways = np.ones(1)
    for rank in ranks.tolist():
        ways = (np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))) / 2
    return ways
