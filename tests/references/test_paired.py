"""Paired tests against scipy, every way by brute force, and published examples."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from medrobust.stats import Sample, paired_difference, paired_ratio
from medrobust.stats.paired import hodges_lehmann, holm, mcnemar, permutation, wilcoxon
from medrobust.stats.pairing import on_shared_cases, patient_differences

# Hamilton depression scale before and after a tranquilizer: Hollander and Wolfe 1973, table 3.1; also the example of R's wilcox.test.
BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]


def one_each(values) -> Sample:
    return Sample.of(values, [f"patient {i:03d}" for i in range(len(values))])


def clustered(seed: int, patients: int = 7, lacking: int = 0) -> tuple[Sample, Sample]:
    """Two entrants on two to four cases a patient; the second lacks some cases."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), rng.integers(2, 5, patients)).astype(str)
    first, second = rng.normal(0.3, 1, len(owner)) + owner.astype(float), rng.normal(0, 1, len(owner)) + owner.astype(float)
    names = np.arange(len(owner)).astype(str)
    return Sample.of(first, owner, names), Sample.of(second[lacking:], owner[lacking:], names[lacking:])


def test_the_published_example_has_its_p_its_effect_and_its_interval():
    after, before = one_each(AFTER), one_each(BEFORE)
    found = wilcoxon(after, before)
    assert (found.exact, found.patients) == (True, 9)
    assert found.p == pytest.approx(0.0390625)  # one-sided .01953 in R
    effect = hodges_lehmann(after, before)
    assert effect.estimate == pytest.approx(-0.46)
    assert (effect.low, effect.high) == (pytest.approx(-0.786), pytest.approx(-0.010))  # 96.1 % is the least level above 95 %


def test_sign_flips_agree_with_scipy_over_every_way():
    def difference(first, second, axis):
        return np.mean(first - second, axis=axis)

    theirs = stats.permutation_test((AFTER, BEFORE), difference, permutation_type="samples", n_resamples=np.inf)
    found = permutation(one_each(AFTER), one_each(BEFORE))
    assert found.exact
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.effect == pytest.approx(np.mean(AFTER) - np.mean(BEFORE))


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_patient_changes_sides_with_all_its_cases(lacking):
    whole, second = clustered(1, lacking=lacking)
    first = Sample.of(whole.values[lacking:], whole.patients[lacking:])
    names = np.unique(first.patients)

    def difference(swapped) -> float:
        one, other = [], []
        for name, swap in zip(names, swapped, strict=True):
            mine, theirs = first.values[first.patients == name], second.values[second.patients == name]
            one.extend(theirs if swap else mine)
            other.extend(mine if swap else theirs)
        return float(np.mean(one) - np.mean(other))

    ways = [difference(swapped) for swapped in itertools.product([False, True], repeat=len(names))]
    found = permutation(whole, second)
    assert found.effect == pytest.approx(difference([False] * len(names)))
    assert found.p == pytest.approx(np.mean(np.abs(ways) >= abs(found.effect) - 1e-12))


def test_draws_come_near_every_way_and_are_the_same_for_one_seed():
    first, second = clustered(2, patients=14)
    every, drawn = permutation(first, second, draws=2**13), permutation(first, second, draws=4000, seed=3)
    assert (every.exact, drawn.exact) == (True, False)
    assert drawn.p == pytest.approx(every.p, abs=4 * np.sqrt(every.p * (1 - every.p) / 4000))
    assert drawn == permutation(first, second, draws=4000, seed=3)
    assert drawn.p != permutation(first, second, draws=4000, seed=4).p


def test_p_is_never_zero():
    far = one_each(np.arange(40.0)), one_each(np.arange(40.0) - 100)
    assert permutation(*far, draws=999).p == pytest.approx(1 / 1000)
    few = one_each([5.0, 6, 7, 8]), one_each([1.0, 2, 3, 4])
    assert permutation(*few).p == pytest.approx(2 / 16)
    assert permutation(one_each([5.0]), one_each([1.0])).p == 1.0


def test_equal_entrants_are_not_told_apart():
    same = one_each([0.1, 0.7, 0.3, 0.9, 0.5, 0.2])
    assert permutation(same, same).p == 1.0
    assert wilcoxon(same, same).p == 1.0
    effect = hodges_lehmann(same, same)
    assert effect.estimate == 0
    assert np.isnan([effect.low, effect.high]).all()


def hard_and_easy() -> tuple[Sample, Sample]:
    """One model twice, on twenty patients of four cases; the second time without its first case of each, the hardest."""
    values = np.random.default_rng(0).random((20, 4))
    values[:, 0] = 0
    owner, names = np.repeat(np.arange(20), 4).astype(str), np.tile(["a", "b", "c", "d"], 20)
    kept = names != "a"
    return Sample.of(values.ravel(), owner, names), Sample.of(values.ravel()[kept], owner[kept], names[kept])


@pytest.mark.parametrize("turned", [False, True])
def test_a_model_is_not_better_than_itself_where_its_hard_cases_are_missing(turned):
    first, second = hard_and_easy()[:: -1 if turned else 1]
    assert patient_differences(first, second).tolist() == [0] * 20
    assert (permutation(first, second).effect, permutation(first, second).p) == (0, 1)
    assert paired_ratio(first, second).estimate == 1
    found = paired_difference(first, second)
    assert (found.estimate, found.patients, found.cases) == (0, 20, 60)


def test_cases_are_paired_by_name_whatever_their_order():
    first, second = hard_and_easy()
    order = np.random.default_rng(1).permutation(len(second.values))
    mixed = Sample.of(second.values[order] - 0.25, second.patients[order], second.cases[order])
    one, other = on_shared_cases(first, mixed)
    assert np.allclose(one.values - other.values, 0.25)
    assert paired_difference(first, mixed).estimate == pytest.approx(0.25)


def test_what_cannot_be_paired_is_refused():
    whole = Sample.of([1.0, 2, 3], ["p", "p", "q"])
    with pytest.raises(ValueError, match="found 2 and 1 cases of patient p, expected names of cases to pair them by"):
        paired_difference(whole, Sample.of([1.0, 3], ["p", "q"]))
    twice = Sample.of([1.0, 2, 3], ["p", "p", "q"], ["a", "a", "a"])
    with pytest.raises(ValueError, match="found case a of patient p 2 times, expected once"):
        permutation(twice, Sample.of([1.0, 3], ["p", "q"], ["a", "a"]))
    with pytest.raises(ValueError, match="3 values for 2 cases"):
        Sample.of([1.0, 2, 3], ["p", "p", "q"], ["a", "b"])


def test_cases_of_one_patient_are_not_independent_patients():
    values = np.repeat(np.random.default_rng(2).normal(0.5, 1, 8), 30)
    nothing = np.zeros(240)
    owner = np.repeat(np.arange(8), 30)
    assert permutation(Sample.of(values, owner), Sample.of(nothing, owner)).p > 0.05
    assert permutation(one_each(values), one_each(nothing)).p < 0.001


def test_wilcoxon_takes_patient_means():
    first, second = clustered(5, patients=12)
    names = np.unique(first.patients)
    gaps = [first.values[first.patients == name].mean() - second.values[second.patients == name].mean() for name in names]
    assert wilcoxon(first, second).p == pytest.approx(stats.wilcoxon(gaps).pvalue)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 8])
def test_equal_gaps_have_the_smallest_p_there_is_and_no_smaller(n):
    found = wilcoxon(one_each(np.ones(n)), one_each(np.zeros(n)))
    assert found.exact
    assert found.p == pytest.approx(2.0 ** (1 - n))


@pytest.mark.parametrize("seed", range(30))
def test_ranks_that_tie_are_flipped_every_way(seed):
    rng = np.random.default_rng(seed)
    gaps = rng.integers(-3, 5, rng.integers(4, 11)) / 10  # such as .3 - .2 and .2 - .1, equal but for rounding
    base = rng.integers(0, 5, len(gaps)) / 10
    kept = np.rint(10 * gaps[gaps != 0])
    found = wilcoxon(one_each(base + gaps), one_each(base))
    assert found.exact
    if len(kept) > 1:
        assert found.p == pytest.approx(stats.wilcoxon(kept, method=stats.PermutationMethod(n_resamples=np.inf)).pvalue)


def test_many_ranks_that_tie_take_the_normal_limit():
    gaps = np.random.default_rng(7).integers(-3, 5, 130).astype(float)
    found = wilcoxon(one_each(gaps), one_each(np.zeros(130)))
    assert not found.exact
    assert found.p == pytest.approx(stats.wilcoxon(gaps, method="approx").pvalue)


@pytest.mark.parametrize("n", [6, 9, 40, 120])
def test_the_interval_ends_where_the_signed_rank_test_ends(n):
    gaps = np.random.default_rng(n).normal(0.4, 1, n)
    found = hodges_lehmann(one_each(gaps), one_each(np.zeros(n)))
    walsh = sorted((gaps[i] + gaps[j]) / 2 for i in range(n) for j in range(i, n))
    assert found.estimate == pytest.approx(np.median(walsh))
    if n <= 40:
        for end, inward in ((found.low, 1), (found.high, -1)):
            assert stats.wilcoxon(gaps - end - inward * 1e-9, method="exact").pvalue > 0.05
            assert stats.wilcoxon(gaps - end + inward * 1e-9, method="exact").pvalue <= 0.05
    assert found.low < found.estimate < found.high


def test_too_few_patients_have_an_effect_and_no_interval():
    found = hodges_lehmann(one_each([1.0, 2, 4, 8, 16]), one_each(np.zeros(5)))
    assert found.estimate == pytest.approx(5)
    assert np.isnan([found.low, found.high]).all()


def test_hodges_lehmann_covers():
    rng = np.random.default_rng(11)
    covered = []
    for _ in range(1000):
        found = hodges_lehmann(one_each(rng.laplace(1.0, 1.0, 15)), one_each(np.zeros(15)))
        covered.append(found.low <= 1 <= found.high)
    assert 0.94 <= np.mean(covered) <= 0.975  # the least exact level above 95 % of 15 patients is 95.2 %


def test_mcnemar_is_the_binomial_of_cases_that_disagree():
    # Agresti 1990, as in R's mcnemar.test: 150 of 1600 went one way, 86 the other.
    first = np.r_[np.ones(150), np.zeros(86), np.ones(794), np.zeros(570)]
    second = np.r_[np.zeros(150), np.ones(86), np.ones(794), np.zeros(570)]
    found = mcnemar(one_each(first), one_each(second))
    assert (found.first_only, found.second_only, found.cases) == (150, 86, 1600)
    assert found.p == pytest.approx(2 * stats.binom.cdf(86, 236, 0.5))
    assert found.p == pytest.approx(3.7e-05, rel=0.1)
    assert mcnemar(one_each(first), one_each(first)).p == 1.0
    names = np.arange(1600).astype(str)
    fewer = mcnemar(Sample.of(first, names, names), Sample.of(second[10:], names[10:], names[10:]))
    assert (fewer.first_only, fewer.cases) == (140, 1590), "what one of them lacks is left out"


def test_mcnemar_refuses_other_cases_and_other_values():
    with pytest.raises(ValueError, match=r"mcnemar: found 0\.5, expected values of 0 and 1"):
        mcnemar(one_each([1, 0.5]), one_each([1, 0]))
    with pytest.raises(ValueError, match="expected the same cases in the same order"):
        mcnemar(one_each([1, 0]), one_each([1, 0, 1]))


def test_holm_as_r_adjusts():
    # p.adjust(c(.01, .04, .03, .005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_stepping_down_rejects(p, alpha):
    adjusted = holm(p)
    rejected = set()
    for step, index in enumerate(np.argsort(p, kind="stable")):
        if p[index] * (len(p) - step) > alpha:
            break
        rejected.add(index)
    assert set(np.flatnonzero(adjusted <= alpha)) == rejected
    assert (adjusted >= p).all()


@given(st.lists(st.integers(-20, 20).map(lambda tenths: tenths / 10), min_size=6, max_size=25))
def test_walsh_averages_are_found_without_holding_them(gaps: list[float]) -> None:
    names = [f"p{index:02d}" for index in range(len(gaps))]
    first, second = Sample.of(gaps, names), Sample.of(np.zeros(len(gaps)), names)
    averages = np.sort([(one + other) / 2 for index, one in enumerate(gaps) for other in gaps[index:]])
    found = hodges_lehmann(first, second)
    assert found.estimate == pytest.approx(np.median(averages), abs=1e-12)
    assert wilcoxon(first, second).effect == pytest.approx(found.estimate, abs=1e-12)
    ends = np.array([found.low, found.high])
    assert np.isnan(ends).all() or all(np.isclose(averages, end, rtol=0, atol=1e-12).any() for end in ends)


def test_as_many_patients_as_a_public_test_set_has_images_need_little_memory() -> None:
    n = 50_000
    values = np.random.default_rng(0).normal(0.1, 1, n)
    names = np.arange(n).astype(str)
    tracemalloc.start()
    found = hodges_lehmann(Sample.of(values, names), Sample.of(np.zeros(n), names))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e8, "all of their averages would take ten gigabytes"
    assert found.low < found.estimate < found.high
    assert found.estimate == pytest.approx(values.mean(), abs=0.01)
