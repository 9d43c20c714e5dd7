"""A made-up mammogram as a DICOM file of an INbreast-like device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

BITS = 12


def write_dicom(path: Path, pixels: NDArray[np.uint16], patient: str, laterality: str, view: str, spacing: float) -> Path:
    """MONOCHROME2, 16 bits allocated, 12 used; every byte, UIDs too, depends on the arguments alone. spacing: mm of a pixel."""
    uid = generate_uid(entropy_srcs=[patient, laterality, view, pixels.tobytes().hex()[:4096], path.stem])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, uid
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[patient, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[patient, laterality, view, "series"])
    dataset.Modality, dataset.BodyPartExamined, dataset.PresentationIntentType = "MG", "BREAST", "FOR PRESENTATION"
    dataset.Manufacturer = "medrobust"
    dataset.ImageComments = "Made up: a phantom, no patient"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.PatientID, dataset.PatientName, dataset.PatientSex, dataset.PatientIdentityRemoved = patient, "phantom", "F", "YES"
    dataset.ImageLaterality, dataset.ViewPosition = laterality, view
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelSpacing = dataset.ImagerPixelSpacing = [f"{spacing:g}"] * 2
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PixelRepresentation = "MONOCHROME2", 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS, BITS - 1
    dataset.WindowCenter, dataset.WindowWidth = "1900", "3200"
    dataset.BurnedInAnnotation = "NO"
    dataset.PixelData = pixels.astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path
