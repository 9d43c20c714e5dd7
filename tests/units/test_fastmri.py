from __future__ import annotations

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from medrobust.data.acquisition import combine, object_image
from medrobust.data.cache import content_digests
from medrobust.data.fastmri import FastMRI
from medrobust.data.fastmri_file import read_volume, write_volume
from medrobust.data.splits import read_splits, split_patients
from medrobust.errors import DataError
from medrobust.imaging.kspace import fft2c
from medrobust.types import Case


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def image(height: int, width: int, seed: int) -> torch.Tensor:
    """A complex object: a bright block under a smooth phase, with a little texture."""
    random = np.random.default_rng(seed)
    magnitude = np.zeros((height, width), np.float32)
    magnitude[height // 4 : -height // 4, width // 4 : -width // 4] = 1 + 0.1 * random.random((height - 2 * (height // 4), width - 2 * (width // 4)))
    phase = np.linspace(-1, 1, width)[None] * np.linspace(0, 2, height)[:, None]
    return torch.from_numpy((1e-5 * magnitude * np.exp(1j * phase)).astype(np.complex64))


def write(path: Path, patient: str, slices: int = 2, seed: int = 0, shape: tuple[int, int] = (48, 40)) -> Path:
    kspace = torch.stack([fft2c(image(*shape, seed + index)) for index in range(slices)]).numpy()
    return write_volume(path, kspace, acquisition="CORPD_FBK", patient_id=patient, recon_size=(36, 36))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "knees"
    write(root / "singlecoil_val" / "file2.h5", "p2", seed=5)
    write(root / "singlecoil_val" / "file1.h5", "p1", slices=3)
    write(root / "singlecoil_train" / "file3.h5", "p3", seed=9)
    return root


def data(folder: Path, **options: object) -> FastMRI:
    return FastMRI(str(folder), **{"size": 32, **options})  # type: ignore[arg-type]


def test_cases_are_the_slices_of_the_files_in_order_of_their_names(folder):
    assert data(folder).cases("val") == [
        Case("file1.h5#000", "p1", "file1.h5"),
        Case("file1.h5#001", "p1", "file1.h5"),
        Case("file1.h5#002", "p1", "file1.h5"),
        Case("file2.h5#000", "p2", "file2.h5"),
        Case("file2.h5#001", "p2", "file2.h5"),
    ]


def test_a_slice_is_the_centre_crop_of_the_object_with_its_phase_in_the_files_own_units(folder):
    one = data(folder)
    batch = one.load(one.cases("val")[1:2])
    expected = image(48, 40, 1)[8:40, 4:36]
    assert batch.image.shape == (1, 1, 32, 32)
    torch.testing.assert_close(batch.image[0, 0], expected.abs(), atol=1e-10, rtol=1e-4)
    measured = torch.polar(batch.image[0, 0], batch.context["phase"][0, 0])
    torch.testing.assert_close(measured, expected, atol=1e-10, rtol=1e-4)
    assert batch.truth is batch.image
    assert batch.context["maximum"].tolist() == pytest.approx([read_volume(folder / "singlecoil_val" / "file1.h5").maximum])


def test_masks_are_fastmris_own_for_the_file_name_and_the_crops_width(folder):
    one = data(folder, acceleration=3.0, center_fraction=0.1)
    batch = one.load(one.cases("val"))
    for row, case in enumerate(batch.cases):
        random = np.random.RandomState(tuple(map(ord, case.group)))  # fastMRI's generator
        low = round(32 * 0.1)
        columns = random.uniform(size=32) < (32 / 3 - low) / (32 - low)
        start = (32 - low + 1) // 2
        columns[start : start + low] = True
        np.testing.assert_array_equal(batch.context["mask"][row, 0, 0].numpy(), columns)
    assert not torch.equal(batch.context["mask"][0], batch.context["mask"][-1])


def test_loading_in_any_order_or_batch_gives_the_same_slices(folder):
    one = data(folder)
    cases = one.cases("val")
    whole = one.load(cases)
    order = [4, 0, 3, 1]
    some = one.load([cases[index] for index in order])
    assert some.cases == tuple(cases[index] for index in order)
    assert torch.equal(some.image, whole.image[order])
    for name in ("phase", "mask", "maximum"):
        assert torch.equal(some.context[name], whole.context[name][order])


def test_other_slices_are_not_read(folder):
    with h5py.File(folder / "singlecoil_val" / "file1.h5", "r+") as file:
        file["kspace"][2, 0, 0] = np.nan
    one = data(folder)
    one.load(one.cases("val")[:2])
    with pytest.raises(DataError, match=r"file1\.h5: kspace\[2\]: found NaN"):
        one.load(one.cases("val")[2:3])


def test_the_digest_is_of_content_and_options_and_of_no_path(folder, tmp_path):
    original = data(folder).digest
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert data(tmp_path / "elsewhere").digest == original
    assert data(folder, title="other").digest == original
    assert len(original) == 12
    options = ({"acceleration": 8.0}, {"center_fraction": 0.04}, {"size": 30})
    assert len({original, *(data(folder, **changed).digest for changed in options)}) == 4
    (folder / "singlecoil_val" / "file2.h5").rename(folder / "singlecoil_train" / "file2.h5")
    assert data(folder).digest != original


def test_the_digest_follows_a_changed_byte_and_the_boxes(folder, tmp_path):
    original = data(folder).digest
    with h5py.File(folder / "singlecoil_val" / "file1.h5", "r+") as file:
        file["kspace"][0, 0, 0] += 1e-6
    changed = data(folder).digest
    table = tmp_path / "boxes.csv"
    table.write_text("file,slice,study_level,x,y,width,height,label\n")
    assert len({original, changed, data(folder, annotations=str(table)).digest}) == 3


def test_a_content_digest_is_kept_while_size_and_time_of_change_stand(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first, stat = content_digests([path])[path], path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert content_digests([path])[path] == first
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert content_digests([path])[path] != first
    monkeypatch.setenv("MEDROBUST_CACHE", "/dev/null/nowhere")
    assert content_digests([path])[path] != first
    with pytest.raises(DataError, match="cannot be read"):
        content_digests([tmp_path / "none"])


def test_single_coil_folders_come_before_multi_coil_and_plain_ones(folder):
    write(folder / "multicoil_val" / "file1.h5", "p8")
    write(folder / "val" / "file1.h5", "p9")
    write(folder / "holdout" / "file9.h5", "p9")
    one = data(folder)
    assert {case.patient for case in one.cases("val")} == {"p1", "p2"}
    assert [case.patient for case in one.cases("holdout")] == ["p9", "p9"]


def test_a_split_that_is_not_there_names_those_that_are(folder):
    with pytest.raises(DataError, match="found no split 'dev', expected one of train, val"):
        data(folder).cases("dev")


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"a": ["p1"], "b": ["p1"]}, "b: found 'p1', which a has already"),
        ({"a": ["p1"], "b": ["file1.h5"]}, "b: found patient 'p1' in a too, expected each patient in one split"),
        ({"a": ["p9"]}, "a: found 'p9', expected a patient or file of the folder"),
        ({"a": "p1"}, "a: found 'p1', expected a list"),
        ({"a": [1]}, "quote numbers"),
        ([], "found list, expected a mapping"),
    ],
)
def test_a_wrong_splits_file_is_one_line(folder, splits, message):
    (folder / "splits.yaml").write_text(yaml.safe_dump(splits))
    with pytest.raises(DataError, match=message) as caught:
        data(folder).cases("a")
    assert "\n" not in str(caught.value)


def test_a_splits_file_that_is_no_yaml_is_one_line(tmp_path):
    (tmp_path / "splits.yaml").write_text("a: [b\nc: }")
    with pytest.raises(DataError, match="found no readable YAML") as caught:
        read_splits(tmp_path / "splits.yaml")
    assert "\n" not in str(caught.value)


def test_a_splits_file_is_followed_by_patient_and_by_file(folder):
    (folder / "splits.yaml").write_text("test: [p3, file1.h5]\ntrain: [p2]\n")
    one = data(folder)
    assert {case.group for case in one.cases("test")} == {"file1.h5", "file3.h5"}
    assert {case.group for case in one.cases("train")} == {"file2.h5"}


def test_a_file_name_in_two_splits_is_an_error(folder):
    shutil.copy(folder / "singlecoil_val" / "file1.h5", folder / "singlecoil_train" / "file1.h5")
    with pytest.raises(DataError, match="found the file name twice"):
        data(folder).cases("val")


def test_folders_that_hold_no_files_say_what_is_expected(tmp_path):
    with pytest.raises(DataError, match="found no such folder"):
        data(tmp_path / "none").cases("val")
    with pytest.raises(DataError, match=r"found no splits\.yaml and no sub-folder"):
        data(tmp_path).cases("val")


def test_files_that_cannot_be_used_are_named(folder):
    with pytest.raises(DataError, match=r"file1\.h5: kspace: found 48 x 40, expected at least size = 44"):
        data(folder, size=44).cases("val")
    with h5py.File(folder / "singlecoil_val" / "file1.h5", "r+") as file:
        file["mask"] = np.ones(40, np.float32)
    with pytest.raises(DataError, match=r"file1\.h5: mask: found an undersampled scan"):
        data(folder).cases("val")


@pytest.mark.parametrize("case", [Case("file9.h5#000", "p", "file9.h5"), Case("file1.h5#x", "p", "file1.h5"), Case("other#000", "p", "file1.h5")])
def test_a_case_that_is_not_there_is_an_error(folder, case):
    with pytest.raises(DataError, match="found"):
        data(folder).load([case])


@pytest.mark.parametrize("options", [{"acceleration": 0.5}, {"center_fraction": 0.0}, {"mask": "spiral"}, {"size": 0}])
def test_an_option_that_cannot_be_used_is_refused_at_once(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}: found"):
        FastMRI("anywhere", **options)


def test_boxes_follow_the_crop_and_slices_without_one_hold_nan(folder, tmp_path):
    table = tmp_path / "boxes.csv"
    rows = ["file1,1,No,10,20,5,6,Tear", "file1,1,No,0,0,3,3,Corner", "file2,0,No,12,13,2,2,Cyst", "file9,0,No,1,1,1,1,x", "file9,0,No,2,2,1,1,x"]
    table.write_text("\n".join(["file,slice,study_level,x,y,width,height,label", *rows]) + "\n")
    one = data(folder, annotations=str(table))
    boxes = one.load(one.cases("val")).context["boxes"]
    assert boxes.shape == (5, 2, 4)
    # The reconstruction is 36 x 36 and the crop 32 x 32: two rows and two columns are lost on each side.
    assert boxes[1, 0].tolist() == [36 - 20 - 6 - 2, 8, 6, 5]
    assert boxes[1, 1].tolist() == [31, 0, 1, 1]
    assert boxes[3, 0].tolist() == [36 - 13 - 2 - 2, 10, 2, 2]
    assert torch.isnan(boxes[[0, 2, 4]]).all()
    torch.testing.assert_close(one.load(one.cases("val")[3:4]).context["boxes"], boxes[3:4], equal_nan=True)


def test_without_annotations_every_slice_has_one_empty_box(folder):
    one = data(folder)
    boxes = one.load(one.cases("val")).context["boxes"]
    assert boxes.shape == (5, 1, 4)
    assert torch.isnan(boxes).all()


def sensitivities(coils: int, height: int, width: int) -> torch.Tensor:
    """Smooth complex coil sensitivities whose squares sum to 1."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    angles = 2 * torch.pi * torch.arange(coils) / coils
    maps = torch.stack([torch.exp(-((x - angle.cos()) ** 2 + (y - angle.sin()) ** 2) / 4) * torch.exp(1j * (angle + 0.3 * x)) for angle in angles])
    return maps / maps.abs().square().sum(0).sqrt()


def test_coils_combine_to_the_magnitude_of_the_object(tmp_path):
    truth = torch.zeros(64, 64, dtype=torch.complex64)
    truth[12:52, 16:48] = 1e-5
    truth[20:28, 20:30] = 2e-5
    kspace = fft2c(sensitivities(4, 64, 64) * truth)
    combined = object_image(kspace, 64)
    error = (combined.abs() - truth.abs()).norm() / truth.norm()
    assert error < 0.02
    rss = (sensitivities(4, 64, 64) * truth).abs().square().sum(0).sqrt()
    assert (combined.abs() <= rss + 1e-9).all()
    path = write_volume(tmp_path / "multicoil_val" / "file1.h5", kspace[None].numpy(), acquisition="AXT2", patient_id="p", recon_size=(64, 64))
    one = FastMRI(str(tmp_path), size=48)
    torch.testing.assert_close(one.load(one.cases("val")).image[0, 0], object_image(kspace, 48).abs())
    assert read_volume(path).coils == 4


def test_combining_scales_with_the_scan_and_takes_an_empty_one():
    kspace = fft2c(sensitivities(3, 32, 32) * image(32, 32, 0))
    torch.testing.assert_close(object_image(1e4 * kspace, 32), 1e4 * object_image(kspace, 32))
    assert not combine(torch.zeros(2, 32, 32, dtype=torch.complex64), torch.zeros(2, 32, 32, dtype=torch.complex64)).abs().any()


@settings(max_examples=60, deadline=None)
@given(
    patients=st.sets(st.text("abc123", min_size=1, max_size=5), min_size=1, max_size=30),
    seed=st.integers(0, 99),
    weights=st.lists(st.integers(0, 10), min_size=2, max_size=4),
)
def test_every_patient_is_drawn_into_one_split_of_the_size_asked_for(patients, seed, weights):
    total = sum(weights) or 1
    fractions = {f"s{index}": weight / total for index, weight in enumerate(weights)} if sum(weights) else {"s0": 1.0, "s1": 0.0}
    splits = split_patients(patients, fractions, seed)
    assert sorted(patient for chosen in splits.values() for patient in chosen) == sorted(patients)
    assert all(abs(len(splits[split]) - fraction * len(patients)) < 1 for split, fraction in fractions.items())
    assert split_patients([*patients, *patients], fractions, seed) == splits


@pytest.mark.parametrize("fractions", [{"a": 0.5}, {"a": 1.5, "b": -0.5}, {}])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(ValueError, match="fractions: found"):
        split_patients(["p"], fractions, 0)
