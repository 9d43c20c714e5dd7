"""The least difference that can be detected: closed form, noncentral t, simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from medrobust.stats.board import Board
from medrobust.stats.detectable import detectable_on, least_difference
from medrobust.stats.significance import significance


def test_a_published_sample_size_comes_back():
    # Cohen 1988, two-sided .05, power .8: a paired effect of half a standard deviation takes 34 pairs (G*Power: 33.37 rounded up, power .8078).
    assert least_difference(1 / np.sqrt(34), 34, power=0.8077775) == pytest.approx(0.5, abs=1e-5)
    assert least_difference(1 / np.sqrt(34), 34) < 0.5 < least_difference(1 / np.sqrt(33), 33)


@pytest.mark.parametrize("patients", [3, 10, 100, 5000])
def test_noncentral_t_has_the_power_and_the_closed_form_is_near(patients):
    found = least_difference(1.0, patients)
    bound = stats.t.ppf(0.975, patients - 1)
    assert stats.nct.cdf(bound, patients - 1, found) == pytest.approx(0.2)
    near = bound + stats.t.ppf(0.8, patients - 1)
    assert found == pytest.approx(near, rel=0.15 if patients == 3 else 0.02)
    normal = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert found >= normal
    if patients == 5000:
        assert found == pytest.approx(normal, rel=1e-3)


def test_clustered_cases_find_it_in_four_of_five_studies():
    rng = np.random.default_rng(0)
    patients, cases, spread = 15, 6, np.sqrt(0.5**2 + 0.8**2 / 6)  # of a patient's mean difference
    difference = least_difference(spread / np.sqrt(patients), patients)
    found = difference + rng.normal(0, 0.5, (4000, patients, 1)) + rng.normal(0, 0.8, (4000, patients, cases))
    p = stats.ttest_1samp(found.mean(axis=2), 0, axis=1).pvalue
    assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.025)
    owner = np.repeat(np.arange(patients), cases)
    measured = detectable_on(Board.of([found[0].ravel(), np.zeros(found[0].size)], owner))
    assert measured.typical == pytest.approx(least_difference(stats.sem(found[0].mean(axis=1)), patients, critical=measured.critical))
    assert measured.critical == pytest.approx(stats.t.ppf(0.975, patients - 1), rel=0.1), "one pair pays for no others"


def test_a_board_says_the_least_the_median_and_the_greatest_pair():
    rng = np.random.default_rng(1)
    board = Board.of(rng.normal(0, [[1.0], [1.0], [5.0]], (3, 20)), np.arange(20))
    errors = sorted(stats.sem(board.values[i] - board.values[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    found = detectable_on(board)
    each = least_difference(1.0, 20, critical=found.critical)
    assert (found.lowest, found.typical, found.highest) == pytest.approx([error * each for error in errors])
    assert found == detectable_on(board, significance(board))
    assert (found.patients, found.pairs) == (20, 3)
    equal = detectable_on(Board.of([*board.values[:2], board.values[1]], np.arange(20)))
    assert equal.pairs == 2, "entrants that are the same on every case are no pair"


@pytest.mark.parametrize(("entrants", "patients"), [(2, 40), (3, 7), (6, 30), (4, 6)])
def test_the_critical_value_is_where_the_test_over_all_pairs_begins_to_find(entrants, patients):
    board = Board.of(np.random.default_rng(entrants).normal(0, 1, (entrants, patients)), np.arange(patients))
    wide = [significance(replace(board, values=board.values + shift * np.eye(entrants)[:1].T), draws=999) for shift in np.linspace(0.05, 6, 40)]
    for found, shift in zip(wide, np.linspace(0.05, 6, 40), strict=True):
        t = abs((board.scores[0] + shift - board.scores[1:]) / found.error[0, 1:])
        told = found.adjusted[0, 1:] <= 0.05
        assert (told == (t > found.critical * (1 + 1e-9))).all()


@pytest.mark.parametrize(("patients", "cases", "entrants"), [(12, 8, 4), (30, 4, 6), (74, 1, 8)])
def test_a_typical_pair_that_differs_by_so_much_is_told_apart_on_four_of_five_boards(patients, cases, entrants):
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(patients), cases)

    def board(shift: float) -> Board:
        own = rng.normal(0, 1, patients) + rng.normal(0, 0.5, (entrants, patients))
        return Board.of(own[:, owner] + rng.normal(0, 0.8, (entrants, len(owner))) + shift * np.eye(entrants)[:1].T, owner.astype(str))

    stated = np.mean([detectable_on(one, significance(one, draws=499)).typical for one in (board(0) for _ in range(20))])
    found = [significance(board(float(stated)), draws=499).adjusted[0, 1] <= 0.05 for _ in range(300)]
    assert 0.75 <= np.mean(found) <= 0.85


def test_entrants_that_differ_on_one_patient_alone_do_not_make_any_difference_clear():
    values = np.ones((2, 40))
    values[1, 0] = 0
    found = detectable_on(Board.of(values, np.arange(40)))
    assert significance(Board.of(values, np.arange(40))).critical < 1.1
    assert found.critical == pytest.approx(stats.t.ppf(0.975, 39))


def test_many_entrants_pay_bonferronis_price(monkeypatch):
    monkeypatch.setattr("medrobust.stats.significance.MANY", 2)
    board = Board.of(np.random.default_rng(2).normal(0, 1, (5, 30)), np.arange(30))
    assert significance(board, many=2).critical == pytest.approx(stats.t.isf(0.05 / 10 / 2, 29))
    assert np.isinf(significance(Board.of(board.values[:, :5], np.arange(5)), many=2).critical)


def test_what_cannot_be_said_is_not_said():
    assert np.isnan(detectable_on(Board.of([[1.0, 2.0]], ["a", "b"])).typical)
    assert np.isnan(detectable_on(Board.of([[1.0, 2.0], [1.0, 2.0]], ["a", "b"])).typical), "nobody differs"
    few = detectable_on(Board.of(np.random.default_rng(0).normal(0, 1, (3, 5)), np.arange(5)))
    assert np.isinf(few.critical), "five patients tell nothing apart, whatever the difference"
    assert np.isnan([few.lowest, few.typical, few.highest]).all()
