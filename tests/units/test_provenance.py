"""A changed image says so: every written file is read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from medrobust.cli.app import call
from medrobust.errors import DataError, StoreError
from medrobust.provenance import MARK, TOP, Statement, file_name, levels, sidecar, stated, write_dicom, write_png
from medrobust.run import compute
from medrobust.store import Run, open_run
from medrobust.tampered import direction, images, stored_cells

SAID = Statement("cyclegan", "0123456789ab", "20586908", "p7", "INBreast, 256 x 256", "inject", {"step": 35000})
PLANE = np.linspace(-1, 1, 30 * 20).reshape(30, 20)
HOSTILE = ["a\\b^c=d", "line\nbreak\x00nul\x1b", "Ж" * 300, "<script>alert(1)</script>", "../../etc/passwd", "x" * 2000]


@pytest.mark.parametrize(("write", "name"), [(write_png, "a.png"), (write_dicom, "a.dcm")])
def test_a_written_image_states_that_it_was_changed_and_has_its_pixels(tmp_path: Path, write: Callable[..., None], name: str) -> None:
    path = tmp_path / name
    write(path, PLANE, (-1, 1), SAID)
    text = stated(path)
    assert text == SAID.text
    assert text.startswith(MARK)
    assert all(word in text for word in ("medrobust", "cyclegan (inject)", "0123456789ab", "20586908", "not for diagnosis"))
    found = np.asarray(Image.open(path)) if name.endswith("png") else dcmread(path).pixel_array
    assert np.abs(found / TOP * 2 - 1 - PLANE).max() <= 1 / TOP
    beside = json.loads(sidecar(path).read_text())
    assert beside["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert beside["statement"] == text
    assert beside["configuration"] == {"step": 35000}


def test_dicom_tags_tell_viewers_and_archives(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", PLANE, (-1, 1), SAID, number=4)
    data = dcmread(tmp_path / "a.dcm")
    assert list(data.ImageType) == ["DERIVED", "SECONDARY"]
    assert data.SOPClassUID == SecondaryCaptureImageStorage
    assert (data.ConversionType, data.BurnedInAnnotation, data.InstanceNumber) == ("SYN", "NO", 4)
    assert str(data.PatientName).startswith(f"{MARK}^")
    assert data.PatientID.startswith(f"{MARK}-")
    assert data.SeriesDescription.startswith(f"{MARK} by medrobust: cyclegan inject")
    assert data.DerivationDescription == data.ImageComments == SAID.text
    uids = {data.SOPInstanceUID, data.SeriesInstanceUID, data.StudyInstanceUID}
    assert len(uids) == 3
    write_dicom(tmp_path / "b.dcm", PLANE, (-1, 1), SAID)
    again = dcmread(tmp_path / "b.dcm")
    assert {again.SOPInstanceUID, again.SeriesInstanceUID, again.StudyInstanceUID} == uids, "equal images have equal names"
    write_dicom(tmp_path / "c.dcm", PLANE[::-1], (-1, 1), SAID)
    assert dcmread(tmp_path / "c.dcm").SOPInstanceUID not in uids


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_in_their_tags(tmp_path: Path, name: str) -> None:
    said = Statement(name, "0" * 12, name, name, name, name)
    path = tmp_path / f"{file_name(name)}.dcm"
    assert path.parent == tmp_path
    write_dicom(path, PLANE, (-1, 1), said)
    data = dcmread(path)
    assert stated(path).startswith(MARK)
    assert len(data.PatientName.components) == 1
    assert len(str(data.PatientName)) <= 64
    assert str(data.SeriesDescription).startswith(MARK)
    write_png(path.with_suffix(".png"), PLANE, (-1, 1), said)
    assert stated(path.with_suffix(".png")) == said.text


def test_names_that_lose_characters_stay_apart() -> None:
    assert file_name("20586908") == "20586908"
    assert len({file_name(name) for name in ("a/b", "a_b", "a\\b", "a b")}) == 4


@pytest.mark.parametrize("plane", [np.zeros((1, 4, 4)), np.full((4, 4), np.nan), np.full((4, 4), 1.01), np.full((4, 4), -1.01)])
def test_what_is_no_plane_within_the_span_is_refused(plane: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"^image: found .*, expected one plane of finite values from -1 to 1$"):
        levels(plane, (-1, 1))


def test_an_image_without_a_statement_is_seen(tmp_path: Path) -> None:
    Image.fromarray(levels(PLANE, (-1, 1))).save(tmp_path / "plain.png")
    assert stated(tmp_path / "plain.png") == ""


@pytest.mark.parametrize(
    ("option", "truth", "expected"),
    [("tamper", 0, "inject"), ("tamper", 1, "remove"), ("inject", 1, "inject"), ("remove", 0, "remove"), (None, 1, ""), ("tamper", None, "")],
)
def test_the_direction_of_an_image_follows_option_and_truth(option: str | None, truth: int | None, expected: str) -> None:
    assert direction(option, truth) == expected


# The verb


@pytest.fixture
def finished(make_run: Callable[..., Run]) -> Run:
    """A run whose cell of tiny-search on one target is done."""
    run = make_run(("  - {name: unet, options: {channels: 4, pools: 2}}\n", ""), ("  - tiny-gradient\n", ""), (", tiny-volume", ""))
    for folder in run.cells():
        if folder.cell.attack:
            compute(run.path, folder.digest)
    return run


def test_the_verb_writes_every_stored_image_with_its_statement(finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = {one.case.case: one for one in images(stored_cells(open_run(finished.path))[0])}
    assert len(stored) == 12
    for form, ending in (("png", "png"), ("dicom", "dcm")):
        out = tmp_path / form
        assert call(["images", str(finished.path), "--attack", "tiny-search", "--out", str(out), "--as", form]) == 0
        assert "12 modified images of tiny-search" in capsys.readouterr().out
        written = [path for path in out.iterdir() if path.suffix == f".{ending}"]
        assert len(written) == 12
        for path in written:
            beside = json.loads(sidecar(path).read_text())
            one = stored[beside["case"]]
            assert stated(path) == one.statement.text == beside["statement"]
            assert "tiny-search" in beside["attack"]
            low, high = beside["span"]
            pixels = np.asarray(Image.open(path)) if form == "png" else dcmread(path).pixel_array
            assert np.abs(pixels / TOP * (high - low) + low - one.attacked).max() < 2 * (high - low) / TOP
            assert np.abs(one.attacked - one.clean).max() > 0.01, "the attacked image is written, not the clean one"


def test_what_is_not_stored_is_one_line(finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["images", str(finished.path), "--attack", "tiny-serch", "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no finished cell with stored images of the attack 'tiny-serch'; did you mean tiny-search?" in line
    assert not (tmp_path / "out").exists()


def test_images_that_differ_by_target_have_to_be_chosen(make_run: Callable[..., Run]) -> None:
    run = make_run(("tiny-search, store", "tiny-gradient, store"), ("  - tiny-gradient\n", ""), (", tiny-volume", ""))
    for folder in run.cells():
        if folder.cell.attack:
            compute(run.path, folder.digest)
    with pytest.raises(StoreError, match=r"tiny-gradient: found 2 different sets of images .*choose with --target"):
        stored_cells(run)
    (chosen,) = stored_cells(run, target="zero-filled")
    assert chosen.cell.columns["target"] == "zero-filled"
