"""Interval of the difference of two rates on the same cases, which has a width also where all cases differ alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medrobust.stats.bootstrap import LEVEL, Floats
from medrobust.stats.design_effect import effective_cases

STEPS = 50


def difference_bounds(change: Floats, patients: NDArray[np.str_], level: float = LEVEL) -> tuple[float, float]:
    """Tango's interval of the mean change for as many independent cases as the cases are worth, in [-1, 1].

    change: (n,) of -1, 0 and 1, first less second. patients: (n,), two or more. Where all changes are one number they are worth one case a patient.
    """
    names, owner = np.unique(patients, return_inverse=True)
    cases = np.bincount(owner).astype(np.float64)
    by_value = [np.bincount(owner[change == value], minlength=len(names)).astype(np.float64) for value in (-1, 0, 1)]
    departing = min(int((held < cases).sum()) for held in by_value)
    lost, _, gained = (float(held.sum() / cases.sum()) for held in by_value)
    spread = gained + lost - (gained - lost) ** 2
    worth = effective_cases(by_value[2] - by_value[0], cases, spread, departing, level)
    return tango(gained * worth, lost * worth, worth, level)


def tango(first_only: float, second_only: float, cases: float, level: float = LEVEL) -> tuple[float, float]:
    """Score interval of (first_only - second_only) / cases, in [-1, 1]; all three may be fractions of as many independent cases.

    first_only, second_only: cases that are 1 in one sample alone, of so many. The ends are where the score statistic, whose variance takes the rates
    that are most likely under that difference, reaches the normal quantile; found by bisection.
    Source: Tango 1998, Statistics in Medicine 17, 891-908.
    """
    from scipy import special

    square = float(special.ndtri(0.5 + 0.5 * level)) ** 2
    seen = (first_only - second_only) / cases

    def beyond(difference: float) -> bool:
        two = 2 * cases
        one = -first_only - second_only + (two - first_only + second_only) * difference
        root = math.sqrt(max(one**2 + 4 * two * second_only * difference * (1 - difference), 0.0))
        variance = cases * ((root - one) / two + difference * (1 - difference))
        return (first_only - second_only - cases * difference) ** 2 > square * max(variance, 0.0)

    return _end(beyond, seen, -1.0), _end(beyond, seen, 1.0)


def _end(beyond: Callable[[float], bool], inside: float, outside: float) -> float:
    if not beyond(outside):
        return outside
    for _ in range(STEPS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if beyond(middle) else (middle, outside)
    return inside
