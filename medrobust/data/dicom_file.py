"""One mammogram from a DICOM file: grey values that rise with attenuation, and what the file says of side and view."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from medrobust.errors import DataError


@dataclass(frozen=True)
class Dicom:
    """What was read.

    pixels: (h, w) int32, higher is brighter, as stored: no window and no rescaling, which change no image that is scaled to its own range.
    laterality, view: the tags' words, such as L and MLO; empty where the file has none.
    """

    pixels: NDArray[np.int32]
    laterality: str
    view: str


def read_dicom(path: Path) -> Dicom:
    """A single-frame grey image; MONOCHROME1 is inverted within its stored bits, signed values are read as such. Raises DataError in one line."""
    try:
        dataset = pydicom.dcmread(path)
    except (OSError, InvalidDicomError, EOFError, ValueError, NotImplementedError) as error:
        msg = f"{path}: found no DICOM file that can be read ({_line(error)}), expected one"
        raise DataError(msg) from error
    _check(path, dataset)
    inverted = str(dataset.PhotometricInterpretation).strip() == "MONOCHROME1"
    stored = _pixels(path, dataset)
    lowest, highest = _range(dataset)
    pixels = lowest + highest - stored if inverted else stored
    return Dicom(pixels.astype(np.int32), _word(dataset, "ImageLaterality") or _word(dataset, "Laterality"), _word(dataset, "ViewPosition"))


def _check(path: Path, dataset: FileDataset) -> None:
    """Raise DataError unless the file holds one grey image in a form that can be decoded here."""
    missing = [name for name in ("PhotometricInterpretation", "Rows", "Columns", "BitsStored", "PixelRepresentation") if name not in dataset]
    if missing or "PixelData" not in dataset:
        msg = f"{path}: {(missing or ['PixelData'])[0]}: found none, expected an image"
        raise DataError(msg)
    found = str(dataset.PhotometricInterpretation).strip()
    if found not in ("MONOCHROME1", "MONOCHROME2"):
        msg = f"{path}: PhotometricInterpretation: found {found or 'nothing'}, expected MONOCHROME2 or MONOCHROME1"
        raise DataError(msg)
    for name, wanted in (("SamplesPerPixel", 1), ("NumberOfFrames", 1)):
        if int(dataset.get(name) or 1) != wanted:
            msg = f"{path}: {name}: found {dataset.get(name)}, expected {wanted}"
            raise DataError(msg)


def _pixels(path: Path, dataset: FileDataset) -> NDArray[np.int32]:
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    if syntax.is_private or not syntax.is_transfer_syntax:
        msg = f"{path}: TransferSyntaxUID: found '{syntax}', expected a transfer syntax of the standard"
        raise DataError(msg)
    if syntax.is_compressed and syntax.is_encapsulated and not _decodable(syntax):
        msg = f"{path}: TransferSyntaxUID: found {syntax.name}, expected one that can be decoded here (pylibjpeg and its plugins add more)"
        raise DataError(msg)
    try:
        found: NDArray[np.int32] = np.asarray(dataset.pixel_array).astype(np.int32)
    except Exception as error:  # decoders raise whatever they like
        msg = f"{path}: PixelData: found an image that cannot be decoded ({_line(error)}), expected {dataset.Rows} x {dataset.Columns} pixels"
        raise DataError(msg) from error
    if found.ndim != 2:
        msg = f"{path}: PixelData: found shape {found.shape}, expected {dataset.Rows} x {dataset.Columns}"
        raise DataError(msg)
    return found


def _decodable(syntax: UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _range(dataset: FileDataset) -> tuple[int, int]:
    """Least and largest value that the stored bits can hold."""
    bits = int(dataset.BitsStored)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if int(dataset.PixelRepresentation) else (0, 2**bits - 1)


def _word(dataset: FileDataset, name: str) -> str:
    return str(dataset.get(name) or "").strip().upper()


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
