"""Rankings against challengeR's own expectations, scipy, every way by brute force, and simulated boards."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from medrobust.stats import Sample, mean
from medrobust.stats.board import Board
from medrobust.stats.paired import permutation
from medrobust.stats.ranking import aggregate_then_rank, order_by_tests, rank, rank_intervals, rank_then_aggregate, tiers
from medrobust.stats.significance import significance


def board(values, higher: bool = True, cases_each: int = 1) -> Board:
    values = np.asarray(values, dtype=float)
    return Board.of(values, np.arange(values.shape[1]) // cases_each, higher)


def noisy(entrants: int, patients: int, spread: float, seed: int = 0) -> Board:
    rng = np.random.default_rng(seed)
    return board(rng.normal(0, spread, (entrants, 1)) + rng.normal(0, 1, patients) + rng.normal(0, 1, (entrants, patients)))


# Expectations of the testthat files of challengeR 1.0.5, aggregateThenRank and rankThenAggregate, FUN = mean, ties "min".
@pytest.mark.parametrize(
    ("values", "higher", "expected"),
    [
        ([[0.6], [0.8]], False, [1, 2]),
        ([[0.6], [0.8]], True, [2, 1]),
        ([[0.6], [0.6]], False, [1, 1]),
        ([[0.6, 0.4], [0.8, 1.0]], False, [1, 2]),
        ([[0.6]], False, [1]),
    ],
)
def test_challenger_agrees(values, higher, expected):
    assert aggregate_then_rank(board(values, higher)).tolist() == expected
    assert rank_then_aggregate(board(values, higher)).tolist() == expected


def test_as_in_challenger_a_missing_value_has_the_worst_rank_of_its_case():
    assert rank_then_aggregate(board([[np.nan, 0.5], [0.8, 0.5]])).tolist() == [2, 1]
    assert rank_then_aggregate(board([[np.nan, 0.5], [0.8, 0.5]], higher=False)).tolist() == [2, 1]


@pytest.mark.parametrize(("higher", "expected"), [(False, [1, 2]), (True, [2, 1])])
def test_as_in_challenger_tests_order_entrants_that_never_meet(higher, expected):
    steady = board([[0.2] * 8, [1.0] * 8], higher)
    assert order_by_tests(steady, significance(steady).p).tolist() == expected
    two = board([[0.6, 0.6], [0.8, 0.8]], higher)  # two cases cannot tell
    assert order_by_tests(two, significance(two).p).tolist() == [1, 1]


def test_schemes_differ_where_one_case_decides():
    # A wins every case but one, where it fails altogether: the mean punishes that, ranks do not.
    values = [[0.91, 0.81, 0.86, 0.96, 0.0], [0.90, 0.80, 0.85, 0.95, 0.9]]
    found = rank(board(values))
    assert found.schemes["aggregate-then-rank"].tolist() == [2, 1]
    assert found.schemes["rank-then-aggregate"].tolist() == [1, 2]
    assert dict(found.agreement)["aggregate-then-rank / rank-then-aggregate"] == pytest.approx(-1)
    assert np.isnan(dict(found.agreement)["aggregate-then-rank / test-then-rank"])


def test_agreement_is_scipys_kendall():
    found = rank(noisy(12, 30, 0.5))
    for name, tau in found.agreement:
        one, other = (found.schemes[part] for part in name.split(" / "))
        assert tau == pytest.approx(stats.kendalltau(one, other).statistic)


@pytest.mark.parametrize("cases_each", [1, 3])
def test_each_pair_has_the_p_of_its_own_sign_flips(cases_each):
    rng = np.random.default_rng(4)
    whole = board(rng.normal(0.3 * np.arange(4)[:, None], 1, (4, 9 * cases_each)), cases_each=cases_each)
    found = significance(whole)
    for i, j in itertools.combinations(range(4), 2):
        alone = permutation(*(Sample.of(whole.values[k], whole.patients) for k in (i, j)))
        assert alone.exact
        assert found.p[i, j] == found.p[j, i] == pytest.approx(alone.p)


def test_adjusted_p_by_brute_force_over_every_way():
    values = np.random.default_rng(5).normal(0.5 * np.arange(3)[:, None], 1, (3, 7))
    pairs = list(itertools.combinations(range(3), 2))

    def statistic(signs) -> list[float]:
        gaps = [values[i] - values[j] for i, j in pairs]
        return [abs((signs * gap).sum()) / np.sqrt((gap**2).sum()) for gap in gaps]

    seen = statistic(np.ones(7))
    ways = np.array([statistic(np.array(signs)) for signs in itertools.product([-1, 1], repeat=7)])
    found = significance(board(values))
    for pair, (i, j) in enumerate(pairs):
        assert found.adjusted[i, j] == pytest.approx(np.mean(ways.max(axis=1) >= seen[pair] - 1e-9))
        for row in (i, j):
            own = [k for k, other in enumerate(pairs) if row in other]
            assert found.among_row[row, i + j - row] == pytest.approx(np.mean(ways[:, own].max(axis=1) >= seen[pair] - 1e-9))


def test_many_entrants_have_students_p():
    whole = noisy(6, 20, 0.5)
    found = significance(whole, many=2)
    for i, j in itertools.combinations(range(6), 2):
        theirs = stats.ttest_rel(whole.values[i], whole.values[j])
        assert found.p[i, j] == pytest.approx(max(theirs.pvalue, 2.0**-19))
        assert found.adjusted[i, j] == pytest.approx(min(1, 15 * found.p[i, j]))
        assert found.error[i, j] == pytest.approx(stats.sem(whole.values[i] - whole.values[j]))
    assert "Bonferroni" in found.method


def test_the_matrix_product_finds_the_same_as_differences(monkeypatch):
    whole = noisy(8, 20, 0.5)
    direct = significance(whole, many=2)
    monkeypatch.setattr("medrobust.stats.significance.MANY", 2)
    assert significance(whole, many=2).p == pytest.approx(direct.p)


def test_standard_errors_are_clustered():
    rng = np.random.default_rng(6)
    values = np.repeat(rng.normal(0, 1, (2, 10)), 25, axis=1)
    found = significance(board(values, cases_each=25))
    assert found.error[0, 1] == pytest.approx(stats.sem(values[0, ::25] - values[1, ::25]))


def test_missing_values_have_the_standard_error_of_the_means_that_are_left():
    rng = np.random.default_rng(7)
    values = rng.normal(0, 1, (2, 36))
    values[0, :5] = values[1, 20:32] = np.nan
    whole = board(values, cases_each=3)
    left = [~np.isnan(line) for line in values]
    names = [np.array(sorted(set(whole.patients[kept]))) for kept in left]
    parts = []
    for line, kept, own in zip(values, left, names, strict=True):
        per_patient = {name: (line[kept & (whole.patients == name)] - line[kept].mean()).sum() / kept.sum() for name in own}
        parts.append([per_patient.get(name, 0.0) for name in whole.names])
    expected = np.sqrt(12 / 11 * ((np.array(parts[0]) - parts[1]) ** 2).sum())
    assert significance(whole).error[0, 1] == pytest.approx(expected)


def test_a_tier_is_opened_by_who_is_worse_than_its_opener():
    p = np.ones((4, 4))
    p[0, 2] = p[2, 0] = p[0, 3] = p[3, 0] = p[1, 2] = p[2, 1] = 0.01
    assert tiers(np.array([4.0, 3.0, 2.0, 1.0]), p).tolist() == [1, 1, 2, 2]
    p[2, 3] = p[3, 2] = 0.05
    assert tiers(np.array([4.0, 3.0, 2.0, 1.0]), p).tolist() == [1, 1, 2, 3]
    assert tiers(np.array([1.0, 2.0, 3.0, 4.0]), p[::-1, ::-1]).tolist() == [3, 2, 1, 1]


def test_probability_of_being_best_by_every_resample_of_three_patients():
    values = np.array([[1.0, 5.0, 0.0], [2.0, 2.0, 2.5]])
    ways = [values[:, list(way)].mean(axis=1) for way in itertools.product(range(3), repeat=3)]
    exact = np.mean([0.5 if one == other else one > other for one, other in ways])
    found = rank(board(values), resamples=100_000)
    assert found.best == pytest.approx([exact, 1 - exact], abs=0.01)


def test_equal_entrants_share_one_tier_in_95_of_100_boards():
    one_tier = []
    for seed in range(1000):
        whole = noisy(6, 15, 0.0, seed)
        one_tier.append(tiers(whole.goodness, significance(whole, 299, seed).adjusted).max() == 1)
    assert 0.93 <= np.mean(one_tier) <= 0.97


@pytest.mark.parametrize("skewed", [False, True])
def test_unequal_noise_and_skew_make_no_tiers(skewed):
    one_tier = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        noise = rng.exponential(1, (5, 20)) - 1 if skewed else rng.normal(0, 1, (5, 20))
        whole = board(noise * np.array([0.1, 0.1, 1, 1, 5])[:, None])
        one_tier.append(tiers(whole.goodness, significance(whole, 299, seed).adjusted).max() == 1)
    assert np.mean(one_tier) >= 0.9


@pytest.mark.parametrize(("spread", "least", "most"), [(0.01, 0.95, 0.995), (0.3, 0.98, 1.0)])
def test_rank_intervals_hold_the_true_rank_of_every_entrant(spread, least, most):
    """Nearly equal entrants are the hard case, the best and the worst of them the hardest: their intervals may miss on one side alone, 2.5 %."""
    held = []
    for seed in range(500):
        rng = np.random.default_rng(seed)
        truth = np.sort(rng.normal(0, spread, 6))[::-1]
        whole = board(truth[:, None] + rng.normal(0, 1, 15) + rng.normal(0, 1, (6, 15)))
        low, high = rank_intervals(whole.goodness, significance(whole, 299, seed).among_row)
        held.append((low <= np.arange(1, 7)) & (np.arange(1, 7) <= high))
    extremes = np.mean(held, axis=0)[[0, -1]]
    assert (np.mean(held, axis=0) >= 0.95).all()
    assert least <= extremes.min() <= most


def test_intervals_of_a_mean_cover_clustered_boards():
    held = []
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        values = np.repeat(rng.normal(0.7, 1, 20), 5) + rng.normal(0, 1, 100)
        found = mean(Sample.of(values, np.repeat(np.arange(20), 5)), resamples=1000)
        held.append(found.low <= 0.7 <= found.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_two_thousand_entrants_have_one_ranking():
    whole = noisy(2000, 100, 0.5)
    found = rank(whole, resamples=200)
    assert found.ranks[np.argmax(whole.scores)] == found.tier[np.argmax(whole.scores)] == 1
    assert found.tier.max() > 1
    assert found.best.sum() == pytest.approx(1)
    assert (found.low_rank <= found.ranks).all()
    assert (found.ranks <= found.high_rank).all()
