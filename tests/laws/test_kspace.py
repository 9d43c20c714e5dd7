"""The masked Fourier transform is linear, adjoint to itself, a projection, and what its two-dimensional definition says."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medrobust.imaging.kspace import fft2c, ifft2c, standardise, undersample, with_phase

SIZES = st.tuples(st.integers(1, 3), st.integers(2, 13), st.integers(2, 13))


def problem(size: tuple[int, int, int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two images and a mask."""
    n, height, width = size
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, n, 1, height, width, dtype=torch.complex128, generator=generator)
    return x, y, torch.rand(n, 1, 1, width, generator=generator) < 0.5


def inner(x: Tensor, y: Tensor) -> Tensor:
    return (x.conj() * y).sum()


@settings(deadline=None, max_examples=50)
@given(SIZES, st.integers(0, 2**32))
def test_masked_transform_is_adjoint_to_zero_filling(size: tuple[int, int, int], seed: int) -> None:
    x, y, mask = problem(size, seed)
    torch.testing.assert_close(inner(mask * fft2c(x), y), inner(x, ifft2c(mask * y)))


@settings(deadline=None, max_examples=50)
@given(SIZES, st.integers(0, 2**32))
def test_undersampling_equals_its_two_dimensional_definition(size: tuple[int, int, int], seed: int) -> None:
    x, _, mask = problem(size, seed)
    torch.testing.assert_close(undersample(x, mask), ifft2c(mask * fft2c(x)))


@settings(deadline=None, max_examples=50)
@given(SIZES, st.integers(0, 2**32))
def test_undersampling_is_an_orthogonal_projection(size: tuple[int, int, int], seed: int) -> None:
    x, y, mask = problem(size, seed)
    torch.testing.assert_close(undersample(undersample(x, mask), mask), undersample(x, mask))
    torch.testing.assert_close(inner(undersample(x, mask), y), inner(x, undersample(y, mask)))


@settings(deadline=None, max_examples=50)
@given(SIZES, st.integers(0, 2**32))
def test_transform_keeps_energy_and_is_undone(size: tuple[int, int, int], seed: int) -> None:
    x, _, _ = problem(size, seed)
    torch.testing.assert_close(fft2c(x).abs().square().sum(), x.abs().square().sum())
    torch.testing.assert_close(ifft2c(fft2c(x)), x)


def test_zero_frequency_is_in_the_centre() -> None:
    spectrum = fft2c(torch.ones(1, 1, 8, 7, dtype=torch.complex128)).abs()
    assert int(spectrum.argmax()) == 4 * 7 + 3
    torch.testing.assert_close(spectrum.max(), torch.tensor(56**0.5, dtype=torch.float64))


def test_an_uncentred_transform_would_be_caught() -> None:
    x, _, _ = problem((1, 6, 8), 0)
    mask = torch.zeros(1, 1, 1, 8, dtype=torch.bool)
    mask[..., 3:6] = True
    uncentred = torch.fft.ifft2(torch.fft.fft2(x, norm="ortho") * mask, norm="ortho")
    assert (uncentred - undersample(x, mask)).abs().max() > 0.1


def test_phase_leaves_the_magnitude_alone() -> None:
    magnitude, phase = torch.rand(2, 2, 1, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(with_phase(magnitude, phase).abs(), magnitude)


def test_standardised_images_have_mean_zero_and_unbiased_deviation_one() -> None:
    magnitude = torch.rand(3, 1, 6, 7, dtype=torch.float64)
    mean, deviation = standardise(magnitude)
    scaled = (magnitude - mean) / deviation
    torch.testing.assert_close(scaled.flatten(1).mean(1), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(scaled.flatten(1).std(1), torch.ones(3, dtype=torch.float64))
