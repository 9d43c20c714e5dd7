"""BraTS folders of every year's naming: found, scaled, cropped and split as declared; what is wrong with one is said in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medrobust.data.brats import BraTS
from medrobust.data.brats_layout import find_subjects
from medrobust.errors import DataError
from medrobust.imaging.volumes import centre_cube, foreground, scaled

EXAMPLES = Path(os.environ.get("MEDROBUST_EXAMPLE_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "brain_mri"
SHAPE = (12, 14, 9)
NAMES_2020 = ("t1", "t1ce", "t2", "flair", "seg")
NAMES_2023 = ("t1n", "t1c", "t2w", "t2f", "seg")

Volumes = np.ndarray


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def save(path: Path, volume: Volumes, affine: Volumes | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume.astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]) if affine is None else affine), path)


def volumes(seed: int, shape: tuple[int, ...] = SHAPE) -> Volumes:
    """Four sequences and a mask, (5, *shape): background 0 around an inner block of the sequence's own range."""
    random = np.random.default_rng(seed)
    found = np.zeros((5, *shape))
    inner = tuple(slice(2, n - 2) for n in shape)
    for sequence in range(4):
        found[sequence][inner] = random.integers(50, 100 * (sequence + 2), size=tuple(n - 4 for n in shape))
    found[4, 4:7, 5:8, 3:6] = random.choice([1, 2, 4], size=(3, 3, 3))
    return found


def subject(folder: Path, seed: int = 0, names: tuple[str, ...] = NAMES_2020, stem: str | None = None, suffix: str = ".nii.gz") -> Path:
    for name, volume in zip(names, volumes(seed), strict=True):
        save(folder / f"{stem or folder.name}_{name}{suffix}", volume)
    return folder


def table(path: Path, grades: dict[str, str], column: str = "BraTS_2020_subject_ID") -> None:
    path.write_text(f"Grade,BraTS_2017_subject_ID,{column}\n" + "".join(f"{grade},NA,{name}\n" for name, grade in grades.items()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten subjects, six of them HGG, below two more folders as Kaggle has them."""
    root = tmp_path / "set"
    names = [f"BraTS20_Training_{index:03d}" for index in range(1, 11)]
    for seed, name in enumerate(names):
        subject(root / "BraTS2020_TrainingData" / "MICCAI_BraTS2020_TrainingData" / name, seed)
    table(
        root / "BraTS2020_TrainingData" / "MICCAI_BraTS2020_TrainingData" / "name_mapping.csv",
        {name: "HGG" if index % 5 < 3 else "LGG" for index, name in enumerate(names)},
    )
    return root


def home(folder: Path, name: str = "BraTS20_Training_003") -> Path:
    return next(folder.rglob(name))


def data(folder: Path, **options: object) -> BraTS:
    return BraTS(str(folder), **{"size": 8, "train": 5, "val": 0, "test": 5, **options})  # type: ignore[arg-type]


def ungraded(folder: Path, **options: object) -> BraTS:
    return data(folder, graded=False, train=0, test=1, **options)


def test_a_subject_is_scaled_over_its_whole_volume_and_cropped_at_the_centre(folder: Path) -> None:
    one = data(folder)
    cases = one.cases("test")
    batch = one.load(cases)
    assert batch.image.shape == (5, 4, 8, 8, 8)
    assert batch.image.dtype == torch.float32
    for row, case in enumerate(cases):
        assert case.case == case.patient == case.group
        raw = volumes(int(case.case[-3:]) - 1)
        expected = [sequence[2:10, 3:11, 0:8] / sequence.max() for sequence in raw[:4]]
        np.testing.assert_allclose(batch.image[row], expected, rtol=1e-6)
        np.testing.assert_array_equal(batch.context["tumour"][row, 0], raw[4, 2:10, 3:11, 0:8] > 0)
        np.testing.assert_array_equal(batch.context["brain"][row, 0], (raw[:4] > 0).any(0)[2:10, 3:11, 0:8])
        assert batch.truth[row] == (1 if (int(case.case[-3:]) - 1) % 5 < 3 else 0)
    assert batch.context["tumour"].dtype == batch.context["brain"].dtype == torch.bool
    assert batch.context["lost"].tolist() == [0] * 5
    assert batch.truth.dtype == torch.int64


def test_what_the_crop_cuts_off_is_counted(folder: Path) -> None:
    one = data(folder, size=4)
    batch = one.load(one.cases("test")[:1])
    kept = np.zeros(SHAPE)
    kept[4:8, 5:9, 2:6] = 1
    tumour = volumes(0)[4] > 0
    assert batch.context["lost"].item() == pytest.approx(1 - (tumour * kept).sum() / tumour.sum())
    assert data(folder, size=2).load(one.cases("test")[:1]).context["lost"].item() == pytest.approx(1 - 8 / 27)


def test_a_volume_smaller_than_the_crop_is_padded_with_background(folder: Path) -> None:
    one = data(folder, size=20)
    batch = one.load(one.cases("test")[:1])
    assert batch.image.shape[2:] == (20, 20, 20)
    assert torch.equal(batch.image[0, :, 4:16, 3:17, 5:14], torch.from_numpy(scaled(volumes(0)[:4].astype(np.float32))))
    assert np.count_nonzero(batch.image) == np.count_nonzero(volumes(0)[:4])
    assert not batch.context["brain"][0, 0, :4].any()


def test_the_papers_crop_starts_at_56_56_13() -> None:
    for axis, length, start in ((1, 240, 56), (2, 240, 56), (3, 155, 13)):
        line = np.arange(length).reshape([length if at == axis else 1 for at in range(4)])
        assert centre_cube(line, 128).max((1, 2, 3)) == start + 127


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.integers(1, 9))
def test_cropping_what_was_padded_gives_it_back(shape: tuple[int, int, int], size: int) -> None:
    cube = np.random.default_rng(0).normal(size=(2, size, size, size))
    whole = np.random.default_rng(1).normal(size=(2, *shape))
    np.testing.assert_array_equal(centre_cube(centre_cube(cube, size + 4), size), cube)
    assert centre_cube(whole, size).shape == (2, size, size, size)
    assert np.count_nonzero(centre_cube(whole, size)) == 2 * np.prod([min(n, size) for n in shape])


def test_scaling_and_foreground_take_each_sequence_by_itself() -> None:
    random = np.random.default_rng(0)
    raw = random.normal(size=(2, 5, 5, 5)).astype(np.float32) * np.array([1, 1000], np.float32)[:, None, None, None]
    unit = scaled(raw)
    assert unit.min((1, 2, 3)).tolist() == [0, 0]
    assert unit.max((1, 2, 3)).tolist() == [1, 1]
    flat = np.full((2, 5, 5, 5), -3, np.float32)
    flat[1, 2, 2, 2] = -2
    assert np.argwhere(foreground(flat)).tolist() == [[2, 2, 2]]


def test_loading_in_any_order_or_batch_gives_the_same_subjects(folder: Path) -> None:
    one = data(folder)
    cases = one.cases("train")
    whole = one.load(cases)
    some = one.load([cases[3], cases[0]])
    assert torch.equal(some.image, whole.image[[3, 0]])
    assert torch.equal(some.truth, whole.truth[[3, 0]])
    assert torch.equal(some.context["tumour"], whole.context["tumour"][[3, 0]])


@pytest.mark.parametrize(
    ("place", "stem", "names", "suffix"),
    [
        ("MICCAI_BraTS_2018_Data_Training/HGG/Brats18_CBICA_AAM_1", "Brats18_CBICA_AAM_1", NAMES_2020, ".nii.gz"),
        ("BraTS2021_00006", "BraTS2021_00006", NAMES_2020, ".nii"),
        ("BraTS-GLI-00000-000", "BraTS-GLI-00000-000", NAMES_2023, ".nii.gz"),
        ("BraTS-GLI-00000-000", "BraTS-GLI-00000-000", tuple(f"X-{name}" for name in NAMES_2023), ".nii.gz"),
    ],
)
def test_every_year_s_naming_is_read(tmp_path: Path, place: str, stem: str, names: tuple[str, ...], suffix: str) -> None:
    subject(tmp_path / place, 3, names, stem, suffix)
    one = ungraded(tmp_path)
    assert [case.case for case in one.cases("test")] == [Path(place).name]
    expected = volumes(3)[:4, 2:10, 3:11, 0:8] / volumes(3)[:4].max((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(one.load(one.cases("test")).image[0], expected, rtol=1e-6)


def test_a_lone_unknown_file_is_the_mask(folder: Path) -> None:
    expected = data(folder).load(data(folder).cases("test"))
    for mask in folder.rglob("*_seg.nii.gz"):
        mask.rename(mask.with_name("W39_1998.09.19_Segm.nii.gz"))
    batch = data(folder).load(data(folder).cases("test"))
    assert torch.equal(batch.context["tumour"], expected.context["tumour"])


def test_a_folder_named_as_a_file_is_looked_through(tmp_path: Path) -> None:
    place = subject(tmp_path / "BraTS2021_00495", 2)
    for path in list(place.iterdir()):
        inner = place / path.name.removesuffix(".gz")
        path.rename(tmp_path / "moving")
        inner.mkdir()
        (tmp_path / "moving").rename(inner / f"00000057_brain_{path.name.rpartition('_')[2]}")
    assert list(find_subjects(tmp_path)) == ["BraTS2021_00495"]
    ungraded(tmp_path).load(ungraded(tmp_path).cases("test"))


def test_time_points_of_a_patient_stay_together(tmp_path: Path) -> None:
    for index in range(6):
        subject(tmp_path / f"BraTS-GLI-{index // 2:05d}-{index % 2:03d}", index, NAMES_2023)
    one = data(tmp_path, graded=False, train=2, test=1)
    drawn = [case for split in ("train", "test") for case in one.cases(split)]
    assert sorted(case.case for case in drawn) == [f"BraTS-GLI-{patient:05d}-000" for patient in range(3)]
    assert {case.patient for case in drawn} == {f"BraTS-GLI-{patient:05d}" for patient in range(3)}
    (tmp_path / "splits.yaml").write_text("train: [BraTS-GLI-00000]\ntest: [BraTS-GLI-00001-001]\n")
    again = data(tmp_path, graded=False)
    assert [case.case for case in again.cases("train")] == ["BraTS-GLI-00000-000", "BraTS-GLI-00000-001"]
    assert [case.case for case in again.cases("test")] == ["BraTS-GLI-00001-001"]
    (tmp_path / "splits.yaml").write_text("train: [BraTS-GLI-00000-000]\ntest: [BraTS-GLI-00000-001]\n")
    with pytest.raises(DataError, match="test: found patient 'BraTS-GLI-00000' in train too"):
        data(tmp_path, graded=False).cases("test")
    (tmp_path / "splits.yaml").write_text("train: [BraTS-GLI-00000]\ntest: [BraTS-GLI-00009]\n")
    with pytest.raises(DataError, match="test: found 'BraTS-GLI-00009', expected a subject of the folder"):
        data(tmp_path, graded=False).cases("test")


def test_splits_are_drawn_with_the_share_of_high_grades_and_no_subject_twice(folder: Path) -> None:
    one = data(folder)
    train, test = one.cases("train"), one.cases("test")
    assert len({case.case for case in [*train, *test]}) == 10
    assert one.load(train).truth.sum() == one.load(test).truth.sum() == 3
    assert train != data(folder, seed=1).cases("train")
    assert train == data(folder).cases("train")
    with pytest.raises(DataError, match="found no split 'val', expected one of train, test"):
        one.cases("val")


def test_too_few_subjects_are_counted_by_grade(folder: Path) -> None:
    with pytest.raises(DataError, match=r"found 6 patients \(HGG\), expected at least 80 \+ 11 \+ 23 for train \+ val \+ test"):
        BraTS(str(folder), size=8).cases("test")


def test_folders_train_val_and_test_are_splits(folder: Path, tmp_path: Path) -> None:
    for place, split in ((home(folder), "train"), (home(folder, "BraTS20_Training_005"), "test")):
        shutil.copytree(place, tmp_path / "own" / split / place.name)
    shutil.copy(next(folder.rglob("name_mapping.csv")), tmp_path / "own")
    one = data(tmp_path / "own")
    assert [case.case for case in one.cases("train")] == ["BraTS20_Training_003"]
    assert one.load(one.cases("test")).truth.tolist() == [0]


def test_without_grades_truth_is_zero_and_no_table_is_needed(folder: Path) -> None:
    next(folder.rglob("name_mapping.csv")).unlink()
    one = data(folder, graded=False)
    assert len(one.cases("train")) == 5
    assert one.load(one.cases("test")).truth.tolist() == [0] * 5


def test_the_decathlon_s_channels_are_put_in_order(tmp_path: Path) -> None:
    found = volumes(1)
    save(tmp_path / "imagesTr" / "BRATS_001.nii.gz", np.moveaxis(found[[3, 0, 1, 2]], 0, -1))
    save(tmp_path / "labelsTr" / "BRATS_001.nii.gz", found[4].clip(0, 3))
    listed = {"training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(listed))
    one = ungraded(tmp_path)
    np.testing.assert_allclose(
        one.load(one.cases("test")).image[0], (found[:4] / found[:4].max((1, 2, 3), keepdims=True))[:, 2:10, 3:11, 0:8], rtol=1e-6
    )
    with pytest.raises(DataError, match="BRATS_001: found no grade"):
        data(tmp_path).cases("test")
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DataError, match=r"dataset\.json: found no list of training cases"):
        data(tmp_path).cases("test")


def test_the_digest_is_of_content_grades_splits_and_options_and_of_no_path(folder: Path, tmp_path: Path) -> None:
    original = data(folder).digest
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert data(tmp_path / "elsewhere").digest == data(folder, title="other").digest == original
    assert len(original) == 12
    options: tuple[dict[str, object], ...] = ({"size": 7}, {"graded": False}, {"seed": 1}, {"train": 4})
    digests = {original, *(data(folder, **changed).digest for changed in options)}
    raw = nibabel.load(home(folder) / "BraTS20_Training_003_t2.nii.gz")
    changed = np.asarray(raw.dataobj).copy()
    changed[5, 5, 5] += 1
    save(home(folder) / "BraTS20_Training_003_t2.nii.gz", changed)
    assert len({*digests, data(folder).digest}) == 6
    (tmp_path / "elsewhere" / "splits.yaml").write_text("test: [BraTS20_Training_001]\n")
    one = data(tmp_path / "elsewhere").digest
    grades = next((tmp_path / "elsewhere").rglob("name_mapping.csv"))
    grades.write_text(grades.read_text().replace("HGG,NA,BraTS20_Training_001", "LGG,NA,BraTS20_Training_001"))
    assert data(tmp_path / "elsewhere").digest != one


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (home(folder) / f"BraTS20_Training_003_{name}.nii.gz").unlink()


def _replace(name: str, change: Callable[[Volumes], Volumes], affine: Volumes | None = None) -> Callable[[Path], None]:
    def broken(folder: Path) -> None:
        path = home(folder) / f"BraTS20_Training_003_{name}.nii.gz"
        save(path, change(np.asarray(nibabel.load(path).dataobj)), affine)

    return broken


def _not_finite(folder: Path) -> None:
    path = home(folder) / "BraTS20_Training_003_t1.nii.gz"
    volume = np.asarray(nibabel.load(path).dataobj, np.float32)
    volume[3, 3, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(volume, nibabel.load(path).affine), path)


def _truncated(folder: Path) -> None:
    path = home(folder) / "BraTS20_Training_003_flair.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])


def _garbage(folder: Path) -> None:
    (home(folder) / "BraTS20_Training_003_t2.nii.gz").write_bytes(b"not an image")


def _table(old: str, new: str) -> Callable[[Path], None]:
    def broken(folder: Path) -> None:
        path = next(folder.rglob("name_mapping.csv"))
        path.write_text(path.read_text().replace(old, new))

    return broken


def _twice(folder: Path) -> None:
    shutil.copytree(home(folder), folder / "copy" / "BraTS20_Training_003")


def _second(folder: Path) -> None:
    shutil.copy(home(folder) / "BraTS20_Training_003_t1.nii.gz", home(folder) / "other_T1.nii.gz")


BROKEN = {
    "missing sequence": (_remove("t1ce"), r"BraTS20_Training_003: found no T1ce, expected one NIfTI file of \*_t1ce"),
    "missing mask": (_remove("seg"), r"BraTS20_Training_003: found no mask, expected one NIfTI file of \*_seg"),
    "mismatched shapes": (_replace("t2", lambda v: v[:-1]), r"003_t2\.nii\.gz: found shape \(11, 14, 9\), expected \(12, 14, 9\) as .*_t1\.nii\.gz"),
    "mismatched mask": (_replace("seg", lambda v: v[:, :-1]), r"003_seg\.nii\.gz: found shape \(12, 13, 9\)"),
    "mismatched affines": (
        _replace("flair", lambda v: v, np.diag([1.0, -1.0, 1.0, 1.0])),
        r"003_flair\.nii\.gz: found an affine that differs by up to 2 from that of .*_t1\.nii\.gz",
    ),
    "mismatched mask affine": (_replace("seg", lambda v: v, np.diag([-1.0, -1.0, 2.0, 1.0])), r"003_seg\.nii\.gz: found an affine"),
    "two volumes in one": (_replace("t1", lambda v: np.stack([v, v], -1)), r"003_t1\.nii\.gz: found shape \(12, 14, 9, 2\), expected one volume"),
    "empty mask": (_replace("seg", lambda v: v * 0), r"003_seg\.nii\.gz: found an empty mask, expected tumour labels above 0"),
    "unknown label": (_replace("seg", lambda v: np.where(v > 0, 8, 0)), r"003_seg\.nii\.gz: found the label 8, expected labels of 0 to 4"),
    "all-zero volume": (_replace("t1ce", lambda v: v * 0), r"003_t1ce\.nii\.gz: T1ce: found 0 everywhere, expected an image"),
    "not finite": (_not_finite, r"003_t1\.nii\.gz: T1w: found NaN or infinity"),
    "missing grade": (_table("LGG,NA,BraTS20_Training_009", "LGG,NA,BraTS20_Training_099"), r"BraTS20_Training_009: found no grade, expected a row"),
    "unknown grade": (
        _table("LGG,NA,BraTS20_Training_009", "3,NA,BraTS20_Training_009"),
        r"name_mapping\.csv:10: Grade: found '3', expected HGG or LGG",
    ),
    "damaged file": (_truncated, r"003_flair\.nii\.gz: found a file that cannot be read"),
    "no image": (_garbage, r"003_t2\.nii\.gz: found a file that cannot be read"),
    "same subject twice": (_twice, r"found the subject 'BraTS20_Training_003' twice"),
    "same sequence twice": (_second, r"found a second T1w"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_one_line(folder: Path, what: str) -> None:
    damage, message = BROKEN[what]
    damage(folder)
    one = data(folder)
    with pytest.raises(DataError, match=message) as caught:
        one.load([*one.cases("train"), *one.cases("test")])
    assert "\n" not in str(caught.value)


def test_a_folder_without_subjects_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no such folder"):
        data(tmp_path / "nowhere").cases("test")
    save(tmp_path / "pat0001" / "T1c_subtrMeanDivStd.nii.gz", volumes(0)[0])
    with pytest.raises(DataError, match="found no subject, expected folders with NIfTI files such as BraTS20_Training_001_t1"):
        data(tmp_path).cases("test")


def test_an_unknown_case_and_options_out_of_range_are_refused(folder: Path) -> None:
    one = data(folder)
    with pytest.raises(DataError, match="found no subject 'x', expected one of its 10 subjects"):
        one.load([type(one.cases("test")[0])("x", "x", "x")])
    with pytest.raises(ValueError, match="size: found 0"):
        data(folder, size=0)
    with pytest.raises(ValueError, match=r"hgg_share: found 1\.5"):
        data(folder, hgg_share=1.5)
    with pytest.raises(ValueError, match="val: found -1"):
        data(folder, val=-1)


def test_voxels_of_another_size_show_the_same_anatomy(tmp_path: Path) -> None:
    """A ball of 12 mm radius, stored with 1 and with 2 mm, is the same ball with 3 mm; a constant stays one."""
    found = {}
    for edge in (1, 2):
        shape = (60 // edge, 54 // edge, 48 // edge)
        grid = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) * edge - n * edge / 2 for n in shape], indexing="ij"))
        distance = np.linalg.norm(grid - np.array([6, 3, 0])[:, None, None, None], axis=0)
        ball = distance < 12
        for name, volume in zip(NAMES_2020, [100 * ball] * 4 + [2 * ball], strict=True):
            save(tmp_path / f"{edge}" / "One" / f"One_{name}.nii.gz", volume, np.diag([-edge, -edge, edge, 1.0]))
        one = BraTS(str(tmp_path / f"{edge}"), size=24, spacing=3, train=0, val=0, test=1, graded=False)
        found[edge] = one.load(one.cases("test"))
        assert one.label == "BraTS, 24x24x24 at 3 mm"
        assert one.digest != BraTS(str(tmp_path / f"{edge}"), size=24, train=0, val=0, test=1, graded=False).digest
    tumour = found[1].context["tumour"][0, 0]
    assert tumour.sum() == pytest.approx(4 / 3 * np.pi * 4**3, rel=0.1)
    assert np.argwhere(tumour.numpy()).mean(0) == pytest.approx([11.5 + 2, 11.5 + 1, 11.5], abs=0.3)
    assert (found[1].context["tumour"] == found[2].context["tumour"]).float().mean() > 0.99
    assert (found[1].image - found[2].image).abs().mean() < 0.01
    assert found[1].context["lost"].item() == 0


def test_a_tumour_too_small_for_the_grid_and_a_spacing_out_of_range_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"_seg\.nii\.gz: found a tumour that fills no voxel of 40 mm"):
        ungraded(folder, spacing=40).load(ungraded(folder).cases("test"))
    for spacing in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="spacing: found"):
            data(folder, spacing=spacing)


def test_a_real_subject_is_read() -> None:
    if not (EXAMPLES / "BraTS2021_00006").is_dir():
        pytest.skip(f"needs the BraTS 2021 example in {EXAMPLES}")
    one = BraTS(str(EXAMPLES), size=128, train=0, val=0, test=1, graded=False)
    batch = one.load(one.cases("test"))
    assert [case.case for case in batch.cases] == ["BraTS2021_00006"]
    assert batch.image.shape == (1, 4, 128, 128, 128)
    assert batch.truth.tolist() == [0]
    assert 0 <= batch.image.min() < batch.image.max() <= 1
    assert batch.context["lost"].item() == pytest.approx(0.1548, abs=1e-4)  # the papers' crop cuts into this tumour
    tumour, brain = batch.context["tumour"], batch.context["brain"]
    assert (tumour & brain).sum() > 0.99 * tumour.sum() > 1000
    healthy = brain & ~tumour
    flair = batch.image[:, 3:]
    assert flair[tumour].mean() > 1.2 * flair[healthy].mean()
