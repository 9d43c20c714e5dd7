"""Bad CT through the command line: one line that names the file, what was found and what was expected, the documented exit code, no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medrobust.cli.app import call
from medrobust.store import open_run

SPEC = """\
suite: bad
track: seg-deform
data: {name: abdominal-ct, options: {folder: FOLDER, layout: btcv, size: 32, spacing: 12.0, train: 1, val: 1, test: 2}}
targets: [{name: seg-unet-2d, options: {widths: [4, 4, 4, 4, 4]}}]
attacks:
  - none
  - {name: deform-shade, options: {training: TRAINING}}
budget: {name: deformation}
metrics: {none: [dice], attacked: [dice, perceptibility]}
batch: 4
"""
SHORT = "{steps: 4, interval: 2, batch: 2, validate: 2}"
ORGANS = {11: (6, 8, 9, 12), 2: (10, 13, 5, 8), 3: (10, 13, 13, 16), 6: (4, 9, 3, 8), 1: (6, 10, 16, 18)}
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def save(path: Path, volume: np.ndarray, tilt: float = 0.0) -> None:
    """A volume whose axes run to the back, the left and the head, 12 x 12 x 5 mm, turned by `tilt` degrees."""
    angle = np.deg2rad(tilt)
    affine = np.array([[0, -12.0, 0, 100], [-12.0, 0, 0, 80], [0, 0, 5.0, -40], [0, 0, 0, 1]])
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume, turn @ affine), path)


def image(seed: int) -> np.ndarray:
    volume = np.full((16, 20, 4), -1000, np.int16)
    volume[2:14, 2:18] = np.random.default_rng(seed).integers(20, 160, size=(12, 16, 4))
    return volume


def labels(without: tuple[int, ...] = ()) -> np.ndarray:
    volume = np.zeros((16, 20, 4), np.uint8)
    for number, (top, bottom, left, right) in ORGANS.items():
        volume[top:bottom, left:right, 1:3] = 0 if number in without else number
    return volume


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four subjects, whole."""
    for subject in range(1, 5):
        save(tmp_path / "set" / f"imagesTr/img{subject:04d}.nii.gz", image(subject))
        save(tmp_path / "set" / f"labelsTr/label{subject:04d}.nii.gz", labels())
    return tmp_path / "set"


def run(tmp_path: Path, folder: Path, training: str = SHORT) -> int:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("FOLDER", str(folder)).replace("TRAINING", training))
    return call(["run", str(tmp_path / "spec.yaml"), "--out", str(tmp_path / "runs"), "--executor", "local"])


def no_pancreas(folder: Path) -> None:
    for path in sorted((folder / "labelsTr").iterdir()):
        save(path, labels(without=(11,)))


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda folder: save(folder / "labelsTr/label0002.nii.gz", labels() + np.uint8(40)), "label0002.nii.gz: found the label 40"),
        (lambda folder: (folder / "labelsTr/label0002.nii.gz").unlink(), "img0002.nii.gz: found no"),
        (no_pancreas, "found no pancreas"),
    ],
    ids=["unknown label", "no label", "no subject has a pancreas"],
)
def test_bad_outlines_are_one_line_before_anything_is_computed(
    folder: Path, tmp_path: Path, capsys: Capture, damage: Callable[[Path], object], line: str
) -> None:
    damage(folder)
    assert run(tmp_path, folder) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert line in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda folder, name: save(folder / f"imagesTr/img{name}.nii.gz", image(2), tilt=20), "found axes 20.0 degrees off the scanner's"),
        (lambda folder, name: save(folder / f"imagesTr/img{name}.nii.gz", image(2)[:, :-1]), "found shape (16, 20, 4), expected (16, 19, 4)"),
        (lambda folder, name: save(folder / f"imagesTr/img{name}.nii.gz", image(2) + np.int16(20000)), "expected HU"),
    ],
    ids=["oblique", "mismatched", "not HU"],
)
def test_a_bad_image_fails_the_cells_that_read_it_with_one_line_and_loses_no_other(
    folder: Path, tmp_path: Path, capsys: Capture, damage: Callable[[Path, str], object], line: str
) -> None:
    (folder / "splits.yaml").write_text("train: [img0001]\nval: [img0002]\ntest: [img0003, img0004]\n")
    damage(folder, "0002")
    assert run(tmp_path, folder) == 2
    said = capsys.readouterr()
    assert line in " ".join(said.out.split())
    assert "0002.nii.gz" in said.out
    assert "Traceback" not in said.out + said.err
    (made,) = (tmp_path / "runs").iterdir()
    found = {cell.cell.columns["attack"]: cell.state().status for cell in open_run(made).cells()}
    assert found == {"none": "done", "deform-shade": "failed"}, "the generator alone asks for the validation split"


def test_a_collapsing_training_fails_its_cell_with_one_line_and_leaves_the_others_and_its_checkpoint(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run(tmp_path, folder, "{steps: 6, interval: 2, batch: 2, validate: 2, explode: 1.0e-9}") == 2
    said = capsys.readouterr()
    assert "training diverged: found critic loss" in said.out
    assert "there is no checkpoint yet; lower learning_rate" in said.out
    assert "Traceback" not in said.out + said.err
    (made,) = (tmp_path / "runs").iterdir()
    assert {cell.cell.columns["attack"]: cell.state().status for cell in open_run(made).cells()} == {"none": "done", "deform-shade": "failed"}
    assert run(tmp_path, folder) == 0, "with settings that hold, the rest is computed"


def test_slices_without_an_organ_are_no_cases_and_disturb_nothing(folder: Path, tmp_path: Path) -> None:
    assert run(tmp_path, folder) == 0
    (made,) = (tmp_path / "runs").iterdir()
    rows = open_run(made).rows()
    names = set(rows[rows["metric"] == "perceptibility"]["case"])
    assert {name.split("#")[1] for name in names} == {"001", "002"}, "slices 0 and 3 hold none"
