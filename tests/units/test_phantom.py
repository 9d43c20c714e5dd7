"""The embedded data set: determined by its seed, split by subject, written as fastMRI files, guarded by digests."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medrobust.data.fastmri_file import read_volume
from medrobust.data.phantom import MRIPhantom
from medrobust.errors import DataError
from medrobust.imaging.head import CONTRASTS, head

SMALL = MRIPhantom(train=2, val=1, test=2, slices=2, size=64, lesion_fraction=1.0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_byte_comes_from_the_seed_in_another_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = content(SMALL.make("test"))
    script = "from medrobust.data.phantom import MRIPhantom; MRIPhantom(train=2, val=1, test=2, slices=2, size=64, lesion_fraction=1.0).make('test')"
    other = tmp_path / "other"
    monkeypatch.setenv("MEDROBUST_CACHE", str(other))
    subprocess.run([sys.executable, "-c", script], check=True)
    assert content(SMALL.make("test")) == here
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "third"))
    assert content(replace(SMALL, seed=1).make("test")) != here


def test_a_subject_is_the_same_whatever_the_size_of_its_split_and_of_the_others() -> None:
    few = SMALL.load(SMALL.cases("test")[:1])
    more = replace(SMALL, test=3, train=5)
    assert torch.equal(more.load(more.cases("test")[:1]).image, few.image)


def test_no_subject_is_in_two_splits_and_no_image_is_either() -> None:
    seen: dict[str, str] = {}
    images = []
    for split in ("train", "val", "test"):
        cases = SMALL.cases(split)
        for case in cases:
            assert seen.setdefault(case.patient, split) == split
        images.append(SMALL.load(cases).image)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not any(torch.equal(a, b) for a in images[one] for b in images[other])


def test_files_are_fastmri_volumes_of_the_subject_s_acquisition() -> None:
    for path in (SMALL.make("test") / "test").glob("*.h5"):
        volume = read_volume(path)
        assert (volume.slices, volume.height, volume.width) == (2, 64, 64)
        assert volume.acquisition in CONTRASTS


def test_boxes_hold_the_planted_lesions() -> None:
    phantom = MRIPhantom(test=3, slices=4, size=128, lesion_fraction=1.0)
    subject = head(np.random.default_rng([0, 2, 0]), 4, 128, 1.0)
    cases = [case for case in phantom.cases("test") if case.group == phantom.cases("test")[0].group]
    boxes = phantom.load(cases).context["boxes"]
    found = sorted(tuple(int(v) for v in box) for rows in boxes for box in rows if not box.isnan().any())
    assert found == sorted((lesion.row, lesion.column, lesion.height, lesion.width) for lesion in subject.lesions)
    assert found


def test_a_lesion_changes_the_image_inside_its_box_and_nowhere_else() -> None:
    from medrobust.imaging.head import _lesions

    where = np.zeros((64, 64))
    where[16:48, 16:48] = 1
    flat = np.full((64, 64), 0.5)
    changed, boxes = _lesions(np.random.default_rng(3), flat, where, 1.0, 1.0)
    inside = np.zeros((64, 64), dtype=bool)
    for row, column, height, width in boxes:
        assert np.abs(changed - flat)[row : row + height, column : column + width].max() > 0.2
        inside[row - 1 : row + height + 1, column - 1 : column + width + 1] = True
    assert (changed == flat)[~inside].all()


def test_masks_do_not_make_another_data_set_on_disk_but_another_identity() -> None:
    eight = replace(SMALL, acceleration=8.0, center_fraction=0.04)
    assert eight.make("test") == SMALL.make("test")
    assert eight.digest != SMALL.digest


def test_a_damaged_file_is_named() -> None:
    folder = SMALL.make("test")
    victim = sorted((folder / "test").glob("*.h5"))[0]
    victim.write_bytes(victim.read_bytes()[:-7] + b"damage!")
    with pytest.raises(DataError, match=f"{victim.name}: found sha256"):
        SMALL.make("test")
    victim.unlink()
    with pytest.raises(DataError, match="missing from the embedded data"):
        SMALL.make("test")


def test_an_unwritable_cache_is_one_line(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="set MEDROBUST_CACHE to a writable folder"):
        SMALL.make("test")


def test_an_unknown_split_and_options_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="no split 'tset', expected one of train, val, test"):
        SMALL.cases("tset")
    with pytest.raises(ValueError, match="size: found 8"):
        MRIPhantom(size=8)
    with pytest.raises(ValueError, match="lesion_fraction: found 2"):
        MRIPhantom(lesion_fraction=2)


def test_the_numbers_stay_what_shipped_results_were_measured_on() -> None:
    """Means and deviations to four digits: they hold across processors, where the last bits of a float need not."""
    subject = head(np.random.default_rng([0, 2, 0]), 2, 64, 0.3)
    magnitude = np.abs(subject.image)
    assert subject.acquisition == KNOWN["acquisition"]
    assert magnitude.mean() == pytest.approx(KNOWN["mean"], rel=1e-4)
    assert magnitude.std() == pytest.approx(KNOWN["std"], rel=1e-4)
    assert magnitude[1, 32, 32] == pytest.approx(KNOWN["centre"], rel=1e-3)


KNOWN = {"acquisition": "AXT2", "mean": 5.260851e-05, "std": 6.652970e-05, "centre": 1.394217e-04}
