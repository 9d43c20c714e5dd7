"""What holds of every ranking, whatever the values."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from medrobust.stats.board import Board
from medrobust.stats.ranking import Ranking, rank, tiers
from medrobust.stats.significance import significance

VALUES = arrays.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0]))
BOARDS = st.tuples(VALUES, st.integers(1, 3), st.booleans())


def made(given_board) -> Board:
    values, each, higher = given_board
    return Board.of(values, np.arange(values.shape[1]) // each, higher)


def ranked(board: Board) -> Ranking:
    return rank(board, resamples=50, flips=99)


@settings(max_examples=60, deadline=None)
@given(BOARDS)
def test_ranks_intervals_and_tiers_fit_together(given_board):
    board = made(given_board)
    found = ranked(board)
    everyone = board.entrants
    for ranks in (*found.schemes.values(), found.tier):
        assert ranks.min() == 1
        assert ranks.max() <= everyone
    assert (found.low_rank >= 1).all()
    assert (found.low_rank <= found.ranks).all()
    assert (found.ranks <= found.high_rank).all()
    assert (found.high_rank <= everyone).all()
    order = np.argsort(found.ranks, kind="stable")
    assert (np.diff(found.tier[order]) >= 0).all()
    for first, second in pairwise(order):
        if found.ranks[first] == found.ranks[second]:
            assert found.tier[first] == found.tier[second]
    if len(board.names) > 1:
        assert found.best.sum() == pytest.approx(1)
    tests = found.tests
    assert (tests.p <= tests.among_row + 1e-12).all()
    assert (tests.among_row <= tests.adjusted + 1e-12).all()
    assert np.array_equal(tests.adjusted, tests.adjusted.T)


@settings(max_examples=40, deadline=None)
@given(BOARDS, st.randoms())
def test_the_order_of_entrants_and_of_cases_does_not_matter(given_board, random):
    board = made(given_board)
    rows, columns = (random.sample(range(n), n) for n in board.values.shape)
    shuffled = ranked(Board.of(board.values[rows][:, columns], board.patients[columns], board.higher_is_better))
    found = ranked(board)
    assert np.array_equal(found.tier[rows], shuffled.tier)
    assert np.array_equal(found.low_rank[rows], shuffled.low_rank)
    assert found.best[rows] == pytest.approx(shuffled.best, nan_ok=True)
    assert found.tests.adjusted[np.ix_(rows, rows)] == pytest.approx(shuffled.tests.adjusted)


@settings(max_examples=40, deadline=None)
@given(BOARDS)
def test_the_sign_and_the_unit_of_a_metric_do_not_matter(given_board):
    board = made(given_board)
    found = ranked(board)
    other = ranked(Board.of(-8 * board.values, board.patients, not board.higher_is_better))
    for one, two in ((found.tier, other.tier), (found.low_rank, other.low_rank), (found.high_rank, other.high_rank), (found.ranks, other.ranks)):
        assert np.array_equal(one, two)


@settings(max_examples=40, deadline=None)
@given(BOARDS)
def test_who_opens_a_tier_is_sure_to_stand_behind_who_opened_the_one_before(given_board):
    board = made(given_board)
    found = ranked(board)
    tier_of = tiers(board.goodness, found.tests.adjusted)
    opened = [min(np.flatnonzero(tier_of == tier), key=lambda one: found.ranks[one]) for tier in range(1, tier_of.max() + 1)]
    for before, after in pairwise(opened):
        assert found.tests.adjusted[before, after] <= 0.05
        assert found.low_rank[after] > 1


def test_one_patient_separates_nothing():
    found = ranked(Board.of([[1.0, 1.0], [0.0, 0.0]], ["a", "a"]))
    assert found.tier.tolist() == [1, 1]
    assert (found.low_rank.tolist(), found.high_rank.tolist()) == ([1, 1], [2, 2])
    assert np.isnan(found.best).all()


def test_two_names_of_one_entrant_are_never_told_apart():
    values = np.random.default_rng(0).normal(size=300)
    twins = np.vstack([values, values, values + 1e-17])
    for many in (2, 300):
        assert (significance(Board.of(twins, np.arange(300)), many=many).p == 1).all()


def test_an_entrant_that_misses_a_case_keeps_its_mean():
    board = Board.of([[1.0, np.nan, 3.0], [0.0, 0.5, 1.0]], ["a", "a", "b"])
    assert board.scores == pytest.approx([2.0, 0.5])
    assert board.shares.sum(axis=1) == pytest.approx(3 * board.scores)


@pytest.mark.parametrize(
    ("values", "patients", "message"),
    [
        ([[1.0, 2.0]], ["a"], r"board: values of shape \(1, 2\) for 1 cases, expected \(entrants, cases\)"),
        ([[1.0, np.inf]], ["a", "b"], "board: found 1 infinite values"),
        ([[1.0, 2.0], [np.nan, np.nan]], ["a", "b"], "board: entrant 1 has no value"),
    ],
)
def test_boards_that_are_none_are_refused(values, patients, message):
    with pytest.raises(ValueError, match=message):
        Board.of(values, patients)
