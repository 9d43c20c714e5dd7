"""What is kept of an attacked mammogram so that it can be shown."""

from __future__ import annotations

from pathlib import Path

import h5py
import torch

from medrobust.artifacts import collect, save_attacked
from medrobust.imaging.slices import outlined
from medrobust.testing.mammograms import MammogramData
from medrobust.types import Attacked, Batch

ENDS = torch.tensor([[[[-1.0, 1.0], [0.0, 3.0]]]])


def batch() -> Batch:
    data = MammogramData()
    return data.load(data.cases("test"))


def test_minus_one_to_one_are_bytes_from_0_to_255_and_what_lies_beyond_is_clamped() -> None:
    (found,) = outlined(ENDS, -ENDS, torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]]))
    assert found["image"].tolist() == [[0, 255], [128, 255]]
    assert found["attacked"].tolist() == [[255, 0], [128, 0]]
    assert found["truth"].tolist() == [[0, 0], [0, 1]]


def test_a_picture_of_every_attacked_mammogram_is_stored_with_its_lesions(tmp_path: Path) -> None:
    clean = batch()
    save_attacked(tmp_path, clean, Attacked(clean.image.flip(-1)))
    collect(tmp_path / "artifacts" / "attacked.h5", clean.cases)
    with h5py.File(tmp_path / "artifacts" / "attacked.h5") as file:
        assert file.attrs["statement"].startswith("MODIFIED BY COMPUTER, NOT AS ACQUIRED")
        for row, case in enumerate(clean.cases):
            picture = file[case.case]["picture"]
            assert set(picture) == {"image", "attacked", "truth"}
            assert (picture["truth"][()] == clean.context["lesion"][row, 0].numpy()).all()
            assert (picture["attacked"][()] == picture["image"][()][:, ::-1]).all()


def test_images_without_outlines_have_none(tmp_path: Path) -> None:
    clean = batch()
    save_attacked(tmp_path, Batch(clean.image, clean.truth, clean.cases), Attacked(clean.image))
    collect(tmp_path / "artifacts" / "attacked.h5", clean.cases)
    with h5py.File(tmp_path / "artifacts" / "attacked.h5") as file:
        assert all("picture" not in group for group in file.values())
