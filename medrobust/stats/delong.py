"""DeLong's variance of an area under the ROC curve, and tests of areas from the same cases, from others, or from some of the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from medrobust.stats.bootstrap import LEVEL, Interval
from medrobust.stats.placements import UNDEFINED, Placements, Scored, contrast_variance, placements
from medrobust.stats.separation import chance_of, exact_bounds, unequal

Alternative: TypeAlias = Literal["two-sided", "greater", "less"]
Design: TypeAlias = Literal["paired", "unpaired", "partially paired", "chance"]
AreaInterval: TypeAlias = Callable[[float, float, float], tuple[float, float]]

# A variance below what rounding leaves of 0; the least that one placement of a million cases of each kind can give is larger.
NEGLIGIBLE = 1e-26


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve.

    auc: in [0, 1], ties counted half; NaN without a positive and a negative case.
    variance: DeLong's, of patients where they are given; NaN for fewer than two of either kind, 0 where every placement is the same.
    interval: of `auc`, in [0, 1]; `patients` and `cases` count those of the sample. NaN where there is none.
    positives, negatives: cases.
    note: what could not be computed, or was computed otherwise, and why; empty where nothing is to be said.
    """

    auc: float
    variance: float
    interval: Interval
    positives: int
    negatives: int
    note: str


@dataclass(frozen=True)
class Comparison:
    """A test that two areas are equal, or that one is 0.5.

    first, second: the areas; no second in a test against 0.5.
    difference: first less second (or less 0.5), with its plain interval in [-1, 1], two-sided whatever the alternative; `patients` and `cases`
        count those of both samples, each once.
    error: standard error of the difference.
    statistic, df: difference / error, and the degrees of freedom of Student's t; infinite for the normal distribution.
    p: of `alternative`, about the first area less the second.
    shared: patients of both samples; where no patients are named, cases.
    note: as of an area. Nothing is NaN without one.
    """

    first: Area
    second: Area | None
    difference: Interval
    error: float
    statistic: float
    df: float
    p: float
    alternative: Alternative
    design: Design
    shared: int
    note: str


def wald(auc: float, error: float, level: float) -> tuple[float, float]:
    """Plain interval, cut to [0, 1], as pROC's."""
    half = _quantile(np.inf, level) * error
    return max(auc - half, 0.0), min(auc + half, 1.0)


def logit(auc: float, error: float, level: float) -> tuple[float, float]:
    """Interval of log(A / (1 - A)) carried back, for areas near 0 and 1. Source: Pepe 2003, section 5.2.4."""
    from scipy.special import expit
    from scipy.special import logit as log_odds

    half = _quantile(np.inf, level) * error / (auc * (1 - auc))
    return float(expit(log_odds(auc) - half)), float(expit(log_odds(auc) + half))


def delong_area(
    scores: ArrayLike, positive: ArrayLike, patients: ArrayLike | None = None, level: float = LEVEL, method: AreaInterval = wald
) -> Area:
    """The area of one reader, with DeLong's variance; that of Obuchowski 1997 where patients have several cases.

    Where every placement is the same (all told apart, all swapped, all tied) the variance is 0 and the interval exact: `exact_bounds`.
    """
    return _area(*_read(_single(scores, positive, patients)), level, method)


def delong_chance(
    scores: ArrayLike,
    positive: ArrayLike,
    patients: ArrayLike | None = None,
    alternative: Alternative = "two-sided",
    level: float = LEVEL,
    method: AreaInterval = wald,
) -> Comparison:
    """Test one area against 0.5, normal distribution; where every placement is the same, by the sign test of as many independent pairs."""
    sample, found = _read(_single(scores, positive, patients))
    area = _area(sample, found, level, method)
    low, high = area.interval.low - 0.5, area.interval.high - 0.5
    difference = Interval(area.auc - 0.5, low, high, area.interval.patients, area.interval.cases)
    exact = chance_of(area.auc, found.pairs()) if found.constant else UNDEFINED
    tested = _tested(difference.estimate, area.variance, np.inf, alternative, (exact, exact / 2))
    return Comparison(area, None, difference, *tested[:4], alternative, "chance", 0, _join([area.note, tested[4]]))


def delong_paired(
    first: Scored, second: Scored, alternative: Alternative = "two-sided", level: float = LEVEL, method: AreaInterval = wald
) -> Comparison:
    """Two areas from the same cases, normal distribution. Source: DeLong et al. 1988, equation 7; as pROC's paired test."""
    apart = len(np.setxor1d(first.cases, second.cases))
    if apart:
        msg = f"paired areas: found {apart} cases in one sample only, expected none; compare them as partially paired"
        raise ValueError(msg)
    return _linked(first, second, "paired", alternative, level, method)


def delong_partially_paired(
    first: Scored, second: Scored, alternative: Alternative = "two-sided", level: float = LEVEL, method: AreaInterval = wald
) -> Comparison:
    """Two areas whose cases are the same in part, or whose patients are, normal distribution.

    The covariance comes from what is shared, `delong_covariance`: with all cases shared this is the paired test, with none the variance is that
    of the unpaired test, whose Student's t is the better reference for few cases. A case may be positive in one sample and negative in the other.
    """
    return _linked(first, second, "partially paired", alternative, level, method)


def delong_unpaired(
    first: Scored, second: Scored, alternative: Alternative = "two-sided", level: float = LEVEL, method: AreaInterval = wald
) -> Comparison:
    """Two areas as of independent cases, names ignored: Student's t with Welch's degrees of freedom, of patients less 1. Source: pROC 1.18."""
    one, two = placements(first), placements(second)
    areas = _area(first, one, level, method), _area(second, two, level, method)
    variances = areas[0].variance, areas[1].variance
    spread = sum(v**2 / (len(found.names) - 1) for v, found in zip(variances, (one, two), strict=True) if len(found.names) > 1)
    df = sum(variances) ** 2 / spread if spread > 0 else np.inf
    return _compared(areas, (one, two), sum(variances), df, _Setting("unpaired", alternative, level))


def delong_comparison(
    first: Scored, second: Scored, alternative: Alternative = "two-sided", level: float = LEVEL, method: AreaInterval = wald
) -> Comparison:
    """The test that the samples' names demand: paired where they have the same cases, unpaired where no case and no patient is in both."""
    if len(np.setxor1d(first.cases, second.cases)) == 0:
        return delong_paired(first, second, alternative, level, method)
    if len(np.intersect1d(first.cases, second.cases)) == 0 and len(np.intersect1d(first.patients, second.patients)) == 0:
        return delong_unpaired(first, second, alternative, level, method)
    return delong_partially_paired(first, second, alternative, level, method)


def _single(scores: ArrayLike, positive: ArrayLike, patients: ArrayLike | None) -> Scored:
    return Scored.of(scores, positive, np.arange(np.size(scores)), patients)


def _read(sample: Scored) -> tuple[Scored, Placements]:
    return sample, placements(sample)


def _area(sample: Scored, found: Placements, level: float, method: AreaInterval) -> Area:
    positives, negatives = int(found.positives.sum()), int(found.negatives.sum())
    variance = contrast_variance([found], [1.0])
    variance = 0.0 if variance < NEGLIGIBLE else variance
    low, high, note = UNDEFINED, UNDEFINED, _missing(found)
    if found.constant:
        low, high = exact_bounds(found.area, found.pairs(), level)
        note = f"every placement is {found.area:g}: variance 0, exact interval of {found.pairs()} independent pairs"
    elif variance == 0:
        note = "the placements of every patient cancel: variance 0, no interval"
    elif variance > 0:
        low, high = method(found.area, float(np.sqrt(variance)), level)
    return Area(found.area, variance, Interval(found.area, low, high, len(found.names), len(sample.scores)), positives, negatives, note)


def _missing(found: Placements) -> str:
    """What stands in the way of an area or of its variance."""
    having = {"positive": int((found.positives > 0).sum()), "negative": int((found.negatives > 0).sum())}
    if 0 in having.values():
        return f"no {' and no '.join(kind for kind, patients in having.items() if patients == 0)} case: no area"
    lone = [kind for kind, patients in having.items() if patients == 1]
    return f"{' and '.join(lone)} cases of one patient alone: no variance" if lone else ""


def _linked(first: Scored, second: Scored, design: Design, alternative: Alternative, level: float, method: AreaInterval) -> Comparison:
    check_owners([first, second])
    found = placements(first), placements(second)
    areas = _area(first, found[0], level, method), _area(second, found[1], level, method)
    shared = len(np.intersect1d(found[0].names, found[1].names))
    setting = _Setting(design, alternative, level, shared, len(np.intersect1d(first.cases, second.cases)))
    variance = 0.0 if found[0].equals(found[1]) else contrast_variance(found, [1.0, -1.0])
    return _compared(areas, found, variance, np.inf, setting)


def check_owners(samples: list[Scored]) -> None:
    """A case that two samples share belongs to one patient in both."""
    owners: dict[str, str] = {}
    for sample in samples:
        for case, patient in zip(sample.cases.tolist(), sample.patients.tolist(), strict=True):
            if owners.setdefault(case, patient) != patient:
                msg = f"case {case}: found patients {owners[case]} and {patient} in two samples, expected one"
                raise ValueError(msg)


@dataclass(frozen=True)
class _Setting:
    """What was asked, and how many patients and cases both samples have."""

    design: Design
    alternative: Alternative
    level: float
    patients: int = 0
    cases: int = 0


def _compared(areas: tuple[Area, Area], found: tuple[Placements, Placements], variance: float, df: float, setting: _Setting) -> Comparison:
    first, second = areas
    estimate = first.auc - second.auc
    variance = 0.0 if variance < NEGLIGIBLE else variance
    half = _quantile(df, setting.level) * np.sqrt(variance)
    low, high, exact = max(estimate - half, -1.0), min(estimate + half, 1.0), UNDEFINED
    alike = variance == 0 and estimate == 0
    if variance == 0 and found[0].constant and found[1].constant:
        low, high = first.interval.low - second.interval.high, first.interval.high - second.interval.low
        exact = unequal((first.auc, found[0].pairs()), (second.auc, found[1].pairs()))
    elif variance == 0 and not alike:
        low, high = UNDEFINED, UNDEFINED
    notes = [f"{name}: {area.note}" for name, area in (("first", first), ("second", second)) if area.note]
    notes += ["the two differ for no patient: difference 0"] if alike and not found[0].constant else []
    patients = first.interval.patients + second.interval.patients - setting.patients
    cases = first.interval.cases + second.interval.cases - setting.cases
    tested = _tested(estimate, variance, df, setting.alternative, (exact, exact))
    difference, note = Interval(estimate, float(low), float(high), patients, cases), _join([*notes, tested[4]])
    return Comparison(first, second, difference, *tested[:4], setting.alternative, setting.design, setting.patients, note)


def _tested(
    estimate: float, variance: float, df: float, alternative: Alternative, exact: tuple[float, float]
) -> tuple[float, float, float, float, str]:
    """Error, statistic, degrees of freedom, p and note. Without variance p is `exact`: of both sides, and of the side that the estimate is on."""
    from scipy import stats

    error = float(np.sqrt(variance))
    if variance > 0 or (variance == 0 and estimate == 0):
        statistic = estimate / error if variance > 0 else 0.0
        tails = {"two-sided": 2 * stats.t.sf(abs(statistic), df), "greater": stats.t.sf(statistic, df), "less": stats.t.cdf(statistic, df)}
        return error, float(statistic), float(df), float(tails[alternative]), ""
    if variance == 0:
        other = 1.0 if np.isfinite(exact[0]) else UNDEFINED
        towards = {"two-sided": exact[0], "greater": exact[1] if estimate > 0 else other, "less": exact[1] if estimate < 0 else other}
        known = "exact p" if np.isfinite(exact[0]) else "no p"
        return error, float(np.copysign(np.inf, estimate)), float(df), float(towards[alternative]), f"variance of the difference 0: {known}"
    return error, UNDEFINED, UNDEFINED, UNDEFINED, "no variance of the difference: no test"


@lru_cache(maxsize=64)
def _quantile(df: float, level: float) -> float:
    from scipy import stats

    return float(stats.t.ppf((1 + level) / 2, df))


def _join(notes: list[str]) -> str:
    return "; ".join(note for note in notes if note)
