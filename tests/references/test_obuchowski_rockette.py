"""Several readers' areas against the values that MRMCaov prints for Van Dyke's study, and designs that it prints nothing of by brute force."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from medrobust.stats import (
    MultiReader,
    Scored,
    delong_chance,
    delong_covariance,
    delong_paired,
    fixed_cases,
    fixed_readers,
    jackknife_covariance,
    obuchowski_rockette,
    random_readers_and_cases,
)

VANDYKE = Path(__file__).parent / "data" / "vandyke.csv"
READERS = ("1", "2", "3", "4", "5")


@pytest.fixture(scope="module")
def readings() -> dict[str, np.ndarray]:
    """One row a reading."""
    rows = list(csv.DictReader(line for line in VANDYKE.read_text().splitlines() if not line.startswith("#")))
    cells = [(test, reader, row) for test in ("1", "2") for reader in READERS for row in rows]
    return {
        "scores": np.array([float(row[f"{test}-{reader}"]) for test, reader, row in cells]),
        "positive": np.array([row["truth"] == "1" for _, _, row in cells]),
        "modality": np.array([test for test, _, _ in cells]),
        "reader": np.array([reader for _, reader, _ in cells]),
        "case": np.array([row["case"] for _, _, row in cells]),
    }


def digits(*values: float) -> tuple[float, ...]:
    """To the seven significant digits that R prints."""
    return tuple(float(f"{value:.7g}") for value in values)


def test_components_are_those_printed(readings):
    delong = obuchowski_rockette(**readings).components
    assert delong.areas.round(3).tolist() == [[0.920, 0.859, 0.904, 0.973, 0.830], [0.948, 0.905, 0.922, 0.999, 0.930]]
    assert digits(delong.modality, delong.interaction) == (0.004796171, 0.0005510306)
    assert delong.reader == pytest.approx(0.0038362, abs=5e-8)
    assert digits(delong.variance, delong.cov1, delong.cov2, delong.cov3) == (0.0007921325, 0.000342009, 0.0003395265, 0.0002358497)
    jackknife = obuchowski_rockette(**readings, covariance=jackknife_covariance).components
    assert digits(jackknife.variance, jackknife.cov1, jackknife.cov2, jackknife.cov3) == (0.0008022883, 0.0003466137, 0.0003440748, 0.0002390284)


@pytest.mark.parametrize(
    ("inference", "covariance", "test", "difference", "effects"),
    [
        (
            random_readers_and_cases,
            delong_covariance,
            (4.484854, 15.06611, 0.05123303),
            (-0.04380032, 0.0206825, 15.06611, -0.0878672, 0.0002665519, -2.117747, 0.05123303),
            ((0.897037, 0.03307642, 12.59597, 0.8253461, 0.968728), (0.9408374, 0.02150464, 12.5653, 0.8942155, 0.9874592)),
        ),
        (
            random_readers_and_cases,
            jackknife_covariance,
            (4.456319, 15.25967, 0.05166569),
            (-0.04380032, 0.02074862, 15.25967, -0.0879595, 0.0003588544, -2.110999, 0.05166569),
            ((0.897037, 0.0331736, 12.74465, 0.8252236, 0.9688505), (0.9408374, 0.02156637, 12.71019, 0.8941378, 0.9875369)),
        ),
        (
            fixed_readers,
            jackknife_covariance,
            (5.475953, math.inf, 0.01927984),
            (-0.04380032, 0.01871748, math.inf, -0.08048591, -0.00711473, -2.340075, 0.01927984),
            ((0.897037, 0.02428971, math.inf, 0.8494301, 0.944644), (0.9408374, 0.01677632, math.inf, 0.9079564, 0.9737183)),
        ),
        (
            fixed_cases,
            delong_covariance,
            (8.704, 4, 0.04195875),
            (-0.04380032, 0.01484629, 4, -0.08502022, -0.00258042, -2.950254, 0.04195875),
            ((0.897037, 0.02482994, 4, 0.8280981, 0.965976), (0.9408374, 0.01615303, 4, 0.8959894, 0.9856854)),
        ),
    ],
)
def test_tests_and_intervals_are_those_printed(readings, inference, covariance, test, difference, effects):
    found = obuchowski_rockette(**readings, inference=inference, covariance=covariance)
    assert digits(found.statistic, found.df2, found.p) == pytest.approx(test, rel=2e-7)
    one = found.differences[0]
    printed = one.area.estimate, one.error, one.df, one.area.low, one.area.high, one.statistic, one.p
    assert digits(*printed) == pytest.approx(difference, rel=2e-7)
    for effect, expected in zip(found.effects, effects, strict=True):
        assert digits(effect.area.estimate, effect.error, effect.df, effect.area.low, effect.area.high) == pytest.approx(expected, rel=2e-7)
    assert (found.df1, found.design, found.note, found.modalities, found.readers) == (1, "factorial", "", ("1", "2"), READERS)
    assert (one.name, one.area.cases, one.area.patients) == ("1 - 2", 114, 114)


def test_fixed_readers_with_delongs_covariances(readings):
    found = obuchowski_rockette(**readings, inference=fixed_readers)
    assert digits(found.statistic) == (5.545789,)
    assert round(found.p, 6) == 0.018525


def test_a_covariance_difference_below_0_counts_as_0(readings):
    test, reader = np.divmod(np.arange(10), 5)
    same_test, same_reader = test[:, None] == test, reader[:, None] == reader
    given = np.select([same_test & same_reader, same_reader, same_test], [8e-4, 3e-4, 1e-4], 2e-4)
    found = obuchowski_rockette(**readings, covariance=lambda samples: given)
    parts = found.components
    assert (parts.variance, parts.cov1, parts.cov2, parts.cov3) == pytest.approx((8e-4, 3e-4, 1e-4, 2e-4))
    assert (found.statistic, found.df2) == pytest.approx((parts.modality / parts.interaction, 4))
    fixed = obuchowski_rockette(**readings, covariance=lambda samples: given, inference=fixed_readers)
    assert fixed.statistic == pytest.approx(parts.modality / 5e-4)


def test_order_of_readings_does_not_matter(readings):
    found = obuchowski_rockette(**readings)
    order = np.random.default_rng(0).permutation(1140)
    order = order[np.argsort(readings["modality"][order], kind="stable")]
    mixed = obuchowski_rockette(**{name: column[order] for name, column in readings.items()})
    assert (mixed.statistic, mixed.p) == pytest.approx((found.statistic, found.p), rel=1e-9)


def test_one_reader_is_delongs_test(readings):
    mine = readings["reader"] == "3"
    found = obuchowski_rockette(**{name: column[mine] for name, column in readings.items()}, inference=fixed_readers)
    tests = [mine & (readings["modality"] == test) for test in ("1", "2")]
    first, second = (Scored.of(*(readings[name][rows] for name in ("scores", "positive", "case"))) for rows in tests)
    paired, effect = delong_paired(first, second), found.differences[0]
    assert (effect.error, effect.statistic, effect.p) == pytest.approx((paired.error, paired.statistic, paired.p))
    assert found.p == pytest.approx(paired.p)
    against_half = delong_chance(first.scores, first.positive)
    assert (found.effects[0].statistic, found.effects[0].p) == pytest.approx((against_half.statistic, against_half.p))
    assert found.note == ""


def test_one_reader_tells_of_no_population(readings):
    mine = readings["reader"] == "3"
    for inference in (random_readers_and_cases, fixed_cases):
        found = obuchowski_rockette(**{name: column[mine] for name, column in readings.items()}, inference=inference)
        assert math.isnan(found.p)
        assert math.isnan(found.effects[0].area.low)
        assert found.effects[0].area.estimate == pytest.approx(0.9038647)
        assert found.note == "one reader tells of no population of readers: take readers as fixed"


def test_one_modality_has_an_area_and_no_comparison(readings):
    first = readings["modality"] == "1"
    found = obuchowski_rockette(**{name: column[first] for name, column in readings.items()})
    both = obuchowski_rockette(**readings)
    assert found.effects[0] == both.effects[0]
    assert (found.differences, found.note, found.df1) == ((), "one modality: no comparison", 0)
    assert found.effects[0].p == pytest.approx(2 * stats.t.sf((0.8970370370 - 0.5) / 0.03307642, 12.59597), rel=1e-4)


def of_own_cases(readings: dict[str, np.ndarray], shared: int = 0) -> dict[str, np.ndarray]:
    """The second modality's cases renamed, but for the first so many."""
    number = readings["case"].astype(int)
    renamed = np.where((readings["modality"] == "2") & (number > shared), np.char.add("other ", readings["case"]), readings["case"])
    return {**readings, "case": renamed}


@pytest.mark.parametrize("covariance", [delong_covariance, jackknife_covariance])
def test_cases_nested_in_modality_share_no_error(readings, covariance):
    """Hillis 2014: Cov1 = Cov3 = 0, and F = MS(T) / (MS(T:R) + max(r Cov2, 0))."""
    found, whole = (obuchowski_rockette(**rows, covariance=covariance) for rows in (of_own_cases(readings), readings))
    parts = found.components
    assert (found.design, found.note, parts.cov1, parts.cov3) == ("cases nested in modality", "", 0, 0)
    assert (parts.variance, parts.cov2) == pytest.approx((whole.components.variance, whole.components.cov2))
    denominator = parts.interaction + 5 * parts.cov2
    assert (found.statistic, found.df2) == pytest.approx((parts.modality / denominator, 4 * (denominator / parts.interaction) ** 2))
    assert found.p == pytest.approx(stats.f.sf(found.statistic, 1, found.df2))
    assert found.differences[0].error == pytest.approx(math.sqrt(2 / 5 * denominator))
    assert found.differences[0].area.cases == 228
    assert found.effects[1] == whole.effects[1], "of its own data alone"


def test_cases_shared_in_part_are_between(readings):
    errors = [obuchowski_rockette(**of_own_cases(readings, shared), inference=fixed_readers).differences[0].error for shared in (0, 60, 114)]
    assert errors[0] > errors[1] > errors[2]
    found = obuchowski_rockette(**of_own_cases(readings, 60))
    assert (found.design, found.differences[0].area.cases) == ("partially paired", 168)
    parts = found.components
    expected = np.mean([parts.covariance[a, 5 + b] for a in range(5) for b in range(5) if a != b])
    assert parts.cov3 == pytest.approx(expected)
    assert parts.cov1 == pytest.approx(np.mean([parts.covariance[a, 5 + a] for a in range(5)]))


def test_patients_of_several_cases_make_nested_cases_partially_paired(readings):
    rows = of_own_cases(readings)
    found = obuchowski_rockette(**rows, patient=np.char.replace(rows["case"], "other ", ""))
    assert found.design == "partially paired", "other images of the same patients"
    assert digits(found.components.cov3) == (0.0002358497,)


def test_readers_of_different_cases_are_noted(readings):
    kept = ~((readings["reader"] == "2") & (readings["case"] == "7"))
    found = obuchowski_rockette(**{name: column[kept] for name, column in readings.items()})
    assert found.note == "readers of a modality read different cases: covariances are means over what they share"


def test_three_modalities_are_compared_two_by_two(readings):
    third = {name: column[readings["modality"] == "1"] for name, column in readings.items()}
    third["modality"] = np.full(570, "3")
    third["scores"] = np.where(np.arange(570) % 3 == 0, 3, third["scores"])
    rows = {name: np.concatenate([readings[name], third[name]]) for name in readings}
    found = obuchowski_rockette(**rows)
    assert [one.name for one in found.differences] == ["1 - 2", "1 - 3", "2 - 3"]
    assert len({one.error for one in found.differences}) == 1
    areas, parts = found.components.areas, found.components
    residuals = areas - areas.mean(1, keepdims=True) - areas.mean(0) + areas.mean()
    assert (parts.modality, parts.interaction) == pytest.approx((5 * areas.mean(1).var(ddof=1), (residuals**2).sum() / 8))
    denominator = parts.interaction + 5 * (parts.cov2 - parts.cov3)
    assert found.df1 == 2
    assert (found.statistic, found.df2) == pytest.approx((parts.modality / denominator, 8 * (denominator / parts.interaction) ** 2))
    fixed = obuchowski_rockette(**rows, inference=fixed_readers)
    assert fixed.p == pytest.approx(stats.chi2.sf(2 * fixed.statistic, 2))


@pytest.mark.parametrize("copies", [2, 3, 7])
@pytest.mark.parametrize("inference", [random_readers_and_cases, fixed_readers, fixed_cases])
def test_a_modality_compared_with_itself_does_not_differ(readings, inference, copies):
    """And what rounding leaves of 0 / 0 is no statistic."""
    first = {name: column[readings["modality"] == "1"] for name, column in readings.items()}
    rows = {name: np.tile(column, copies) for name, column in first.items()}
    rows["modality"] = np.repeat([f"copy {i}" for i in range(copies)], 570)
    found = obuchowski_rockette(**rows, inference=inference)
    assert (found.statistic, found.p) == (0, 1)
    assert {(one.statistic, one.p, one.error) for one in found.differences} == {(0, 1, 0)}
    assert found.note == f"error 0 of {', '.join(one.name for one in found.differences)}: no interval"


def perfect(areas_of_second: int) -> MultiReader:
    """Three readers who tell every case apart, and again, or every one the wrong way round."""
    truth = np.tile(np.arange(8) < 4, 6)
    modality, reader = np.repeat(["a", "b"], 24), np.tile(np.repeat(["x", "y", "z"], 8), 2)
    return obuchowski_rockette(truth * np.where(modality == "a", 1, areas_of_second), truth, modality, reader, np.tile(np.arange(8), 6))


def test_readers_without_any_error_have_no_interval():
    same, opposite = perfect(1), perfect(-1)
    assert (same.p, same.differences[0].p) == (1, 1)
    assert math.isnan(same.effects[0].p)
    assert same.note == "error 0 of a, b, a - b: no interval"
    assert (opposite.statistic, opposite.differences[0].area.estimate) == (math.inf, 1)
    assert math.isnan(opposite.p)
    assert opposite.note == same.note


def test_what_is_missing_is_said(readings):
    healthy = {**readings, "positive": readings["positive"] & ~((readings["reader"] == "2") & (readings["modality"] == "1"))}
    found = obuchowski_rockette(**healthy)
    assert math.isnan(found.p)
    assert found.note == "1 of 10 areas lack a positive or a negative case: nothing of their modality, no test"
    assert found.effects[1] == obuchowski_rockette(**readings).effects[1]
    lone = {**readings, "positive": readings["case"] == "80"}
    for covariance in (delong_covariance, jackknife_covariance):
        found = obuchowski_rockette(**lone, covariance=covariance)
        assert math.isnan(found.p)
        assert found.note == "positive or negative cases of one patient alone: no covariance"
        assert math.isfinite(obuchowski_rockette(**lone, covariance=covariance, inference=fixed_cases).p)


def test_what_is_refused(readings):
    kept = ~((readings["reader"] == "2") & (readings["modality"] == "1"))
    with pytest.raises(ValueError, match="found none of reader 2 in modality 1, expected every reader in every modality"):
        obuchowski_rockette(**{name: column[kept] for name, column in readings.items()})
    with pytest.raises(ValueError, match="expected one length above 0"):
        obuchowski_rockette(**{**readings, "scores": readings["scores"][:-1]})
    with pytest.raises(ValueError, match="found case 1 2 times"):
        obuchowski_rockette(**{**readings, "case": np.where(readings["case"] == "2", "1", readings["case"])})
    with pytest.raises(ValueError, match="found patients"):
        obuchowski_rockette(**readings, patient=np.char.add(readings["reader"], readings["case"]))


def test_no_difference_is_found_as_often_as_it_should_be():
    """Nested cases, random readers: a modality that changes nothing, at a level of 0.1."""
    rng, rejected, repeats = np.random.default_rng(1), 0, 200
    truth, count = np.tile(np.arange(60) < 30, 8), 60
    modality, reader = np.repeat(["a", "b"], 4 * count), np.tile(np.repeat(list("wxyz"), count), 2)
    case = np.concatenate([np.tile(np.arange(count), 4), np.tile(np.arange(count, 2 * count), 4)])
    for _ in range(repeats):
        shared, skill = rng.normal(size=2 * count), np.repeat(rng.normal(0, 0.3, size=(2, 4)) + rng.normal(0, 0.3, size=4), count)
        scores = (1 + skill) * truth + 0.7 * shared[case] + 0.7 * rng.normal(size=truth.size)
        rejected += obuchowski_rockette(scores, truth, modality, reader, case).p < 0.1
    assert 0.04 < rejected / repeats < 0.15
