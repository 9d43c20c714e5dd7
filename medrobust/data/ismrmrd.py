"""The ISMRMRD header of a fastMRI file: what its matrix sizes and encoding limits say."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMESPACE = "http://www.ismrm.org/ISMRMRD"
HYDROGEN_HZ_PER_TESLA = 42_577_478.518
PLACE = {"ns": NAMESPACE}


@dataclass(frozen=True)
class Header:
    """Geometry of a Cartesian acquisition.

    Source: ISMRMRD XML schema, and the queries of fastMRI's `SliceDataset` (arXiv:1811.08839).

    encoded: samples of k-space along x (rows, readout), y (columns, phase encoding), z.
    recon: pixels of the reconstructed image along x, y, z.
    center: index of the phase-encoding step at the centre of k-space.
    maximum: last phase-encoding step.
    system_model: scanner, such as `Aera`; empty where the file does not say.
    pixel_mm: pixel spacing in x and y, in mm; slice_mm: slice thickness, in mm.
    field_tesla: strength of the main field.
    """

    encoded: tuple[int, int, int]
    recon: tuple[int, int, int]
    center: int
    maximum: int
    system_model: str = ""
    pixel_mm: float = 1.0
    slice_mm: float = 3.0
    field_tesla: float = 3.0

    @property
    def padding_left(self) -> int:
        """First acquired column of k-space."""
        return self.encoded[1] // 2 - self.center

    @property
    def padding_right(self) -> int:
        """One past the last acquired column of k-space."""
        return self.padding_left + self.maximum + 1


def to_xml(header: Header) -> bytes:
    """Give the header as UTF-8 XML with every element that the ISMRMRD schema requires, in its order."""
    root = ET.Element("ismrmrdHeader", xmlns=NAMESPACE)
    system = ET.SubElement(root, "acquisitionSystemInformation")
    _text(system, "systemModel", header.system_model or "unspecified")
    _text(system, "systemFieldStrength_T", header.field_tesla)
    conditions = ET.SubElement(root, "experimentalConditions")
    _text(conditions, "H1resonanceFrequency_Hz", round(header.field_tesla * HYDROGEN_HZ_PER_TESLA))
    encoding = ET.SubElement(root, "encoding")
    for name, size in (("encodedSpace", header.encoded), ("reconSpace", header.recon)):
        space = ET.SubElement(encoding, name)
        _axes(ET.SubElement(space, "matrixSize"), size)
        _axes(ET.SubElement(space, "fieldOfView_mm"), (size[0] * header.pixel_mm, size[1] * header.pixel_mm, size[2] * header.slice_mm))
    limits = ET.SubElement(ET.SubElement(encoding, "encodingLimits"), "kspace_encoding_step_1")
    for name, step in (("minimum", 0), ("maximum", header.maximum), ("center", header.center)):
        _text(limits, name, step)
    _text(encoding, "trajectory", "cartesian")
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def from_xml(text: bytes) -> Header:
    """Parse the header a file carries. Raises ValueError with one line that names the element."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - expat refuses entity bombs; the user's own file
    except ET.ParseError as error:
        msg = f"found XML that does not parse ({error}), expected an ISMRMRD header"
        raise ValueError(msg) from error
    limits = "encoding/encodingLimits/kspace_encoding_step_1"
    header = Header(
        encoded=_size(root, "encoding/encodedSpace/matrixSize"),
        recon=_size(root, "encoding/reconSpace/matrixSize"),
        center=_integer(root, f"{limits}/center"),
        maximum=_integer(root, f"{limits}/maximum"),
        system_model=_find(root, "acquisitionSystemInformation/systemModel") or "",
    )
    if min(header.encoded + header.recon) < 1 or header.maximum < 0:
        msg = f"found matrix sizes {header.encoded} and {header.recon}, maximum {header.maximum}, expected sizes of at least 1"
        raise ValueError(msg)
    return header


def _text(parent: ET.Element, name: str, value: object) -> None:
    ET.SubElement(parent, name).text = str(value)


def _axes(parent: ET.Element, sizes: Sequence[float]) -> None:
    for axis, size in zip("xyz", sizes, strict=True):
        _text(parent, axis, size)


def _find(root: ET.Element, path: str) -> str | None:
    return root.findtext("/".join(f"ns:{part}" for part in path.split("/")), namespaces=PLACE)


def _integer(root: ET.Element, path: str) -> int:
    text = _find(root, path)
    try:
        return int(text or "")
    except ValueError:
        found = "nothing" if text is None else repr(text)
        msg = f"{path}: found {found}, expected an integer"
        raise ValueError(msg) from None


def _size(root: ET.Element, path: str) -> tuple[int, int, int]:
    return _integer(root, f"{path}/x"), _integer(root, f"{path}/y"), _integer(root, f"{path}/z")
