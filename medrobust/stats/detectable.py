"""The least difference of two entrants that a test set of so many patients could show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medrobust.stats.board import Board
from medrobust.stats.significance import ALPHA, Significance, significance

POWER = 0.8
NOTHING = float("nan")


@dataclass(frozen=True)
class Detectable:
    """How far two entrants must truly differ for the tests behind tiers, over all pairs, to tell them apart in a share POWER of such test sets.

    lowest, typical, highest: for the pair whose difference has the lowest, the median and the highest standard error, in the unit of the values;
    NaN where no difference would do: too few patients, one entrant, or entrants that do not differ on any case. A pair that differs by less may still
    be told apart: it takes no more than a difference seen of `critical` standard errors.
    critical: how many of its own standard errors a difference must reach. patients, pairs: how many there are; equal entrants are no pair.
    """

    lowest: float
    typical: float
    highest: float
    critical: float
    patients: int
    pairs: int


def detectable_on(board: Board, tests: Significance | None = None, power: float = POWER) -> Detectable:
    """Of the entrants of a board. tests: what `significance` found on it, where that is known already.

    The critical value is that of the tests, but never less than that of a single t test, as it would be where entrants differ on one or two patients
    alone. Such pairs are also why `lowest` flatters rates near 0 and 1: a greater difference would bring more variance with it.
    """
    from scipy import stats

    tests = tests or significance(board)
    patients = len(board.names)
    errors = tests.error[np.triu_indices(board.entrants, 1)]
    errors = errors[errors > 0]
    if not len(errors) or not np.isfinite(tests.critical):
        return Detectable(NOTHING, NOTHING, NOTHING, tests.critical, patients, len(errors))
    critical = max(tests.critical, float(stats.t.ppf(1 - ALPHA / 2, patients - 1)))
    each = least_difference(1.0, patients, power, critical=critical)
    lowest, typical, highest = (float(pick(errors)) * each for pick in (np.min, np.median, np.max))
    return Detectable(lowest, typical, highest, critical, patients, len(errors))


def least_difference(error: float, patients: int, power: float = POWER, alpha: float = ALPHA, critical: float | None = None) -> float:
    """The true difference that a two-sided t test finds, with the right sign, with probability `power`.

    critical: the |t| from which on it is found; that of a single test at level `alpha` where None.
    With that probability noncentral t, shifted by difference / error, lies beyond the bound of the test.
    Source: Cohen 1988, section 2.2; noncentral t by scipy. Near (t(1 - alpha / 2) + t(power)) error, which starts the search.
    """
    from scipy import optimize, stats

    if error == 0:
        return 0.0
    freedom = patients - 1
    bound = stats.t.ppf(1 - alpha / 2, freedom) if critical is None else critical

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(bound, freedom, shift)) - power

    near = float(bound + stats.t.ppf(power, freedom))
    return error * float(optimize.brentq(lacking, 0, 2 * near))
