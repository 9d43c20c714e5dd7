"""NMSE, PSNR and SSIM of a volume equal scikit-image's, and are not the means of slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from medrobust.metrics.reconstruction import NMSE, PSNR, SSIM, RealisedAcceleration
from medrobust.types import Attacked, Batch, Case, Metric, Outcome

METRICS: list[Metric] = [NMSE(), PSNR(), SSIM()]


def outcome(truth: Tensor, prediction: Tensor, attacked_truth: Tensor | None = None, **context: Tensor) -> Outcome:
    cases = tuple(Case(f"volume#{i:03d}", "patient", "volume") for i in range(len(truth)))
    return Outcome(Batch(truth, truth, cases, context), Attacked(truth, attacked_truth), prediction)


def volume(seed: int = 0, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Four slices whose brightness differs, and a noisy copy, (4, 1, 40, 36)."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(4, 1, 40, 36, generator=generator) * torch.tensor([0.2, 1.0, 2.0, 0.5]).view(4, 1, 1, 1)
    return truth * scale, (truth + 0.1 * torch.randn(truth.shape, generator=generator)) * scale


def arrays(truth: Tensor, prediction: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return truth[:, 0].double().numpy(), prediction[:, 0].double().numpy()


def value(metric: Metric, found: Outcome) -> float:
    values = metric(found)
    assert isinstance(values, Tensor)
    assert values.shape == (1,)
    return float(values)


@pytest.mark.parametrize("scale", [1.0, 1e-5, 4000.0])
def test_volume_metrics_equal_scikit_images(scale: float) -> None:
    truth, prediction = volume(scale=scale)
    t, p = arrays(truth, prediction)
    found = outcome(truth, prediction)
    assert value(NMSE(), found) == pytest.approx(normalized_root_mse(t, p, normalization="euclidean") ** 2, rel=1e-9)
    assert value(PSNR(), found) == pytest.approx(peak_signal_noise_ratio(t, p, data_range=t.max()), rel=1e-9)
    by_channel = structural_similarity(np.moveaxis(t, 0, -1), np.moveaxis(p, 0, -1), channel_axis=-1, data_range=t.max())
    assert value(SSIM(), found) == pytest.approx(by_channel, rel=1e-9)


def test_slice_wise_metrics_would_be_caught() -> None:
    truth, prediction = volume()
    slices = [outcome(truth[i : i + 1], prediction[i : i + 1]) for i in range(4)]
    for metric in METRICS:
        whole = value(metric, outcome(truth, prediction))
        assert abs(np.mean([value(metric, one) for one in slices]) - whole) > 0.02 * abs(whole)


def test_a_gaussian_window_would_be_caught() -> None:
    truth, prediction = volume()
    t, p = arrays(truth, prediction)
    gaussian = np.mean([structural_similarity(a, b, data_range=t.max(), gaussian_weights=True) for a, b in zip(t, p, strict=True)])
    assert abs(gaussian - value(SSIM(), outcome(truth, prediction))) > 1e-4


def test_predictions_are_scored_against_the_attacked_truth() -> None:
    truth, prediction = volume()
    other, _ = volume(seed=1)
    for metric in METRICS:
        assert value(metric, outcome(truth, prediction, other)) == value(metric, outcome(other, prediction))


def test_a_perfect_volume_scores_the_best() -> None:
    truth, _ = volume()
    found = outcome(truth, truth.clone())
    assert value(NMSE(), found) == 0
    assert value(SSIM(), found) == pytest.approx(1)
    assert value(PSNR(), found) == pytest.approx(144.49, abs=0.01)


def test_an_empty_truth_is_undefined() -> None:
    truth = torch.zeros(2, 1, 16, 16)
    for metric in METRICS:
        assert np.isnan(value(metric, outcome(truth, truth + 1)))


def test_realised_acceleration_is_that_of_the_attacked_mask() -> None:
    truth, prediction = volume()
    mask = torch.zeros(4, 1, 1, 36, dtype=torch.bool)
    mask[..., :9] = True
    found = outcome(truth, prediction, mask=mask)
    redrawn = mask.clone()
    redrawn[1:, ..., :12] = True
    found = Outcome(found.batch, Attacked(truth, context={"mask": redrawn}), prediction)
    assert RealisedAcceleration()(found).tolist() == [4, 3, 3, 3]
