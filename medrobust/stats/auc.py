"""Area under the ROC curve, with intervals clustered by patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from medrobust.stats.bootstrap import LEVEL, RESAMPLES, Interval, Resampled, draws, expanded, without_collapse
from medrobust.stats.separation import exact_bounds, independent_pairs

NOTHING = float("nan")


def auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Probability that a positive case scores higher than a negative one, ties counted half; NaN without one of each.

    Source: Hanley and McNeil 1982. scores: (n,). positive: (n,) bool.
    """
    values, truth = np.asarray(scores, dtype=np.float64).ravel(), np.asarray(positive, dtype=bool).ravel()
    return float(_wins(values[truth], values[~truth]).mean()) if truth.any() and not truth.all() else NOTHING


def auc_interval(
    scores: ArrayLike, positive: ArrayLike, patients: ArrayLike, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The area with a bootstrap interval, patients resampled with all their cases; no interval where one class or all but one patient is missing.

    Resamples that draw one class alone are undefined and count as the extreme on both sides. The interval stays within [0, 1]. Where every pair of
    cases has the same outcome (an area of 0 or 1, or all scores tied), a bootstrap never varies: the interval is that of `exact_bounds`.
    """
    values, truth = np.asarray(scores, dtype=np.float64).ravel(), np.asarray(positive, dtype=bool).ravel()
    names, owner = np.unique(np.asarray(patients, dtype=str).ravel(), return_inverse=True)
    if not truth.any() or truth.all() or len(names) < 2:
        return Interval(auc(values, truth), NOTHING, NOTHING, len(names), len(values))
    wins = _wins(values[truth], values[~truth])
    pairs = independent_pairs(*(np.bincount(owner[of], minlength=len(names)) > 0 for of in (truth, ~truth)))
    if np.ptp(wins) == 0 and pairs:
        return Interval(float(wins[0, 0]), *exact_bounds(float(wins[0, 0]), pairs, level), len(names), len(values))

    def weighted(weights: np.ndarray) -> np.ndarray:
        """(k, patients) how often each was drawn -> (k,) areas."""
        first, second = weights[:, owner[truth]], weights[:, owner[~truth]]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(((first @ wins) * second).sum(1) / (first.sum(1) * second.sum(1)))

    replicates = weighted(draws(len(names), resamples, seed))
    left_out = weighted(1 - np.eye(len(names)))
    low, high = expanded(Resampled(float(wins.mean()), replicates, left_out), level)
    return without_collapse(Interval(float(wins.mean()), max(low, 0.0), min(high, 1.0), len(names), len(values)))


def _wins(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """1 where a positive case scores higher, one half where both are equal, (positives, negatives)."""
    return np.asarray((positive[:, None] > negative[None]) + 0.5 * (positive[:, None] == negative[None]))
