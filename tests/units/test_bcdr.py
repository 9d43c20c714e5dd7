"""BCDR as published: tables padded with blanks, outlines as lists of numbers, O for MLO, several sets side by side."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mammo_files import breast
from skimage.io import imsave

from medrobust.data.bcdr import BCDR
from medrobust.errors import DataError

IMAGES = "patient_id, study_id, series, image_filename, image_type_name, image_type_id, age, density"
OUTLINES = (
    "patient_id,study_id,series,lesion_id,segmentation_id,image_view,image_filename,lw_x_points,lw_y_points,mammography_type,mammography_nodule,"
    "mammography_calcification,mammography_microcalcification,mammography_axillary_adenopathy,mammography_architectural_distortion,"
    "mammography_stroma_distortion,age,density,classification"
)
LISTED = ((1, "RCC"), (1, "LO"), (2, "LCC"), (2, "RO"), (3, "LCC"), (3, "RCC"))
X, RIGHT, Y, LOW = "10 19 19 10", "52 61 61 52", "30 30 39 39", "60 60 69 69"
# patient, type, x, y, nodule, microcalcification, class
LESIONS = (
    (1, "RCC", RIGHT, Y, 1, 0, "Malign"), (1, "RCC", RIGHT, LOW, 0, 1, "Benign"),
    (2, "LCC", X, Y, 1, 0, " Benign "), (2, "RO", RIGHT, Y, 0, 1, "Malign"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def named(patient: int, kind: str) -> str:
    return f"patient_{patient}/study_7/img_{patient}_7_1_{kind}.tif"


def write(place: Path, name: str, listed: tuple[tuple[int, str], ...], lesions: tuple[tuple[object, ...], ...]) -> None:
    rows = [f"{patient} , 7 , 1 , {named(patient, kind)} , {kind} , 1 , 50 , NaN" for patient, kind in listed]
    for patient, kind in listed:
        path = place / named(patient, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        imsave(path, breast(patient, kind[0]), check_contrast=False)
    (place / f"bcdr_{name}_img.csv").write_text("\n".join([IMAGES, *rows]) + "\n")
    if lesions:
        rows = [
            f"{patient},7,1,1,1,1, {named(int(str(patient)), str(kind))},{x},{y},1,{nodule},0,{micro},0,0,0,50,2,{said}"
            for patient, kind, x, y, nodule, micro, said in lesions
        ]
        (place / f"bcdr_{name}_outlines.csv").write_text("\n".join([OUTLINES, *rows]) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "set" / "BCDR-D01_dataset", "d01", LISTED, LESIONS)
    write(tmp_path / "set" / "BCDR-DN01_dataset", "dn01", ((4, "LCC"),), ())
    (tmp_path / "set" / "splits.yaml").write_text("train: ['3']\ntest: ['1', '2', '4']\n")
    return tmp_path / "set"


def labels_of(data: BCDR, split: str = "test") -> dict[str, int]:
    cases = data.cases(split)
    return {case.case.split("_", 1)[1].replace("_7_1", ""): label for case, label in zip(cases, data.load(cases).truth.tolist(), strict=True)}


def test_rules_of_both_experiments(folder: Path) -> None:
    assert labels_of(BCDR(str(folder))) == {"1_LO": 0, "1_RCC": 1, "2_LCC": 0, "2_RO": 1, "4_LCC": 0}
    assert labels_of(BCDR(str(folder), labels="listed")) == {"1_LO": 0, "1_RCC": 1, "2_LCC": 1, "2_RO": 1, "4_LCC": 0}
    assert labels_of(BCDR(str(folder), labels="mass")) == {"1_LO": 0, "1_RCC": 1, "2_LCC": 1, "2_RO": 0, "4_LCC": 0}
    assert set(labels_of(BCDR(str(folder), views=("MLO",)))) == {"1_LO", "2_RO"}
    with pytest.raises(ValueError, match="labels: found 'birads>=3', expected one that BCDR can serve: pathology, listed, mass"):
        BCDR(str(folder), labels="birads>=3")
    assert len({BCDR(str(folder), labels=labels).digest for labels in BCDR.rules}) == 3


def test_outlines_lie_where_the_image_lies_and_benign_ones_do_not_count(folder: Path) -> None:
    one = BCDR(str(folder), size=(96, 80))
    expected = torch.zeros(96, 80)
    expected[30:40, 10:20] = 1
    batch = one.load(one.cases("test"))
    assert (batch.image[:, 0, 30:40, 10:20] == 1).all()
    for truth, lesion in zip(batch.truth, batch.context["lesion"][:, 0], strict=True):
        assert torch.equal(lesion, expected * truth)
    every = BCDR(str(folder), size=(96, 80), labels="listed")
    assert [int(lesion.sum()) for lesion in every.load(every.cases("test")).context["lesion"]] == [0, 200, 100, 100, 0]


def _table(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "BCDR-D01_dataset" / f"bcdr_d01_{name}.csv"
        path.write_text(path.read_text().replace(old, new))

    return damage


def _colour(folder: Path) -> None:
    imsave(folder / "BCDR-D01_dataset" / named(1, "RCC"), np.zeros((96, 72, 3), np.uint8), check_contrast=False)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no table": (lambda folder: [path.unlink() for path in folder.rglob("*_img.csv")], r"set: found no table, expected some such as"),
    "label without image": (
        lambda folder: (folder / "BCDR-D01_dataset" / named(2, "RO")).unlink(),
        r"bcdr_d01_img\.csv: patient_2/study_7/img_2_7_1_RO\.tif: found a label without an image, expected",
    ),
    "image without label": (
        _table("img", "3 , 7 , 1 , patient_3/study_7/img_3_7_1_RCC.tif , RCC , 1 , 50 , NaN\n", ""),
        r"img_3_7_1_RCC\.tif: found an image without a label",
    ),
    "outline without image": (_table("outlines", "img_2_7_1_RO", "img_9_7_1_RO"), r"img_9_7_1_RO\.tif: found an outline without its image"),
    "type": (_table("img", ", RO ,", ", XO ,"), r"img_2_7_1_RO\.tif: image_type_name: found 'XO', expected RCC, LCC, RO or LO"),
    "side": (_table("img", ", RO ,", ", LO ,"), r"img_2_7_1_RO\.tif: found RO in the file name, expected LO as bcdr_d01_img\.csv has"),
    "class": (_table("outlines", "Malign", "Bad"), r"img_1_7_1_RCC\.tif: classification: found 'bad', expected one of benign, malign"),
    "points": (_table("outlines", RIGHT, "52 61 61"), r"img_1_7_1_RCC\.tif: found 3 x and 4 y of an outline"),
    "words": (_table("outlines", RIGHT, "a b c d"), r"img_1_7_1_RCC\.tif: found an outline that is no numbers"),
    "colour": (_colour, r"img_1_7_1_RCC\.tif: found shape \(96, 72, 3\) of uint8, expected a grey image of whole numbers"),
    "twice": (
        lambda folder: shutil.copytree(folder / "BCDR-D01_dataset", folder / "copy"),
        r"bcdr_d01_img\.csv: d01-img_1_7_1_RCC: found the image twice, expected each once",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_one_line(folder: Path, what: str) -> None:
    damage, message = BROKEN[what]
    damage(folder)
    one = BCDR(str(folder))
    with pytest.raises(DataError, match=message) as caught:
        one.load(one.cases("test"))
    assert "\n" not in str(caught.value)
