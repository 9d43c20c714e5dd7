"""Distances between sets of features against the published formulae as others have them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from medrobust.stats.distance import frechet, kernel_distance, standardised


def sets(seed: int, n: int = 40, m: int = 50, k: int = 5, shift: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    mix = random.standard_normal((k, k))
    return random.standard_normal((n, k)), random.standard_normal((m, k)) @ mix + shift


@pytest.mark.parametrize("seed", range(5))
def test_frechet_is_that_of_matrix_roots(seed: int) -> None:
    one, other = sets(seed)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    cross = np.trace(sqrtm(first @ second).real)
    wanted = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * cross
    assert frechet(one, other) == pytest.approx(wanted, rel=1e-6)


def test_frechet_of_normals_on_a_line_by_hand() -> None:
    one, other = np.array([[-1.0], [1.0]]), np.array([[3.0], [5.0], [7.0]])
    assert frechet(one, other) == pytest.approx(25 + (2**0.5 - 2) ** 2)


@pytest.mark.parametrize("seed", range(5))
def test_kernel_distance_is_the_unbiased_sum_over_pairs(seed: int) -> None:
    one, other = sets(seed, 7, 9, 3)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within = [np.mean([k(x, y) for i, x in enumerate(table) for j, y in enumerate(table) if i != j]) for table in (one, other)]
    between = np.mean([k(x, y) for x in one for y in other])
    assert kernel_distance(one, other) == pytest.approx(sum(within) - 2 * between)


def test_kernel_distance_of_one_distribution_is_0_on_average_and_frechet_is_above() -> None:
    random = np.random.default_rng(0)
    pairs = [(random.standard_normal((12, 4)), random.standard_normal((12, 4))) for _ in range(400)]
    kernel = np.array([kernel_distance(one, other) for one, other in pairs])
    assert abs(kernel.mean()) < 3 * kernel.std() / 20
    assert kernel.min() < 0
    assert np.mean([frechet(one, other) for one, other in pairs]) > 0.5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_laws(seed: int) -> None:
    one, other = sets(seed, 20, 25, 3)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    for distance in (frechet, kernel_distance):
        assert distance(one, other) == pytest.approx(distance(other, one), rel=1e-6, abs=1e-9)
        assert distance(one @ turn, other @ turn) == pytest.approx(distance(one, other), rel=1e-6, abs=1e-9)
        assert distance(one, other[::-1]) == pytest.approx(distance(one, other), rel=1e-9, abs=1e-12)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet(one, one + 2.0) == pytest.approx(12, rel=1e-9)
    assert frechet(3 * one, 3 * other) == pytest.approx(9 * frechet(one, other), rel=1e-6)


def test_standardised_sets_are_in_units_of_the_reference() -> None:
    one, other = sets(0)
    one[:, 2] = 7.0
    first, second = standardised(one, other)
    np.testing.assert_allclose(first.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(first.std(0), [1, 1, 0, 1, 1])
    np.testing.assert_allclose(second, (other - one.mean(0)) / np.where(one.std(0) > 0, one.std(0), 1))
    scale = np.array([1.0, 10.0, 2.0, 0.1, 5.0])
    np.testing.assert_allclose(standardised(one * scale, other * scale)[1][:, [0, 1, 3, 4]], second[:, [0, 1, 3, 4]])


@pytest.mark.parametrize("distance", [frechet, kernel_distance])
def test_what_has_no_distance(distance) -> None:
    one, other = sets(0)
    assert math.isnan(distance(one[:1], other))
    assert math.isnan(distance(one, other[:1]))
    with pytest.raises(ValueError, match=r"^features: found 5 and 4 of them, expected the same ones$"):
        distance(one, other[:, :4])
    with pytest.raises(ValueError, match=r"^features: found an array of shape \(5,\), expected finite ones, \(n, k\)$"):
        distance(one[0], other)
    one[3, 3] = np.nan
    with pytest.raises(ValueError, match="with NaN or infinity"):
        distance(one, other)


def test_fewer_images_than_features_still_have_a_distance() -> None:
    one, other = sets(0, 3, 4, 16)
    assert math.isfinite(frechet(one, other))
    assert frechet(one, one) == pytest.approx(0, abs=1e-6)
