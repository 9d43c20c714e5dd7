"""Retained lesion contrast: 1 for the whole of it, 0 for none, and no credit for offsets."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from medrobust.metrics.lesions import LesionContrast, kept
from medrobust.types import Attacked, Batch, Case, Outcome

NONE = [math.nan] * 4


def outcome(truth: Tensor, prediction: Tensor, boxes: list[list[list[float]]] | None) -> Outcome:
    cases = tuple(Case(f"c#{i:03d}", "p", "c") for i in range(len(truth)))
    context = {} if boxes is None else {"boxes": torch.tensor(boxes)}
    return Outcome(Batch(truth, truth, cases, context), Attacked(truth), prediction)


def lesion(contrast: float = 0.4) -> tuple[Tensor, Tensor]:
    """A 6 x 5 lesion in a textured slice with and without it, (1, 1, 32, 32)."""
    background = 0.5 + 0.05 * torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    image = background.clone()
    image[..., 10:16, 20:25] += contrast
    return image, background


BOX = [10.0, 20.0, 6.0, 5.0]


def contrast(prediction: Tensor, truth: Tensor, box: list[float] = BOX) -> float:
    return float(LesionContrast()(outcome(truth, prediction, [[box]]))["lesion 1"])


@pytest.mark.parametrize("sign", [0.4, -0.4])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_that_is_kept_is_found(share: float, sign: float) -> None:
    image, background = lesion(sign)
    assert contrast(background + share * (image - background), image) == pytest.approx(share, abs=0.05)


def test_intensity_offsets_earn_and_cost_nothing() -> None:
    image, _ = lesion()
    assert contrast(image + 0.3, image) == pytest.approx(1)
    assert contrast(torch.full_like(image, 0.9), image) == pytest.approx(0)
    assert contrast(-image, image) == pytest.approx(-1)


def test_what_happens_away_from_the_lesion_does_not_matter() -> None:
    image, _ = lesion()
    spoilt = image.clone()
    spoilt[..., :8, :] = 0
    spoilt[..., 18:, :] = 7
    assert contrast(spoilt, image) == pytest.approx(1)


def test_a_rim_with_a_dark_core_counts_although_its_mean_does_not_differ() -> None:
    image, background = lesion(0.0)
    image[..., 10:16, 20:25] += 0.4
    image[..., 11:15, 21:24] -= 1.0
    assert abs(float((image - background)[..., 10:16, 20:25].mean())) < 1e-6
    assert contrast(image, image) == pytest.approx(1)
    assert contrast(background, image) == pytest.approx(0, abs=0.1)


def test_boxes_are_row_column_height_width() -> None:
    image, background = lesion()
    assert math.isclose(contrast(background, image, [20.0, 10.0, 5.0, 6.0]), 1, rel_tol=1e-5)
    assert contrast(background, image) < 0.1


def test_every_lesion_has_its_label_and_missing_ones_are_nan() -> None:
    image, background = lesion()
    values = LesionContrast()(outcome(image.repeat(3, 1, 1, 1), torch.cat([image, background, image]), [[BOX, NONE], [BOX, BOX], [NONE, NONE]]))
    assert list(values) == ["lesion 1", "lesion 2"]
    assert values["lesion 1"].shape == (3,)
    assert kept(values["lesion 1"]).tolist() == [True, False, False]
    assert values["lesion 1"].isnan().tolist() == [False, False, True]
    assert values["lesion 2"].isnan().tolist() == [True, False, True]


def test_boxes_at_the_edge_are_clipped() -> None:
    image, _ = lesion()
    assert contrast(image, image, [30.0, 30.0, 6.0, 6.0]) == pytest.approx(1)
    assert math.isnan(contrast(image, image, [60.0, 60.0, 6.0, 6.0]))


def test_a_box_without_structure_is_undefined() -> None:
    flat = torch.full((1, 1, 32, 32), 0.1)
    assert math.isnan(contrast(torch.rand_like(flat), flat))


def test_data_without_boxes_have_no_labels() -> None:
    image, _ = lesion()
    assert LesionContrast()(outcome(image, image, None)) == {}


def test_margins_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="margin: found -1, expected at least 0"):
        LesionContrast(margin=-1)
