"""Tiny mammograms for the loaders' tests: a block of tissue at the chest wall, and DICOM files of it with any element changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from medrobust.data.mammo_dicom import write_dicom

SHAPE = (96, 72)


def breast(seed: int, side: str) -> np.ndarray:
    """(96, 72) uint16, 0 outside; a block of 4000 at rows 30 to 39 and columns 10 to 19 from the chest wall."""
    image = np.zeros(SHAPE, np.uint16)
    image[8:88, :50] = np.random.default_rng(seed).integers(900, 1500, size=(80, 50))
    image[30:40, 10:20] = 4000
    return np.ascontiguousarray(image[:, ::-1]) if side == "R" else image


def dicom(path: Path, seed: int, side: str, view: str, **changed: Any) -> Path:
    """A mammogram's file; changed: elements to set, None to leave out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_dicom(path, breast(seed, side), f"p{seed}", side, view, 0.5)
    return change(path, **changed)


def change(path: Path, **changed: Any) -> Path:
    """Set elements of a file, or leave them out where None."""
    dataset = pydicom.dcmread(path)
    for name, value in changed.items():
        if name == "TransferSyntaxUID":
            dataset.file_meta.TransferSyntaxUID = value
        elif value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    pydicom.dcmwrite(path, dataset)
    return path
