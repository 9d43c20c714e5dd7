"""Which pairs of a board's entrants its patients tell apart, with all pairs looked at together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medrobust.stats.board import Board
from medrobust.stats.bootstrap import Floats
from medrobust.stats.flips import Flips

DRAWS = 1999
# Beyond so many entrants the pairs times the draws no longer fit in a second.
MANY = 300
# Statistics this close are equal: the ways include the one that was seen.
SLACK = 1e-9
# The level of `critical`, and of tiers unless another is asked for.
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Significance:
    """Two-sided p of every pair, (entrants, entrants), 1 on the diagonal; at level a ...

    p: ... a share a of equal pairs seems different; of the pair alone, symmetric.
    among_row: ... a share a of boards or less has any false pair of the row's entrant; not symmetric.
    adjusted: ... a share a of boards or less has any false pair at all; symmetric.
    error: standard error of each difference of scores, clustered by patient; NaN for fewer than two patients.
    critical: the |t| of a pair beyond which `adjusted` is at most ALPHA; infinite where no pair can reach that.
    method: how p was found, in a few words.
    """

    p: Floats
    among_row: Floats
    adjusted: Floats
    error: Floats
    critical: float
    method: str


def significance(board: Board, draws: int = DRAWS, seed: int = 0, many: int = MANY) -> Significance:
    """Test every pair by sign flips of patients and the largest statistic, or for more than `many` entrants by Student's t and Bonferroni's bound.

    With D the differences of what each patient adds, a pair's statistic is |sum D| / sqrt(sum D^2), which grows with |t|.
    One set of signs turns all pairs at once, so the largest statistic of each way keeps the correlation of pairs:
    p is exact where entrants are exchangeable, and Bonferroni's price is not paid. Missing values enter through the patients' influence on the score.
    Source: Westfall and Young 1993, single step; Romano and Wolf 2005, doi:10.1198/016214504000000539.
    """
    shares = board.shares - board.shares.mean(axis=0)
    patients = len(board.names)
    nothing = np.ones((board.entrants, board.entrants))
    if patients < 2 or board.entrants < 2:
        return Significance(nothing, nothing, nothing, np.full_like(nothing, np.nan), np.inf, "nothing was tested")
    size = board.counts.max(axis=0)
    rounding = (1e-12 * np.abs(board.shares).max()) ** 2 * patients
    gaps, squares, error = _moments(shares, size / size.sum(), board.cases, rounding)
    if board.entrants > many:
        return _student(gaps, error, patients, board.cases)
    scale = np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)
    seen = np.abs(gaps) * scale
    hits, own, beaten = np.zeros((3, *seen.shape))
    flips = Flips(patients, draws, seed)
    largest = []
    for signs in flips:
        turned = shares @ signs.T  # (entrants, ways)
        highest = np.zeros_like(turned)  # of each entrant's pairs
        for row in range(board.entrants - 1):
            found = np.abs(turned[row + 1 :] - turned[row]) * scale[row, row + 1 :, None]
            hits[row, row + 1 :] += (found >= seen[row, row + 1 :, None] - SLACK).sum(axis=1)
            np.maximum(highest[row + 1 :], found, out=highest[row + 1 :])
            np.maximum(highest[row], found.max(axis=0), out=highest[row])
        own += np.stack([_at_least(seen[row], one) for row, one in enumerate(highest)])
        largest.append(highest.max(axis=0))
        beaten += _at_least(seen, largest[-1])
    words = f"sign flips of {patients} patients, {'all' if flips.exact else flips.ways} ways, with the largest statistic of all pairs"
    hits = np.triu(hits, 1)
    p, among_row, adjusted = (np.where(np.eye(len(hits)), 1.0, flips.chance(count)) for count in (hits + hits.T, own, beaten))
    return Significance(p, among_row, adjusted, error, _critical(np.concatenate(largest), flips), words)


def _critical(largest: Floats, flips: Flips) -> float:
    """The |t| that a pair must exceed for its p over all pairs to be ALPHA or less. largest: (ways,) of |sum D| / sqrt(sum D^2) over all pairs.

    With r that statistic of n patients t = r sqrt((n - 1) / (n - r^2)); no pair can do better than r = sqrt(n), of differences that are all equal.
    """
    allowed = int((flips.chance(np.arange(len(largest) + 1.0)) <= ALPHA).sum()) - 1
    if allowed < int(flips.exact):  # every way includes the one that was seen
        return float("inf")
    bound = float(np.sort(largest)[::-1][allowed])
    rest = flips.patients - bound**2
    return bound * float(np.sqrt((flips.patients - 1) / rest)) if rest > SLACK * flips.patients else float("inf")


def _at_least(seen: Floats, ways: Floats) -> Floats:
    """How many ways reach each value seen."""
    return np.asarray(len(ways) - np.searchsorted(np.sort(ways), seen - SLACK), dtype=np.float64)


def _moments(shares: Floats, weight: Floats, cases: int, rounding: float) -> tuple[Floats, Floats, Floats]:
    """Of the differences D of each pair: their sum, the sum of their squares, and the standard error of sum D / cases; all (entrants, entrants).

    weight: share of the cases that each patient has. Squares of no more than `rounding` are 0, as for two names of one entrant.
    """
    totals = shares.sum(axis=1)
    gaps = totals[:, None] - totals
    centred = shares - totals[:, None] * weight
    patients = shares.shape[1]
    squares = _squares(shares, rounding)
    return np.where(squares > 0, gaps, 0.0), squares, np.sqrt(_squares(centred, rounding) * patients / (patients - 1)) / cases


def _squares(rows: Floats, rounding: float) -> Floats:
    """Sum of squared differences of every two rows, through one matrix product where there are many."""
    if len(rows) <= MANY:
        found = np.stack([((rows - row) ** 2).sum(axis=1) for row in rows])
        return np.where(found > rounding, found, 0.0)
    own = (rows**2).sum(axis=1)
    both = own[:, None] + own
    found = both - 2 * rows @ rows.T
    return np.where(found > np.maximum(rounding, 1e-13 * both), found, 0.0)


def _student(gaps: Floats, error: Floats, patients: int, cases: int) -> Significance:
    from scipy import stats

    differences = gaps / cases
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(differences == 0, 0.0, np.abs(differences) / error)
    # No test free of assumptions gives less than this to so few patients, and none is sure of a difference that never varies.
    p = np.maximum(2 * stats.t.sf(t, patients - 1), 2.0 ** (1 - patients))
    np.fill_diagonal(p, 1.0)
    others = len(p) - 1
    words = f"Student's t over {patients} patients, times the number of pairs (Bonferroni)"
    pairs = others * len(p) / 2
    least = 2.0 ** (1 - patients) * pairs
    critical = float(stats.t.isf(ALPHA / pairs / 2, patients - 1)) if least <= ALPHA else float("inf")
    return Significance(p, np.minimum(p * others, 1.0), np.minimum(p * pairs, 1.0), error, critical, words)
