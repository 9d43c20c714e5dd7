"""Patients of OpenKBP on disk: the published folders of sparse csv files, and one npz file a patient."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medrobust.errors import DataError

SHAPE = (128, 128, 128)
"""Rows to the back, columns to the left, slices to the feet; csv indices count them row-major."""

STRUCTURES = ("Brainstem", "SpinalCord", "RightParotid", "LeftParotid", "Esophagus", "Larynx", "Mandible")
WATER = 1000
"""What is stored of water: the files' ceiling of 4071 is the 3071 HU of 12-bit scanners, and brainstem reads 1020 to 1040."""

AIR, HIGHEST = -1000, 3071
SPLIT_OF = {"train": "train", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Patient:
    """Where one patient's data lie. place: a folder of csv files or an npz file. split: as published; None where no name says it."""

    name: str
    place: Path
    split: str | None

    @property
    def label_files(self) -> tuple[Path, ...]:
        """What the labels are read from."""
        if self.place.is_file():
            return (self.place,)
        return tuple(path for name in STRUCTURES if (path := self.place / f"{name}.csv").exists())

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that is read."""
        if self.place.is_file():
            return (self.place,)
        return (self.place / "ct.csv", self.place / "voxel_dimensions.csv", *self.label_files)


def find_patients(folder: Path) -> dict[str, Patient]:
    """Every patient at any depth, by number: `[SPLIT_]pt_N.npz`, and `pt_N/ct.csv` below `SPLIT-pats`. Raises DataError in one line."""
    if not folder.is_dir():
        msg = f"{folder}: found no such folder, expected one of OpenKBP patients"
        raise DataError(msg)
    places = [path for path in folder.rglob("*pt_*") if path.suffix == ".npz" or path.is_dir()]
    patients: dict[str, Patient] = {}
    for place in sorted(places):
        match = re.fullmatch(r"(?:([a-z]+)[_-])?(pt_\d+)", place.stem)
        if match is None:
            continue
        said = match[1] or re.split(r"[-_]", place.parent.relative_to(folder.parent).name)[0]
        patient = Patient(match[2], place, SPLIT_OF.get(said))
        if patient.name in patients:
            msg = f"{place}: found the patient '{patient.name}' twice (also {patients[patient.name].place}), expected each once"
            raise DataError(msg)
        patients[patient.name] = patient
    if not patients:
        msg = f"{folder}: found no patient, expected folders such as train-pats/pt_1 of csv files, or files such as train_pt_1.npz"
        raise DataError(msg)
    return dict(sorted(patients.items(), key=lambda item: int(item[0].removeprefix("pt_"))))


def read_image(patient: Patient) -> tuple[NDArray[np.int16], tuple[float, float, float]]:
    """HU (z, rows, columns), and mm of a step along rows, columns and slices; outside the dose mask air. Raises DataError in one line.

    HU above 3071, an extended scale that few files have, read as 3071.
    """
    if patient.place.is_file():
        stored, edges = _array(patient.place, "ct"), _member(patient.place, "voxel_mm")
        path = patient.place
    else:
        path = patient.place / "ct.csv"
        indices, values = _sparse(path, valued=True)
        stored = np.zeros(SHAPE, np.float64)
        stored.flat[indices] = values
        edges = _edges(patient.place / "voxel_dimensions.csv")
    if not np.isfinite(stored).all():
        msg = f"{path}: found NaN or infinity, expected finite values"
        raise DataError(msg)
    if stored.min() < 0 or stored.max() < WATER:
        msg = f"{path}: found values of {stored.min():g} to {stored.max():g}, expected HU + {WATER}: at least 0, and above {WATER} in tissue"
        raise DataError(msg)
    if np.shape(edges) != (3,) or not (np.isfinite(edges).all() and (np.asarray(edges) > 0).all()):
        msg = f"{patient.place}: found voxels of {np.asarray(edges).tolist()} mm, expected three edges above 0"
        raise DataError(msg)
    units = np.clip(np.rint(stored - float(WATER)), AIR, HIGHEST).astype(np.int16)
    return np.ascontiguousarray(np.moveaxis(units, 2, 0)), (float(edges[0]), float(edges[1]), float(edges[2]))


def read_labels(patient: Patient) -> NDArray[np.uint8]:
    """Labels (z, rows, columns) from 1 in the order of STRUCTURES; where masks overlap, the later in that order counts. Raises DataError."""
    if patient.place.is_file():
        stored = _array(patient.place, "label")
        known = np.isin(stored, range(len(STRUCTURES) + 1))
        if not known.all():
            msg = f"{patient.place}: found the label {stored[~known][0]:g}, expected whole numbers of 0 to {len(STRUCTURES)}"
            raise DataError(msg)
        labels = stored.astype(np.uint8)
    else:
        labels = np.zeros(SHAPE, np.uint8)
        for path in patient.label_files:
            labels.flat[_sparse(path, valued=False)[0]] = STRUCTURES.index(path.stem) + 1
    return np.ascontiguousarray(np.moveaxis(labels, 2, 0))


def _array(path: Path, name: str) -> NDArray[Any]:
    found = _member(path, name)
    if found.shape != SHAPE:
        msg = f"{path}: {name}: found shape {found.shape}, expected {SHAPE}"
        raise DataError(msg)
    return found


def _member(path: Path, name: str) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(path) as arrays:
            stored = arrays.read(f"{name}.npy")  # checked by its checksum before anything is made of it
        found: NDArray[Any] = np.lib.format.read_array(io.BytesIO(stored), allow_pickle=False)
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        msg = f"{path}: {name}: found no such array that can be read ({' '.join(str(error).split())}), expected ct, label and voxel_mm"
        raise DataError(msg) from error
    return found


def _sparse(path: Path, *, valued: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices and data of a published csv; masks have no data."""
    try:
        table = pd.read_csv(path, index_col=0)
        indices = table.index.to_numpy(np.float64)
        values = table["data"].to_numpy(np.float64)
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        msg = f"{path}: found no table that can be read ({' '.join(str(error).split())}), expected an index and the column data"
        raise DataError(msg) from error
    if not ((indices >= 0) & (indices < np.prod(SHAPE)) & (indices == np.floor(indices))).all():
        wrong = indices[~((indices >= 0) & (indices < np.prod(SHAPE)) & (indices == np.floor(indices)))][0]
        msg = f"{path}: found the index {wrong:g}, expected whole numbers of 0 to {np.prod(SHAPE) - 1}"
        raise DataError(msg)
    if valued and np.isnan(values).any():
        msg = f"{path}: found an index without data, expected a value of each"
        raise DataError(msg)
    return indices.astype(np.int64), values


def _edges(path: Path) -> NDArray[np.float64]:
    try:
        found: NDArray[np.float64] = np.loadtxt(path, delimiter=None, ndmin=1)
    except (OSError, ValueError) as error:
        msg = f"{path}: found no edges that can be read ({' '.join(str(error).split())}), expected three numbers of mm"
        raise DataError(msg) from error
    return found
