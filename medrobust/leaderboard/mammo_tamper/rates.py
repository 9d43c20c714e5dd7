"""Paired differences of shares, with an interval also where every image does the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medrobust.stats import Interval, Sample, mean, wilson
from medrobust.stats.bootstrap import Floats


def rate_difference(first: Floats, second: Floats, patients: np.ndarray) -> Interval:
    """Share of ones in `first` less that in `second`, image by image, (n,) each, of values 0 and 1; patients resampled.

    Where all n differences are one number c in {-1, 0, 1}, a bootstrap has no width. A share of at least w, Wilson's lower bound of n of n, then has
    this difference, and of the rest nothing is known: from w c - (1 - w) to w c + 1 - w. One patient gives NaN.
    """
    change = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    found = mean(Sample.of(change, patients))
    if found.patients < 2 or np.ptp(change) > 0:
        return found
    sure = wilson(len(change), len(change))[0]
    low, high = (max(-1.0, min(1.0, sure * found.estimate + side * (1 - sure))) for side in (-1, 1))
    return replace(found, low=low, high=high)
