"""What is kept of attacked images of classifiers and reconstructions, and how it is shown."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from medrobust.artifacts import answered, collect, load_attacked, save_attacked
from medrobust.imaging.slices import SIDE, changed, upright
from medrobust.leaderboard import pictures
from medrobust.leaderboard.overview.showing import images
from medrobust.leaderboard.pictures import PATIENTS, Picture
from medrobust.provenance import CHANGED
from medrobust.types import Attacked, Batch, Case

N = 9


def batch(*shape: int, classes: bool = True, seed: int = 0) -> Batch:
    image = torch.rand(N, *shape, generator=torch.Generator().manual_seed(seed)) * 100 - 20
    truth = torch.arange(N) % 2 if classes else image
    return Batch(image, truth, tuple(Case(f"c{index}", f"p{index // 2}", "") for index in range(N)))


def test_a_small_plane_is_kept_whole_with_the_scale_of_its_change() -> None:
    clean = torch.rand(1, 2, 12, 10)
    attacked = clean.clone()
    attacked[0, 1, 3, 4] += 0.5
    (found,) = changed(clean, attacked)
    assert found["view"].tolist() == [1, 0, 0, 0], "the channel that changed"
    assert found["image"].shape == (12, 10)
    assert float(found["scale"]) == pytest.approx(0.5)
    assert int(found["difference"][3, 4]) == 127
    assert int(found["difference"].abs().sum()) == 127
    assert (int(found["image"].min()), int(found["image"].max())) == (0, 255)


def test_of_a_volume_the_slice_that_changed_most_is_shown_upright() -> None:
    clean = torch.rand(1, 1, 6, 7, 5)
    attacked = clean.clone()
    attacked[0, 0, :, :, 3] -= 0.2
    attacked[0, 0, 0, 0, 1] += 1
    (found,) = changed(clean, attacked)
    assert found["view"].tolist()[:2] == [0, 3]
    assert found["image"].shape == (7, 6)
    by_hand = upright(clean[0, 0, :, :, 3].double())
    low, high = clean.double().min(), clean.double().max()
    assert torch.equal(found["image"], ((by_hand - low) / (high - low) * 255).round().to(torch.uint8))
    (still,) = changed(clean, clean)
    assert still["view"].tolist()[1] == 2, "the middle slice where nothing changed"
    assert not still["difference"].any()


def test_a_large_plane_shows_a_small_change_in_full_and_a_large_one_in_strides() -> None:
    clean = torch.rand(1, 1, 400, 300)
    small, large = clean.clone(), clean + 0.01
    small[0, 0, 350:356, 20:24] += 1
    (near,), (far,) = changed(clean, small), changed(clean, large)
    assert int(near["stride"]) == 1
    assert near["view"].tolist()[2:] == [400 - SIDE, 0]
    assert int((near["difference"] == 127).sum()) == 24
    assert int(far["stride"]) == 3
    assert max(far["image"].shape) <= SIDE
    assert torch.equal(far["attacked"].shape == far["image"].shape and far["image"], near_by_hand(clean))


def near_by_hand(clean: torch.Tensor) -> torch.Tensor:
    plane = clean[0, 0].double()
    return ((plane - plane.min()) / (plane.max() - plane.min()) * 255).round().to(torch.uint8)[::3, ::3]


def test_a_classifier_says_its_probabilities_and_harm_is_what_the_truth_lost() -> None:
    clean = batch(1, 8, 8)
    before, after = torch.full((N, 1), 0.9), torch.full((N, 1), 0.2)
    found = answered(clean, Attacked(clean.image + 1), before, after)
    assert [round(float(one["harm"]), 3) for one in found[:2]] == [-0.7, 0.7], "of a healthy case the truth is class 0"
    assert found[1]["said"].tolist() == [pytest.approx([0.1, 0.9]), pytest.approx([0.8, 0.2])]
    assert int(found[1]["class"]) == 1


def test_a_reconstruction_keeps_both_answers_on_the_grey_scale_of_the_image() -> None:
    clean = batch(1, 8, 8, classes=False)
    found = answered(clean, Attacked(clean.image + 1), clean.image, clean.image + 3)
    assert float(found[0]["harm"]) == pytest.approx(3, rel=1e-5)
    assert torch.equal(found[0]["answered"], found[0]["image"])
    assert int(found[0]["answer"].max()) == 255
    assert not torch.equal(found[0]["answer"], found[0]["image"])
    assert answered(clean, Attacked(clean.image), clean.image[:, :, :4], clean.image[:, :, :4]) == ()


@pytest.fixture
def kept(tmp_path: Path) -> list[Picture]:
    """What a leaderboard takes of a cell whose sixth and eighth case were harmed most."""
    clean = batch(1, 8, 8, seed=1)
    after = torch.full((N, 1), 0.5)
    after[5], after[7] = 0.1, 0.3  # class 1
    attacked = Attacked(clean.image + torch.linspace(1, 2, N).view(-1, 1, 1, 1))
    save_attacked(tmp_path, clean, attacked, (torch.full((N, 1), 0.5), after))
    stored = tmp_path / "artifacts" / "attacked.h5"
    collect(stored, clean.cases)
    assert torch.equal(load_attacked(tmp_path, clean).image, attacked.image)
    lines = [{"case": case.case, "patient": case.patient} for case in clean.cases]
    folder = SimpleNamespace(stored=stored, rows=lambda: lines, digest="abc")
    return pictures.stored(folder)  # type: ignore[arg-type]


def test_the_first_case_of_each_patient_is_kept_and_those_harmed_most(kept: list[Picture]) -> None:
    assert [one.case for one in kept] == ["c0", "c2", "c4", "c6", "c5", "c7"]
    assert PATIENTS == 4


def test_kept_pictures_are_committed_and_read_back(kept: list[Picture], tmp_path: Path) -> None:
    pictures.commit(kept, tmp_path / "a")
    pictures.commit(kept, tmp_path / "b")
    assert (tmp_path / "a" / "pictures.h5").read_bytes() == (tmp_path / "b" / "pictures.h5").read_bytes()
    back = pictures.committed(tmp_path / "a")
    for one, other in zip(kept, back, strict=True):
        assert one.case == other.case
        assert one.arrays.keys() == other.arrays.keys()
        assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)


def test_a_picture_is_drawn_as_png_and_what_is_changed_says_so(kept: list[Picture]) -> None:
    drawn = images(kept[0].arrays)
    assert [caption for caption, _ in drawn] == ["clean", "attacked", "difference, \u00b11"]
    assert images(kept[0].arrays) == drawn, "equal pictures give equal bytes"
    opened = [Image.open(io.BytesIO(png)) for _, png in drawn]
    assert all(one.size == (8, 8) for one in opened)
    assert np.array_equal(np.asarray(opened[0]), kept[0].arrays["image"])
    assert [one.info.get("Description") for one in opened] == [None, CHANGED, CHANGED]


def test_pictures_of_a_cell_without_answers_are_none(tmp_path: Path) -> None:
    clean = batch(1, 8, 8)
    save_attacked(tmp_path, clean, Attacked(clean.image + 1))
    stored = tmp_path / "artifacts" / "attacked.h5"
    collect(stored, clean.cases)
    with h5py.File(stored) as file:
        assert not any("picture" in group for group in file.values())
