"""Intervals and tests clustered by patient, rankings with tiers, exact intervals of a rate, and areas under ROC curves of one or several readers."""

from medrobust.stats.auc import auc, auc_interval
from medrobust.stats.board import Board
from medrobust.stats.bootstrap import Interval, Sample, bca, expanded, mean, percentile, ratio
from medrobust.stats.contrasts import paired_difference, paired_ratio
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
from medrobust.stats.detectable import Detectable, detectable_on, least_difference
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
from medrobust.stats.paired import Discordant, PairedTest, hodges_lehmann, holm, mcnemar, permutation, wilcoxon
from medrobust.stats.placements import Scored, delong_covariance, jackknife_covariance
from medrobust.stats.ranking import Ranking, rank
from medrobust.stats.rate_difference import tango
from medrobust.stats.rates import clopper_pearson, clustered_rate, rate_bounds, wilson
from medrobust.stats.sensitivity import Change
from medrobust.stats.significance import Significance

__all__ = [
    "Area",
    "Board",
    "Change",
    "Comparison",
    "Components",
    "Detectable",
    "Discordant",
    "Effect",
    "Interval",
    "MultiReader",
    "PairedTest",
    "Ranking",
    "Sample",
    "Scored",
    "Significance",
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
    "detectable_on",
    "expanded",
    "fixed_cases",
    "fixed_readers",
    "frechet",
    "hodges_lehmann",
    "holm",
    "jackknife_covariance",
    "kernel_distance",
    "least_difference",
    "logit",
    "mcnemar",
    "mean",
    "obuchowski_rockette",
    "paired_difference",
    "paired_ratio",
    "percentile",
    "permutation",
    "random_readers_and_cases",
    "rank",
    "rate_bounds",
    "ratio",
    "standardised",
    "tango",
    "wald",
    "wilcoxon",
    "wilson",
]
