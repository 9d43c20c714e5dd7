"""Bad mammograms through the command line: one line that names file, found and expected, the documented exit code, no traceback."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

from medrobust.cli.app import call
from medrobust.data.mammo_dicom import write_dicom
from medrobust.store import open_run

SPEC = """\
suite: bad
track: mammo-tamper
data: {name: inbreast, options: {folder: FOLDER, size: [64, 64]}}
targets: [{name: resnet-2d, options: {widths: [4, 4, 4, 4]}}]
attacks:
  - none
  - {name: cyclegan, options: {training: TRAINING}}
budget: {name: intensity-range}
metrics: {none: [score, grid-index], attacked: [score, grid-index, change]}
batch: 4
"""
SHORT = "{generator: {channels: 2, blocks: 1}, discriminator: {channels: 2}, steps: 4, constant: 2, interval: 2, validate: 1}"
EXPLODING = SHORT.replace("interval: 2", "interval: 2, explode: 0.001")
HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
PATIENTS = {"train": ("aa", "bb"), "val": ("cc", "dd"), "test": ("ee", "ff")}
Capture = pytest.CaptureFixture[str]
Damage = Callable[[Path], object]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def pixels(seed: int) -> np.ndarray:
    image = np.zeros((96, 72), np.uint16)
    image[8:88, :50] = np.random.default_rng(seed).integers(900, 1500, size=(80, 50))
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two patients of each split, a left breast each, the second one's cancerous and outlined."""
    place, rows = tmp_path / "set", [HEADER]
    (place / "AllXML").mkdir(parents=True)
    (place / "AllDICOMs").mkdir()
    for number, patient in enumerate(patient for pair in PATIENTS.values() for patient in pair):
        image = f"2000000{number}"
        write_dicom(place / "AllDICOMs" / f"{image}_{patient}_MG_L_CC_ANON.dcm", pixels(number), patient, "L", "CC", 0.5)
        rows.append(f"removed;removed;L;CC;201001;{image};4;{5 if number % 2 else 1}")
        if number % 2:
            roi = {"Name": "Mass", "NumberOfPoints": 3, "Point_px": ["(10.0, 30.0)", "(19.0, 30.0)", "(19.0, 39.0)"]}
            (place / "AllXML" / f"{image}.xml").write_bytes(plistlib.dumps({"Images": [{"NumberOfROIs": 1, "ROIs": [roi]}]}))
    (place / "INbreast.csv").write_text("\r\n".join(rows) + "\r\n")
    (place / "splits.yaml").write_text("".join(f"{split}: [{', '.join(pair)}]\n" for split, pair in PATIENTS.items()))
    return place


def run(tmp_path: Path, folder: Path, training: str = SHORT) -> int:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("FOLDER", str(folder)).replace("TRAINING", training))
    return call(["run", str(tmp_path / "spec.yaml"), "--out", str(tmp_path / "runs"), "--executor", "local"])


def states(tmp_path: Path) -> dict[str, str]:
    (made,) = (tmp_path / "runs").iterdir()
    return {cell.cell.columns["attack"]: cell.state().status for cell in open_run(made).cells()}


def edit(patient: str, **tags: str) -> Damage:
    def damage(folder: Path) -> None:
        path = next((folder / "AllDICOMs").glob(f"*_{patient}_*"))
        dataset = pydicom.dcmread(path)
        for name, value in tags.items():
            setattr(dataset, name, value)
        dataset.save_as(path)

    return damage


def compress(patient: str) -> Damage:
    """Into a syntax that needs a decoder that is not among the requirements."""

    def damage(folder: Path) -> None:
        path = next((folder / "AllDICOMs").glob(f"*_{patient}_*"))
        dataset = pydicom.dcmread(path)
        dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        dataset.save_as(path)

    return damage


def other_side(folder: Path) -> None:
    table = folder / "INbreast.csv"
    table.write_text(table.read_text().replace("L;CC;201001;20000004", "R;CC;201001;20000004"))


def test_the_undamaged_set_runs(folder: Path, tmp_path: Path) -> None:
    assert run(tmp_path, folder) == 0
    assert states(tmp_path) == {"none": "done", "cyclegan": "done"}


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda folder: (folder / "INbreast.csv").unlink(), "found no INbreast.csv and no INbreast.xls"),
        (lambda folder: next((folder / "AllDICOMs").glob("20000004_*")).unlink(), "20000004_*.dcm"),
        (other_side, "found the side L in the file name, expected R"),
    ],
    ids=["no table", "no image", "side in the table"],
)
def test_bad_side_files_are_one_line_before_anything_is_computed(folder: Path, tmp_path: Path, capsys: Capture, damage: Damage, line: str) -> None:
    damage(folder)
    assert run(tmp_path, folder) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert line in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (compress("aa"), "20000000_aa_MG_L_CC_ANON.dcm: TransferSyntaxUID: found JPEG Lossless"),
        (edit("aa", PhotometricInterpretation="RGB"), "20000000_aa_MG_L_CC_ANON.dcm: PhotometricInterpretation: found RGB, expected MONOCHROME2"),
        (edit("aa", ImageLaterality="R"), "20000000_aa_MG_L_CC_ANON.dcm: found the side R in the DICOM tags, expected L as the file name has"),
        (lambda folder: (folder / "AllXML" / "20000001.xml").write_text("<plist"), "20000001.xml: found no OsiriX list that can be read"),
    ],
    ids=["no decoder", "colour", "side in the tags", "damaged outlines"],
)
def test_a_bad_image_fails_the_cells_that_read_it_with_one_line_and_loses_no_other(
    folder: Path, tmp_path: Path, capsys: Capture, damage: Damage, line: str
) -> None:
    damage(folder)
    assert run(tmp_path, folder) == 2
    said = capsys.readouterr()
    assert line in " ".join(said.out.split())
    assert "Traceback" not in said.out + said.err
    assert states(tmp_path) == {"none": "done", "cyclegan": "failed"}, "the generators alone ask for the training split"


def test_a_training_that_diverges_is_one_line_and_loses_no_other_cell(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(tmp_path, folder, EXPLODING) == 2
    said = capsys.readouterr()
    assert "diverged" in " ".join(said.out.split())
    assert "Traceback" not in said.out + said.err
    assert states(tmp_path) == {"none": "done", "cyclegan": "failed"}
