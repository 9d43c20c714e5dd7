"""mini-MIAS as published and as reduced: its table either way, pairs as patients, circles counted from the bottom."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.io import imsave

from medrobust.data.mini_mias import MiniMIAS
from medrobust.errors import DataError

EXAMPLES = Path(os.environ.get("MEDROBUST_EXAMPLE_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "mammography"
ROWS = """
mdb001 G CIRC B 535 425 197
mdb002 G NORM
mdb003 D NORM
mdb004 D SPIC M 256 900 64
mdb004 D CIRC B 700 300 40
mdb005 F NORM
mdb006 F CALC M *NOTE 3*
mdb007 F NORM
mdb008 G ARCH M 500 500 90
"""
HEADER = "             MAMMOGRAPHIC IMAGE ANALYSIS SOCIETY\n\n1st column: MIAS database reference number.\n=======\n"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def film(number: int) -> np.ndarray:
    """A breast whose chest wall is to the left of a left one (even numbers), to the right of a right one; a bright square above its middle."""
    random = np.random.default_rng(number)
    image = np.zeros((128, 128), np.uint8)
    image[10:118, :60] = random.integers(60, 90, size=(108, 60))
    image[20:30, 10:20] = 250
    return image if number % 2 == 0 else np.ascontiguousarray(image[:, ::-1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "set"
    place.mkdir()
    (place / "Info.txt").write_text(HEADER + ROWS + "\nmade up\n")
    for number in range(1, 9):
        imsave(place / f"mdb{number:03d}.pgm", film(number), check_contrast=False)
    (place / "splits.yaml").write_text("train: [pair001, pair004]\ntest: [pair002, pair003]\n")
    return place


def test_pairs_are_patients_and_benign_is_left_out(folder: Path) -> None:
    one = MiniMIAS(str(folder))
    assert [(case.case, case.patient) for case in one.cases("train")] == [("mdb002", "pair001"), ("mdb007", "pair004"), ("mdb008", "pair004")]
    assert one.load(one.cases("train")).truth.tolist() == [0, 0, 1]
    assert one.load(one.cases("test")).truth.tolist() == [0, 1, 0, 1]
    against_all = MiniMIAS(str(folder), labels="malignant")
    assert against_all.load(against_all.cases("train")).truth.tolist() == [0, 0, 0, 1]
    mass = MiniMIAS(str(folder), labels="mass")
    assert mass.load(mass.cases("train")).truth.tolist() == [1, 0, 0, 0]
    assert len({one.digest, against_all.digest, mass.digest}) == 3
    assert MiniMIAS(str(folder), size=[256, 256]).digest == one.digest, "a list of two is the same size"  # type: ignore[arg-type]
    assert one.label == "mini-MIAS, 256x256, pathology (malignant cancerous, benign left out)"


def test_circles_count_from_the_bottom_and_right_breasts_are_turned(folder: Path) -> None:
    one = MiniMIAS(str(folder), size=(128, 128))
    cases = one.cases("test")
    batch = one.load(cases)
    assert [case.case for case in cases] == ["mdb003", "mdb004", "mdb005", "mdb006"]
    assert (batch.image[:, 0, 20:30, 10:20] == 1).all()
    assert (batch.context["breast"][:, 0, 40:100, 5:50] == 1).all()
    assert (batch.context["breast"][:, 0, :, 70:] == 0).all()
    lesion = batch.context["lesion"][:, 0].numpy()
    assert lesion[[0, 2, 3]].sum() == 0
    rows, columns = np.nonzero(lesion[1])
    assert (rows.mean(), columns.mean()) == pytest.approx(((1024 - 900) / 8 - 0.5, 256 / 8 - 0.5), abs=0.6)  # of the malignant circle alone
    assert lesion[1].sum() == pytest.approx(np.pi * 8**2, rel=0.12)
    assert batch.context["outlined"].tolist() == [True, True, True, False]
    (folder / "splits.yaml").write_text("test: [pair001]\n")
    other = MiniMIAS(str(folder), size=(128, 128), labels="mass")
    rows, columns = np.nonzero(other.load(other.cases("test")).context["lesion"][0, 0].numpy())
    assert (rows.mean(), columns.mean()) == pytest.approx(((1024 - 425) / 8, 127 - 535 / 8), abs=1)  # mdb001 is a right breast


def test_the_converted_table_and_reduced_images_say_the_same(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "small").mkdir(parents=True)
    lines = ["Name,Background Tissue,Abnormality,Type,x,y,r"]
    for row in ROWS.split("\n"):
        words = row.replace(" *NOTE 3*", "").split()
        if words:
            lines.append(",".join(words + [""] * (7 - len(words))))
    (other / "labels_converted.csv").write_text("\n".join(lines) + "\n")
    for number in range(1, 9):
        imsave(other / "small" / f"mdb{number:03d}.png", film(number), check_contrast=False)
    shutil.copy(folder / "splits.yaml", other)
    ours, theirs = MiniMIAS(str(other), images="small"), MiniMIAS(str(folder))
    for split in ("train", "test"):
        assert ours.cases(split) == theirs.cases(split)
        left, right = ours.load(ours.cases(split)), theirs.load(theirs.cases(split))
        assert torch.equal(left.image, right.image)
        assert torch.equal(left.truth, right.truth)
        assert all(torch.equal(left.context[name], right.context[name]) for name in ("lesion", "breast", "outlined"))


def test_splits_are_drawn_by_pair_and_alike_under_every_rule(folder: Path) -> None:
    (folder / "splits.yaml").unlink()
    patients = {}
    for labels in ("malignant", "mass"):
        one = MiniMIAS(str(folder), labels=labels, val=0.25, test=0.25)
        patients[labels] = {split: {case.patient for case in one.cases(split)} for split in one._set.splits}
        assert sum(len(some) for some in patients[labels].values()) == 4
        assert len(set.union(*patients[labels].values())) == 4
    assert patients["malignant"] == patients["mass"]


def _rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text().replace(old, new))

    return damage


def _oblong(folder: Path) -> None:
    imsave(folder / "mdb003.pgm", film(3)[:, :100], check_contrast=False)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "image without label": (_rewrite("Info.txt", "mdb007 F NORM\n", ""), r"mdb007\.pgm: found an image without a label, expected a row 'mdb007'"),
    "label without image": (lambda folder: (folder / "mdb007.pgm").unlink(), r"Info\.txt: mdb007: found a label without an image, expected .*mdb007"),
    "no table": (lambda folder: (folder / "Info.txt").unlink(), r"found no Info\.txt and no labels_converted\.csv"),
    "empty table": (lambda folder: (folder / "Info.txt").write_text("nothing"), r"Info\.txt: found no row of an image"),
    "odd row": (_rewrite("Info.txt", "mdb004 D SPIC M 256 900 64", "mdb004 D SPIC M 256"), r"Info\.txt:9: found 'mdb004 D SPIC M 256', expected"),
    "odd kind": (_rewrite("Info.txt", "SPIC", "SPIK"), r"mdb004: found 'SPIK M', expected NORM, or one of CIRC"),
    "no severity": (_rewrite("Info.txt", "ARCH M 500 500 90", "ARCH"), r"mdb008: found 'ARCH ', expected NORM"),
    "oblong": (_oblong, r"mdb003\.pgm: found 128 x 100 pixels, expected 1024 x 1024 or a whole part of it"),
    "damaged": (lambda folder: (folder / "mdb003.pgm").write_bytes(b"P5\n128"), r"mdb003\.pgm: found no image that can be read"),
    "constant": (
        lambda folder: imsave(folder / "mdb003.pgm", np.full((128, 128), 7, np.uint8), check_contrast=False),
        r"mdb003\.pgm: found the value 0 everywhere, expected an image",
    ),
    "patient in two splits": (
        lambda folder: (folder / "splits.yaml").write_text("train: [mdb003]\ntest: [mdb004]\n"),
        r"splits\.yaml: test: found patient 'pair002' in train too, expected each patient in one split",
    ),
    "unknown patient": (
        lambda folder: (folder / "splits.yaml").write_text("test: [pair009]\n"),
        r"splits\.yaml: test: found 'pair009', expected a patient or image of the folder, such as 'mdb001'",
    ),
    "empty split": (
        lambda folder: (folder / "splits.yaml").write_text("test: [mdb001]\n"),
        r"test: found no image of the views CC, MLO with a label by 'pathology', expected some",
    ),
    "no such split": (lambda folder: (folder / "splits.yaml").write_text("train: [pair001]\n"), r"found no split 'test', expected one of train"),
    "no folder": (shutil.rmtree, r"found no such folder, expected one of mammograms"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_one_line(folder: Path, what: str) -> None:
    damage, message = BROKEN[what]
    damage(folder)
    one = MiniMIAS(str(folder))
    with pytest.raises(DataError, match=message) as caught:
        one.load(one.cases("test"))
    assert "\n" not in str(caught.value)


def test_rules_and_options_that_do_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="labels: found 'birads>=3', expected one that mini-MIAS can serve: pathology, malignant, mass"):
        MiniMIAS(str(folder), labels="birads>=3")
    with pytest.raises(ValueError, match=r"test: found 1\.5, expected a share"):
        MiniMIAS(str(folder), test=1.5)
    with pytest.raises(ValueError, match=r"val: found 0\.6, expected at most what test \(0\.5\) leaves"):
        MiniMIAS(str(folder), val=0.6, test=0.5)
    one = MiniMIAS(str(folder))
    case = type(one.cases("test")[0])
    with pytest.raises(DataError, match="found no image 'mdb900', expected one of its 8 images"):
        one.load([case("mdb900", "x", "x")])
    with pytest.raises(DataError, match=r"mdb001\.pgm: found an image that 'pathology' leaves out"):
        one.load([case("mdb001", "pair001", "mdb001")])


def test_the_real_films_are_read_whole() -> None:
    """322 films of 161 women; chest walls to the left; malignant circles in the breast."""
    if not (EXAMPLES / "mias_256").is_dir():
        pytest.skip(f"needs the images of mini-MIAS in {EXAMPLES}")
    one = MiniMIAS(str(EXAMPLES), images="mias_256")
    cases = [case for split in ("train", "val", "test") for case in one.cases(split)]
    batch = one.load(cases)
    assert batch.truth.bincount().tolist() == [207, 52]
    assert len(MiniMIAS(str(EXAMPLES), images="mias_256", labels="malignant")._set.images) == 322
    assert len({case.patient for case in cases}) <= 161
    by_split = [{case.patient for case in one.cases(split)} for split in ("train", "val", "test")]
    assert len(set.union(*by_split)) == sum(len(some) for some in by_split)
    assert sum(int(one.load(one.cases("test")).truth[index]) for index in range(len(one.cases("test")))) >= 10
    breast, lesion = batch.context["breast"], batch.context["lesion"]
    share = breast.flatten(1).mean(1)
    assert ((share > 0.1) & (share < 0.95)).all()
    left, right = breast[..., :128].sum((1, 2, 3)), breast[..., 128:].sum((1, 2, 3))
    assert (left > right).float().mean() > 0.9
    known = (batch.truth == 1) & batch.context["outlined"]
    inside = (lesion * breast).sum((1, 2, 3))[known] / lesion.sum((1, 2, 3))[known]
    assert (inside > 0.5).float().mean() > 0.95
    mean_in, mean_of = (batch.image * lesion).sum((1, 2, 3)) / lesion.sum((1, 2, 3)), (batch.image * breast).sum((1, 2, 3)) / breast.sum((1, 2, 3))
    assert (mean_in > mean_of)[known].float().mean() > 0.9
