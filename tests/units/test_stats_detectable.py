"""The least difference that can be detected: closed form, noncentral t, simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medrobust.stats import Sample
from medrobust.stats.board import Board
from medrobust.stats.detectable import detectable, detectable_on, least_difference
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
    one = found[0].ravel()
    owner = np.repeat(np.arange(patients), cases)
    measured = detectable(Sample.of(one, owner), Sample.of(np.zeros(len(one)), owner))
    assert measured.error == pytest.approx(stats.sem(found[0].mean(axis=1)))
    assert measured.difference == pytest.approx(least_difference(measured.error, patients))


def test_a_board_takes_the_median_pair():
    rng = np.random.default_rng(1)
    board = Board.of(rng.normal(0, [[1.0], [1.0], [5.0]], (3, 20)), np.arange(20))
    errors = sorted(stats.sem(board.values[i] - board.values[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    found = detectable_on(board)
    assert found.error == pytest.approx(errors[1])
    assert found == detectable_on(board, significance(board))
    assert found.patients == 20


def test_what_cannot_be_said_is_not_said():
    one = Sample.of([1.0, 2.0], ["a", "a"])
    assert np.isnan(detectable(one, one).difference)
    assert np.isnan(detectable_on(Board.of([[1.0, 2.0]], ["a", "b"])).difference)
    same = Sample.of([1.0, 2.0], ["a", "b"])
    assert detectable(same, same).difference == 0
