"""A changed image says so wherever it goes: in its DICOM tags, in its PNG metadata, and in a file beside it.

Nothing here writes a changed image without its statement, and no tag of a source image is copied.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medrobust.digests import digest, plain
from medrobust.errors import DataError
from medrobust.files import replacing, write_json

TOP = 65535
MARK = "MODIFIED"
CHANGED = f"{MARK} BY COMPUTER, NOT AS ACQUIRED: all that is called attacked or modified. For research on robustness; not for diagnosis."
"""What a file says that holds many images."""

EMPTY = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "PatientOrientation")
"""What every DICOM file has to have, if only empty."""


@dataclass(frozen=True)
class Statement:
    """What is said of a changed image.

    attack: its name in the tables. configuration: every option of it. cell: digest of the cell that stored the image.
    case, patient: names in the data set. data: label of the data set. direction: what was done to this image, such as `inject`; empty where unknown.
    """

    attack: str
    cell: str
    case: str
    patient: str
    data: str
    direction: str = ""
    configuration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """One sentence for people."""
        done = f"{self.attack} ({self.direction})" if self.direction else self.attack
        return (
            f"{MARK} BY COMPUTER, NOT AS ACQUIRED: medrobust {version('medrobust')} changed case {self.case} of {self.data} by the attack {done}, "
            f"cell {self.cell}. For research on robustness; not for diagnosis."
        )


def write_png(path: Path, image: ArrayLike, span: tuple[float, float], statement: Statement) -> None:
    """A 16-bit grey PNG with the statement as text chunks, and the file beside it.

    image: (H, W) in data units, black at span[0], white at span[1].
    """
    from PIL import Image, PngImagePlugin

    said = PngImagePlugin.PngInfo()
    said.add_text("Description", statement.text)
    said.add_text("Software", f"medrobust {version('medrobust')}")
    said.add_text("medrobust", json.dumps(plain(statement)))
    with replacing(path) as temporary:
        Image.fromarray(levels(image, span)).save(temporary, format="PNG", pnginfo=said)
    _beside(path, span, statement)


def write_dicom(path: Path, image: ArrayLike, span: tuple[float, float], statement: Statement, number: int = 1) -> None:
    """A secondary capture, 16 bits, with the statement in the tags that viewers and archives show, and the file beside it.

    Patient's name and ID begin with MODIFIED, so that no work list shows it among others. UIDs are new; equal images have equal ones.
    number: of the instance in its series.
    """
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    pixels = levels(image, span)
    series = [statement.cell, statement.attack]
    content = hashlib.sha256(pixels.tobytes()).hexdigest()
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = SecondaryCaptureImageStorage
    data.SOPInstanceUID = generate_uid(entropy_srcs=[*series, statement.case, content])
    data.StudyInstanceUID = generate_uid(entropy_srcs=["study", *series, statement.patient])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["series", *series, statement.patient])
    data.ImageType = ["DERIVED", "SECONDARY"]
    data.ConversionType = "SYN"
    data.Modality = "OT"
    data.PatientName = f"{MARK}^{_short(statement.patient, 50)}"
    data.PatientID = _short(f"{MARK}-{statement.patient}", 64)
    data.SeriesDescription = _short(f"{MARK} by medrobust: {statement.attack} {statement.direction}", 64)
    data.DerivationDescription = _short(statement.text, 1022)
    data.ImageComments = _short(statement.text, 1022)
    data.BurnedInAnnotation = "NO"
    data.Manufacturer = data.SecondaryCaptureDeviceManufacturer = "medrobust"
    data.SoftwareVersions = data.SecondaryCaptureDeviceSoftwareVersions = version("medrobust")
    for empty in EMPTY:
        setattr(data, empty, "")
    data.SeriesNumber, data.InstanceNumber = 1, number
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.WindowCenter, data.WindowWidth = TOP // 2 + 1, TOP + 1
    data.PixelData = pixels.astype("<u2").tobytes()
    with replacing(path) as temporary:
        data.save_as(temporary, enforce_file_format=True)
    _beside(path, span, statement)


def levels(image: ArrayLike, span: tuple[float, float]) -> NDArray[np.uint16]:
    """(H, W) in data units as 0 to 65535 over `span`; DataError for what is no plane of finite values within it."""
    plane = np.asarray(image, dtype=np.float64)
    low, high = span
    if plane.ndim != 2 or not np.isfinite(plane).all() or plane.min() < low or plane.max() > high or not high > low:
        found = f"shape {plane.shape}" if plane.ndim != 2 else f"values from {plane.min():g} to {plane.max():g}"
        msg = f"image: found {found}, expected one plane of finite values from {low:g} to {high:g}"
        raise DataError(msg)
    return ((plane - low) / (high - low) * TOP).round().astype(np.uint16)


def stated(path: Path) -> str:
    """The statement that a PNG or DICOM file carries inside; empty where it carries none."""
    if path.suffix.lower() == ".png":
        from PIL import Image

        with Image.open(path) as image:
            return str(image.info.get("Description", ""))
    from pydicom import dcmread

    return str(dcmread(path, stop_before_pixels=True).get("DerivationDescription", ""))


def sidecar(path: Path) -> Path:
    """The file beside an image that says what was done to it."""
    return path.with_name(f"{path.name}.json")


def file_name(case: str) -> str:
    """A case's name as every file system takes it; a digest keeps two of them apart where characters had to go."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", case).strip(".")[:80]
    return safe if safe == case else f"{safe}-{digest(case, 6)}"


def _beside(path: Path, span: tuple[float, float], statement: Statement) -> None:
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    said = {"file": path.name, "sha256": content, "statement": statement.text, "medrobust": version("medrobust"), "span": list(span)}
    write_json(sidecar(path), {**said, **plain(statement)})


def _short(text: str, length: int) -> str:
    """As DICOM's strings take it: no backslash, no control character, no separator of names, at most `length` bytes."""
    return re.sub(r"[\\^=\x00-\x1f\x7f]", "_", text).encode()[:length].decode(errors="ignore").strip()
