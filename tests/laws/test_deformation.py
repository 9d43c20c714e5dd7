"""What a displacement field does: exact where it is whole, differentiable, in pixels by rows and columns, and folds that are found."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch import Tensor
from torch.nn.functional import grid_sample

from medrobust.imaging.deformation import displacement, folding, warp, warp_labels

SIZES = st.tuples(st.integers(2, 23), st.integers(2, 23))
SEEDS = st.integers(0, 2**20)


def image(size: tuple[int, int], seed: int, channels: int = 1) -> Tensor:
    return 1000 * torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(seed))


def noise(size: tuple[int, int], seed: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(2, 2, *size, generator=torch.Generator().manual_seed(seed + 1))


def labels(size: tuple[int, int], seed: int) -> Tensor:
    return torch.randint(0, 5, (2, 1, *size), generator=torch.Generator().manual_seed(seed))


def whole(size: tuple[int, int], rows: float, columns: float) -> Tensor:
    return torch.tensor([float(rows), float(columns)]).view(1, 2, 1, 1).expand(2, 2, *size)


def ripple(height: int, width: int, amplitude: float) -> Tensor:
    """A field of one period along either axis, (1, 2, height, width); it folds where amplitude * 2 pi / length is above 1."""
    row = torch.sin(2 * torch.pi * torch.arange(height) / height)[:, None].expand(height, width)
    column = torch.sin(2 * torch.pi * torch.arange(width) / width).expand(height, width)
    return amplitude * torch.stack([row, column])[None]


@settings(deadline=None, max_examples=30)
@given(SIZES, SEEDS)
def test_a_field_of_zeros_changes_no_bit(size: tuple[int, int], seed: int) -> None:
    still = torch.zeros(2, 2, *size)
    assert torch.equal(warp(image(size, seed, 3), still), image(size, seed, 3))
    assert torch.equal(warp_labels(labels(size, seed), still), labels(size, seed))


@settings(deadline=None, max_examples=40)
@given(SIZES, SEEDS, st.integers(-30, 30), st.integers(-30, 30))
def test_a_whole_shift_takes_whole_pixels_from_below_and_from_the_right(size: tuple[int, int], seed: int, rows: int, columns: int) -> None:
    source_rows = (torch.arange(size[0]) + rows).clamp(0, size[0] - 1)
    source_columns = (torch.arange(size[1]) + columns).clamp(0, size[1] - 1)
    clean, truth = image(size, seed), labels(size, seed)
    assert torch.equal(warp(clean, whole(size, rows, columns)), clean[:, :, source_rows][..., source_columns])
    assert torch.equal(warp_labels(truth, whole(size, rows, columns)), truth[:, :, source_rows][..., source_columns])


def test_a_unit_shift_moves_one_pixel_along_its_own_axis() -> None:
    point = torch.zeros(1, 1, 5, 7)
    point[0, 0, 2, 4] = 1
    assert warp(point, whole((5, 7), 1, 0)[:1]).nonzero().tolist() == [[0, 0, 1, 4]]
    assert warp(point, whole((5, 7), 0, 1)[:1]).nonzero().tolist() == [[0, 0, 2, 3]]
    half = warp(point, whole((5, 7), 0.5, 0)[:1])[0, 0, :, 4]
    assert half.tolist() == [0, 0.5, 0.5, 0, 0]


@settings(deadline=None, max_examples=30)
@given(SIZES, SEEDS, st.sampled_from([0.3, 3.0, 100.0]))
def test_bilinear_values_are_scipy_s_and_torch_s(size: tuple[int, int], seed: int, scale: float) -> None:
    clean, field = image(size, seed, 2).double(), noise(size, seed, scale).double()
    rows, columns = (torch.arange(length, dtype=torch.float64) for length in size)
    place = torch.stack([rows[:, None] + field[:, 0], columns + field[:, 1]], 1)
    moved = warp(clean, field)
    for case in range(2):
        for channel in range(2):
            other = map_coordinates(clean[case, channel].numpy(), place[case].numpy(), order=1, mode="nearest")
            assert moved[case, channel].numpy() == pytest.approx(other, abs=1e-8)
    grid = torch.stack([2 * place[:, 1] / (size[1] - 1) - 1, 2 * place[:, 0] / (size[0] - 1) - 1], -1)
    theirs = grid_sample(clean, grid, mode="bilinear", padding_mode="border", align_corners=True)
    assert moved.numpy() == pytest.approx(theirs.numpy(), abs=1e-8)


@pytest.mark.parametrize("scale", [0.4, 2.0])
def test_gradients_in_image_and_field_are_those_of_finite_differences(scale: float) -> None:
    clean, field = image((4, 5), 0, 2).double().requires_grad_(), noise((4, 5), 0, scale).double().requires_grad_()
    assert torch.autograd.gradcheck(warp, (clean, field), eps=1e-7, atol=1e-3)


def test_descending_the_gradient_moves_the_anatomy_back() -> None:
    slope = torch.arange(8.0).expand(1, 1, 8, 8).contiguous()
    field = torch.zeros(1, 2, 8, 8, requires_grad=True)
    warp(slope, field)[..., 1:-1].sum().backward()  # type: ignore[no-untyped-call]
    assert field.grad is not None
    assert torch.equal(field.grad[0, 1, :, 1:-1], torch.ones(8, 6))
    assert not field.grad[0, 0].any()


@settings(deadline=None, max_examples=30)
@given(SIZES, SEEDS, st.sampled_from([0.3, 3.0, 100.0]))
def test_a_warp_makes_no_new_extremes_and_no_new_labels(size: tuple[int, int], seed: int, scale: float) -> None:
    clean, truth, field = image(size, seed), labels(size, seed), noise(size, seed, scale)
    moved = warp(clean, field)
    assert bool((moved.flatten(1).amax(1) <= clean.flatten(1).amax(1) + 1e-3).all())
    assert bool((moved.flatten(1).amin(1) >= clean.flatten(1).amin(1) - 1e-3).all())
    after = warp_labels(truth, field)
    assert after.dtype == torch.int64
    assert all(set(mine.unique().tolist()) <= set(its.unique().tolist()) for mine, its in zip(after, truth, strict=True))


def test_labels_follow_the_nearest_pixel() -> None:
    truth = torch.arange(5).expand(1, 1, 5, 5).contiguous()
    for shift, first in ((0.4, [0, 1, 2, 3, 4]), (0.6, [1, 2, 3, 4, 4]), (-0.4, [0, 1, 2, 3, 4]), (-0.6, [0, 0, 1, 2, 3])):
        assert warp_labels(truth, whole((5, 5), 0, shift)[:1])[0, 0, 0].tolist() == first
        assert warp_labels(truth.mT.contiguous(), whole((5, 5), shift, 0)[:1])[0, 0, :, 0].tolist() == first


def test_labels_move_as_their_image_does() -> None:
    truth = labels((16, 12), 3)
    field = whole((16, 12), 2.0, -3.0)
    assert torch.equal(warp_labels(truth, field), warp(truth.float(), field).long())


def test_a_field_that_is_not_a_number_shows_in_the_image() -> None:
    field = torch.zeros(1, 2, 4, 4)
    field[0, 0, 1, 2] = torch.nan
    moved = warp(torch.ones(1, 1, 4, 4), field)
    assert moved.isnan().nonzero().tolist() == [[0, 0, 1, 2]]


@settings(deadline=None, max_examples=30)
@given(SIZES, SEEDS)
def test_a_small_or_constant_field_folds_nowhere(size: tuple[int, int], seed: int) -> None:
    field = noise(size, seed).clamp(-0.2, 0.2)
    assert folding(field).tolist() == [0, 0]
    assert folding(whole(size, 7, -9)).tolist() == [0, 0]


def test_a_fold_is_found_along_either_axis_and_where_pixels_alternate() -> None:
    assert float(folding(ripple(32, 48, 0.9 * 32 / (2 * torch.pi)))) == 0
    for axis in (0, 1):
        steep = ripple(32, 32, 1.5 * 32 / (2 * torch.pi))
        steep[:, 1 - axis] = 0
        assert 0.1 < float(folding(steep)) < 0.5
        central = torch.zeros(1, 2, 8, 8)
        alternating = torch.tensor([0.6, -0.6]).repeat(4)
        central[0, axis] = alternating[:, None] if axis == 0 else alternating
        assert float(folding(central)) > 0.9, "the difference over two pixels is zero"


def test_a_mirror_folds_everywhere_and_a_half_turn_nowhere() -> None:
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    mirror = torch.stack([torch.zeros(8, 8), 7 - 2 * columns])[None]
    turn = torch.stack([7 - 2 * rows, 7 - 2 * columns])[None]
    assert float(folding(mirror)) == 1
    assert float(folding(turn)) == 0


@settings(deadline=None, max_examples=30)
@given(st.floats(0.2, 5), st.floats(0.2, 5), st.floats(-9, 9), st.floats(-9, 9))
def test_a_displacement_in_mm_counts_each_axis_by_its_own_spacing(row: float, column: float, down: float, right: float) -> None:
    field, spacing = whole((3, 4), down, right), torch.tensor([[row, column], [1.0, 1.0]])
    found = displacement(field, spacing)
    assert found.shape == (2, 3, 4)
    assert found[0].numpy() == pytest.approx(((down * row) ** 2 + (right * column) ** 2) ** 0.5, rel=1e-5, abs=1e-6)
    assert found[1].numpy() == pytest.approx((down**2 + right**2) ** 0.5, rel=1e-5, abs=1e-6)


def test_a_displacement_of_zero_has_a_gradient() -> None:
    field = torch.zeros(1, 2, 3, 3, requires_grad=True)
    displacement(field, torch.ones(1, 2)).sum().backward()  # type: ignore[no-untyped-call]
    assert field.grad is not None
    assert bool(field.grad.isfinite().all())
