"""Artefacts of tampered images by hand: change in and beside a lesion, moments of the breast, and the range they stay in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from medrobust.budgets import IntensityRange
from medrobust.imaging.spectrum import band_powers, grid_index, local_grid_index, starts
from medrobust.metrics.artefacts import Change, ChangeInLesion, GridIndex, LocalGridIndex, Texture
from medrobust.testing.mammograms import MammogramData
from medrobust.types import Attacked, Batch, Outcome

DATA = MammogramData(64)


def batch() -> Batch:
    return DATA.load(DATA.cases("test"))


def outcome(image: torch.Tensor, cases: Batch | None = None) -> Outcome:
    return Outcome(cases or batch(), Attacked(image), torch.full((len(image), 1), 0.5))


def test_change_is_the_mean_difference() -> None:
    clean = batch().image
    added = torch.zeros_like(clean)
    added[1, 0, :4, :4] = -0.5
    added[2] = 0.25
    assert Change()(outcome(clean + added)).tolist() == pytest.approx([0, 0.5 * 16 / 64**2, 0.25, 0], abs=1e-7)


def test_grid_index_is_of_the_image_as_it_was_left() -> None:
    clean = batch().image
    lattice = torch.zeros(64, 64)
    lattice[::4, ::4] = 0.3
    torch.testing.assert_close(GridIndex()(outcome(clean)), grid_index(clean))
    assert float((GridIndex()(outcome(clean + lattice)) - GridIndex()(outcome(clean))).min()) > 10


def test_the_local_index_finds_a_lattice_in_one_corner_that_the_whole_image_hides() -> None:
    noise = 0.2 * torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    corner = torch.zeros_like(noise)
    corner[..., :32, :32][..., ::4, ::4] = 1.5
    whole, local = (float((index(noise + corner) - index(noise)).min()) for index in (grid_index, local_grid_index))
    assert whole < 1 < 6 < local
    assert starts(408, 64)[-2:] == [320, 344], "the last tile ends where the image does"
    assert starts(64, 64) == [0]
    torch.testing.assert_close(local_grid_index(noise[..., :48, :40]), grid_index(noise[..., :48, :40]))
    assert local_grid_index(torch.full((1, 1, 128, 128), -1.0)).tolist() == pytest.approx([0], abs=1e-6), "air has no lattice"
    made = outcome(corner[..., :64, :64].expand(4, -1, -1, -1))
    torch.testing.assert_close(LocalGridIndex()(made), local_grid_index(made.attacked.image))


def test_change_in_the_lesion_alone_is_all_within_and_change_everywhere_is_the_share_of_area() -> None:
    cases = batch()
    lesion, breast = cases.context["lesion"], cases.context["breast"]
    metric = ChangeInLesion(margin=0)
    within = metric(outcome(cases.image - 0.1 * lesion))
    assert within["change"][[1, 3]].tolist() == pytest.approx([1, 1])
    spread = metric(outcome(cases.image + 0.1 * breast))
    areas = [float(lesion[row].sum() / breast[row].sum()) for row in (1, 3)]
    assert spread["area"][[1, 3]].tolist() == pytest.approx(areas)
    assert spread["change"][[1, 3]].tolist() == pytest.approx(areas, rel=1e-4)
    assert all(bool(found[label][[0, 2]].isnan().all()) for found in (within, spread) for label in ("change", "area")), "no lesion, no share"


def test_the_outline_is_widened_by_its_margin_in_every_direction() -> None:
    cases = batch()
    lesion = torch.zeros_like(cases.context["lesion"])
    lesion[:, :, 20, 30] = 1
    cases = cases.with_context(lesion=lesion, breast=torch.ones_like(lesion))
    added = torch.zeros_like(cases.image)
    added[0, 0, 17, 33] = added[0, 0, 16, 30] = 0.4  # three pixels away on the diagonal, and four above
    shares = [float(ChangeInLesion(margin)(outcome(cases.image + added, cases))["change"][0]) for margin in (2, 3, 4)]
    assert shares == pytest.approx([0, 0.5, 1])
    assert float(ChangeInLesion(3)(outcome(cases.image, cases))["area"][0]) == pytest.approx(49 / 64**2)
    with pytest.raises(ValueError, match=r"^margin: found -1, expected at least 0$"):
        ChangeInLesion(-1)


def test_where_nothing_changed_no_share_did_but_the_area_is_known() -> None:
    found = ChangeInLesion()(outcome(batch().image))
    assert bool(found["change"].isnan().all())
    assert bool(found["area"][[1, 3]].isfinite().all())


def test_moments_are_those_of_scipy_within_the_breast() -> None:
    cases = batch()
    found = Texture()(outcome(cases.image))
    assert [*found] == [*(f"band {number:02d}" for number in range(1, 12)), "mean", "sd", "skewness", "kurtosis", "slope"]
    for row in range(4):
        plane = cases.image[row, 0].double().numpy()
        inside = cases.context["breast"][row, 0].numpy() > 0
        values = plane[inside]
        slope = np.hypot(*np.gradient(plane))[inside].mean()
        wanted = [values.mean(), values.std(), stats.skew(values), stats.kurtosis(values, fisher=False), slope]
        assert [float(found[label][row]) for label in ("mean", "sd", "skewness", "kurtosis", "slope")] == pytest.approx(wanted)
    torch.testing.assert_close(found["band 03"], band_powers(cases.image, 11)[:, 2])


def test_data_without_outlines_are_named() -> None:
    cases = Batch(batch().image, batch().truth, batch().cases)
    with pytest.raises(ValueError, match=r"^context: found nothing, expected data that give 'lesion'$"):
        ChangeInLesion()(outcome(cases.image, cases))


@pytest.mark.parametrize(("value", "line"), [(1.0, ""), (-1.0, ""), (1.01, "found pixels from -1 to 1.01, allowed -1 to 1"), (-2.0, "-2 to 1")])
def test_pixels_out_of_the_range_of_real_images_are_named(value: float, line: str) -> None:
    image = batch().image.clone()
    image[2, 0, 5, 5] = value
    found = IntensityRange().audit(batch(), Attacked(image))
    assert [bool(one) for one in found] == [False, False, bool(line), False]
    assert line in found[2]


def test_not_a_number_is_in_no_range_and_a_projected_image_is() -> None:
    image = batch().image.clone()
    image[1, 0, 0, 0] = float("nan")
    assert IntensityRange().audit(batch(), Attacked(image))[1]
    budget = IntensityRange(-0.5, 0.5)
    assert all(budget.audit(batch(), Attacked(batch().image)))
    assert not any(budget.audit(batch(), Attacked(budget.project(batch().image, batch().image))))


@pytest.mark.parametrize("ends", [(1.0, -1.0), (0.0, 0.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_range_has_a_low_and_a_high_end(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"^low and high: found .*, expected two numbers, the lower first$"):
        IntensityRange(*ends)
