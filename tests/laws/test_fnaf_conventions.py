"""What a FNAF number means: its units, the masks it is found under, and which way each search goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medrobust.imaging.masks import RandomMask
from medrobust.randomness import CaseRandom
from medrobust.targets.reconstruction import ReconstructionTarget
from medrobust.types import Attacked, Batch, Case, Outcome
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_attacks.fnaf.feature import information_loss, input_scale, patch
from medrobust_attacks.fnaf.finite_differences import FiniteDifferences, PaperFiniteDifferences
from medrobust_attacks.fnaf.gradient import GradientSearch
from medrobust_attacks.fnaf.metrics import InformationPreservation
from medrobust_attacks.fnaf.random_search import RandomSearch
from medrobust_attacks.fnaf.search import redraw

SIZE = 96


def batch(n: int = 3, acceleration: float = 4.0, fraction: float = 0.08) -> Batch:
    """Dim random slices, so that a feature stands out, each with a phase and a mask of its own."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(n, 1, SIZE, SIZE, generator=generator) * torch.arange(1, n + 1).view(-1, 1, 1, 1)
    phase = 6 * torch.rand(n, 1, SIZE, SIZE, generator=generator)
    mask = torch.stack([RandomMask(acceleration, fraction).draw(SIZE, seed) for seed in range(n)])
    cases = tuple(Case(f"v#{i}", "p", "v") for i in range(n))
    return Batch(image, image, cases, {"phase": phase, "mask": mask, "nominal": torch.tensor([[acceleration, fraction]] * n)})


def streams(n: int = 3) -> CaseRandom:
    return CaseRandom.of(range(100, 100 + n))


class Ramp(nn.Module):
    """Answers with the zero-filled magnitude, which fades from the first column to the last."""

    def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:
        return zero_filled.abs() * torch.linspace(1, 0, zero_filled.shape[-1])


class Seen:
    """A target that remembers the masks it was asked under."""

    task, digest = "reconstruction", "seen"

    def __init__(self) -> None:
        self.inner = ReconstructionTarget(Ramp(), "ramp")
        self.masks: list[Tensor] = []

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        self.masks.append(batch.context["mask"])
        return self.inner(image, batch)


# Units


def test_the_loss_is_in_standard_deviations_of_the_zero_filled_magnitude_as_numpy_computes_it() -> None:
    clean = batch()
    mean, std = input_scale(clean.image, clean)
    measured = np.fft.fftshift(np.fft.fft2((clean.image * torch.exp(1j * clean.context["phase"])).numpy()), axes=-1)
    sampled = np.fft.ifft2(np.fft.ifftshift(measured * clean.context["mask"].numpy(), axes=-1))
    assert mean.flatten().numpy() == pytest.approx(np.abs(sampled).mean((1, 2, 3)), rel=1e-4)
    assert std.flatten().numpy() == pytest.approx(np.abs(sampled).std((1, 2, 3), ddof=1), rel=1e-4)


def test_intensities_are_in_standard_deviations_of_the_fully_sampled_slice() -> None:
    clean = batch()
    feature = FeatureBudget(intensity=(3, 6)).draw(clean.image, streams())
    for image, delta, support in zip(clean.image.numpy(), feature.delta.numpy(), feature.support.numpy(), strict=True):
        in_sigma = delta[support] / image.std(ddof=1)
        assert in_sigma.min() >= 3 * (1 - 1e-5)
        assert in_sigma.max() <= 6 * (1 + 1e-5)
        assert len(set(in_sigma.tolist())) == len(in_sigma)


# Masks


@pytest.mark.parametrize(("acceleration", "fraction"), [(4.0, 0.08), (8.0, 0.04)])
def test_redrawn_masks_have_the_acquisition_s_nominal_acceleration_and_centre(acceleration: float, fraction: float) -> None:
    masks = redraw(batch(200, acceleration, fraction), streams(200)).flatten(1)
    low = round(SIZE * fraction)
    centre = masks[:, (SIZE - low + 1) // 2 :][:, :low]
    assert centre.all()
    assert masks.sum(1).double().mean() == pytest.approx(SIZE / acceleration, abs=1)
    assert len({tuple(mask) for mask in masks.tolist()}) == 200


def test_information_is_asked_under_the_mask_the_feature_was_found_under() -> None:
    clean = batch()
    image = clean.image + FeatureBudget().draw(clean.image, streams()).delta
    for mask in (torch.zeros(3, 1, 1, SIZE, dtype=torch.bool), torch.ones(3, 1, 1, SIZE, dtype=torch.bool)):
        outcome = Outcome(clean, Attacked(image, context={"mask": mask}), image)
        expected = information_loss(image, clean.image, clean.with_context(mask=mask))
        assert torch.equal(InformationPreservation()(outcome)[""], expected)
        assert bool((expected > 0).all()) == bool(mask.all())


def test_gradient_search_explores_masks_then_keeps_the_best_one_s() -> None:
    clean, target = batch(), Seen()
    attacked = GradientSearch(steps=11, explore=0.6)(target, clean, FeatureBudget(), streams())
    masks = torch.cat(target.masks).view(11, 3, -1)  # by query and case, however many cases went into a pass
    for case in range(3):
        seen = [tuple(mask) for mask in masks[:, case].tolist()]
        assert len(set(seen[:7])) == 7
        assert len(set(seen[7:])) == 1
        best = int(attacked.trace["loss"][case, :7].argmax())
        assert seen[7] == seen[best]
        assert tuple(attacked.context["mask"][case].flatten().tolist()) == seen[best]


# What an attack may return beside its image


def returned(clean: Batch) -> Attacked:
    return RandomSearch(trials=2)(ReconstructionTarget(Ramp(), "ramp"), clean, FeatureBudget(), streams())


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda clean, attacked: {"region": torch.ones_like(attacked.region)}, "region of 9216 pixels, at most 32 allowed"),
        (lambda clean, attacked: {"region": torch.roll(attacked.region, 5, -1)}, "region reaches beyond the feature and its ring"),
        (lambda clean, attacked: {"truth": clean.image}, "truth differs from the attacked image"),
        (lambda clean, attacked: {"context": {"phase": clean.context["phase"] + 0.1}}, "phase of the acquisition changed"),
        (lambda clean, attacked: {"context": {"mask": torch.zeros_like(clean.context["mask"])}}, "mask of 0 columns, expected about 48"),
        (lambda clean, attacked: {"context": {"mask": few(clean)}}, "mask of 9 columns, expected about 48, the central 8 among them"),
        (lambda clean, attacked: {"context": {"mask": ~few(clean)}}, "mask of 87 columns, expected about 48, the central 8 among them"),
    ],
    ids=["whole image", "elsewhere", "truth", "phase", "no column", "few columns", "open centre"],
)
def test_the_audit_names_what_raises_the_loss_without_a_feature(change: Callable[..., dict[str, object]], found: str) -> None:
    clean = batch(acceleration=2.0)
    attacked = returned(clean)
    assert FeatureBudget().audit(clean, attacked) == ("", "", "")
    assert all(line.startswith(found) for line in FeatureBudget().audit(clean, replace(attacked, **change(clean, attacked))))  # type: ignore[arg-type]


def few(clean: Batch) -> Tensor:
    """The centre and one column more."""
    mask = torch.zeros_like(clean.context["mask"])
    mask[..., 44:52] = True
    mask[..., 0] = True
    return mask


@pytest.mark.parametrize(("acceleration", "fraction"), [(4.0, 0.08), (8.0, 0.04), (8.0, 0.2), (1.0, 1.0)])
def test_the_audit_passes_every_mask_that_is_redrawn(acceleration: float, fraction: float) -> None:
    clean = batch(200, acceleration, fraction)
    fresh = Attacked(clean.image, context={"mask": redraw(clean, streams(200))})
    assert FeatureBudget().audit(clean, fresh) == ("",) * 200


# Directions


def test_finite_differences_climb() -> None:
    clean = batch().with_context(mask=torch.ones(3, 1, 1, SIZE, dtype=torch.bool))
    target = ReconstructionTarget(Ramp(), "ramp")
    first = FeatureBudget().draw(clean.image, streams()).start[:, 1]
    attacked = FiniteDifferences(iterations=2, step=20, redraw_mask=False)(target, clean, FeatureBudget(), streams())
    columns = [int(torch.nonzero(region.any(1)[0]).amax()) - 1 for region in attacked.region]
    last = int(FeatureBudget().bounds(clean.image)[1][1])
    assert all(column >= min(int(start) + 15, last) for column, start in zip(columns, first, strict=True))


def test_gradient_search_moves_the_feature_up_the_slope() -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    slope = torch.stack([columns - 2 * rows, rows - columns, rows])[:, None]
    shift = GradientSearch(move=8)._shift(slope, torch.tensor([[32, 32]] * 3), 0)
    assert shift.tolist() == [[-8, 8], [8, -8], [8, 0]]
    assert GradientSearch(move=8)._shift(slope, torch.tensor([[32, 32]] * 3), 2).tolist() == [[-2, 2], [2, -2], [2, 0]]


def test_published_finite_differences_stay_displaced_as_released(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[list[int]] = []
    draw = FeatureBudget.draw

    def noted(self: FeatureBudget, image: Tensor, rng: CaseRandom, start: Tensor | None = None) -> object:
        assert start is not None
        places.append(start[0].tolist())
        return draw(self, image, rng, start)

    monkeypatch.setattr(FeatureBudget, "draw", noted)
    clean = batch(1)
    PaperFiniteDifferences(iterations=1, rate=0.0)(ReconstructionTarget(Ramp(), "ramp"), clean, FeatureBudget(box=(0.0, 1.0)), CaseRandom.of([3]))
    row, column = places[0]
    assert 10 <= row < SIZE - 10
    assert 10 <= column < SIZE - 10
    moves = [(0, 0), (-5, 0), (5, 0), (5, -5), (5, 5), (5, 5)]
    assert places == [[row + down, column + right] for down, right in moves]


# Devices


def test_a_patch_is_cut_on_the_device_of_its_maps() -> None:
    assert patch(torch.zeros(2, 1, 8, 8, device="meta"), torch.zeros(2, 2, dtype=torch.long, device="meta"), 2).shape == (2, 5, 5)
