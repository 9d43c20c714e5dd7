"""Rates of clustered cases, and differences of two: coverage in simulation, score equations by brute force, published values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from medrobust.stats import Sample, clustered_rate, paired_difference, rate_bounds, tango, wilson
from medrobust.stats.bootstrap import draws
from medrobust.stats.design_effect import effective_cases

RATES = (0.5, 0.8, 0.9, 0.95, 0.97, 0.99)
CORRELATIONS = (0.0, 0.1, 0.3, 0.6, 0.9, 0.999)
SIZES = {
    "12 x 8": np.full(12, 8),
    "20 x 21": np.full(20, 21),
    "6 x 10": np.full(6, 10),
    "30 x 40": np.full(30, 40),
    "74 x 3": np.full(74, 3),
    "38 x 1": np.full(38, 1),
    "uneven": np.random.default_rng(5).integers(1, 42, 20),
}


def simulated(sizes: np.ndarray, rate: float, correlation: float, boards: int, seed: int = 0) -> np.ndarray:
    """Hits a patient, (boards, patients): beta-binomial, the correlation being that of two cases of one patient."""
    rng = np.random.default_rng(seed)
    shape = (boards, len(sizes))
    odds = (1 - correlation) / correlation if correlation else 0
    own = rng.beta(rate * odds, (1 - rate) * odds, shape) if correlation else np.full(shape, rate)
    return rng.binomial(sizes, own).astype(float)


def intervals(hits: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Of `clustered_rate`, many at once: (boards, 2)."""
    patients = len(sizes)
    drawn = draws(patients, 1000, 0)
    tail = stats.norm.cdf(np.sqrt(patients / (patients - 1)) * stats.t.ppf(0.025, patients - 1))
    ends = np.quantile((drawn @ hits.T) / (drawn @ sizes)[:, None], [tail, 1 - tail], axis=0)
    bounds = np.array([rate_bounds(one, sizes.astype(float)) for one in hits]).T
    return np.stack([np.minimum(ends[0], bounds[0]), np.maximum(ends[1], bounds[1])], axis=1)


def test_many_at_once_are_those_one_by_one() -> None:
    sizes = SIZES["uneven"]
    (hits,) = simulated(sizes, 0.9, 0.3, 1)
    values = np.concatenate([np.arange(size) < hit for size, hit in zip(sizes, hits, strict=True)]).astype(float)
    found = clustered_rate(Sample.of(values, np.repeat([f"p{i:02d}" for i in range(20)], sizes)), resamples=1000)
    assert (found.low, found.high) == pytest.approx(tuple(intervals(hits[None], sizes)[0]))


@pytest.mark.parametrize("name", SIZES)
def test_a_rate_is_covered_whatever_its_patients_share(name: str) -> None:
    sizes = SIZES[name]
    covered = {}
    for rate in RATES:
        for correlation in CORRELATIONS if sizes.max() > 1 else (0.0,):
            found = intervals(simulated(sizes, rate, correlation, 1500, seed=int(1000 * rate)), sizes)
            covered[rate, correlation] = np.mean((found[:, 0] <= rate + 1e-12) & (rate - 1e-12 <= found[:, 1]))
    assert min(covered.values()) >= 0.93, covered


@pytest.mark.parametrize(("name", "most"), [("12 x 8", 1.55), ("20 x 21", 1.3), ("30 x 40", 1.25), ("74 x 3", 1.1), ("38 x 1", 1.15)])
def test_independent_cases_cost_little(name: str, most: float) -> None:
    """Against Wilson's interval of all cases, which is what one would take who knew that they are independent."""
    sizes = SIZES[name]
    for rate in (0.5, 0.8, 0.9):
        hits = simulated(sizes, rate, 0.0, 300)
        known = np.array([wilson(one.sum(), float(sizes.sum())) for one in hits])
        assert np.diff(intervals(hits, sizes)).mean() <= most * np.diff(known).mean()


def test_what_cases_are_worth() -> None:
    sizes = np.full(12, 8.0)
    whole = np.where(np.arange(12) < 6, 8.0, 0.0)
    assert effective_cases(whole, sizes, 0.25, 6) == 12, "patients all of one kind are worth one case each"
    assert effective_cases(np.full(12, 8.0), sizes, 0.0, 0) == 12
    assert 60 < effective_cases(np.full(12, 4.0), sizes, 0.25, 12) < 96, "patients who do not differ lose the allowance for few patients"
    assert effective_cases(np.ones(12), np.ones(12), 0.1, 3) == 12
    assert rate_bounds(np.ones(12), np.ones(12)) == wilson(12, 12)
    uneven = np.array([100.0, 1, 1, 1])
    assert effective_cases(uneven, uneven, 0.0, 0) == pytest.approx(103**2 / (100**2 + 3)), "one patient holds nearly all cases: Kish"


@pytest.mark.parametrize(("first_only", "second_only", "cases"), [(12, 2, 50), (0, 0, 12), (9, 0, 20), (40, 20, 100), (7.5, 1.25, 30.5)])
def test_tango_is_where_the_score_of_the_constrained_likelihood_ends(first_only: float, second_only: float, cases: float) -> None:
    def statistic(difference: float) -> float:
        least, most = max(0.0, -difference), (1 - difference) / 2

        def lost(second: float) -> float:
            parts = (first_only, second + difference), (second_only, second), (cases - first_only - second_only, 1 - difference - 2 * second)
            return -sum(count * np.log(max(share, 1e-300)) for count, share in parts if count)

        second = optimize.minimize_scalar(lost, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
        return abs(first_only - second_only - cases * difference) / np.sqrt(cases * (2 * second + difference * (1 - difference)))

    for end in tango(first_only, second_only, cases):
        if abs(end) < 1:
            assert statistic(end) == pytest.approx(stats.norm.ppf(0.975), rel=1e-3)


def test_tango_of_one_side_is_wilson() -> None:
    # With no second_only the difference is a rate below, and the worst that is left above.
    assert tango(0, 0, 12)[1] == pytest.approx(wilson(0, 12)[1])
    assert tango(12, 0, 12) == (pytest.approx(2 * wilson(12, 12)[0] - 1), 1)
    assert tango(3, 5, 40) == pytest.approx(tuple(-end for end in tango(5, 3, 40)[::-1]))


def test_a_difference_that_all_cases_show_keeps_an_interval() -> None:
    owner = np.repeat(np.arange(12), 8)
    ones, zeros = Sample.of(np.ones(96), owner), Sample.of(np.zeros(96), owner)
    found = paired_difference(ones, zeros)
    assert (found.low, found.high) == pytest.approx(tango(12, 0, 12))
    alike = paired_difference(ones, ones)
    assert (alike.estimate, alike.high) == (0, pytest.approx(wilson(0, 12)[1]))
    assert alike.low == -alike.high


@pytest.mark.parametrize("name", ["12 x 8", "20 x 21", "uneven"])
@pytest.mark.parametrize(("first", "second"), [(0.5, 0.5), (0.97, 0.9), (0.99, 0.6), (0.99, 0.02)])
def test_a_difference_of_rates_is_covered(name: str, first: float, second: float) -> None:
    sizes = SIZES[name]
    rng = np.random.default_rng(3)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    bounds = stats.norm.ppf([[first], [second]])
    covered = []
    for correlation in (0.0, 0.3, 0.8):
        for _ in range(100):
            own, each = rng.normal(size=(3, len(sizes)))[:, owner], rng.normal(size=(3, len(owner)))  # the last is what both share
            mixed = np.sqrt(correlation) * (own[:2] + own[2]) + np.sqrt(1 - correlation) * (each[:2] + each[2])
            one, other = (Sample.of(values, owner) for values in (mixed / np.sqrt(2) < bounds).astype(float))
            found = paired_difference(one, other, resamples=400)
            covered.append(found.low <= first - second <= found.high)
    assert np.mean(covered) >= 0.93
