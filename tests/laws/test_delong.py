"""What holds of areas under the ROC curve and their differences, whatever the scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrobust.stats import (
    Comparison,
    Scored,
    delong_area,
    delong_comparison,
    delong_covariance,
    delong_paired,
    delong_partially_paired,
    delong_unpaired,
)

ROW = st.tuples(st.integers(-4, 4), st.integers(-4, 4), st.booleans(), st.booleans(), st.integers(0, 5))
ROWS = st.lists(ROW, min_size=1, max_size=30)


def samples(rows: list[tuple[int, int, bool, bool, int]]) -> tuple[Scored, Scored]:
    """Two readers of the same cases, several a patient."""
    first, second, truth, _, patients = (np.array(column) for column in zip(*rows, strict=True))
    return Scored.of(first, truth, range(len(rows)), patients), Scored.of(second, truth, range(len(rows)), patients)


def numbers(found: Comparison) -> list[float]:
    interval = found.difference
    return [interval.estimate, interval.low, interval.high, found.error, found.statistic, found.p]


@settings(deadline=None)
@given(ROWS)
def test_only_the_order_of_scores_counts(rows):
    sample, _ = samples(rows)
    area = delong_area(sample.scores, sample.positive, sample.patients)
    moved = delong_area(np.arctan(sample.scores) * 7 + 3, sample.positive, sample.patients)
    assert repr(moved) == repr(area)


@settings(deadline=None)
@given(ROWS)
def test_the_opposite_of_a_score_has_the_rest_of_the_area(rows):
    sample, _ = samples(rows)
    area, opposite = (delong_area(sign * sample.scores, sample.positive, sample.patients) for sign in (1, -1))
    assert (opposite.auc, opposite.variance) == pytest.approx((1 - area.auc, area.variance), abs=1e-12, nan_ok=True)
    assert (opposite.interval.low, opposite.interval.high) == pytest.approx((1 - area.interval.high, 1 - area.interval.low), abs=1e-9, nan_ok=True)


@settings(deadline=None)
@given(ROWS, st.sampled_from([delong_paired, delong_partially_paired, delong_unpaired, delong_comparison]))
def test_swapped_areas_differ_by_as_much_the_other_way(rows, test):
    first, second = samples(rows)
    one, two = test(first, second), test(second, first)
    assert numbers(two) == pytest.approx(
        [-one.difference.estimate, -one.difference.high, -one.difference.low, one.error, -one.statistic, one.p], abs=1e-9, rel=1e-6, nan_ok=True
    )
    greater, less = test(first, second, alternative="greater").p, test(second, first, alternative="less").p
    assert greater == pytest.approx(less, abs=1e-9, rel=1e-6, nan_ok=True)


@settings(deadline=None)
@given(ROWS)
def test_nothing_is_nan_without_a_note_and_nothing_leaves_its_range(rows):
    first, second = samples(rows)
    kept = [np.array([row[3] for row in rows]) ^ flip for flip in (False, True)]
    overlap = Scored(*(getattr(second, field)[kept[0]] for field in ("scores", "positive", "cases", "patients")))
    for found in (delong_paired(first, second), delong_unpaired(first, second), delong_partially_paired(first, overlap)):
        values = [*numbers(found), found.df, found.first.auc, found.first.variance, found.second.auc, found.second.variance]
        assert found.note or not np.isnan(values).any()
        for area in (found.first, found.second):
            assert area.note or not np.isnan([area.auc, area.variance, area.interval.low]).any()
            assert not area.variance < 0
            assert math.isnan(area.interval.low) or 0 <= area.interval.low <= area.auc <= area.interval.high <= 1
        assert math.isnan(found.p) or 0 <= found.p <= 1
        assert not found.error < 0
        assert math.isnan(found.difference.low) or -1 <= found.difference.low <= found.difference.estimate <= found.difference.high <= 1


@settings(deadline=None)
@given(ROWS, st.integers(0, 30))
def test_cases_shared_in_part_are_between_all_and_none(rows, shared):
    """The same scores, under names of which so many are shared: the covariance is a sum over them, of no case counted twice."""
    first, second = (Scored.of(one.scores, one.positive, range(len(rows))) for one in samples(rows))
    renamed = [Scored.of(second.scores, second.positive, [i if i < keep else f"other {i}" for i in range(len(rows))]) for keep in (shared, 0)]
    mirrored = Scored.of(second.scores, second.positive, [f"other {i}" if i < shared else i for i in range(len(rows))])
    covariances = [delong_covariance([first, one])[0, 1] for one in (second, renamed[0], mirrored, renamed[1])]
    assert covariances[0] == pytest.approx(covariances[1] + covariances[2], abs=1e-12, nan_ok=True)
    assert np.isnan(covariances[0]) or covariances[3] == 0


@settings(deadline=None)
@given(ROWS)
def test_a_covariance_has_no_negative_variance_in_it(rows):
    """Of any mixture of readers where each patient has one case."""
    first, second = (Scored.of(one.scores, one.positive, range(len(rows))) for one in samples(rows))
    half = Scored(*(getattr(second, field)[::2] for field in ("scores", "positive", "cases", "patients")))
    covariance = delong_covariance([first, second, half])
    assert np.isnan(covariance).any() or np.linalg.eigvalsh(covariance).min() > -1e-12
