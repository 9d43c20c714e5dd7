"""Steps of a colour scale, for cells of matrices and maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medrobust.leaderboard.overview.standing import HeatMap, Matrix

STEPS = 8


def step(value: float | None, low: float, high: float) -> int | None:
    """0 at `low` to 8 at `high`, the strongest colour; what lies outside gets the colour of that end. None where there is no number."""
    if value is None or math.isnan(value):
        return None
    if high == low:
        return 0
    return round(STEPS * min(max((value - low) / (high - low), 0), 1)) if math.isfinite(value) else (STEPS if (value > 0) == (high > low) else 0)


def ends(matrix: Matrix) -> tuple[float, float]:
    """(palest, strongest): harm is strong, and where neither end is better, what is small, such as a p value."""
    low, high = sorted((matrix.low, matrix.high))
    return (low, high) if matrix.column.better is False else (high, low)


def extent(heat: HeatMap) -> tuple[float, float]:
    """From 0, or the lowest, to the highest value of a map."""
    values: Sequence[float] = [value for row in heat.values for value in row if value is not None and math.isfinite(value)]
    return min([0.0, *values]), max([0.0, *values])
