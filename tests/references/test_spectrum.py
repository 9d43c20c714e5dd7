"""The lattice that upsampling leaves, seen on toy images and against the spectrum by hand; powers of bands against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn.functional import interpolate

from medrobust.imaging.spectrum import band_powers, grid_index, log_power


def real(count: int = 4, size: tuple[int, int] = (256, 256), seed: int = 0) -> Tensor:
    """Texture with a power-law spectrum, as breasts have it, in [-1, 1]; (count, 1, H, W)."""
    random = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None]
    falling = 1 / np.maximum(np.hypot(down, across), 1 / max(size)) ** 1.5
    images = [np.fft.ifft2(np.fft.fft2(random.standard_normal(size)) * falling).real for _ in range(count)]
    whole = np.stack([image / np.abs(image).max() for image in images]) + 0.01 * random.standard_normal((count, *size))
    return torch.from_numpy(whole[:, None]).float()


def made(kind: str, seed: int) -> Tensor:
    """An image as an untrained decoder of two doublings makes it of smooth features."""
    random = np.random.default_rng(seed)
    features = np.stack([gaussian_filter(random.standard_normal((64, 64)), 2) for _ in range(16)])
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for inputs, outputs in ((16, 8), (8, 4)):
            if kind == "transposed":
                layers += [nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1), nn.ReLU()]
            else:
                layers += [nn.Upsample(scale_factor=2, mode=kind), nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        output: Tensor = nn.Sequential(*layers, nn.Conv2d(4, 1, 7, padding=3))(torch.from_numpy(features[None]).float().relu() * 10)
    return output + 0.001 * torch.randn(output.shape, generator=torch.Generator().manual_seed(seed))


def test_transposed_convolutions_leave_a_lattice_and_upsampling_before_a_convolution_does_not() -> None:
    found = {kind: float(torch.cat([grid_index(made(kind, seed)) for seed in range(6)]).mean()) for kind in ("transposed", "nearest", "bilinear")}
    plain = float(grid_index(real()).mean())
    assert abs(plain) < 2
    assert found["transposed"] > max(found["nearest"], found["bilinear"], plain) + 8
    assert found["nearest"] > found["bilinear"] - 2


@pytest.mark.parametrize("size", [(256, 256), (512, 408), (64, 96)])
def test_every_one_of_the_fifteen_frequencies_counts_alike(size: tuple[int, int]) -> None:
    noise = 0.01 * torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])
    before = float(grid_index(noise))
    assert abs(before) < 2
    gains = []
    for number in range(1, 16):
        down, across = divmod(number, 4)
        wave = torch.cos(2 * torch.pi * (down * rows + across * columns) / 4)
        gains.append(float(grid_index(noise + wave)) - before)
    # a wave and its mirror image are two of the fifteen, where they are not one
    alone = [gain for number, gain in enumerate(gains, 1) if all(part in (0, 2) for part in divmod(number, 4))]
    paired = [gain for number, gain in enumerate(gains, 1) if any(part not in (0, 2) for part in divmod(number, 4))]
    assert len(alone) == 3
    assert np.mean(paired) == pytest.approx(2 * np.mean(alone), rel=0.35)
    assert min(gains) > 1.2


@pytest.mark.parametrize("period", [3, 5, 7])
def test_a_lattice_of_another_period_does_not_count(period: int) -> None:
    noise = 0.01 * torch.randn(1, 1, 240, 240, generator=torch.Generator().manual_seed(0))
    comb = torch.zeros(240, 240)
    comb[::period, ::period] = 0.2
    four = torch.zeros(240, 240)
    four[::4, ::4] = 0.2
    assert abs(float(grid_index(noise + comb)) - float(grid_index(noise))) < 3
    assert float(grid_index(noise + four)) > 20


def test_it_is_the_mean_over_frequencies_of_a_peak_over_its_ring_by_hand() -> None:
    image = real(1, (64, 48))
    window = np.outer(np.hanning(65)[:-1], np.hanning(49)[:-1])
    power = 10 * np.log10(np.abs(np.fft.fft2(image[0, 0].double().numpy() * window)) ** 2 + 1e-12)
    np.testing.assert_allclose(log_power(image)[0].numpy(), power, atol=1e-8)
    contrasts = []
    for row in range(0, 64, 16):
        for column in range(0, 48, 12):
            if row or column:
                near = [power[(row + i) % 64, (column + j) % 48] for i in range(-1, 2) for j in range(-1, 2)]
                ring = [power[(row + i) % 64, (column + j) % 48] for i in range(-6, 7) for j in range(-6, 7) if max(abs(i), abs(j)) > 2]
                contrasts.append(np.mean(near) - np.sort(ring)[(len(ring) - 1) // 2])
    assert len(contrasts) == 15
    assert float(grid_index(image)) == pytest.approx(np.mean(contrasts), abs=1e-8)


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.1, 10), seed=st.integers(0, 99))
def test_brightness_and_contrast_change_nothing(gain: float, seed: int) -> None:
    image = real(2, (64, 64), seed).double()
    torch.testing.assert_close(grid_index(gain * image), grid_index(image), rtol=0, atol=1e-4)
    torch.testing.assert_close(grid_index(image.transpose(2, 3)), grid_index(image), rtol=0, atol=1e-8)
    torch.testing.assert_close(grid_index(image.flip(0)), grid_index(image).flip(0))


@pytest.mark.parametrize(
    ("shape", "line"), [((1, 1, 62, 64), "62x64"), ((1, 1, 28, 28), "28x28"), ((1, 3, 64, 64), "1, 3, 64, 64"), ((1, 1, 4, 64, 64), "1, 1, 4")]
)
def test_what_has_no_lattice_is_one_line(shape: tuple[int, ...], line: str) -> None:
    with pytest.raises(ValueError, match=f"^image: found .*{line}.*, expected"):
        grid_index(torch.zeros(shape))


def test_an_empty_image_has_an_index() -> None:
    assert float(grid_index(torch.zeros(1, 1, 64, 64))) == 0


@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_band_powers_are_means_over_rings(size: tuple[int, int]) -> None:
    image = real(2, size)
    power = log_power(image).numpy()
    radius = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None])
    found = band_powers(image, 5).numpy()
    edges = [edge + 1e-8 for edge in (1.0, 0.5, 0.5 / 2**0.5, 0.25, 0.25 / 2**0.5, 0.125)]
    for band in range(5):
        ring = (radius <= edges[band]) & (radius > edges[band + 1])
        np.testing.assert_allclose(found[:, band], [one[ring].mean() for one in power])
    assert (np.diff(found, axis=1) > 0).all(), "texture has more power at lower frequencies"


def test_a_band_without_a_frequency_is_undefined() -> None:
    found = band_powers(real(1, (32, 32)), 11)[0]
    assert found.isnan().tolist() == [False] * 10 + [True]


def test_blurring_takes_the_highest_band_first() -> None:
    image = real(1)
    blurred = interpolate(interpolate(image, scale_factor=0.5, mode="area"), scale_factor=2.0, mode="bilinear", align_corners=False)
    lost = (band_powers(image, 8) - band_powers(blurred, 8))[0]
    assert float(lost[0]) > 10 > float(lost[-1].abs())
