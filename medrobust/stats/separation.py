"""What can be said of areas whose DeLong variance is 0 because every case has the same placement: all told apart, all swapped or all tied."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medrobust.stats.bootstrap import LEVEL


def independent_pairs(positive: NDArray[np.bool_], negative: NDArray[np.bool_]) -> int:
    """How many pairs of a positive and a negative case there are when every patient is used once. Both: (patients,) whether it has such a case."""
    return int(min(positive.sum(), negative.sum(), (positive | negative).sum() // 2))


def exact_bounds(area: float, pairs: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval of an area of 0, 0.5 or 1 of which every placement is the same.

    Every one of `pairs` independent pairs of a positive and a negative case then has the same outcome, so at least a share c of all pairs has it,
    with c the Clopper-Pearson bound of pairs out of pairs, ((1 - level) / 2)**(1 / pairs); of the others nothing is known:
    c area <= true area <= c area + 1 - c. Conservative, and never of no width.
    """
    share = ((1 - level) / 2) ** (1 / pairs)
    return share * area, 1 - share * (1 - area)


def chance_of(area: float, pairs: int) -> float:
    """Two-sided p of an area of 0 or 1 against 0.5: every one of `pairs` fair coins falls the same way. 1 for an area of 0.5."""
    return min(1.0, 2 * 0.5**pairs) if area != 0.5 else 1.0


def unequal(first: tuple[float, int], second: tuple[float, int]) -> float:
    """Two-sided p of two such areas, each (area, pairs): 1 less the highest level at which their exact bounds stay apart."""
    from scipy.optimize import brentq

    (low, low_pairs), (high, high_pairs) = sorted([first, second])

    def gap(logarithm: float) -> float:
        level = -math.expm1(logarithm)
        return exact_bounds(high, high_pairs, level)[0] - exact_bounds(low, low_pairs, level)[1]

    tiny, one = math.log(1e-15), math.log1p(-1e-9)
    if gap(one) <= 0:
        return 1.0
    return float(math.exp(tiny if gap(tiny) >= 0 else brentq(gap, tiny, one)))
