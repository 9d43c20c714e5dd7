"""The difference of two means of other patients, with a bootstrap interval that draws each side's patients alone."""

from __future__ import annotations

import numpy as np

from medrobust.stats.bootstrap import LEVEL, RESAMPLES, Floats, Interval, Method, Resampled, Sample, expanded, resample


def unpaired_difference(
    first: Sample, second: Sample, method: Method = expanded, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean over cases of `first` less that of `second`, patients as clusters; no interval where a side has fewer than two patients.

    `expanded` widens it as for the smaller side. Source: Efron and Tibshirani 1993, section 8.3 (two-sample problem).
    """
    drawn = [_mean(sample, resamples, seed + side) for side, sample in enumerate((first, second))]
    fewest = min((one.jackknife for one in drawn), key=len)
    estimate = drawn[0].estimate - drawn[1].estimate
    patients, cases = sum(len(one.jackknife) for one in drawn), len(first.values) + len(second.values)
    if len(fewest) < 2:
        return Interval(estimate, float("nan"), float("nan"), patients, cases)
    return Interval(estimate, *method(Resampled(estimate, drawn[0].replicates - drawn[1].replicates, fewest), level), patients, cases)


def _mean(sample: Sample, resamples: int, seed: int) -> Resampled:
    names = np.unique(sample.patients)

    def statistic(sums: Floats) -> Floats:
        return np.asarray(sums[..., 0] / sums[..., 1])

    return resample(np.stack([sample.sums(names), sample.sums(names, 0)], axis=1), statistic, resamples, seed)
