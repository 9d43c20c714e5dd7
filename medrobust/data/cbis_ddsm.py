"""Digitised film mammograms of CBIS-DDSM, with its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medrobust.data.dicom_file import read_dicom
from medrobust.data.inbreast_file import view_of
from medrobust.data.mammogram import AGAINST_ALL, BIRADS, MASS, Mammogram, Outline, Rule, birads_number
from medrobust.data.mammogram_file import one_of, read_rows
from medrobust.data.mammogram_set import MammogramSet, Pixels, agree, known_options
from medrobust.errors import DataError
from medrobust.types import Batch, Case

PATHOLOGY = {"MALIGNANT": "malignant", "BENIGN": "benign", "BENIGN_WITHOUT_CALLBACK": "benign"}
SIDES = {"LEFT": "L", "RIGHT": "R"}
KINDS = {"mass": "mass", "calcification": "cluster"}
COLUMNS = (
    "patient_id", "left or right breast", "image view", "abnormality id", "abnormality type", "assessment", "pathology", "image file path",
    "ROI mask file path",
)  # fmt: skip


@dataclass(frozen=True)
class Abnormality:
    """One row of a table. mask: the folder of its mask and of its crop, which are told apart by shape."""

    kind: str
    birads: int
    pathology: str
    mask: Path


@dataclass(frozen=True)
class CBISDDSM:
    """Mammograms of CBIS-DDSM as networks see them, in [-1, 1]; truth 1 cancerous, 0 healthy by a named rule.

    Source: Lee et al. 2017, doi:10.1038/sdata.2017.177; preprocessing as Becker et al. 2019, doi:10.1016/j.ejrad.2019.108649.

    folder: with {mass,calc}_case_description_{train,test}_set.csv and, at any depth, the folders that begin their paths; no part of the digest.
        Splits are those of its `splits.yaml` where it has one, which names patients, else the published ones, a patient of both being in test,
        and `val`, a share of the training patients, drawn with `seed`.
    size: rows and columns. labels: `pathology` (malignant against benign: every image has a lesion), `birads>=3`, `birads>=4 drop 3` or `mass`.
    views: which images are cases. title: how results are labelled; no part of the digest.
    """

    folder: str
    size: tuple[int, int] = (256, 256)
    labels: str = "pathology"
    views: tuple[str, ...] = ("CC", "MLO")
    val: float = 0.1
    seed: int = 0
    title: str = "CBIS-DDSM"

    task: ClassVar[str] = "classification"
    rules: ClassVar[Mapping[str, Rule]] = {"pathology": AGAINST_ALL, **BIRADS, **MASS}

    def __post_init__(self) -> None:
        known_options(self.title, self.size, self.labels, self.rules, self.views, self.val, 0)

    @property
    def digest(self) -> str:
        """Identity of names, bytes, labels, splits and frame, 12 hexadecimal digits."""
        return self._set.digest

    @property
    def label(self) -> str:
        return self._set.described(self.title)

    def cases(self, split: str) -> Sequence[Case]:
        """Every image of the split with a label, in the order of their names. Raises DataError."""
        return self._set.cases(split)

    def load(self, cases: Sequence[Case]) -> Batch:
        """Image (n, 1, h, w) in [-1, 1], truth (n,), and the context `lesion` and `breast` (n, 1, h, w) and `outlined` (n,)."""
        return self._set.load(cases)

    @cached_property
    def _set(self) -> MammogramSet:
        return MammogramSet(self._root, self._find, self._read, self.size, self.labels, self.rules, self.views, self.val, 0.0, self.seed)

    @cached_property
    def _root(self) -> Path:
        return Path(self.folder).expanduser()

    @cached_property
    def _folders(self) -> Mapping[str, Path]:
        """Folders of images and of masks by name, such as `Mass-Training_P_00001_LEFT_CC` and, of a mask, `..._1`."""
        return {path.name: path for path in sorted(self._root.rglob("*_P_*")) if path.is_dir()}

    @cached_property
    def _listed(self) -> Mapping[str, tuple[Mammogram, tuple[Abnormality, ...]]]:
        """Image to its record and its abnormalities, of all tables. Raises DataError."""
        tables = sorted(self._root.glob("*_case_description_*_set.csv"))
        if not tables:
            msg = f"{self._root}: found no table, expected some such as mass_case_description_train_set.csv"
            raise DataError(msg)
        rows = [(table, row) for table in tables for row in read_rows(table, COLUMNS)]
        tested = {row["patient_id"] for table, row in rows if "test" in table.stem}
        found: dict[str, tuple[Mammogram, tuple[Abnormality, ...]]] = {}
        for table, row in rows:
            one, lesion = self._row(table, row, "test" if row["patient_id"] in tested else "train")
            before, lesions = found.get(one.name, (one, ()))
            found[one.name] = (before, (*lesions, lesion))
        return {name: (_summed(one, lesions), lesions) for name, (one, lesions) in sorted(found.items())}

    def _row(self, table: Path, row: Mapping[str, str], split: str) -> tuple[Mammogram, Abnormality]:
        where = f"{table}: {row['patient_id']}"
        side = SIDES[one_of(where, "left or right breast", row["left or right breast"], tuple(SIDES))]
        view = one_of(where, "image view", row["image view"], ("CC", "MLO"))
        image = self._place(where, row["image file path"])
        agree(image, "the folder's name", _said(image.name), table.name, (side, view))
        paths = sorted(image.rglob("*.dcm"))
        if len(paths) != 1:
            msg = f"{image}: found {len(paths)} DICOM files, expected the one full mammogram"
            raise DataError(msg)
        pathology = PATHOLOGY[one_of(where, "pathology", row["pathology"], tuple(PATHOLOGY))]
        mask = self._place(where, row["ROI mask file path"])
        kind = KINDS[one_of(where, "abnormality type", row["abnormality type"], tuple(KINDS))]
        lesion = Abnormality(kind, birads_number(row["assessment"], where), pathology, mask)
        name = f"{row['patient_id']}_{row['left or right breast']}_{view}"
        return Mammogram(name, row["patient_id"], paths[0], side, view, split=split), lesion

    def _place(self, where: str, stated: str) -> Path:
        """The folder with the first name of a path; what comes below it differs from download to download."""
        name = stated.replace("\\", "/").split("/")[0]
        if name not in self._folders:
            msg = f"{where}: found a label without an image, expected a folder {name or '(its path is empty)'} below {self._root}"
            raise DataError(msg)
        return self._folders[name]

    def _find(self) -> dict[str, Mammogram]:
        found = {name: one for name, (one, _) in self._listed.items()}
        used = {lesion.mask.name for _, lesions in self._listed.values() for lesion in lesions}
        for name, folder in self._folders.items():
            if name not in used and name.split("_", 1)[1] not in found:
                msg = f"{folder}: found an image without a label, expected a row of it in the tables"
                raise DataError(msg)
        return found

    def _read(self, one: Mammogram) -> Pixels:
        stored = read_dicom(one.image)
        agree(one.image, "the DICOM tags", (stored.laterality, view_of(stored.view)), "its table", (one.laterality, one.view))
        _, lesions = self._listed[one.name]
        height, width = stored.pixels.shape
        return stored.pixels, [
            Outline(lesion.kind, mask=_mask(lesion.mask, (height, width)), birads=lesion.birads, pathology=lesion.pathology) for lesion in lesions
        ]


def _summed(one: Mammogram, lesions: Sequence[Abnormality]) -> Mammogram:
    """The image's record with what its abnormalities make of it: the worst of each."""
    pathology = "malignant" if any(lesion.pathology == "malignant" for lesion in lesions) else "benign"
    files = sorted({path for lesion in lesions for path in lesion.mask.rglob("*.dcm")})
    birads = max(lesion.birads for lesion in lesions)
    mass = any(lesion.kind == "mass" for lesion in lesions)
    return Mammogram(one.name, one.patient, one.image, one.laterality, one.view, birads, pathology, mass, True, True, one.split, tuple(files))


def _said(name: str) -> tuple[str, str]:
    """Side and view of a folder's name."""
    words = name.split("_")
    return next((SIDES[word] for word in words if word in SIDES), ""), next((word for word in words if word in ("CC", "MLO")), "")


def _mask(folder: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Of the mask and the crop that lie in a folder the mask: what has the image's shape, or its proportions. Raises DataError."""
    paths = sorted(folder.rglob("*.dcm"))
    stored = [read_dicom(path).pixels for path in paths]
    for close in (0.0, 0.02):
        for pixels in stored:
            ratio = (pixels.shape[0] / pixels.shape[1]) / (shape[0] / shape[1])
            if pixels.shape == shape or abs(ratio - 1) < close:
                found: NDArray[np.bool_] = pixels > 0
                return found
    shapes = ", ".join(f"{pixels.shape[0]} x {pixels.shape[1]}" for pixels in stored) or "none"
    msg = f"{folder}: found masks of {shapes} pixels, expected one of the image's {shape[0]} x {shape[1]}"
    raise DataError(msg)
