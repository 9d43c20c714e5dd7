"""Paired differences of shares, with an interval also where every image does the same."""

from __future__ import annotations

import numpy as np

from medrobust.stats import Interval, Sample, paired_difference
from medrobust.stats.bootstrap import Floats


def rate_difference(first: Floats, second: Floats, patients: np.ndarray) -> Interval:
    """Share of ones in `first` less that in `second`, image by image, (n,) each, of values 0 and 1; as `paired_difference`. One patient gives NaN."""
    return paired_difference(Sample.of(first, patients), Sample.of(second, patients))
