"""Laws of the feature generator, its region, its budget and its losses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, label

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Case
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_attacks.fnaf.feature import components_connected, feature_loss, information_loss, patch, region_of, render, walk

CASES = tuple(Case(f"v#{i}", "p", "v") for i in range(3))


def batch(size: int = 64, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, 1, size, size, generator=generator)
    mask = torch.rand(3, 1, 1, size, generator=generator) < 0.4
    phase = 6 * torch.rand(3, 1, size, size, generator=generator)
    return Batch(image, image, CASES, {"phase": phase, "mask": mask, "nominal": torch.tensor([[4.0, 0.08]] * 3)})


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), steps=st.integers(1, 40))
def test_every_drawn_feature_keeps_its_own_budget(seed: int, steps: int) -> None:
    clean = batch()
    budget = FeatureBudget(steps=steps, information=0)
    feature = budget.draw(clean.image, CaseRandom.of([seed, seed + 1, seed + 2]))
    assert budget.audit(clean, Attacked(clean.image + feature.delta)) == ("", "", "")
    assert (feature.support == (feature.delta > 0)).all()
    assert (feature.support.flatten(1).sum(1) <= steps).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_region_is_the_support_and_its_four_neighbours_as_scipy_dilates(seed: int) -> None:
    support = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(seed)) < 0.1
    expected = torch.stack([torch.from_numpy(binary_dilation(one[0].numpy()))[None] for one in support])
    assert (region_of(support) == expected).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), density=st.floats(0, 0.6))
def test_connectedness_agrees_with_scipy(seed: int, density: float) -> None:
    support = torch.rand(5, 1, 9, 9, generator=torch.Generator().manual_seed(seed)) < density
    assert components_connected(support).tolist() == [label(one[0].numpy())[1] <= 1 for one in support]


def test_a_pixel_visited_twice_keeps_its_last_value() -> None:
    positions = torch.tensor([[[2, 2], [2, 3], [2, 2]]])
    feature = render(positions, torch.tensor([[1.0, 2.0, 3.0]]), 5, 5)
    assert feature.delta[0, 0, 2, 2] == 3
    assert feature.delta[0, 0, 2, 3] == 2
    assert int(feature.support.sum()) == 2


def test_only_the_first_steps_are_drawn_where_a_count_is_given() -> None:
    positions = torch.tensor([[[0, 0], [0, 1], [0, 2]], [[1, 0], [1, 1], [1, 2]]])
    feature = render(positions, torch.ones(2, 3), 4, 4, torch.tensor([1, 2]))
    assert feature.support.flatten(1).sum(1).tolist() == [1, 2]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), steps=st.integers(1, 30), taken=st.integers(1, 30))
def test_walks_are_drawn_as_step_after_step_would(seed: int, steps: int, taken: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    positions = torch.randint(0, 4, (2, 3, steps, 2), generator=generator)
    values = torch.rand(2, 3, steps, generator=generator)
    count = torch.full((2, 3), min(steps, taken))
    feature = render(positions, values, 5, 6, count)
    expected = torch.zeros(2, 3, 1, 5, 6)
    for step in range(min(steps, taken)):
        for i, j in ((i, j) for i in range(2) for j in range(3)):
            row, column = positions[i, j, step].tolist()
            expected[i, j, 0, row, column] = values[i, j, step]
    assert torch.equal(feature.delta, expected)
    assert torch.equal(feature.support, expected > 0)
    assert torch.equal(feature.start, positions[..., 0, :])
    image = torch.rand(2, 3, 1, 5, 6, generator=generator)
    assert torch.equal(feature.added_to(image), image + expected)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), steps=st.integers(1, 9), height=st.integers(2, 16), width=st.integers(2, 16))
def test_a_region_lies_inside_its_window_also_at_the_image_s_edge(seed: int, steps: int, height: int, width: int) -> None:
    clean = torch.rand(5, 1, height, width, generator=torch.Generator().manual_seed(seed))
    feature = FeatureBudget(steps=steps, box=(0, 1)).draw(clean, CaseRandom.of(range(seed, seed + 5)))
    region = region_of(feature.support)
    corner, *size = feature.window()
    assert size == [min(2 * steps + 1, height), min(2 * steps + 1, width)]
    assert torch.equal(feature.region, region)
    placed = torch.zeros_like(region)
    for i, (row, column) in enumerate(corner.tolist()):
        placed[i, :, row : row + size[0], column : column + size[1]] = feature.within(corner, *size).region[i]
    assert torch.equal(placed, region)


def test_ten_steps_visit_seven_pixels_on_average_as_measured_on_the_released_generator() -> None:
    clean = torch.rand(400, 1, 64, 64)
    feature = FeatureBudget().draw(clean, CaseRandom.of(range(400)))
    assert feature.support.flatten(1).sum(1).double().mean() == pytest.approx(7.3, abs=0.3)


def test_a_walk_is_clipped_to_the_box() -> None:
    low, high = torch.tensor([2, 3]), torch.tensor([5, 4])
    positions = walk(torch.tensor([[5, 4]]), torch.zeros(1, 6, dtype=torch.long), low, high)
    assert positions[0].tolist() == [[5, 4]] * 7


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda delta, sigma: delta * 3, "intensity"),
        (lambda delta, sigma: delta * 0.1, "intensity"),
        (lambda delta, sigma: -delta, "intensity"),
        (lambda delta, sigma: torch.roll(delta, 20, -1), "box"),
        (lambda delta, sigma: delta + torch.roll(delta, 1, -1) + torch.roll(delta, 2, -1) + torch.roll(delta, 3, -1), "pixels"),
    ],
)
def test_the_audit_names_what_leaves_the_budget(change: object, found: str) -> None:
    clean = batch()
    budget = FeatureBudget(steps=4, intensity=(3, 4))
    positions = torch.tensor([[[30, 30], [31, 30], [32, 30], [33, 30]]] * 3)
    sigma = budget.sigma(clean.image)
    delta = render(positions, 3.5 * sigma[:, None].expand(3, 4), 64, 64).delta
    assert budget.audit(clean, Attacked(clean.image + delta)) == ("", "", "")
    assert all(found in line for line in budget.audit(clean, Attacked(clean.image + change(delta, sigma))))  # type: ignore[operator]


def test_the_audit_sees_a_feature_in_two_pieces() -> None:
    clean = batch()
    delta = render(torch.tensor([[[30, 30], [35, 35]]] * 3), 4 * FeatureBudget().sigma(clean.image)[:, None].expand(3, 2), 64, 64).delta
    assert FeatureBudget().audit(clean, Attacked(clean.image + delta)) == ("feature is not connected",) * 3


def test_loss_is_zero_for_a_perfect_reconstruction_and_the_feature_s_energy_for_an_erased_one() -> None:
    clean = batch()
    budget = FeatureBudget(intensity=(2, 2))
    feature = budget.draw(clean.image, CaseRandom.of([1, 2, 3]))
    image = clean.image + feature.delta
    scale = (torch.zeros(3, 1, 1, 1), torch.ones(3, 1, 1, 1))
    region = region_of(feature.support)
    assert (feature_loss(image, image, region, scale) == 0).all()
    erased = feature_loss(clean.image, image, region, scale)
    assert torch.allclose(erased, feature.delta.square().flatten(1).sum(1) / 102400)


def test_error_outside_the_region_or_beyond_six_sigma_does_not_count() -> None:
    image = torch.zeros(1, 1, 8, 8)
    region = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    region[..., 4, 4] = True
    scale = (torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    outside, beyond = image.clone(), image.clone()
    outside[..., 0, 0] = 9
    beyond[..., 4, 4] = 9
    assert feature_loss(outside, image, region, scale) == 0
    assert feature_loss(beyond, image, region, scale) == pytest.approx(36 / 102400)
    assert feature_loss(beyond, image + 7, region, scale) == 0


def test_information_is_zero_without_a_feature_and_all_of_it_when_every_column_is_sampled() -> None:
    clean = batch()
    full = clean.with_context(mask=torch.ones(3, 1, 1, 64, dtype=torch.bool))
    feature = FeatureBudget().draw(clean.image, CaseRandom.of([1, 2, 3]))
    assert (information_loss(clean.image, clean.image, clean) == 0).all()
    energy = (feature.delta.square().flatten(1).sum(1) / clean.image.flatten(1).var(1)) / 102400
    assert torch.allclose(information_loss(clean.image + feature.delta, clean.image, full), energy, rtol=1e-4)
    none = clean.with_context(mask=torch.zeros(3, 1, 1, 64, dtype=torch.bool))
    assert (information_loss(clean.image + feature.delta, clean.image, none) < 1e-12).all()


def test_a_patch_is_the_window_around_its_centre() -> None:
    maps = torch.arange(2 * 6 * 6, dtype=torch.float32).view(2, 1, 6, 6)
    window = patch(maps, torch.tensor([[2, 3], [0, 0]]), 1)
    assert torch.equal(window[0], maps[0, 0, 1:4, 2:5])
    assert torch.equal(window[1, 1:, 1:], maps[1, 0, :2, :2])
    assert (window[1, 0] == 0).all()
