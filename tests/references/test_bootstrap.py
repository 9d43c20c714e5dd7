"""Clustered intervals against scipy, brute force, algebra and simulated coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medrobust.stats import (
    Sample,
    bca,
    clopper_pearson,
    clustered_rate,
    expanded,
    mean,
    paired_difference,
    paired_ratio,
    percentile,
    ratio,
    wilson,
)
from medrobust.stats.bootstrap import draws, resample

VALUES = st.lists(st.floats(-100, 100), min_size=4, max_size=24)


def one_each(values: np.ndarray) -> Sample:
    return Sample.of(values, [f"patient {i:03d}" for i in range(len(values))])


@pytest.mark.parametrize(("method", "name"), [(percentile, "percentile"), (bca, "BCa")])
def test_one_case_a_patient_agrees_with_scipy(method, name):
    values = np.random.default_rng(3).gamma(2.0, size=40)
    ours = mean(one_each(values), method, resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method=name, rng=np.random.default_rng(0)).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.04 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.04 * width)


def test_bca_of_the_same_replicates_equals_scipy_to_rounding():
    values = np.random.default_rng(4).gamma(1.0, size=15)
    drawn = draws(15, 2000, 7)

    def replay(_, axis):  # scipy asks for the statistic of its own resamples; give it ours
        return drawn @ values / 15

    resampled = resample(np.stack([values, np.ones(15)], axis=1), lambda sums: sums[..., 0] / sums[..., 1], seed=7)
    assert np.allclose(resampled.replicates, replay(None, 0))
    assert np.allclose(resampled.jackknife, [np.delete(values, i).mean() for i in range(15)])
    below = (np.mean(resampled.replicates < values.mean()) + np.mean(resampled.replicates <= values.mean())) / 2
    z0 = stats.norm.ppf(below)
    u = resampled.jackknife.mean() - resampled.jackknife
    a = (u**3).sum() / (6 * (u**2).sum() ** 1.5)
    ends = [stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in stats.norm.ppf([0.025, 0.975])]
    assert bca(resampled) == pytest.approx(tuple(np.quantile(resampled.replicates, ends)))


def test_brute_force_over_every_resample_of_three_patients():
    cases = {"a": [0.0, 1.0, 5.0], "b": [2.0], "c": [3.0, 9.0]}
    sample = Sample.of([v for values in cases.values() for v in values], [name for name, values in cases.items() for _ in values])
    exact = sorted(np.mean([v for name in names for v in cases[name]]) for names in itertools.product(cases, repeat=3))
    found = mean(sample, percentile, resamples=200_000)
    assert found.estimate == pytest.approx(20 / 6)
    assert (found.patients, found.cases) == (3, 6)
    assert found.low == pytest.approx(np.quantile(exact, 0.025, method="inverted_cdf"))
    assert found.high == pytest.approx(np.quantile(exact, 0.975, method="inverted_cdf"))


def test_patients_are_drawn_with_all_their_cases():
    values = np.repeat(np.random.default_rng(5).normal(size=10), 20)
    clustered = mean(Sample.of(values, np.repeat(np.arange(10), 20)), percentile)
    independent = mean(one_each(values), percentile)
    assert clustered.high - clustered.low > 3 * (independent.high - independent.low)


@settings(max_examples=40, deadline=None)
@given(VALUES, st.randoms(use_true_random=False))
def test_order_of_cases_does_not_matter_and_scale_passes_through(values, shuffler):
    patients = [f"p{i % 4}" for i in range(len(values))]
    order = list(range(len(values)))
    shuffler.shuffle(order)
    first = mean(Sample.of(values, patients), resamples=200)
    second = mean(Sample.of([values[i] for i in order], [patients[i] for i in order]), resamples=200)
    moved = mean(Sample.of(2 * np.array(values) + 3, patients), resamples=200)
    assert second.estimate == pytest.approx(first.estimate, abs=1e-9)
    if first.high - first.low > 1e-9:
        assert (second.low, second.high) == pytest.approx((first.low, first.high), abs=1e-9)
        assert (moved.low, moved.high) == pytest.approx((2 * first.low + 3, 2 * first.high + 3), abs=1e-9)
        assert first.low - 1e-9 <= first.estimate <= first.high + 1e-9 or first.patients < 4


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_a_paired_difference_with_itself_is_nothing_and_turns_with_its_sign(values):
    sample = Sample.of(values, [f"p{i % 4}" for i in range(len(values))])
    other = Sample.of(np.array(values)[::-1], sample.patients)
    same = paired_difference(sample, sample, resamples=100)
    assert same.estimate == 0
    assert math.isnan(same.low) or same.low == -same.high < 0, "a difference that no patient shows may be there, and has no interval of no width"
    one, two = paired_difference(sample, other, resamples=100), paired_difference(other, sample, resamples=100)
    assert (one.estimate, one.low, one.high) == pytest.approx((-two.estimate, -two.high, -two.low), abs=1e-9, nan_ok=True)


def test_pairing_removes_what_patients_share():
    rng = np.random.default_rng(6)
    level = np.repeat(rng.normal(scale=10, size=12), 5)
    patients = np.repeat([f"p{i}" for i in range(12)], 5)
    first, second = Sample.of(level + rng.normal(size=60), patients), Sample.of(level + 1 + rng.normal(size=60), patients)
    difference = paired_difference(second, first)
    assert 0 < difference.low < 1 < difference.high
    assert mean(first).high > mean(second).low, "unpaired intervals overlap: the pairing is what separates them"


def test_only_shared_patients_enter_a_paired_contrast():
    first = Sample.of([1.0, 2.0, 100.0], ["a", "b", "only first"])
    second = Sample.of([0.5, 1.0, -7.0], ["a", "b", "only second"])
    assert paired_difference(first, second).patients == 2
    assert paired_difference(first, second).estimate == pytest.approx(0.75)
    assert paired_ratio(first, second).estimate == pytest.approx(2.0)
    assert ratio(first, second).estimate == pytest.approx(2.0)


def test_a_ratio_over_a_rate_that_may_be_zero_has_no_upper_end():
    patients = [f"p{i}" for i in range(8)]
    found = paired_ratio(Sample.of(np.ones(8), patients), Sample.of([1, 0, 0, 0, 0, 0, 0, 0], patients))
    assert found.estimate == pytest.approx(8)
    assert math.isinf(found.high)
    assert 1 <= found.low < 8


def test_degenerate_data_say_so():
    lonely = mean(Sample.of([1.0, 2.0], ["a", "a"]))
    assert (lonely.estimate, lonely.patients, lonely.cases) == (1.5, 1, 2)
    assert math.isnan(lonely.low)
    assert math.isnan(lonely.high)
    nobody = mean(Sample.of([], []))
    assert math.isnan(nobody.estimate)
    assert nobody.patients == 0
    for method in (percentile, expanded, bca):
        flat = mean(Sample.of([0.1] * 12, list("aabbccddeeff")), method)
        assert flat.estimate == pytest.approx(0.1)
        assert np.isnan([flat.low, flat.high]).all(), "one value in all of them says nothing of how much it varies"
    ones = Sample.of(np.full(12, 3.0), list("aabbccddeeff"))
    assert np.isnan([paired_ratio(ones, ones).low, paired_ratio(ones, ones).high]).all()
    assert math.isnan(paired_difference(Sample.of([1.0], ["a"]), Sample.of([1.0], ["b"])).estimate)


def test_a_value_that_misses_is_refused_and_never_averaged():
    with pytest.raises(ValueError, match="1 of 2 values are not finite"):
        Sample.of([1.0, float("nan")], ["a", "b"])
    with pytest.raises(ValueError, match="2 values for 1 patients"):
        Sample.of([1.0, 2.0], ["a"])


def test_one_seed_gives_one_interval_and_another_a_near_one():
    sample = one_each(np.random.default_rng(8).normal(size=30))
    assert mean(sample, seed=1) == mean(sample, seed=1)
    assert mean(sample, seed=1) != mean(sample, seed=2)


@pytest.mark.parametrize(("hits", "cases"), [(0, 10), (1, 10), (5, 10), (10, 10), (81, 263)])
def test_binomial_intervals_equal_their_closed_forms(hits, cases):
    z = stats.norm.ppf(0.975)
    share = hits / cases
    centre = (share + z**2 / (2 * cases)) / (1 + z**2 / cases)
    half = z / (1 + z**2 / cases) * math.sqrt(share * (1 - share) / cases + z**2 / (4 * cases**2))
    assert wilson(hits, cases) == pytest.approx((max(0, centre - half), min(1, centre + half)), abs=1e-12)
    low = stats.beta.ppf(0.025, hits, cases - hits + 1) if hits else 0
    high = stats.beta.ppf(0.975, hits + 1, cases - hits) if hits < cases else 1
    assert clopper_pearson(hits, cases) == pytest.approx((low, high), abs=1e-9)


def test_published_values_of_newcombe_1998():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert clopper_pearson(81, 263) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_a_rate_without_hits_is_worth_one_case_a_patient():
    found = clustered_rate(Sample.of(np.zeros(96), np.repeat(np.arange(12), 8)))
    assert (found.low, found.high) == pytest.approx(wilson(0, 12))


def test_the_clustered_rate_covers_where_wilson_does_not():
    rng = np.random.default_rng(9)
    patients = np.repeat([f"p{i:02d}" for i in range(12)], 8)
    covered = naive = 0
    for _ in range(300):
        share = np.repeat(rng.beta(1.2, 0.8, size=12), 8)
        hits = (rng.random(96) < share).astype(float)
        found = clustered_rate(Sample.of(hits, patients), resamples=500)
        low, high = wilson(int(hits.sum()), 96)
        covered += found.low <= 0.6 <= found.high
        naive += low <= 0.6 <= high
    assert covered / 300 > 0.91
    assert naive / 300 < 0.85
