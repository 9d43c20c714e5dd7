"""Dice and surface distances against MONAI's, perceptibility against its definition."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medrobust.metrics.perceptibility import Displacement, Folding, ImageSSIM, Perceptibility, Shading
from medrobust.metrics.segmentation import Dice, DiceFloor, DiceWarped, MissedOrgan
from medrobust.metrics.surface import SurfaceDistance
from medrobust.testing.bench import Bench
from medrobust.types import Attacked, Batch, Case, Outcome

ORGANS = ("one", "two", "three")


def outcome(answer: np.ndarray, truth: np.ndarray, attacked: Attacked | None = None, spacing: tuple[float, float] = (2.0, 1.0)) -> Outcome:
    """One subject of n slices (n, H, W) answered by labels."""
    labels = torch.from_numpy(truth.astype(np.int64))[:, None]
    n = len(labels)
    context = {"mean": torch.zeros(n), "std": torch.full((n,), 200.0), "spacing": torch.tensor([spacing]).repeat(n, 1)}
    image = torch.arange(labels.numel(), dtype=torch.float32).view(labels.shape)
    batch = Batch(image, labels, tuple(Case(f"s#{i}", "s", "s") for i in range(n)), context)
    logs = torch.nn.functional.one_hot(torch.from_numpy(answer.astype(np.int64)), len(ORGANS) + 1).movedim(-1, 1).float().log_softmax(1)
    return Outcome(batch, attacked or Attacked(image), logs)


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Answer and truth of four blocky slices."""
    random = np.random.default_rng(seed)
    both = random.integers(0, 4, size=(2, 4, 4, 5)).repeat(4, 2).repeat(4, 3)
    both[0][random.random(both[0].shape) < 0.1] = 0
    return both[0], both[1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_dice_is_monais_over_the_whole_subject(seed: int) -> None:
    from monai.metrics import DiceMetric
    from monai.networks.utils import one_hot

    answer, truth = maps(seed)
    ours = Dice(ORGANS)(outcome(answer, truth))
    volumes = [one_hot(torch.from_numpy(labels)[None, None], len(ORGANS) + 1) for labels in (answer, truth)]
    theirs = DiceMetric(include_background=False, reduction="none")(*volumes)[0]
    found = torch.stack([ours[organ][0] for organ in ORGANS])
    assert torch.allclose(found.float(), theirs, equal_nan=True, atol=1e-6)
    assert float(ours[""]) == pytest.approx(float(found.nanmean()))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_surface_distance_is_monais_in_each_slice(seed: int) -> None:
    from monai.metrics.surface_distance import compute_average_surface_distance
    from monai.networks.utils import one_hot

    answer, truth = maps(seed)
    ours = SurfaceDistance(ORGANS)(outcome(answer, truth))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        planes = [one_hot(torch.from_numpy(labels)[:, None], len(ORGANS) + 1) for labels in (answer, truth)]
        theirs = compute_average_surface_distance(*planes, symmetric=True, spacing=[2.0, 1.0]).numpy()
    for index, organ in enumerate(ORGANS):
        shown = [row for row in range(4) if (truth[row] == index + 1).any()]
        each = [theirs[row, index] if (answer[row] == index + 1).any() else math.hypot(16 * 2, 20) for row in shown]
        assert float(ours[organ]) == pytest.approx(float(np.mean(each)), rel=1e-5)


def test_a_missed_organ_has_the_worst_values_and_is_counted() -> None:
    truth = np.zeros((2, 16, 20), int)
    truth[:, 2:8, 2:8], truth[0, 10:14, 10:14] = 1, 2
    answer = np.where(truth == 1, 1, 0)
    seen = outcome(answer, truth)
    assert float(Dice(ORGANS)(seen)["two"]) == 0
    assert float(SurfaceDistance(ORGANS)(seen)["two"]) == pytest.approx(math.hypot(32, 20))
    assert float(SurfaceDistance(ORGANS)(seen)["one"]) == 0
    missed = MissedOrgan(ORGANS)(seen)
    assert missed["one"].tolist() == [0, 0]
    assert missed["two"][0] == 1
    assert bool(missed["two"][1].isnan())
    assert bool(Dice(ORGANS)(seen)["three"].isnan())
    assert float(Dice(ORGANS)(seen)[""]) == 0.5


def test_three_rulers_tell_moved_truth_from_a_failing_segmenter() -> None:
    truth = np.zeros((1, 16, 20), int)
    truth[0, 4:8, 4:10] = 1
    moved = np.roll(truth, 2, 1)
    attacked = Attacked(torch.zeros(1, 1, 16, 20), torch.from_numpy(moved)[:, None], field=torch.zeros(1, 2, 16, 20))
    followed = outcome(moved, truth, attacked)
    assert float(Dice(ORGANS)(followed)["one"]) == pytest.approx(0.5)
    assert float(DiceWarped(ORGANS)(followed)["one"]) == 1
    assert float(DiceFloor(ORGANS)(followed)["one"]) == pytest.approx(0.5)
    stayed = outcome(truth, truth, attacked)
    assert float(Dice(ORGANS)(stayed)["one"]) == 1
    assert float(DiceWarped(ORGANS)(stayed)["one"]) == pytest.approx(0.5)


def test_names_that_do_not_fit_the_prediction_are_refused() -> None:
    answer, truth = maps(0)
    with pytest.raises(ValueError, match="found 2 names"):
        Dice(("one", "two"))(outcome(answer, truth))
    with pytest.raises(ValueError, match="each once"):
        Dice(("one", "one"))
    truth[0, 0, 0] = 7
    with pytest.raises(ValueError, match="found label 7"):
        Dice(ORGANS)(outcome(answer, truth))


def test_what_was_changed_is_measured_in_standard_deviations_millimetres_and_hounsfield_units() -> None:
    bench = Bench.suited(None, "segmentation")
    batch = bench.batch()
    n, size = len(batch), bench.size
    field = torch.zeros(n, 2, size, size)
    field[:, 0], field[:, 1] = 2.0, -1.0
    from medrobust.imaging.deformation import warp

    shading = torch.linspace(-30, 60, size).expand(n, 1, size, size)
    image = warp(batch.image, field) + shading
    seen = Outcome(batch, Attacked(image, field=field), torch.zeros(0))
    assert Perceptibility()(seen).tolist() == pytest.approx(((image - batch.image).abs().mean((1, 2, 3)) / 120).tolist(), rel=1e-6)
    length = Displacement()(seen)
    assert length["max"].tolist() == pytest.approx([math.hypot(2 * 3, 1 * 2)] * n)  # 3 mm a row, 2 mm a column
    assert length["mean"].tolist() == pytest.approx([math.hypot(6, 2)] * n)
    assert Folding()(seen).tolist() == [0] * n
    assert Shading()(seen)["min"].tolist() == pytest.approx([-30] * n, abs=1e-3)
    assert Shading()(seen)["max"].tolist() == pytest.approx([60] * n, abs=1e-3)
    assert bool((ImageSSIM()(seen) < 0.99).all())
    clean = Outcome(batch, Attacked(batch.image), torch.zeros(0))
    assert ImageSSIM()(clean).tolist() == [1] * n
    assert Perceptibility()(clean).tolist() == Displacement()(clean)["max"].tolist() == [0] * n
