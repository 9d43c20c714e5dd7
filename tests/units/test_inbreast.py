"""INbreast in its published layout: which side, whose, what BI-RADS, and where the outlines lie in what is loaded."""

from __future__ import annotations

import os
import plistlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mammo_files import change, dicom

from medrobust.data.inbreast import INbreast
from medrobust.data.inbreast_file import read_outlines, read_table
from medrobust.errors import DataError

EXAMPLES = Path(os.environ.get("MEDROBUST_EXAMPLE_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "mammography"
HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
IMAGES = (
    ("22678622", "aa", "R", "CC", "1"), ("22678646", "aa", "L", "CC", "4a"), ("22678670", "aa", "R", "MLO", "2"), ("22678694", "bb", "L", "MLO", "3"),
    ("22614074", "bb", "R", "CC", "5"), ("22614097", "cc", "L", "CC", "2"), ("22614127", "cc", "R", "MLO", "0"), ("22614200", "dd", "R", "FB", "6"),
)  # fmt: skip
SQUARE = ["(10.0, 30.0)", "(19.0, 30.0)", "(19.0, 39.0)", "(10.0, 39.0)"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def regions(path: Path, *named: tuple[str, list[str]]) -> None:
    rois = [{"Name": name, "NumberOfPoints": len(points), "Point_px": points} for name, points in named]
    path.write_bytes(plistlib.dumps({"Images": [{"NumberOfROIs": len(rois), "ROIs": rois}]}))


def mirrored(points: list[str]) -> list[str]:
    """As they lie in the file of a right breast, 72 pixels wide."""
    pairs = [eval(point) for point in points]  # noqa: S307 - our own
    return [f"({71 - x}, {y})" for x, y in pairs]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "set"
    (place / "AllXML").mkdir(parents=True)
    for number, (name, patient, side, view, _) in enumerate(IMAGES):
        short = "ML" if view == "MLO" else view
        dicom(place / "AllDICOMs" / f"{name}_{patient}_MG_{side}_{short}_ANON.dcm", number, side, short)
    rows = [f"removed;removed;{side};{view};201001;{name};4;{birads}" for name, _, side, view, birads in IMAGES]
    (place / "INbreast.csv").write_text("\r\n".join([HEADER, *rows]) + "\r\n")
    regions(place / "AllXML" / "22678646.xml", ("Mass", SQUARE), ("Calcification", ["(40.2, 60.0)"]))
    regions(place / "AllXML" / "22614074.xml", ("Calcification", mirrored(["(15, 35)"])), ("Calcification", mirrored(["(30, 50)", "(31, 50)"])))
    regions(place / "AllXML" / "22678670.xml", ("Mass", mirrored(SQUARE)))
    (place / "splits.yaml").write_text("train: [bb, dd]\ntest: [aa, cc]\n")
    return place


def labels_of(data: INbreast, split: str) -> dict[str, int]:
    cases = data.cases(split)
    return dict(zip((case.case for case in cases), data.load(cases).truth.tolist(), strict=True))


def test_rules_give_birads_4a_and_numbers_their_labels_and_leave_out_0(folder: Path) -> None:
    at_least_3 = INbreast(str(folder))
    assert labels_of(at_least_3, "test") == {"22614097": 0, "22678622": 0, "22678646": 1, "22678670": 0}
    assert labels_of(at_least_3, "train") == {"22614074": 1, "22678694": 1}
    without_3 = INbreast(str(folder), labels="birads>=4 drop 3")
    assert labels_of(without_3, "train") == {"22614074": 1}
    mass = INbreast(str(folder), labels="mass")
    assert labels_of(mass, "test") == {"22614097": 0, "22614127": 0, "22678622": 0, "22678646": 1, "22678670": 1}
    assert labels_of(mass, "train") == {"22614074": 0, "22678694": 0}
    assert len({one.digest for one in (at_least_3, without_3, mass)}) == 3
    assert at_least_3.label == "INbreast, 256x256, birads>=3 (BI-RADS 3 and above cancerous, 0 left out)"
    assert {case.patient for case in at_least_3.cases("test")} == {"aa", "cc"}
    from_below = INbreast(str(folder), views=("FB",))
    assert labels_of(from_below, "train") == {"22614200": 1}


def test_images_lie_with_the_chest_wall_to_the_left_and_outlines_with_them(folder: Path) -> None:
    one = INbreast(str(folder), size=(96, 80))
    cases = [case for split in ("train", "test") for case in one.cases(split)]
    batch = one.load(cases)
    assert batch.image.shape == (6, 1, 96, 80)
    assert (batch.image[:, 0, 30:40, 10:20] == 1).all()
    assert (batch.image[:, 0, :, 72:] == -1).all()
    named = {case.case: index for index, case in enumerate(cases)}
    lesion = batch.context["lesion"][:, 0]
    expected = torch.zeros(96, 80)
    expected[30:40, 10:20] = 1
    assert torch.equal(lesion[named["22678646"]], expected)  # the mass, and not the calcification beside it
    dots = torch.zeros(96, 80)
    dots[35, 15] = dots[50, 30] = dots[50, 31] = 1
    assert torch.equal(lesion[named["22614074"]], dots)  # nothing else is outlined
    assert lesion[named["22678670"]].sum() == 0  # healthy by the rule
    assert batch.context["outlined"].tolist() == [case.case != "22678694" for case in cases]
    masses = INbreast(str(folder), size=(96, 80), labels="mass")
    right = masses.load([case for case in masses.cases("test") if case.case == "22678670"])
    assert torch.equal(right.context["lesion"][0, 0], expected)
    assert (batch.context["breast"][:, 0, 8:88, :46] == 1).all()
    assert (batch.context["breast"][:, 0, 12:84, :50] == 1).all()
    assert (batch.context["breast"] <= (batch.image > -1)).all()


def test_halves_and_doubles_keep_image_and_outline_together(folder: Path) -> None:
    for size in ((48, 36), (192, 144)):
        one = INbreast(str(folder), size=size)
        batch = one.load([case for case in one.cases("test") if case.case == "22678646"])
        rows, columns = np.nonzero(batch.context["lesion"][0, 0].numpy())
        scale = size[0] / 96
        assert (rows.mean(), columns.mean()) == pytest.approx((34.5 * scale + (scale - 1) / 2, 14.5 * scale + (scale - 1) / 2), abs=0.5)
        assert (batch.image[0, 0].numpy() > 0.35).sum() == pytest.approx(100 * scale**2, rel=0.2)


def test_padding_counts_in_the_range_and_lies_at_the_bottom_and_the_right(folder: Path) -> None:
    path = next(folder.rglob("22678646_*"))
    stored = np.random.default_rng(0).integers(1000, 2000, size=(96, 72)).astype("<u2")
    change(path, PixelData=stored.tobytes())
    one = INbreast(str(folder), size=(100, 100))
    image = one.load([case for case in one.cases("test") if case.case == "22678646"]).image[0, 0]
    assert image.shape == (100, 100)
    assert (image[:, 75:] == -1).all()
    assert image[:100, :75].amax() == 1
    wide = INbreast(str(folder), size=(200, 72)).load(one.cases("test")[:1]).image[0, 0]
    assert (wide[96:] == -1).all()


def test_a_column_of_masses_counts_before_the_outlines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame(
        {
            "File Name": [float(name) for name, *_ in IMAGES] + [np.nan, np.nan],
            "Laterality ": [side for _, _, side, *_ in IMAGES] + [np.nan, np.nan],
            "View": [view for *_, view, _ in IMAGES] + [np.nan, np.nan],
            "Bi-Rads": [birads if birads == "4a" else int(birads) for *_, birads in IMAGES] + [410, np.nan],
            "Mass ": ["X"] + [np.nan] * 9,
        },
    )
    (folder / "INbreast.csv").unlink()
    (folder / "INbreast.xls").write_bytes(b"")
    monkeypatch.setattr(pd, "read_excel", lambda path, dtype: table.astype(object))
    assert labels_of(INbreast(str(folder), labels="mass"), "test")["22678622"] == 1
    assert sum(labels_of(INbreast(str(folder), labels="mass"), "test").values()) == 1
    assert labels_of(INbreast(str(folder)), "test")["22678646"] == 1


def test_an_excel_table_without_its_reader_is_one_line(folder: Path) -> None:
    (folder / "INbreast.csv").unlink()
    (folder / "INbreast.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    with pytest.raises(DataError, match=r"INbreast\.xls: found (an Excel file and no package|no table that can be read)"):
        read_table(folder)


def test_outlines_of_every_form_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_bytes(plistlib.dumps({"ROIPoints": ["{1.5, 2}", "{3, 4e0}", "{5, 6}"], "Name": "Pectoral "}))
    (one,) = read_outlines(path)
    assert one.kind == "pectoral"
    np.testing.assert_array_equal(one.points, [[1.5, 2], [3, 4], [5, 6]])
    regions(path, ("Mass", []), ("Point 1", ["(7, 8)"]))
    (dot,) = read_outlines(path)
    np.testing.assert_array_equal(dot.points, [[7, 8]])
    path.write_bytes(plistlib.dumps({"Images": []}))
    assert read_outlines(path) == []


def test_splits_are_drawn_by_patient_with_the_suspicious_in_each(folder: Path) -> None:
    (folder / "splits.yaml").unlink()
    for number in range(40):
        side, birads = "LR"[number % 2], (1, 5)[number % 2]
        for view in ("CC", "ML"):
            dicom(folder / "AllDICOMs" / f"9{number:03d}{view}_p{number}_MG_{side}_{view}_ANON.dcm", 100 + number, side, view)
            long = "MLO" if view == "ML" else view
            with (folder / "INbreast.csv").open("a") as file:
                file.write(f"removed;removed;{side};{long};201001;9{number:03d}{view};4;{birads}\r\n")
    one = INbreast(str(folder), val=0.2, test=0.3)
    by_split = {split: {case.patient for case in one.cases(split)} for split in ("train", "val", "test")}
    assert sum(len(some) for some in by_split.values()) == len(set.union(*by_split.values()))
    for split, share in (("train", 0.5), ("val", 0.2), ("test", 0.3)):
        labels = labels_of(one, split)
        own = [label for name, label in labels.items() if name.startswith("9")]
        assert len(own) == pytest.approx(80 * share, abs=4)
        assert sum(own) == pytest.approx(40 * share, abs=3)
    assert INbreast(str(folder), val=0.2, test=0.3, seed=1)._set.splits != one._set.splits
    other = INbreast(str(folder), val=0.2, test=0.3, labels="mass", views=("CC",))
    assert other._set.splits == one._set.splits


def test_the_digest_is_of_content_labels_and_frame_and_of_no_path(folder: Path, tmp_path: Path) -> None:
    original = INbreast(str(folder)).digest
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert INbreast(str(tmp_path / "elsewhere"), title="other").digest == original
    assert len(original) == 12
    others = [INbreast(str(folder), size=(96, 80)), INbreast(str(folder), views=("CC",))]
    regions(tmp_path / "elsewhere" / "AllXML" / "22678646.xml", ("Mass", SQUARE[:3]))
    table = (folder / "INbreast.csv").read_text()
    changed = INbreast(str(tmp_path / "elsewhere")).digest
    (folder / "INbreast.csv").write_text(table.replace("22678622;4;1", "22678622;4;4b"))
    assert len({original, changed, INbreast(str(folder)).digest, *(other.digest for other in others)}) == 5


def _table(old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "INbreast.csv"
        path.write_text(path.read_text().replace(old, new))

    return damage


def _rename(old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = next((folder / "AllDICOMs").glob(f"*{old}*"))
        path.rename(path.with_name(path.name.replace(old, new)))

    return damage


def _tag(**changed: str) -> Callable[[Path], None]:
    return lambda folder: change(next((folder / "AllDICOMs").glob("22678646_*")), **changed) and None


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no table": (lambda folder: (folder / "INbreast.csv").unlink(), r"set: found no INbreast\.csv and no INbreast\.xls"),
    "no outlines at all": (lambda folder: shutil.rmtree(folder / "AllXML"), r"set: found no folder AllXML, expected one with the outlines"),
    "label without image": (
        lambda folder: next((folder / "AllDICOMs").glob("22614097_*")).unlink(),
        r"INbreast\.csv: found a label without an image, expected a file .*22614097_\*\.dcm",
    ),
    "image without label": (
        _table("removed;removed;L;CC;201001;22614097;4;2", ""),
        r"22614097_cc_MG_L_CC_ANON\.dcm: found an image without a label, expected a row '22614097' in INbreast\.csv",
    ),
    "side in table": (_table("L;CC;201001;22678646", "R;CC;201001;22678646"), r"22678646.*: found the side L in the file name"),
    "side in name": (_rename("22678646_aa_MG_L", "22678646_aa_MG_R"), r"22678646.*: found the side R in the file name, expected L as INbreast\.csv"),
    "side in tag": (_tag(ImageLaterality="R"), r"22678646.*: found the side R in the DICOM tags, expected L as the file name has"),
    "view in tag": (_tag(ViewPosition="MLO"), r"22678646.*: found the view MLO in the DICOM tags, expected CC as the file name has"),
    "view in table": (_table("L;CC;201001;22678646", "L;MLO;201001;22678646"), r"22678646.*: found the view CC in the file name, expected MLO"),
    "odd side": (_table("L;CC;201001;22678646", "X;CC;201001;22678646"), r"INbreast\.csv: 22678646: Laterality: found 'X', expected one of L, R"),
    "odd BI-RADS": (_table("22678646;4;4a", "22678646;4;7"), r"INbreast\.csv: 22678646: found BI-RADS '7', expected 0 to 6, such as 2 or 4a"),
    "no column": (_table("Bi-Rads", "Score"), r"INbreast\.csv: found no column 'Bi-Rads', expected File Name, Laterality, View, Bi-Rads"),
    "commas": (_table(";", ","), r"INbreast\.csv: found no column 'File Name'"),
    "twice": (_table("22614097;4;2", "22678646;4;2"), r"INbreast\.csv: 22678646: found the image twice, expected each once"),
    "name": (_rename("22678646_aa_MG_L_CC_ANON", "22678646"), r"22678646\.dcm: found the name '22678646\.dcm', expected IMAGE_PATIENT_MG_L_CC_ANON"),
    "xml": (lambda folder: (folder / "AllXML" / "22678646.xml").write_text("<plist"), r"22678646\.xml: found no OsiriX list that can be read"),
    "point": (
        lambda folder: regions(folder / "AllXML" / "22678646.xml", ("Mass", ["1 2"])),
        r"22678646\.xml: found the point '1 2', expected one such as \(x, y\)",
    ),
    "colour": (_tag(PhotometricInterpretation="RGB"), r"22678646.*PhotometricInterpretation: found RGB"),
    "patient in two splits": (
        lambda folder: (folder / "splits.yaml").write_text("train: ['22678622']\ntest: ['22678646']\n"),
        r"splits\.yaml: test: found patient 'aa' in train too",
    ),
    "empty split": (
        lambda folder: (folder / "splits.yaml").write_text("test: [dd]\n"),
        r"set: test: found no image of the views CC, MLO with a label by 'birads>=3', expected some",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_one_line(folder: Path, what: str) -> None:
    damage, message = BROKEN[what]
    damage(folder)
    one = INbreast(str(folder))
    with pytest.raises(DataError, match=message) as caught:
        one.load(one.cases("test"))
    assert "\n" not in str(caught.value)


def test_the_real_table_is_read_whole() -> None:
    if not (EXAMPLES / "INbreast.csv").exists():
        pytest.skip(f"needs INbreast.csv in {EXAMPLES}")
    _, rows = read_table(EXAMPLES)
    counts = np.bincount([row.birads for row in rows.values()])
    assert counts.tolist() == [0, 67, 220, 23, 43, 49, 8]
    assert {row.view for row in rows.values()} == {"CC", "MLO", "FB"}
    assert len(rows) == 410
