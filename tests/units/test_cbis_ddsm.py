"""CBIS-DDSM as downloaded: several lesions an image, masks and crops told apart by shape, patients of both published splits held out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from mammo_files import change, dicom

from medrobust.data.cbis_ddsm import CBISDDSM
from medrobust.errors import DataError

HEADER = (
    "patient_id,breast density,left or right breast,image view,abnormality id,abnormality type,mass shape,mass margins,assessment,pathology,subtlety,"
    "image file path,cropped image file path,ROI mask file path"
)
# set, patient, side, view, number, assessment, pathology, rows and columns of the mask
ROWS = (
    ("Mass-Training", "P_00001", "LEFT", "CC", 1, 4, "MALIGNANT", (slice(30, 40), slice(10, 20))),
    ("Mass-Training", "P_00001", "LEFT", "CC", 2, 2, "BENIGN", (slice(60, 70), slice(10, 20))),
    ("Mass-Training", "P_00001", "LEFT", "MLO", 1, 3, "BENIGN_WITHOUT_CALLBACK", (slice(30, 40), slice(10, 20))),
    ("Calc-Training", "P_00002", "RIGHT", "CC", 1, 5, "MALIGNANT", (slice(30, 40), slice(52, 62))),
    ("Calc-Training", "P_00003", "LEFT", "CC", 1, 0, "BENIGN", (slice(30, 40), slice(10, 20))),
    ("Calc-Test", "P_00002", "RIGHT", "MLO", 1, 2, "BENIGN", (slice(30, 40), slice(52, 62))),
    ("Mass-Test", "P_00004", "RIGHT", "CC", 1, 5, "MALIGNANT", (slice(30, 40), slice(52, 62))),
    ("Mass-Training", "P_00005", "LEFT", "CC", 1, 2, "BENIGN", (slice(30, 40), slice(10, 20))),
)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def mask(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom(path, 1, "L", "CC", ImageLaterality=None, ViewPosition=None)
    rows, columns = pixels.shape
    stored = pixels.astype(np.uint8).tobytes() + bytes(pixels.size % 2)
    change(path, Rows=rows, Columns=columns, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=stored)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "set"
    tables: dict[str, list[str]] = {f"{kind}_case_description_{split}_set.csv": [] for kind in ("mass", "calc") for split in ("train", "test")}
    for number, (part, patient, side, view, index, assessment, pathology, where) in enumerate(ROWS):
        image, roi = f"{part}_{patient}_{side}_{view}", f"{part}_{patient}_{side}_{view}_{index}"
        kind = {"Mass": "mass", "Calc": "calcification"}[part[:4]]
        if index == 1:
            dicom(place / "CBIS-DDSM" / image / "07-20-2016" / "1.0-full-24515" / "1-1.dcm", number, side[0], view)
        whole = np.zeros((96, 72), np.uint8)
        whole[where] = 255
        first, second = ("1-1", "1-2") if number % 2 else ("1-2", "1-1")
        mask(place / "CBIS-DDSM" / roi / "x" / f"{first}.dcm", whole)
        mask(place / "CBIS-DDSM" / roi / "x" / f"{second}.dcm", np.full((20, 21), 200, np.uint8))
        table = f"{kind[:4]}_case_description_{'train' if 'Train' in part else 'test'}_set.csv"
        paths = f"{image}/1.3.6/1.3.6/000000.dcm,{roi}/1.3/1.4/000001.dcm,{roi}/1.3/1.4/000000.dcm\n"
        tables[table].append(f'{patient},3,{side},{view},{index},{kind},OVAL,CIRCUMSCRIBED,{assessment},{pathology},4,{paths[:-1]}')
    for name, rows in tables.items():
        (place / name).write_text("\n".join([HEADER, *rows]) + "\n")
    return place


def labels_of(data: CBISDDSM, split: str) -> dict[str, int]:
    cases = data.cases(split)
    return dict(zip((case.case for case in cases), data.load(cases).truth.tolist(), strict=True))


def test_rules_label_images_by_the_worst_of_their_lesions(folder: Path) -> None:
    one = CBISDDSM(str(folder), val=0)
    assert labels_of(one, "train") == {"P_00001_LEFT_CC": 1, "P_00001_LEFT_MLO": 0, "P_00003_LEFT_CC": 0, "P_00005_LEFT_CC": 0}
    assert labels_of(one, "test") == {"P_00002_RIGHT_CC": 1, "P_00002_RIGHT_MLO": 0, "P_00004_RIGHT_CC": 1}
    by_birads = CBISDDSM(str(folder), val=0, labels="birads>=3")
    assert labels_of(by_birads, "train") == {"P_00001_LEFT_CC": 1, "P_00001_LEFT_MLO": 1, "P_00005_LEFT_CC": 0}
    mass = CBISDDSM(str(folder), val=0, labels="mass")
    assert labels_of(mass, "test") == {"P_00002_RIGHT_CC": 0, "P_00002_RIGHT_MLO": 0, "P_00004_RIGHT_CC": 1}
    assert one.label == "CBIS-DDSM, 256x256, pathology (malignant cancerous, all else healthy)"


def test_a_patient_of_both_published_splits_is_in_test_alone(folder: Path) -> None:
    one = CBISDDSM(str(folder), val=0)
    assert {case.patient for case in one.cases("test")} == {"P_00002", "P_00004"}
    assert {case.patient for case in one.cases("train")} == {"P_00001", "P_00003", "P_00005"}
    with_val = CBISDDSM(str(folder), val=0.4)
    splits = {split: {case.patient for case in with_val.cases(split)} for split in ("train", "val", "test")}
    assert splits["test"] == {"P_00002", "P_00004"}
    assert len(splits["val"]) == 1
    assert splits["train"] | splits["val"] == {"P_00001", "P_00003", "P_00005"}


def test_masks_are_told_from_crops_and_only_those_that_count_are_shown(folder: Path) -> None:
    one = CBISDDSM(str(folder), val=0, size=(96, 80))
    expected = torch.zeros(96, 80)
    expected[30:40, 10:20] = 1
    for split in ("train", "test"):
        cases = one.cases(split)
        batch = one.load(cases)
        assert (batch.image[:, 0, 30:40, 10:20] == 1).all()
        assert batch.context["outlined"].all()
        for truth, lesion in zip(batch.truth, batch.context["lesion"][:, 0], strict=True):
            assert torch.equal(lesion, expected * truth)  # of two lesions the benign one does not count
    mass = CBISDDSM(str(folder), val=0, size=(96, 80), labels="mass")
    both = mass.load([case for case in mass.cases("train") if case.case == "P_00001_LEFT_CC"]).context["lesion"]
    assert both.sum() == 200


def test_a_mask_of_the_image_s_proportions_is_scaled(folder: Path) -> None:
    pixels = np.zeros((192, 145), np.uint8)
    pixels[60:80, 20:40] = 255
    for path in folder.rglob("Mass-Training_P_00001_LEFT_CC_1/x/*.dcm"):
        if pydicom.dcmread(path).Rows == 96:
            mask(path, pixels)
    one = CBISDDSM(str(folder), val=0, size=(96, 80))
    lesion = one.load([case for case in one.cases("train") if case.case == "P_00001_LEFT_CC"]).context["lesion"][0, 0]
    expected = torch.zeros(96, 80)
    expected[30:40, 10:20] = 1
    assert (lesion - expected).abs().sum() <= 10


def test_the_digest_is_of_content_and_of_no_path(folder: Path, tmp_path: Path) -> None:
    original = CBISDDSM(str(folder)).digest
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert CBISDDSM(str(tmp_path / "elsewhere")).digest == original
    assert len({original, CBISDDSM(str(folder), labels="mass").digest, CBISDDSM(str(folder), seed=3, val=0.4).digest}) == 3


def _table(old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for path in folder.glob("mass_case_description_t*_set.csv"):
            path.write_text(path.read_text().replace(old, new))

    return damage


def _masks(folder: Path) -> None:
    for path in folder.rglob("Mass-Test_P_00004_RIGHT_CC_1/x/*.dcm"):
        mask(path, np.full((20, 21), 200, np.uint8))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no table": (lambda folder: [path.unlink() for path in folder.glob("*.csv")], r"set: found no table, expected some such as mass"),
    "label without image": (
        lambda folder: shutil.rmtree(folder / "CBIS-DDSM" / "Mass-Test_P_00004_RIGHT_CC"),
        r"mass_case_description_test_set\.csv: P_00004: found a label without an image, expected a folder Mass-Test_P_00004_RIGHT_CC below",
    ),
    "image without label": (
        lambda folder: shutil.copytree(folder / "CBIS-DDSM" / "Mass-Test_P_00004_RIGHT_CC", folder / "CBIS-DDSM" / "Mass-Test_P_00009_RIGHT_CC"),
        r"Mass-Test_P_00009_RIGHT_CC: found an image without a label",
    ),
    "side": (_table("P_00004,3,RIGHT", "P_00004,3,LEFT"), r"Mass-Test_P_00004_RIGHT_CC: found the side R in the folder's name, expected L"),
    "view": (_table("P_00004,3,RIGHT,CC", "P_00004,3,RIGHT,MLO"), r"found the view CC in the folder's name, expected MLO as mass_case"),
    "tag": (
        lambda folder: change(next(folder.rglob("Mass-Test_P_00004_RIGHT_CC/*/*/*.dcm")), ImageLaterality="L"),
        r"1-1\.dcm: found the side L in the DICOM tags, expected R as its table has",
    ),
    "pathology": (_table("MALIGNANT", "UNKNOWN"), r"P_0000\d: pathology: found 'UNKNOWN', expected one of MALIGNANT, BENIGN"),
    "side's word": (_table("RIGHT,CC", "R,CC"), r"P_00004: left or right breast: found 'R', expected one of LEFT, RIGHT"),
    "assessment": (_table(",5,MALIGNANT", ",9,MALIGNANT"), r"P_00004: found BI-RADS '9', expected 0 to 6"),
    "two images": (
        lambda folder: dicom(folder / "CBIS-DDSM" / "Mass-Test_P_00004_RIGHT_CC" / "more.dcm", 1, "R", "CC"),
        r"Mass-Test_P_00004_RIGHT_CC: found 2 DICOM files, expected the one full mammogram",
    ),
    "no mask": (_masks, r"Mass-Test_P_00004_RIGHT_CC_1: found masks of 20 x 21, 20 x 21 pixels, expected one of the image's 96 x 72"),
    "no column": (_table("assessment", "score"), r"found no column 'assessment', expected patient_id"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_one_line(folder: Path, what: str) -> None:
    damage, message = BROKEN[what]
    damage(folder)
    one = CBISDDSM(str(folder))
    with pytest.raises(DataError, match=message) as caught:
        one.load(one.cases("test"))
    assert "\n" not in str(caught.value)
