"""VinDr-Mammo as published: BI-RADS of the breast, boxes of what was found, a study a patient."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mammo_files import breast, change, dicom

from medrobust.data.vindr_mammo import VinDrMammo
from medrobust.errors import DataError

BREASTS = "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split"
FINDINGS = BREASTS.removesuffix(",split") + ",finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
# study, image, side, view, BI-RADS, split
IMAGES = (
    ("s1", "i1", "L", "CC", 4, "training"), ("s1", "i2", "R", "CC", 1, "training"), ("s2", "i3", "L", "MLO", 2, "training"),
    ("s3", "i4", "R", "MLO", 5, "test"), ("s3", "i5", "L", "MLO", 3, "test"), ("s4", "i6", "L", "CC", 1, "test"),
)  # fmt: skip
FOUND = (
    ("i1", "['Mass', 'Skin Thickening']", "BI-RADS 4", "10,30,20,40"), ("i1", "['Suspicious Calcification']", "BI-RADS 2", "10,60,20,70"),
    ("i2", "['No Finding']", "", ",,,"), ("i3", "['Mass']", "BI-RADS 2", "10,30,20,40"),
    ("i4", "['Suspicious Calcification']", "BI-RADS 5", "52,30,62,40"), ("i5", "['Nipple Retraction']", "", "10,30,20,40"),
    ("i6", "['No Finding']", "", ",,,"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "set"
    where = {image: (study, side, view, birads, split) for study, image, side, view, birads, split in IMAGES}
    for number, (image, (study, side, view, _, _)) in enumerate(where.items()):
        dicom(place / "images" / study / f"{image}.dicom", number, side, view)
    rows = []
    for image, (study, side, view, birads, split) in where.items():
        rows.append(f"{study},x,{image},{side},{view},96,72,BI-RADS {birads},DENSITY C,{split}")
    (place / "breast-level_annotations.csv").write_text("\n".join([BREASTS, *rows]) + "\n")
    rows = []
    for image, kinds, own, box in FOUND:
        study, side, view, birads, split = where[image]
        rows.append(f'{study},x,{image},{side},{view},96,72,BI-RADS {birads},DENSITY C,"{kinds}",{own},{box},{split}')
    (place / "finding_annotations.csv").write_text("\n".join([FINDINGS, *rows]) + "\n")
    return place


def labels_of(data: VinDrMammo, split: str) -> dict[str, int]:
    cases = data.cases(split)
    return dict(zip((case.case for case in cases), data.load(cases).truth.tolist(), strict=True))


def test_the_published_splits_and_the_rules(folder: Path) -> None:
    one = VinDrMammo(str(folder), val=0)
    assert labels_of(one, "train") == {"i1": 1, "i2": 0, "i3": 0}
    assert labels_of(one, "test") == {"i4": 1, "i5": 1, "i6": 0}
    assert labels_of(VinDrMammo(str(folder), labels="birads>=4 drop 3"), "test") == {"i4": 1, "i6": 0}
    assert labels_of(VinDrMammo(str(folder), labels="mass"), "test") == {"i4": 0, "i5": 0, "i6": 0}
    assert labels_of(VinDrMammo(str(folder), labels="mass", val=0), "train") == {"i1": 1, "i2": 0, "i3": 1}
    halved = VinDrMammo(str(folder), val=0.5)
    found = {split: {case.patient for case in halved.cases(split)} for split in halved._set.splits}
    assert found["test"] == {"s3", "s4"}
    assert set.union(*found.values()) == {"s1", "s2", "s3", "s4"}
    assert one.label == "VinDr-Mammo, 256x256, birads>=3 (BI-RADS 3 and above cancerous, 0 left out)"


def test_boxes_lie_where_the_image_lies_and_benign_ones_do_not_count(folder: Path) -> None:
    one = VinDrMammo(str(folder), val=0, size=(96, 80))
    expected = torch.zeros(96, 80)
    expected[30:40, 10:20] = 1
    cases = [case for split in ("train", "test") for case in one.cases(split)]
    batch = one.load(cases)
    assert (batch.image[:, 0, 30:40, 10:20] == 1).all()
    for truth, lesion in zip(batch.truth, batch.context["lesion"][:, 0], strict=True):
        assert torch.equal(lesion, expected * truth)
    assert batch.context["outlined"].all()


def test_monochrome1_files_look_the_same(folder: Path) -> None:
    one = VinDrMammo(str(folder), val=0)
    before, digest = one.load(one.cases("test")).image, one.digest
    inverted = 4095 - breast(3, "R")
    change(folder / "images" / "s3" / "i4.dicom", PhotometricInterpretation="MONOCHROME1", PixelData=inverted.astype("<u2").tobytes())
    other = VinDrMammo(str(folder), val=0)
    assert torch.equal(other.load(other.cases("test")).image, before)
    assert other.digest != digest


def _table(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text().replace(old, new))

    return damage


B, F = "breast-level_annotations.csv", "finding_annotations.csv"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no table": (lambda folder: (folder / B).unlink(), r"breast-level_annotations\.csv: found no table that can be read"),
    "no findings": (lambda folder: (folder / F).unlink(), r"finding_annotations\.csv: found no table that can be read"),
    "label without image": (lambda folder: (folder / "images/s4/i6.dicom").unlink(), rf"{B}: i6: found a label without an image, expected"),
    "image elsewhere": (
        lambda folder: shutil.move(folder / "images/s4/i6.dicom", folder / "images/s3/i6.dicom"),
        rf"{B}: i6: found a label without an image, expected .*s4.i6\.dicom",
    ),
    "image without label": (_table(B, "s4,x,i6,L,CC,96,72,BI-RADS 1,DENSITY C,test\n", ""), r"i6\.dicom: found an image without a label"),
    "study in two splits": (_table(B, "i5,L,MLO,96,72,BI-RADS 3,DENSITY C,test", "i5,L,MLO,96,72,BI-RADS 3,DENSITY C,training"),
        r"i5\.dicom: found patient 's3' in train and in test, expected each patient in one split"),
    "odd split": (_table(B, "DENSITY C,test", "DENSITY C,tset"), rf"{B}: i4: split: found 'tset', expected one of training, test"),
    "odd BI-RADS": (_table(B, "BI-RADS 5", "high"), rf"{B}: i4: found BI-RADS 'high', expected 0 to 6"),
    "odd side": (_table(B, "i4,R", "i4,B"), rf"{B}: i4: laterality: found 'B', expected one of L, R"),
    "side in tag": (_table(B, "i4,R", "i4,L"), r"i4\.dicom: found the side R in the DICOM tags, expected L as breast-level_annotations\.csv has"),
    "no list": (_table(F, "['Mass']", "Mass"), rf"{F}: i3: finding_categories: found 'Mass', expected a list such as \['Mass'\]"),
    "code": (_table(F, "['Mass']", "[print(1)]"), rf"{F}: i3: finding_categories: found '\[print\(1\)\]', expected a list"),
    "no box": (_table(F, "52,30,62,40", ",,,"), rf"{F}: i4: found a finding without a box, expected xmin"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_one_line(folder: Path, what: str) -> None:
    damage, message = BROKEN[what]
    damage(folder)
    one = VinDrMammo(str(folder))
    with pytest.raises(DataError, match=message) as caught:
        one.load(one.cases("test"))
    assert "\n" not in str(caught.value)


def test_a_rule_it_cannot_serve_is_one_line(folder: Path) -> None:
    with pytest.raises(ValueError, match="labels: found 'pathology', expected one that VinDr-Mammo can serve: birads>=3, birads>=4 drop 3, mass"):
        VinDrMammo(str(folder), labels="pathology")
