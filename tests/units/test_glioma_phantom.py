"""The embedded tumours: determined by their seed, written as BraTS files, their grade in the tumour's tissue and nowhere else."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from medrobust.data.glioma_phantom import GliomaPhantom
from medrobust.imaging.glioma import glioma

SMALL = GliomaPhantom(train=2, val=1, test=5, size=24)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_files_are_brats_volumes_and_are_read_back_as_a_batch() -> None:
    folder = SMALL.make("test")
    image = nibabel.load(folder / "test" / "glioma_test_0000" / "glioma_test_0000_t1ce.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    batch = SMALL.load(SMALL.cases("test"))
    assert batch.image.shape == (5, 4, 24, 24, 24)
    assert batch.image.dtype == torch.float32
    assert batch.truth.tolist() == [1, 0, 1, 0, 1]
    assert batch.context["tumour"].flatten(1).any(1).all()
    assert (batch.context["lost"] < 0.5).all()


def test_the_grade_changes_the_tissue_of_the_tumour_and_nothing_else() -> None:
    low, high = (glioma(np.random.default_rng(7), grade, 32) for grade in (False, True))
    np.testing.assert_array_equal(low.labels > 0, high.labels > 0)
    assert set(np.unique(low.labels)) == {0, 1}
    assert set(np.unique(high.labels)) == {0, 1, 2, 4}
