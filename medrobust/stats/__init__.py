"""Intervals clustered by patient, and exact intervals of a rate."""

from medrobust.stats.auc import auc, auc_interval
from medrobust.stats.bootstrap import Interval, Sample, bca, expanded, mean, paired_difference, paired_ratio, percentile, ratio
from medrobust.stats.rates import clopper_pearson, clustered_rate, wilson

__all__ = [
    "Interval",
    "Sample",
    "auc",
    "auc_interval",
    "bca",
    "clopper_pearson",
    "clustered_rate",
    "expanded",
    "mean",
    "paired_difference",
    "paired_ratio",
    "percentile",
    "ratio",
    "wilson",
]
