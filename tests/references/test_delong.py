"""DeLong's tests against pROC's printed values, the definition over all pairs, Obuchowski's formula for patients, and simulated coverage."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from medrobust.stats import (
    Scored,
    auc,
    clopper_pearson,
    delong_area,
    delong_chance,
    delong_comparison,
    delong_covariance,
    delong_paired,
    delong_partially_paired,
    delong_unpaired,
    jackknife_covariance,
    logit,
)
from medrobust.stats.separation import exact_bounds, unequal

ASAH = Path(__file__).parent / "data" / "asah.csv"


@pytest.fixture(scope="module")
def asah() -> dict[str, Scored]:
    lines = [line for line in ASAH.read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    poor = [row["outcome"] == "1" for row in rows]
    return {name: Scored.of([float(row[name]) for row in rows], poor, range(len(rows))) for name in ("wfns", "s100b", "ndka")}


def part(sample: Scored, rows: np.ndarray) -> Scored:
    return Scored(sample.scores[rows], sample.positive[rows], sample.cases[rows], sample.patients[rows])


def test_the_areas_of_asah_are_procs(asah):
    found = {name: delong_area(sample.scores, sample.positive) for name, sample in asah.items()}
    assert [round(found[name].auc, 8) for name in ("wfns", "s100b", "ndka")] == [0.82367886, 0.73136856, 0.61195799]
    assert (round(found["s100b"].interval.low, 7), round(found["s100b"].interval.high, 7)) == (0.6301182, 0.8326189)
    assert {(one.positives, one.negatives, one.interval.cases, one.note) for one in found.values()} == {(41, 72, 113, "")}


@pytest.mark.parametrize(
    ("first", "second", "z", "p"),
    [
        ("wfns", "s100b", 2.20898359144091, 0.0271757822291882),
        ("wfns", "ndka", 2.79777591868904, 0.00514557970691098),
        ("ndka", "s100b", -1.39077002573558, 0.164295175223054),
    ],
)
def test_the_paired_tests_of_asah_are_procs(asah, first, second, z, p):
    found = delong_paired(asah[first], asah[second])
    assert (found.statistic, found.p) == pytest.approx((z, p), rel=1e-12)
    assert (math.isinf(found.df), found.design, found.shared, found.note) == (True, "paired", 113, "")


def test_the_interval_and_the_one_sided_test_of_asah_are_procs(asah):
    found = delong_paired(asah["wfns"], asah["s100b"], alternative="greater")
    assert found.p == pytest.approx(0.0135878911145941, rel=1e-12)
    assert (round(found.difference.low, 8), round(found.difference.high, 8)) == (0.01040618, 0.17421442)
    assert delong_paired(asah["wfns"], asah["s100b"], alternative="less").p == pytest.approx(1 - found.p)


@pytest.mark.parametrize(
    ("first", "second", "t", "p", "df"),
    [
        ("wfns", "s100b", 1.43490640926908, 0.152825378808796, 206.661),
        ("wfns", "ndka", 3.10125096778969, 0.00220950791756457, 197.125),
        ("ndka", "s100b", -1.55995743389685, 0.120192832430845, 222.235),
    ],
)
def test_the_unpaired_tests_of_asah_are_procs(asah, first, second, t, p, df):
    found = delong_unpaired(asah[first], asah[second])
    assert (found.statistic, found.p) == pytest.approx((t, p), rel=1e-12)
    assert found.df == pytest.approx(df, abs=5e-4)
    half = stats.t.ppf(0.975, found.df) * found.error
    assert (found.difference.low, found.difference.high) == pytest.approx((found.difference.estimate - half, found.difference.estimate + half))


def by_definition(sample: Scored) -> tuple[float, np.ndarray, np.ndarray]:
    """Area and placements from every pair."""
    positive, negative = sample.scores[sample.positive], sample.scores[~sample.positive]
    wins = np.array([[float(x > y) + 0.5 * float(x == y) for y in negative] for x in positive])
    return wins.mean(), wins.mean(1), wins.mean(0)


def drawn(rng: np.random.Generator, positives: int, negatives: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Two readers' correlated scores in so many steps, (2, cases), and the truth."""
    truth = np.arange(positives + negatives) < positives
    scores = rng.normal(size=truth.size) + truth + rng.normal(size=(2, truth.size))
    return np.round(scores * levels / 6), truth


@pytest.mark.parametrize(("seed", "levels"), [(0, 4), (1, 12), (2, 1000)])
def test_area_and_covariance_are_those_of_the_definition(seed, levels):
    scores, truth = drawn(np.random.default_rng(seed), 13, 17, levels)
    first, second = (Scored.of(one, truth, range(30)) for one in scores)
    (a, tens_a, ones_a), (b, tens_b, ones_b) = by_definition(first), by_definition(second)
    expected = np.cov(tens_a, tens_b) / 13 + np.cov(ones_a, ones_b) / 17
    assert delong_covariance([first, second]) == pytest.approx(expected, abs=1e-15)
    found = delong_paired(first, second)
    assert (found.first.auc, found.second.auc) == pytest.approx((a, b))
    assert found.first.variance == pytest.approx(expected[0, 0])
    assert found.error**2 == pytest.approx(expected[0, 0] + expected[1, 1] - 2 * expected[0, 1])
    assert delong_unpaired(first, second).error ** 2 == pytest.approx(expected[0, 0] + expected[1, 1])


def test_order_and_names_of_cases_pair_them_not_their_place(asah):
    order = np.random.default_rng(3).permutation(113)
    shuffled = delong_paired(asah["wfns"], part(asah["s100b"], order))
    assert shuffled.p == pytest.approx(0.0271757822291882, rel=1e-10)


def test_cases_shared_in_part_weigh_their_covariance(asah):
    first, second = part(asah["wfns"], np.arange(90)), part(asah["s100b"], np.arange(30, 113))
    found = delong_partially_paired(first, second)
    (a, tens_a, ones_a), (b, tens_b, ones_b) = by_definition(first), by_definition(second)
    covariance = 0.0
    for kind, (one, other) in {True: (tens_a - a, tens_b - b), False: (ones_a - a, ones_b - b)}.items():
        names = [sample.cases[sample.positive == kind].tolist() for sample in (first, second)]
        m, n = len(names[0]), len(names[1])
        product = sum(one[names[0].index(case)] * other[names[1].index(case)] for case in set(names[0]) & set(names[1]))
        covariance += product / math.sqrt(m * (m - 1) * n * (n - 1))
    assert covariance > 0.1 * found.first.variance
    assert found.error**2 == pytest.approx(found.first.variance + found.second.variance - 2 * covariance)
    assert (found.design, found.shared, found.difference.patients, found.difference.cases) == ("partially paired", 60, 113, 113)
    assert math.isinf(found.df)


def test_all_shared_is_paired_and_none_shared_has_the_unpaired_variance(asah):
    whole, paired = delong_partially_paired(asah["wfns"], asah["s100b"]), delong_paired(asah["wfns"], asah["s100b"])
    assert (whole.statistic, whole.p, whole.difference) == (paired.statistic, paired.p, paired.difference)
    halves = part(asah["wfns"], np.arange(0, 113, 2)), part(asah["s100b"], np.arange(1, 113, 2))
    apart, unpaired = delong_partially_paired(*halves), delong_unpaired(*halves)
    assert apart.error == pytest.approx(unpaired.error, rel=1e-12)
    assert apart.shared == 0
    assert apart.p < unpaired.p, "Student's t is the wider"


def test_names_choose_the_test(asah):
    odd, even, some = np.arange(1, 113, 2), np.arange(0, 113, 2), np.arange(40)
    wfns, ndka = asah["wfns"], asah["ndka"]
    assert delong_comparison(wfns, ndka).design == "paired"
    assert delong_comparison(part(wfns, odd), part(ndka, even)).design == "unpaired"
    assert delong_comparison(part(wfns, odd), part(ndka, some)).design == "partially paired"
    siblings = [Scored.of(part(one, rows).scores, part(one, rows).positive, rows, rows // 2) for one, rows in ((wfns, odd), (ndka, even))]
    assert delong_comparison(*siblings).design == "partially paired", "no case in common, but patients"


def clustered(rng: np.random.Generator, mixed: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of two readers, (2, 180), truth and 60 patients: what a patient's cases share moves all of their scores."""
    owner = np.repeat(np.arange(60), 3)
    truth = rng.random(180) < rng.beta(1, 1, 60)[owner] if mixed else (rng.random(60) < 0.5)[owner]
    return truth * 1.0 + rng.normal(size=60)[owner] + rng.normal(size=(2, 180)), truth, owner


def test_several_cases_a_patient_have_obuchowskis_covariance():
    scores, truth, owner = clustered(np.random.default_rng(4))
    samples = [Scored.of(one, truth, range(len(truth)), owner) for one in scores]
    sums = []
    for sample in samples:
        a, tens, ones = by_definition(sample)
        sums.append([[np.sum(part_ - a) for part_ in (tens[owner[truth] == who], ones[owner[~truth] == who])] for who in range(60)])
    both = np.array(sums)  # (readers, patients, positives or negatives)
    with_positive, with_negative = len(set(owner[truth])), len(set(owner[~truth]))
    m, n = truth.sum(), (~truth).sum()
    s10 = with_positive / ((with_positive - 1) * m) * both[:, :, 0] @ both[:, :, 0].T
    s01 = with_negative / ((with_negative - 1) * n) * both[:, :, 1] @ both[:, :, 1].T
    s11 = 60 / 59 * both[:, :, 0] @ both[:, :, 1].T
    assert delong_covariance(samples) == pytest.approx(s10 / m + s01 / n + (s11 + s11.T) / (m * n), rel=1e-12)


def test_patients_of_one_case_change_nothing_and_twins_add_nothing():
    scores, truth = drawn(np.random.default_rng(5), 20, 25, 8)
    alone = delong_area(scores[0], truth)
    assert delong_area(scores[0], truth, patients=range(45)) == alone
    twins = delong_area(np.repeat(scores[0], 2), np.repeat(truth, 2), patients=np.repeat(np.arange(45), 2))
    assert (twins.auc, twins.variance) == pytest.approx((alone.auc, alone.variance))
    assert delong_area(np.repeat(scores[0], 2), np.repeat(truth, 2)).variance < 0.6 * alone.variance, "twins as strangers claim too much"


@pytest.mark.parametrize("mixed", [True, False])
def test_the_clustered_variance_is_that_of_a_bootstrap_of_patients(mixed):
    scores, truth, owner = clustered(np.random.default_rng(6), mixed)
    rng, areas = np.random.default_rng(7), []
    for _ in range(1500):
        rows = (3 * rng.integers(0, 60, 60)[:, None] + np.arange(3)).ravel()
        areas.append(auc(scores[0][rows], truth[rows]))
    found = delong_area(scores[0], truth, patients=owner)
    assert math.sqrt(found.variance) == pytest.approx(np.std(areas), rel=0.07)
    assert mixed or delong_area(scores[0], truth).variance < 0.8 * found.variance


def test_a_case_that_changes_its_truth_is_still_the_same_case():
    """Labels as intended by a tampering: every case is positive in one sample and negative in the other, and its scores go together."""
    rng = np.random.default_rng(8)
    differences, errors, as_strangers = [], [], []
    for _ in range(400):
        truth, anatomy = np.arange(80) < 40, rng.normal(size=80)
        first = Scored.of(anatomy + 0.8 * truth + 0.3 * rng.normal(size=80), truth, range(80))
        second = Scored.of(anatomy + 0.8 * ~truth + 0.3 * rng.normal(size=80), ~truth, range(80))
        found = delong_paired(first, second)
        differences.append(found.difference.estimate)
        errors.append(found.error)
        as_strangers.append(delong_unpaired(first, second).error)
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.08)
    assert np.mean(as_strangers) < 0.8 * np.std(differences), "a high score helps one area and harms the other"


@pytest.mark.parametrize("patients", [None, np.arange(60) // 2])
def test_the_jackknife_leaves_out_a_patient_at_a_time(patients):
    scores, truth = drawn(np.random.default_rng(9), 30, 30, 12)
    truth = truth[np.random.default_rng(10).permutation(60)]
    samples = [Scored.of(one, truth, range(60), patients) for one in scores]
    left = np.array([[auc(s.scores[s.patients != who], truth[s.patients != who]) for who in np.unique(s.patients)] for s in samples])
    count = left.shape[1]
    assert jackknife_covariance(samples) == pytest.approx((count - 1) ** 2 / count * np.cov(left), rel=1e-10)
    assert jackknife_covariance(samples) == pytest.approx(delong_covariance(samples), rel=0.25)


def test_a_test_against_chance():
    scores, truth = drawn(np.random.default_rng(11), 25, 25, 1000)
    found, area = delong_chance(scores[0], truth), delong_area(scores[0], truth)
    z = (area.auc - 0.5) / math.sqrt(area.variance)
    assert (found.statistic, found.p) == pytest.approx((z, 2 * stats.norm.sf(abs(z))))
    assert found.difference.low == pytest.approx(area.interval.low - 0.5)
    assert delong_chance(-scores[0], truth, alternative="less").p == pytest.approx(delong_chance(scores[0], truth, alternative="greater").p)
    assert (found.second, found.design, found.note) == (None, "chance", "")


def test_the_logit_interval_is_carried_back_from_the_log_odds():
    scores, truth = drawn(np.random.default_rng(12), 25, 25, 1000)
    found = delong_area(scores[0] + 2 * truth, truth, method=logit)
    odds = math.log(found.auc / (1 - found.auc))
    ends = [odds + sign * stats.norm.ppf(0.975) * math.sqrt(found.variance) / (found.auc * (1 - found.auc)) for sign in (-1, 1)]
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(1 / (1 + math.exp(-end)) for end in ends))
    assert found.interval.high < 1


# What cannot be computed has a documented answer.

PERFECT = Scored.of([1, 2, 3, 4, 5, 6, 7, 8], [False] * 4 + [True] * 4, range(8))
SWAPPED = Scored.of(-PERFECT.scores, PERFECT.positive, range(8))
TIED = Scored.of(np.ones(8), PERFECT.positive, range(8))
MIXED = Scored.of([1, 5, 3, 4, 2, 6, 7, 8], PERFECT.positive, range(8))


def test_perfect_swapped_and_tied_areas_have_exact_intervals():
    bound = 0.025**0.25
    assert clopper_pearson(4, 4)[0] == pytest.approx(bound)
    for sample, area, low, high in ((PERFECT, 1, bound, 1), (SWAPPED, 0, 0, 1 - bound), (TIED, 0.5, bound / 2, 1 - bound / 2)):
        found = delong_area(sample.scores, sample.positive)
        assert (found.auc, found.variance) == (area, 0)
        assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
        assert "variance 0" in found.note
        assert "4 independent pairs" in found.note


def test_pairs_within_a_patient_are_counted_once():
    patients = [0, 0, 1, 1, 0, 0, 1, 2]
    found = delong_area(PERFECT.scores, PERFECT.positive, patients)
    assert "1 independent pairs" in found.note
    assert found.interval.low == pytest.approx(0.025)
    alone = delong_area(PERFECT.scores, PERFECT.positive, [0] * 8)
    assert (alone.auc, math.isnan(alone.variance), math.isnan(alone.interval.low)) == (1, True, True)
    assert alone.note == "positive and negative cases of one patient alone: no variance"


def test_perfect_detection_is_tested_by_its_independent_pairs():
    found = delong_chance(PERFECT.scores, PERFECT.positive)
    assert (found.p, found.statistic) == (2 * 0.5**4, math.inf)
    assert delong_chance(PERFECT.scores, PERFECT.positive, alternative="greater").p == 0.5**4
    assert delong_chance(PERFECT.scores, PERFECT.positive, alternative="less").p == 1
    assert delong_chance(SWAPPED.scores, SWAPPED.positive, alternative="less").p == 0.5**4
    assert (delong_chance(TIED.scores, TIED.positive).p, delong_chance(TIED.scores, TIED.positive).statistic) == (1, 0)
    many = delong_chance(np.arange(24), np.arange(24) > 11)
    assert many.p < 0.05
    assert many.difference.low > 0, "interval and test agree"


def test_identical_scores_do_not_differ():
    for second in (MIXED, Scored.of(np.exp(MIXED.scores), MIXED.positive, range(8))):
        found = delong_paired(MIXED, second)
        assert (found.difference.estimate, found.difference.low, found.difference.high, found.statistic, found.p) == (0, 0, 0, 0, 1)
        assert found.note == "the two differ for no patient: difference 0"
    assert delong_paired(MIXED, MIXED, alternative="greater").p == 0.5


def test_two_perfect_areas_do_not_differ_and_their_interval_has_width():
    other = Scored.of(PERFECT.scores**2, PERFECT.positive, range(8))
    for test in (delong_paired, delong_partially_paired, delong_unpaired):
        found = test(PERFECT, other)
        assert (found.difference.estimate, found.p, found.error) == (0, 1, 0)
        assert (found.difference.low, found.difference.high) == pytest.approx((0.025**0.25 - 1, 1 - 0.025**0.25))
        assert found.note.count("variance 0") == 2


def test_areas_without_variance_that_differ_are_tested_by_their_bounds():
    few = delong_paired(PERFECT, SWAPPED)
    assert (few.difference.estimate, few.statistic) == (1, math.inf)
    assert few.p == pytest.approx(2 * 0.5**4), "bounds of both meet at 0.5"
    assert "variance of the difference 0: exact p" in few.note
    assert delong_paired(SWAPPED, PERFECT).p == pytest.approx(few.p)
    assert delong_paired(SWAPPED, PERFECT, alternative="greater").p == 1
    assert delong_paired(PERFECT, TIED).p == pytest.approx(2 * (2 / 3) ** 4), "c is above 1 - c / 2 from two thirds on"
    assert unequal((1.0, 1), (0.5, 1)) == 1
    assert unequal((1.0, 200), (0.5, 200)) < 1e-9
    p = unequal((1.0, 9), (0.5, 12))
    assert exact_bounds(1.0, 9, 1 - p)[0] == pytest.approx(exact_bounds(0.5, 12, 1 - p)[1])


def test_one_perfect_area_leaves_the_other_its_variance():
    found = delong_unpaired(PERFECT, MIXED)
    assert found.error**2 == pytest.approx(found.second.variance)
    assert found.df == pytest.approx(7)
    assert found.note == "first: every placement is 1: variance 0, exact interval of 4 independent pairs"


@pytest.mark.parametrize(
    ("positives", "negatives", "note"),
    [
        (1, 6, "positive cases of one patient alone: no variance"),
        (6, 1, "negative cases of one patient alone: no variance"),
        (0, 6, "no positive case: no area"),
        (6, 0, "no negative case: no area"),
        (0, 0, "no positive and no negative case: no area"),
    ],
)
def test_too_few_cases_say_what_is_missing(positives, negatives, note):
    truth = np.arange(positives + negatives) < positives
    scores = np.roll(np.arange(positives + negatives), 3)
    found = delong_area(scores, truth)
    assert found.note == note
    assert math.isnan(found.variance)
    assert math.isnan(found.auc) == (positives * negatives == 0)
    assert (found.positives, found.negatives) == (positives, negatives)
    chance = delong_chance(scores, truth)
    assert math.isnan(chance.p)
    assert chance.note == f"{note}; no variance of the difference: no test"
    sample, other = Scored.of(scores, truth, range(len(truth))), Scored.of(-scores, truth, range(len(truth)))
    for test in (delong_paired, delong_partially_paired, delong_unpaired, delong_comparison):
        compared = test(sample, other)
        assert math.isnan(compared.p)
        assert f"first: {note}; second: {note}" in compared.note


def test_one_positive_that_is_perfect_or_scored_alike_still_has_an_answer():
    truth = np.arange(6) == 5
    found = delong_chance(np.arange(6), truth)
    assert (found.first.auc, found.first.variance, found.p) == (1, 0, 1)
    assert found.first.interval.low == pytest.approx(0.025)
    sample = Scored.of([3, 1, 2, 5, 4, 3.5], truth, range(6))
    assert (delong_paired(sample, sample).p, delong_paired(sample, sample).difference.high) == (1, 0)


def test_placements_that_cancel_within_patients_have_no_interval():
    scores, truth, patients = [0, 2, 1, 1], [True, True, False, False], [0, 1, 0, 1]
    found = delong_area(scores, truth, patients)
    assert (found.auc, found.interval.cases) == (0.5, 4)
    assert found.variance > 0
    # Each patient has a positive below and one above the negatives: all patients are alike, and their sums are 0.
    alike = delong_area([0, 2, 1, 0, 2, 1], [True, True, False] * 2, [0, 0, 0, 1, 1, 1])
    assert (alike.auc, alike.variance) == (0.5, 0)
    assert math.isnan(alike.interval.low)
    assert alike.note == "the placements of every patient cancel: variance 0, no interval"
    pair = [Scored.of(scores, [True, True, False] * 2, range(6), [0, 0, 0, 1, 1, 1]) for scores in ([0, 2, 1, 0, 2, 1], [3, 2, 1, 3, 2, 1])]
    found = delong_paired(*pair)
    assert (found.difference.estimate, found.statistic) == (-0.5, -math.inf)
    assert np.isnan([found.p, found.difference.low, found.difference.high, delong_paired(*pair, alternative="greater").p]).all()
    assert "variance of the difference 0: no p" in found.note


def test_what_is_refused():
    with pytest.raises(ValueError, match="1 of 2 scores are not finite"):
        delong_area([0.1, float("nan")], [True, False])
    with pytest.raises(ValueError, match="found case a 2 times, expected once"):
        Scored.of([1, 2], [True, False], ["a", "a"])
    with pytest.raises(ValueError, match="found 2 scores, 3 truths, 2 cases and 2 patients"):
        Scored.of([1, 2], [True, False, True], ["a", "b"])
    with pytest.raises(ValueError, match="found 4 cases in one sample only, expected none; compare them as partially paired"):
        delong_paired(PERFECT, part(MIXED, np.array([0, 1, 6, 7])))
    with pytest.raises(ValueError, match="case 0: found patients 0 and p in two samples, expected one"):
        delong_paired(PERFECT, Scored.of(MIXED.scores, MIXED.positive, range(8), ["p"] * 8))


@pytest.mark.parametrize(("shared", "level", "repeats"), [(80, 0.95, 1000), (48, 0.95, 600), (0, 0.9, 500)])
def test_the_interval_of_a_difference_covers(shared, level, repeats):
    """Two readers of 80 cases each, of which some are the same; the true areas are those of normal scores."""
    rng, covered = np.random.default_rng(13), 0
    shifts = np.array([0.9, 1.3])
    true = np.subtract(*stats.norm.cdf(shifts / math.sqrt(2)))
    truth = np.tile([True, False], 80)
    rows = np.arange(80), np.arange(80 - shared, 160 - shared)
    for _ in range(repeats):
        anatomy = rng.normal(size=160) * math.sqrt(0.6)
        first, second = (
            Scored.of(anatomy[one] + math.sqrt(0.4) * rng.normal(size=80) + shift * truth[one], truth[one], one)
            for one, shift in zip(rows, shifts, strict=True)
        )
        found = delong_comparison(first, second, level=level)
        covered += found.difference.low <= true <= found.difference.high
    assert level - 0.02 <= covered / repeats <= level + 0.02


def test_designs_differ_in_width_as_they_should():
    scores, truth = drawn(np.random.default_rng(14), 40, 40, 1000)
    first, second = (Scored.of(one, truth, range(80)) for one in scores)
    renamed = [Scored.of(second.scores, truth, [f"{'' if i % 80 < keep else 'other '}{i}" for i in range(80)]) for keep in (80, 60, 30, 0)]
    errors = [delong_partially_paired(first, one).error for one in renamed]
    assert all(a < b for a, b in itertools.pairwise(errors))
