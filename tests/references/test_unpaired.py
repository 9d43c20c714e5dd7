"""The difference of two means of other patients, held against a bootstrap by hand and against what is known of its width."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medrobust.stats import Sample
from medrobust.stats.bootstrap import percentile
from medrobust.stats.unpaired import unpaired_difference


def sample(values: np.ndarray, each: int = 1) -> Sample:
    return Sample.of(values, [f"p{index // each}" for index in range(len(values))])


def test_its_width_is_that_of_independent_samples() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(1.0, 1.0, 400), rng.normal(0.0, 2.0, 300)
    found = unpaired_difference(sample(one), sample(two))
    error = math.sqrt(one.var(ddof=1) / 400 + two.var(ddof=1) / 300)
    assert found.estimate == pytest.approx(one.mean() - two.mean())
    assert (found.high - found.low) / 2 == pytest.approx(1.97 * error, rel=0.06)
    assert (found.patients, found.cases) == (700, 700)


def test_patients_are_clusters_and_each_side_is_drawn_alone() -> None:
    rng = np.random.default_rng(1)
    sides = [rng.normal(0, 1, n).repeat(3) for n in (9, 14)]
    found = unpaired_difference(*(sample(values, 3) for values in sides), method=percentile, resamples=20000)
    drawn = [np.array([rng.choice(values[::3], len(values) // 3).mean() for _ in range(20000)]) for values in sides]
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05)


def test_equal_names_on_both_sides_are_other_patients() -> None:
    values = np.random.default_rng(2).normal(0, 1, 30)
    found = unpaired_difference(sample(values), sample(values))
    assert found.estimate == 0
    assert found.high - found.low > 0.5, "a paired interval would have no width"


def test_one_patient_has_no_interval() -> None:
    found = unpaired_difference(sample(np.array([1.0, 2.0]), 2), sample(np.array([0.0, 1.0])))
    assert found.estimate == 1.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)
