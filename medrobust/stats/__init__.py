"""Intervals clustered by patient, exact intervals of a rate, and areas under ROC curves: DeLong, and several readers by Obuchowski and Rockette."""

from medrobust.stats.auc import auc, auc_interval
from medrobust.stats.bootstrap import Interval, Sample, bca, expanded, mean, paired_difference, paired_ratio, percentile, ratio
from medrobust.stats.delong import (
    Area,
    Comparison,
    delong_area,
    delong_chance,
    delong_comparison,
    delong_paired,
    delong_partially_paired,
    delong_unpaired,
    logit,
    wald,
)
from medrobust.stats.distance import frechet, kernel_distance, standardised
from medrobust.stats.obuchowski_rockette import (
    Components,
    Effect,
    MultiReader,
    fixed_cases,
    fixed_readers,
    obuchowski_rockette,
    random_readers_and_cases,
)
from medrobust.stats.placements import Scored, delong_covariance, jackknife_covariance
from medrobust.stats.rates import clopper_pearson, clustered_rate, wilson

__all__ = [
    "Area",
    "Comparison",
    "Components",
    "Effect",
    "Interval",
    "MultiReader",
    "Sample",
    "Scored",
    "auc",
    "auc_interval",
    "bca",
    "clopper_pearson",
    "clustered_rate",
    "delong_area",
    "delong_chance",
    "delong_comparison",
    "delong_covariance",
    "delong_paired",
    "delong_partially_paired",
    "delong_unpaired",
    "expanded",
    "fixed_cases",
    "fixed_readers",
    "frechet",
    "jackknife_covariance",
    "kernel_distance",
    "logit",
    "mean",
    "obuchowski_rockette",
    "paired_difference",
    "paired_ratio",
    "percentile",
    "random_readers_and_cases",
    "ratio",
    "standardised",
    "wald",
    "wilson",
]
