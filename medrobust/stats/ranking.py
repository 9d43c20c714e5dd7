"""Ranks of a board in three schemes, how sure they are, and tiers of entrants that its patients do not separate."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from medrobust.stats.board import Board
from medrobust.stats.bootstrap import LEVEL, RESAMPLES, Floats, draws
from medrobust.stats.significance import DRAWS, Significance, significance

Ranks: TypeAlias = NDArray[np.int64]
NOTHING = float("nan")


@dataclass(frozen=True, eq=False)
class Ranking:
    """How the entrants of a board stand, in the board's order; rank 1 and tier 1 are best.

    scores: mean over cases. ranks: by score, equal scores share the best of their ranks. tier: see `tiers`.
    low_rank, high_rank: see `rank_intervals`. best: see `best_of`, 1 in sum; NaN for fewer than two patients.
    schemes: ranks by scheme. agreement: Kendall's tau-b of every two schemes, by `first / second`; NaN where one of them ranks all alike.
    tests: p of every pair. method: all this in a sentence or two.
    """

    scores: Floats
    ranks: Ranks
    schemes: dict[str, Ranks]
    agreement: tuple[tuple[str, float], ...]
    low_rank: Ranks
    high_rank: Ranks
    best: Floats
    tier: Ranks
    tests: Significance
    method: str


def rank(board: Board, level: float = LEVEL, resamples: int = RESAMPLES, flips: int = DRAWS, seed: int = 0) -> Ranking:
    """Rank a board. resamples: of patients, for the share in which each leads. flips: sign flips of patients, for the tests."""
    tests = significance(board, flips, seed)
    schemes = {
        "aggregate-then-rank": aggregate_then_rank(board),
        "rank-then-aggregate": rank_then_aggregate(board),
        "test-then-rank": order_by_tests(board, tests.p, 1 - level),
    }
    replicates = _replicates(board, resamples, seed)
    low, high = rank_intervals(board.goodness, tests.among_row, 1 - level)
    method = (
        f"Tiers: in the order of the mean over cases, a new one starts at the first entrant that is significantly worse than the one "
        f"that opened the tier before, at {100 * (1 - level):g} % over all pairs ({tests.method}). Rank intervals ({100 * level:g} %): how many "
        f"others the same tests, adjusted for each entrant's own pairs, find better and worse. Leads: share of "
        f"{len(replicates)} bootstrap resamples of patients in which an entrant is best; it is no probability that it is, and no test."
    )
    return Ranking(
        board.scores,
        schemes["aggregate-then-rank"],
        schemes,
        agreement(schemes),
        low,
        high,
        best_of(replicates),
        tiers(board.goodness, tests.adjusted, 1 - level),
        tests,
        method,
    )


def aggregate_then_rank(board: Board) -> Ranks:
    """By the mean over cases. Source: Maier-Hein et al. 2018, doi:10.1038/s41467-018-07619-7."""
    return _ranks(board.goodness)


def rank_then_aggregate(board: Board) -> Ranks:
    """By the mean rank over cases; equal values share the best of their ranks, a missing one has the worst, as challengeR does."""
    values = board.values if board.higher_is_better else -board.values
    return _ranks(-_ranks(np.nan_to_num(values, nan=-np.inf).T).mean(axis=0))


def order_by_tests(board: Board, p: Floats, alpha: float = 1 - LEVEL) -> Ranks:
    """Test-then-rank: by how many others an entrant is significantly better than, one pair at a time.

    p: two-sided, (entrants, entrants); half of it is the one-sided p of the better one.
    Source: as above; Wiesenfarth et al. 2021, doi:10.1038/s41598-021-82017-6.
    """
    better = board.goodness[:, None] > board.goodness
    return _ranks((better & (p / 2 <= alpha)).sum(axis=1))


def agreement(schemes: dict[str, Ranks]) -> tuple[tuple[str, float], ...]:
    """Kendall's tau-b of every two schemes, by scipy."""
    from scipy import stats

    found = []
    for first, second in combinations(schemes, 2):
        one, other = schemes[first], schemes[second]
        varied = np.ptp(one) > 0 and np.ptp(other) > 0
        found.append((f"{first} / {second}", float(stats.kendalltau(one, other).statistic) if varied else NOTHING))
    return tuple(found)


def tiers(goodness: Floats, p: Floats, alpha: float = 1 - LEVEL) -> Ranks:
    """Groups that the data do not separate, 1 is best.

    goodness: (entrants,), more is better. p: adjusted for all pairs, (entrants, entrants).
    The rule: entrants in the order of their score; the first opens tier 1; the first one that is significantly worse than the one that
    opened the tier opens the next. So tiers are intervals of the order, and equal entrants share one tier in at least a share 1 - alpha of boards.

    "Not separated" is not transitive, so no rule can have both of what one might wish. Two neighbours across a border need not be separated:
    a border tells apart the two that opened the tiers beside it. Two members of one tier may be separated, where the one that opened it
    varies more than they do. The p of the pair says so. An entrant that varies so much that nothing separates it stands where its score puts it.
    """
    found = np.zeros(len(goodness), dtype=np.int64)
    order = np.argsort(-goodness, kind="stable")
    top, tier = order[0], 1
    for one in order:
        if p[top, one] <= alpha and goodness[one] < goodness[top]:
            top, tier = one, tier + 1
        found[one] = tier
    return found


def best_of(replicates: Floats) -> Floats:
    """Share of resamples of patients in which each entrant leads, shared by those that are equal. replicates: (resamples, entrants), more is better.

    It says how firmly these patients put an entrant first, not how probable it is that the entrant is best: one that is nowhere worse and better
    on 4 of 16 patients leads in 99 % of resamples, and chance alone does as much to equal entrants once in eight times.
    """
    if not len(replicates):
        return np.full(replicates.shape[1], NOTHING)
    first = replicates == replicates.max(axis=1, keepdims=True)
    return np.asarray((first / first.sum(axis=1, keepdims=True)).mean(axis=0))


def rank_intervals(goodness: Floats, p: Floats, alpha: float = 1 - LEVEL) -> tuple[Ranks, Ranks]:
    """Lowest and highest rank of each entrant that its tests leave open: 1 and those significantly better, all but those significantly worse.

    goodness: (entrants,), more is better. p: of the row's entrant against all others, adjusted for them, (entrants, entrants).
    Each interval holds the entrant's true rank in at least a share 1 - alpha of boards, however nearly equal others are. A percentile bootstrap
    of ranks does not: of 20 entrants nearly equal it covers 80 %, as a resample shuffles again what chance has shuffled before.
    One that opens a tier never has an interval that reaches the one that opened the tier before.
    Source: Mogstad, Romano, Shaikh and Wilhelm 2024, doi:10.1093/restud/rdad006, marginal confidence sets.
    """
    clear = p <= alpha
    better = (clear & (goodness > goodness[:, None])).sum(axis=1)
    worse = (clear & (goodness < goodness[:, None])).sum(axis=1)
    return 1 + better, len(goodness) - worse


def _replicates(board: Board, resamples: int, seed: int) -> Floats:
    """Scores of resampled patients, more is better, (resamples, entrants); a resample in which an entrant has no value takes its own score."""
    patients = len(board.names)
    if patients < 2:
        return np.empty((0, board.entrants))
    drawn = draws(patients, resamples, seed)
    sums, counts = drawn @ board.sums.T, drawn @ board.counts.T
    scores = np.divide(sums, counts, out=np.broadcast_to(board.scores, sums.shape).copy(), where=counts > 0)
    return np.asarray(scores if board.higher_is_better else -scores)


def _ranks(goodness: Floats) -> Ranks:
    """Ranks along the last axis, 1 for the most, equal values share the best of their ranks."""
    from scipy import stats

    return np.asarray(stats.rankdata(-np.asarray(goodness, dtype=np.float64), method="min", axis=-1).astype(np.int64))
