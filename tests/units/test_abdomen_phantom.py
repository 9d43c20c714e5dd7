"""The embedded abdomens: determined by their seed, written as AMOS22 files, their organs where and as dense as in a supine adult."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from medrobust.data.abdomen_phantom import AbdomenPhantom, amos_labels
from medrobust.data.abdominal_ct import AbdominalCT
from medrobust.errors import DataError
from medrobust.imaging.abdomen import Abdomen, abdomen

SMALL = AbdomenPhantom(train=2, val=1, test=3, size=32, slices=12)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def subjects() -> list[Abdomen]:
    """Twelve subjects at half the resolution of the default set."""
    return [abdomen(np.random.default_rng([7, index]), 64, 24) for index in range(12)]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_files_are_amos_volumes_and_are_read_back_as_slices() -> None:
    folder = SMALL.make("test") / "test"
    image, labels = (nibabel.load(folder / f"{kind}Ts" / "phantom_test_0000.nii.gz") for kind in ("images", "labels"))
    assert (image.get_data_dtype(), labels.get_data_dtype()) == (np.int16, np.uint8)
    assert nibabel.aff2axcodes(image.affine) == nibabel.aff2axcodes(labels.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == (12.0, 12.0, 16.0)
    assert set(np.unique(np.asarray(labels.dataobj))) == {0, 1, 2, 3, 6, 10}
    described = json.loads((folder / "dataset.json").read_text())
    assert described["labels"]["10"] == "pancreas"
    assert len(described["test"]) == 3
    made = SMALL._subject("test", 0)
    cases = SMALL.cases("test")
    batch = SMALL.load(cases)
    assert batch.image.shape[1:] == batch.truth.shape[1:] == (1, 32, 32)
    assert (batch.image.dtype, batch.truth.dtype) == (torch.float32, torch.int64)
    assert sorted({case.patient for case in cases}) == SMALL.patients_of("test")
    for case, shown, truth in zip(cases, batch.image, batch.truth, strict=True):
        if case.patient == "phantom_test_0000":
            index = int(case.case[-3:])
            np.testing.assert_array_equal(shown[0], made.image[:, :, index].T)
            np.testing.assert_array_equal(truth[0], made.labels[:, :, index].T)
    assert batch.context["mean"][0] == pytest.approx(made.image.mean(), rel=1e-5)
    assert batch.context["std"][0] == pytest.approx(made.image.std(), rel=1e-5)
    assert (batch.context["spacing"] == 12).all()
    assert batch.truth.flatten(1).any(1).all()
    assert AbdomenPhantom().label == "phantom: abdominal CT, 128x128 at 3 mm"


def test_kidneys_are_numbered_by_side() -> None:
    labels = np.zeros((6, 2, 2), np.uint8)
    labels[1, 0], labels[4, 1], labels[0, 1], labels[5, 0], labels[2, 0] = 2, 2, 3, 4, 1
    found = amos_labels(labels)
    assert [int(found[at, side, 0]) for at, side in ((1, 0), (4, 1), (0, 1), (5, 0), (2, 0))] == [2, 3, 6, 1, 10]
    assert np.count_nonzero(found) == np.count_nonzero(labels)


def test_all_splits_in_one_folder_are_read_by_the_loader(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        shutil.copytree(SMALL.make(split) / split, tmp_path / "all", dirs_exist_ok=True)
    (tmp_path / "all" / "splits.yaml").unlink()
    one = AbdominalCT(str(tmp_path / "all"), "amos22", size=32, spacing=12)
    for split in ("train", "val", "test"):
        assert one.cases(split) == SMALL.cases(split)
        assert torch.equal(one.load(one.cases(split)).image, SMALL.load(SMALL.cases(split)).image)


def test_every_byte_comes_from_the_seed_in_another_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = AbdomenPhantom(test=1, size=32, slices=8)
    here = content(small.make("test"))
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "other"))
    script = "from medrobust.data.abdomen_phantom import AbdomenPhantom; AbdomenPhantom(test=1, size=32, slices=8).make('test')"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert len(list((tmp_path / "other").rglob("*.nii.gz"))) == 2
    assert content(small.make("test")) == here
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "third"))
    assert content(replace(small, seed=1).make("test")) != here


def test_a_subject_is_the_same_whatever_the_size_of_its_split_and_of_the_others() -> None:
    few, more = SMALL, replace(SMALL, test=4, train=3)
    cases = few.cases("test")
    assert more.cases("test")[: len(cases)] == cases
    assert torch.equal(more.load(cases).image, few.load(cases).image)
    assert more.digest != few.digest


def test_no_image_is_in_two_splits() -> None:
    images = [image for split in ("train", "val", "test") for image in SMALL.load(SMALL.cases(split)).image]
    assert len({image.numpy().tobytes() for image in images}) == len(images)


def test_a_damaged_file_is_named_and_unknown_splits_and_options_are_refused() -> None:
    victim = next(SMALL.make("val").rglob("images*/*.nii.gz"))
    victim.write_bytes(victim.read_bytes()[:-7] + b"damage!")
    with pytest.raises(DataError, match=f"{victim.name}: found sha256"):
        SMALL.make("val")
    with pytest.raises(DataError, match="abdomen-phantom: found no split 'tset', expected one of train, val, test"):
        SMALL.cases("tset")
    with pytest.raises(ValueError, match="size: found 8, expected at least 32"):
        AbdomenPhantom(size=8)
    with pytest.raises(ValueError, match="slices: found 2, expected at least 8"):
        AbdomenPhantom(slices=2)


def test_organs_have_an_adult_s_sizes_and_sides(subjects: list[Abdomen]) -> None:
    """Volumes in ml and places in an adult's order, in every subject."""
    for subject in subjects:
        volume = np.bincount(subject.labels.ravel(), minlength=5)[1:] * np.prod(subject.spacing) / 1000
        pancreas, kidneys, liver, spleen = volume
        assert 10 < pancreas < 180
        assert 150 < kidneys < 600
        assert 700 < liver < 2500
        assert 60 < spleen < 600
        x, y, z = np.array([np.argwhere(subject.labels == organ).mean(0) for organ in range(1, 5)]).T
        assert x[2] < x[0] < x[3]
        assert y[0] < y[1]
        assert z[1] < z[2]
        kidneys_at = np.unique(np.argwhere(subject.labels == 2)[:, 0])
        assert kidneys_at.min() < 32 <= kidneys_at.max()


def test_densities_overlap_so_that_no_threshold_finds_an_organ(subjects: list[Abdomen]) -> None:
    """Each organ's best window of HU, chosen with the truth at hand over all subjects, still takes in far more than the organ."""
    image = np.concatenate([subject.image.ravel() for subject in subjects])
    labels = np.concatenate([subject.labels.ravel() for subject in subjects])
    edges = np.arange(-200, 400, 10)
    whole = np.concatenate([[0], np.cumsum(np.histogram(image, edges)[0])])
    best = {}
    for organ in range(1, 5):
        own = np.concatenate([[0], np.cumsum(np.histogram(image[labels == organ], edges)[0])])
        inside = own[None] - own[:, None]
        taken = whole[None] - whole[:, None] + (labels == organ).sum()
        best[organ] = float(np.triu(2 * inside / taken, 1).max())
    assert best[1] < 0.15
    assert best[4] < 0.4
    assert max(best.values()) < 0.8
    medians = [[np.median(subject.image[subject.labels == organ]) for organ in range(1, 5)] for subject in subjects]
    assert all(20 < median < 260 for row in medians for median in row)
    liver, spleen = np.array(medians)[:, 2], np.array(medians)[:, 3]
    assert (liver > spleen).any()
    assert (liver < spleen).any()


def test_subjects_differ_and_hold_air_fat_tissue_and_bone(subjects: list[Abdomen]) -> None:
    for subject in subjects:
        assert subject.image.dtype == np.int16
        assert subject.image.min() < -900
        assert subject.image.max() > 280
        assert ((subject.image > -140) & (subject.image < -60)).mean() > 0.05
    overlaps = [
        2 * ((a.labels == 3) & (b.labels == 3)).sum() / ((a.labels == 3).sum() + (b.labels == 3).sum())
        for index, a in enumerate(subjects)
        for b in subjects[:index]
    ]
    assert max(overlaps) < 0.95
    assert min(overlaps) > 0.3


def test_the_anatomy_does_not_hang_on_the_grid() -> None:
    coarse, fine = (abdomen(np.random.default_rng(3), size, slices) for size, slices in ((32, 12), (96, 36)))
    middle = fine.labels[1::3, 1::3, 1::3]
    for organ in (2, 3, 4):
        both = ((middle == organ) & (coarse.labels == organ)).sum()
        assert 2 * both / ((middle == organ).sum() + (coarse.labels == organ).sum()) > 0.8


def test_the_numbers_stay_what_shipped_results_were_measured_on() -> None:
    """Means and deviations to three digits: they hold across processors, where the last bits of a float need not."""
    subject = AbdomenPhantom(size=64)._subject("test", 0)
    assert subject.image.mean() == pytest.approx(KNOWN["mean"], rel=1e-3)
    assert subject.image.std() == pytest.approx(KNOWN["std"], rel=1e-3)
    assert np.bincount(subject.labels.ravel())[1:].tolist() == pytest.approx(KNOWN["labels"], abs=3)


KNOWN = {"mean": -579.881, "std": 470.277, "labels": [145, 853, 3142, 629]}
