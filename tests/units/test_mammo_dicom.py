"""DICOM files as devices write them: what is read rises with attenuation, and what cannot be read is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from mammo_files import breast, change, dicom
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1, RLELossless

from medrobust.data.dicom_file import read_dicom
from medrobust.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return dicom(tmp_path / "one.dcm", 3, "R", "CC")


def test_a_plain_file_gives_its_pixels_and_words(path: Path) -> None:
    found = read_dicom(path)
    np.testing.assert_array_equal(found.pixels, breast(3, "R"))
    assert (found.pixels.dtype, found.laterality, found.view) == (np.int32, "R", "CC")
    change(path, ImageLaterality=None, Laterality="L ", ViewPosition=None)
    assert (read_dicom(path).laterality, read_dicom(path).view) == ("L", "")


def test_monochrome1_is_inverted_within_its_stored_bits(path: Path) -> None:
    change(path, PhotometricInterpretation="MONOCHROME1", PixelData=(4095 - breast(3, "R")).astype("<u2").tobytes())
    np.testing.assert_array_equal(read_dicom(path).pixels, breast(3, "R"))


@pytest.mark.parametrize("bits", [12, 16])
def test_signed_values_are_read_as_such(path: Path, bits: int) -> None:
    values = breast(3, "R").astype(np.int32) // 2 - 1024
    stored = (values & (2**bits - 1)).astype("<u2").tobytes()
    change(path, PixelRepresentation=1, BitsStored=bits, HighBit=bits - 1, PixelData=stored)
    np.testing.assert_array_equal(read_dicom(path).pixels, values)
    inverted = ((-1 - values) & (2**bits - 1)).astype("<u2").tobytes()
    change(path, PhotometricInterpretation="MONOCHROME1", PixelData=inverted)
    np.testing.assert_array_equal(read_dicom(path).pixels, values)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_plain_syntaxes_are_read(path: Path, syntax: str) -> None:
    change(path, TransferSyntaxUID=syntax)
    np.testing.assert_array_equal(read_dicom(path).pixels, breast(3, "R"))


def test_run_lengths_are_decoded(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    np.testing.assert_array_equal(read_dicom(path).pixels, breast(3, "R"))


def _compressed(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.save_as(path)


def _damaged_runs(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.PixelData = encapsulate([b"\x02\0\0\0" + bytes(90)])
    dataset.save_as(path)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no decoder": (_compressed, r"TransferSyntaxUID: found JPEG Lossless.*, expected one that can be decoded here"),
    "damaged runs": (_damaged_runs, r"PixelData: found an image that cannot be decoded \(.*\), expected 96 x 72 pixels"),
    "colour": (lambda path: change(path, PhotometricInterpretation="RGB"), r"PhotometricInterpretation: found RGB, expected MONOCHROME2 or MONO"),
    "palette": (lambda path: change(path, PhotometricInterpretation="PALETTE COLOR"), r"PhotometricInterpretation: found PALETTE COLOR"),
    "samples": (lambda path: change(path, SamplesPerPixel=3), r"SamplesPerPixel: found 3, expected 1"),
    "frames": (lambda path: change(path, NumberOfFrames=40), r"NumberOfFrames: found 40, expected 1"),
    "too short": (lambda path: change(path, PixelData=bytes(100)), r"PixelData: found an image that cannot be decoded"),
    "no image": (lambda path: change(path, PixelData=None), r"PixelData: found none, expected an image"),
    "no rows": (lambda path: change(path, Rows=None), r"Rows: found none, expected an image"),
    "unknown syntax": (lambda path: change(path, TransferSyntaxUID="1.2.3.4"), r"TransferSyntaxUID: found '1\.2\.3\.4', expected a transfer syntax"),
    "no DICOM": (lambda path: path.write_text("nothing"), r"found no DICOM file that can be read \(.*\), expected one"),
    "no file": (lambda path: path.unlink(), r"found no DICOM file that can be read \(.*\), expected one"),
}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_one_line(path: Path, what: str) -> None:
    damage, message = BROKEN[what]
    damage(path)
    with pytest.raises(DataError, match=r"one\.dcm: " + message) as caught:
        read_dicom(path)
    assert "\n" not in str(caught.value)
