"""OpenKBP in its published csv layout and as one npz a patient: read alike, in HU, turned as declared and split as published."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from medrobust.data.openkbp import OpenKBP
from medrobust.errors import DataError

EXAMPLES = Path(os.environ.get("MEDROBUST_EXAMPLE_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "ct_multiorgan" / "openkbp"
SHAPE = (128, 128, 128)
STRUCTURES = ("Brainstem", "SpinalCord", "RightParotid", "LeftParotid", "Esophagus", "Larynx", "Mandible")
EDGES = (4.5, 4.25, 2.5)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def patient(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Stored CT and labels: a block of tissue in a few slices, an organ each in its place."""
    random = np.random.default_rng(seed)
    ct, label = np.zeros(SHAPE, np.int16), np.zeros(SHAPE, np.uint8)
    ct[50:80, 45:85, 10:20] = random.integers(880, 1100, size=(30, 40, 10))
    for organ in range(1, 8):
        label[52 + 2 * organ, 50 + 3 * organ : 54 + 3 * organ, 8 + organ : 11 + organ] = organ
    return ct, label


def write_npz(path: Path, seed: int, **changed: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ct, label = patient(seed)
    np.savez_compressed(path, **{"ct": ct, "label": label, "voxel_mm": np.array(EDGES), **changed})


def write_csv(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True)
    ct, label = patient(seed)
    inside = np.flatnonzero(ct)
    lines = [f"{index},{value}" for index, value in zip(inside, ct.ravel()[inside], strict=True)]
    (folder / "ct.csv").write_text(",data\n" + "\n".join(lines) + "\n")
    for organ, name in enumerate(STRUCTURES, start=1):
        write_mask(folder / f"{name}.csv", np.flatnonzero(label == organ))
    write_mask(folder / "PTV70.csv", np.arange(5))
    write_mask(folder / "possible_dose_mask.csv", inside)
    (folder / "voxel_dimensions.csv").write_text("".join(f"{edge}\n" for edge in EDGES))


def write_mask(path: Path, indices: np.ndarray) -> None:
    path.write_text(",data\n" + "".join(f"{index},\n" for index in indices))


def data(folder: Path, **options: object) -> OpenKBP:
    return OpenKBP(str(folder), **{"train": 1, "val": 0, "test": 1, **options})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, split in ((1, "train"), (202, "validation"), (301, "test")):
        write_npz(tmp_path / "set" / f"{split}_pt_{number}.npz", number)
    return tmp_path / "set"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    for number, split in ((1, "train"), (202, "valid"), (301, "test")):
        write_csv(tmp_path / "csv" / "provided-data" / f"{split}-pats" / f"pt_{number}", number)
    return tmp_path / "csv"


def test_both_layouts_give_the_same_slices_in_hu(folder: Path, published: Path) -> None:
    ct, label = patient(301)
    for one in (data(folder), data(published)):
        cases = one.cases("test")
        assert [case.case for case in cases] == [f"pt_301#{index:03d}" for index in range(9, 18)]
        batch = one.load(cases)
        assert batch.image.shape == batch.truth.shape == (9, 1, 128, 128)
        assert (batch.image.dtype, batch.truth.dtype) == (torch.float32, torch.int64)
        units = np.moveaxis(ct, 2, 0).astype(np.float64) - 1000
        np.testing.assert_array_equal(batch.image[:, 0], units[9:18])
        np.testing.assert_array_equal(batch.truth[:, 0], np.moveaxis(label, 2, 0)[9:18])
        assert batch.context["mean"].tolist() == pytest.approx([units.mean()] * 9)
        assert batch.context["std"].tolist() == pytest.approx([units.std()] * 9)
        assert batch.context["spacing"].tolist() == [[4.5, 4.25]] * 9
        assert {tensor.dtype for tensor in batch.context.values()} == {torch.float32}
        assert len(one.cases("train")) == len(one.cases("val")) == 9
        assert one.organs[4] == "esophagus"
        assert [case.case[-3:] for case in data(folder, every=4).cases("test")] == ["012", "016"]


def test_a_csv_mask_later_in_the_published_order_counts(published: Path) -> None:
    _, label = patient(301)
    place = next(published.rglob("pt_301"))
    write_mask(place / "Larynx.csv", np.flatnonzero((label == 2) | (label == 6) | (label == 7)))
    one = data(published)
    truth = one.load(one.cases("test")).truth
    assert int((truth == 2).sum()) == 0
    assert int((truth == 7).sum()) == (label == 7).sum()
    assert int((truth == 6).sum()) == ((label == 2) | (label == 6)).sum()


def test_a_patient_may_lack_an_organ(published: Path) -> None:
    (next(published.rglob("pt_301")) / "Esophagus.csv").unlink()
    one = data(published)
    assert one.load(one.cases("test")).truth.unique().tolist() == [0, 1, 2, 3, 4, 6, 7]


def test_extended_metal_reads_as_the_ceiling_of_12_bit_scanners(folder: Path) -> None:
    ct, _ = patient(301)
    ct[60, 60, 12] = 22575
    write_npz(folder / "test_pt_301.npz", 301, ct=ct)
    assert data(folder)._read("pt_301").image.max() == 3071


def test_missing_published_splits_are_drawn_from_the_training_patients(folder: Path) -> None:
    for number in range(2, 7):
        write_npz(folder / f"train_pt_{number}.npz", number)
    whole = data(folder)
    assert len({case.patient for case in whole.cases("train")}) == 6
    (folder / "test_pt_301.npz").unlink()
    one = data(folder, train=3, test=2)
    found = {split: {case.patient for case in one.cases(split)} for split in ("train", "val", "test")}
    assert [len(found[split]) for split in ("train", "val", "test")] == [3, 1, 2]
    assert found["val"] == {"pt_202"}
    assert len(set.union(*found.values())) == 6
    others = [{case.patient for case in data(folder, train=3, test=2, seed=seed).cases("test")} for seed in range(1, 5)]
    assert any(other != found["test"] for other in others)
    assert [case.patient for case in one.cases("train")] == sorted(case.patient for case in one.cases("train"))
    (folder / "validation_pt_202.npz").rename(folder / "pt_202.npz")
    assert {split: len({case.patient for case in data(folder, train=3, val=1, test=3).cases(split)}) for split in ("train", "val", "test")} == {
        "train": 3,
        "val": 1,
        "test": 3,
    }
    with pytest.raises(DataError, match=r"found 7 subjects to draw from, expected at least 30 train \+ 6 val \+ 18 test"):
        OpenKBP(str(folder)).cases("test")
    (folder / "splits.yaml").write_text("test: [pt_3]\n")
    assert {case.patient for case in data(folder).cases("test")} == {"pt_3"}


def test_the_digest_is_of_content_and_splits_and_of_no_path(folder: Path, published: Path, tmp_path: Path) -> None:
    original = data(folder).digest
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert data(tmp_path / "elsewhere").digest == data(folder, title="other").digest == original
    assert len(original) == 12
    digests = {original, data(folder, every=2).digest, data(published).digest}
    write_npz(folder / "test_pt_301.npz", 5)
    place = next(published.rglob("pt_301"))
    (place / "Larynx.csv").rename(place / "x")
    (place / "Mandible.csv").rename(place / "Larynx.csv")
    (place / "x").rename(place / "Mandible.csv")
    assert len({*digests, data(folder).digest, data(published).digest}) == 5
    assert data(folder).label == "OpenKBP, 128x128"


def _cut(folder: Path) -> None:
    path = folder / "test_pt_301.npz"
    path.write_bytes(path.read_bytes()[:-400])


def _damaged(folder: Path) -> None:
    path = folder / "test_pt_301.npz"
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)
    path.write_bytes(content)


def _stored(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda folder: write_npz(folder / "test_pt_301.npz", 301, ct=change(patient(301)[0]))


def _labels(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda folder: write_npz(folder / "test_pt_301.npz", 301, label=change(patient(301)[1]))


def _nan(ct: np.ndarray) -> np.ndarray:
    found = ct.astype(np.float32)
    found[60, 60, 12] = np.nan
    return found


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (_cut, r"test_pt_301\.npz: label: found no such array that can be read"),
    "damaged": (_damaged, r"test_pt_301\.npz: (ct|label): found no such array that can be read"),
    "HU": (_stored(lambda ct: ct - 1000), r"test_pt_301\.npz: found values of -1000 to 9\d, expected HU \+ 1000"),
    "grey values": (_stored(lambda ct: ct // 8), r"test_pt_301\.npz: found values of 0 to 137, expected HU \+ 1000"),
    "NaN": (_stored(_nan), r"test_pt_301\.npz: found NaN or infinity"),
    "other shape": (_stored(lambda ct: ct[:, :-1]), r"test_pt_301\.npz: ct: found shape \(128, 127, 128\), expected \(128, 128, 128\)"),
    "other labels' shape": (_labels(lambda label: label[..., :-1]), r"test_pt_301\.npz: label: found shape \(128, 128, 127\)"),
    "unknown label": (_labels(lambda label: label + np.uint8(1)), r"test_pt_301\.npz: found the label 8, expected whole numbers of 0 to 7"),
    "no organ": (_labels(lambda label: label * np.uint8(0)), r"test_pt_301\.npz: found no slice with an organ, expected some of brainstem"),
    "edges": (
        lambda folder: write_npz(folder / "test_pt_301.npz", 301, voxel_mm=np.array([4.5, 0, 2.5])),
        r"test_pt_301\.npz: found voxels of \[4\.5, 0\.0, 2\.5\] mm, expected three edges above 0",
    ),
    "twice": (lambda folder: write_npz(folder / "more" / "train_pt_301.npz", 1), r"found the patient 'pt_301' twice"),
    "nothing": (lambda folder: [path.unlink() for path in folder.iterdir()], r"found no patient, expected folders such as train-pats/pt_1"),
    "no folder": (shutil.rmtree, r"found no such folder, expected one of OpenKBP patients"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_with_an_npz_is_one_line(folder: Path, what: str) -> None:
    damage, message = BROKEN[what]
    damage(folder)
    one = data(folder)
    with pytest.raises(DataError, match=message) as caught:
        one.load(one.cases("test"))
    assert "\n" not in str(caught.value)


BROKEN_CSV: dict[str, tuple[Callable[[Path], object], str]] = {
    "no ct": (lambda place: (place / "ct.csv").unlink(), r"ct\.csv: found no table that can be read"),
    "no edges": (lambda place: (place / "voxel_dimensions.csv").unlink(), r"voxel_dimensions\.csv: found no edges that can be read"),
    "two edges": (lambda place: (place / "voxel_dimensions.csv").write_text("4.5\n4.5\n"), r"found voxels of \[4\.5, 4\.5\] mm, expected three"),
    "index": (lambda place: write_mask(place / "Larynx.csv", np.array([128**3])), r"Larynx\.csv: found the index 2\.09715e\+06, expected"),
    "negative index": (lambda place: write_mask(place / "Larynx.csv", np.array([-1])), r"Larynx\.csv: found the index -1, expected whole numbers"),
    "text": (lambda place: (place / "Larynx.csv").write_text(",data\nx,\n"), r"Larynx\.csv: found no table that can be read"),
    "empty": (lambda place: (place / "Larynx.csv").write_text(""), r"Larynx\.csv: found no table that can be read"),
    "no data": (lambda place: (place / "ct.csv").write_text(",data\n5,1000\n6,\n"), r"ct\.csv: found an index without data"),
    "no masks": (lambda place: [(place / f"{name}.csv").unlink() for name in STRUCTURES], r"pt_301: found no slice with an organ"),
}


@pytest.mark.parametrize("what", BROKEN_CSV)
def test_what_is_wrong_with_a_csv_is_one_line(published: Path, what: str) -> None:
    damage, message = BROKEN_CSV[what]
    damage(next(published.rglob("pt_301")))
    one = data(published)
    with pytest.raises(DataError, match=message) as caught:
        one.load(one.cases("test"))
    assert "\n" not in str(caught.value)


def test_an_unknown_case_and_options_out_of_range_are_refused(folder: Path) -> None:
    one = data(folder)
    case = type(one.cases("test")[0])
    with pytest.raises(DataError, match="found no patient 'x', expected one of its 3 patients"):
        one.load([case("x#000", "x", "x")])
    with pytest.raises(DataError, match="pt_301: found no slice '128'"):
        one.load([case("pt_301#128", "pt_301", "pt_301")])
    with pytest.raises(DataError, match="found no split 'tset'"):
        one.cases("tset")
    with pytest.raises(ValueError, match="every: found 0"):
        data(folder, every=0)


def test_the_real_patients_lie_as_declared() -> None:
    """Front, right and head: the mandible before the cord, the right parotid in the lower columns, the brainstem in the lower slices."""
    if not EXAMPLES.is_dir():
        pytest.skip(f"needs the OpenKBP patients in {EXAMPLES}")
    one = OpenKBP(str(EXAMPLES))
    counts = {split: len({case.patient for case in one.cases(split)}) for split in ("train", "val", "test")}
    assert counts == {"train": 30, "val": 6, "test": 18}
    cases = one.cases("test")
    assert len(cases) > 1000
    chosen = sorted({case.patient for case in cases})[:4]
    for patient in chosen:
        own = [case for case in cases if case.patient == patient]
        batch = one.load(own)
        truth = batch.truth[:, 0].numpy()
        centre = {organ: np.argwhere(truth == organ).mean(0) for organ in range(1, 8) if (truth == organ).any()}
        assert centre[7][1] < centre[2][1]
        assert centre[3][2] < centre[7][2] < centre[4][2]
        assert centre[1][0] < centre[2][0]
        brainstem, bone = (np.median(batch.image[:, 0].numpy()[truth == organ]) for organ in (1, 7))
        assert 10 < brainstem < 50
        assert bone > 300
        assert (batch.context["spacing"] > 3.5).all()
        assert batch.image.min() == -1000
