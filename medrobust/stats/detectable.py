"""The least difference of two entrants that a test set of so many patients could show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medrobust.stats.board import Board
from medrobust.stats.bootstrap import Sample
from medrobust.stats.significance import Significance, significance

POWER = 0.8
ALPHA = 0.05
NOTHING = float("nan")


@dataclass(frozen=True)
class Detectable:
    """How small a true difference may be for a paired test to find it with probability `power`.

    difference: in the unit of the values; NaN where nothing can be said (fewer than two patients, or one entrant).
    error: standard error of the difference, clustered by patient. patients: how many there are.
    """

    difference: float
    error: float
    patients: int


def detectable(first: Sample, second: Sample, power: float = POWER, alpha: float = ALPHA) -> Detectable:
    """Of two entrants, the second's patients in common with the first's; two-sided test at level alpha."""
    names = np.intersect1d(first.patients, second.patients)
    patients = len(names)
    if patients < 2:
        return Detectable(NOTHING, NOTHING, patients)
    sums, counts = (np.stack([one.sums(names, power_of) for one in (first, second)]) for power_of in (1, 0))
    cases = counts.sum(axis=1, keepdims=True)
    level = sums.sum(axis=1, keepdims=True) / cases
    influence = ((sums - level * counts) / cases).T @ np.array([1.0, -1.0])
    error = float(np.sqrt(patients / (patients - 1) * (influence**2).sum()))
    return Detectable(least_difference(error, patients, power, alpha), error, patients)


def detectable_on(board: Board, tests: Significance | None = None, power: float = POWER, alpha: float = ALPHA) -> Detectable:
    """Of a board: for the median standard error over all pairs of entrants, each pair tested alone; half of the pairs need more.

    tests: what `significance` found on the board, where that is known already.
    """
    patients = len(board.names)
    errors = (tests or significance(board, draws=1)).error[np.triu_indices(board.entrants, 1)]
    errors = errors[np.isfinite(errors)]
    if not len(errors):
        return Detectable(NOTHING, NOTHING, patients)
    error = float(np.median(errors))
    return Detectable(least_difference(error, patients, power, alpha), error, patients)


def least_difference(error: float, patients: int, power: float = POWER, alpha: float = ALPHA) -> float:
    """The true difference that a two-sided t test finds, with the right sign, with probability `power`.

    With that probability noncentral t, shifted by difference / error, lies beyond the bound of the test.
    Source: Cohen 1988, section 2.2; noncentral t by scipy. Near (t(1 - alpha / 2) + t(power)) error, which starts the search.
    """
    from scipy import optimize, stats

    if error == 0:
        return 0.0
    freedom = patients - 1
    bound = stats.t.ppf(1 - alpha / 2, freedom)

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(bound, freedom, shift)) - power

    near = float(bound + stats.t.ppf(power, freedom))
    return error * float(optimize.brentq(lacking, 0, 2 * near))
