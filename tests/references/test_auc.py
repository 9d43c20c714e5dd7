"""Area under the ROC curve against scikit-learn and scipy, and its interval against a plain bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from medrobust.stats import auc, auc_interval, delong_area

rows_of_both = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40)
scored = rows_of_both.filter(lambda rows: 0 < sum(one for _, one in rows) < len(rows))


@given(scored)
def test_the_area_is_scikit_learns_and_that_of_the_rank_sum_test(rows: list[tuple[int, bool]]) -> None:
    scores, positive = np.array([one for one, _ in rows], float), np.array([one for _, one in rows])
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    statistic = mannwhitneyu(scores[positive], scores[~positive]).statistic
    assert auc(scores, positive) == pytest.approx(statistic / (positive.sum() * (~positive).sum()))
    assert auc(-scores, positive) == pytest.approx(1 - auc(scores, positive))


def test_one_class_alone_has_no_area() -> None:
    assert np.isnan(auc([0.1, 0.2], [True, True]))
    found = auc_interval([0.1, 0.2], [True, True], ["a", "b"])
    assert np.isnan([found.estimate, found.low, found.high]).all()


def test_the_interval_is_that_of_a_plain_bootstrap_over_patients() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat([f"p{i:02d}" for i in range(40)], 2)
    positive = np.repeat(rng.random(40) < 0.6, 2)
    scores = positive * 0.8 + rng.normal(0, 1, 80) + np.repeat(rng.normal(0, 0.5, 40), 2)
    found = auc_interval(scores, positive, patients, resamples=4000)
    plain = []
    for _ in range(2000):
        rows = (2 * rng.integers(0, 40, 40)[:, None] + np.arange(2)).ravel()
        plain.append(auc(scores[rows], positive[rows]))
    assert found.estimate == pytest.approx(auc(scores, positive))
    assert (found.low, found.high) == pytest.approx(np.quantile(plain, [0.021, 0.979]), abs=0.02)
    assert (found.patients, found.cases) == (40, 80)
    narrow = auc_interval(scores, positive, np.arange(80).astype(str))
    assert narrow.high - narrow.low < found.high - found.low, "cases of one patient are no independent evidence"


def test_a_perfect_area_stays_within_one() -> None:
    found = auc_interval([0.1, 0.2, 0.8, 0.9], [False, False, True, True], ["a", "b", "c", "d"])
    assert found.estimate == 1
    assert 0 <= found.low < found.high == 1


@pytest.mark.parametrize(("scores", "area"), [(np.r_[np.zeros(12), np.ones(12)], 1.0), (np.r_[np.ones(12), np.zeros(12)], 0.0), (np.ones(24), 0.5)])
def test_where_every_pair_has_one_outcome_the_interval_is_delongs_exact_one(scores, area) -> None:
    positive = np.arange(24) >= 12
    found = auc_interval(scores, positive, np.arange(24).astype(str))
    exact = delong_area(scores, positive).interval
    assert found == exact
    assert found.estimate == area
    assert found.high - found.low > 0.26
    twins = auc_interval(scores, positive, np.tile(np.arange(12), 2).astype(str))
    assert twins == delong_area(scores, positive, np.tile(np.arange(12), 2).astype(str)).interval, "twelve patients with both have six pairs"
    assert twins.high - twins.low > found.high - found.low
