"""Mammograms of the Breast Cancer Digital Repository, with its outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from medrobust.data.mammogram import AGAINST_ALL, LISTED, MASS, Mammogram, Outline, Rule
from medrobust.data.mammogram_file import one_of, read_grey, read_rows
from medrobust.data.mammogram_set import MammogramSet, Pixels, known_options
from medrobust.errors import DataError
from medrobust.types import Batch, Case

IMAGE_COLUMNS = ("patient_id", "image_filename", "image_type_name")
OUTLINE_COLUMNS = ("image_filename", "lw_x_points", "lw_y_points", "mammography_nodule", "classification")
PATHOLOGY = {"benign": "benign", "malign": "malignant"}
VIEWS = {"CC": "CC", "O": "MLO"}
KINDS = {
    "mammography_nodule": "mass", "mammography_microcalcification": "cluster", "mammography_calcification": "calcification",
    "mammography_architectural_distortion": "distortion", "mammography_stroma_distortion": "distortion",
}  # fmt: skip


@dataclass(frozen=True)
class BCDR:
    """Mammograms of BCDR, of film (F) or full-field digital (D), as networks see them, in [-1, 1]; truth 1 cancerous, 0 healthy by a named rule.

    Source: Lopez et al. 2012, BCDR: a Breast Cancer Digital Repository; rules and preprocessing as Becker et al. 2019,
    doi:10.1016/j.ejrad.2019.108649, whose experiments take `listed` and `pathology`.

    folder: with, at any depth, bcdr_XXX_img.csv, its bcdr_XXX_outlines.csv (none: no image of it has a lesion) and the images beside them; no part of
        the digest. Splits are those of its `splits.yaml` where it has one, which names patients or images, else drawn:
    size: rows and columns. labels: `pathology` (malign against all else), `listed` (whether any lesion is) or `mass` (nodules).
    views: which images are cases; BCDR's O is MLO. val, test: share of patients in each split, drawn with `seed`; train is the rest.
    title: how results are labelled; no part of the digest.
    """

    folder: str
    size: tuple[int, int] = (256, 256)
    labels: str = "pathology"
    views: tuple[str, ...] = ("CC", "MLO")
    val: float = 0.1
    test: float = 0.25
    seed: int = 0
    title: str = "BCDR"

    task: ClassVar[str] = "classification"
    rules: ClassVar[Mapping[str, Rule]] = {"pathology": AGAINST_ALL, "listed": LISTED, **MASS}

    def __post_init__(self) -> None:
        known_options(self.title, self.size, self.labels, self.rules, self.views, self.val, self.test)

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
        return MammogramSet(self._root, self._find, self._read, self.size, self.labels, self.rules, self.views, self.val, self.test, self.seed)

    @cached_property
    def _root(self) -> Path:
        return Path(self.folder).expanduser()

    @cached_property
    def _outlines(self) -> Mapping[Path, Sequence[Outline]]:
        """Image to its lesions. Raises DataError."""
        found: dict[Path, list[Outline]] = {}
        for table in sorted(self._root.rglob("bcdr_*_outlines.csv")):
            for row in read_rows(table, OUTLINE_COLUMNS):
                where = f"{table}: {row['image_filename']}"
                pathology = PATHOLOGY[one_of(where, "classification", row["classification"].lower(), tuple(PATHOLOGY))]
                kind = next((kind for name, kind in KINDS.items() if row.get(name) == "1"), "lesion")
                found.setdefault(table.parent / row["image_filename"], []).append(Outline(kind, _points(where, row), pathology=pathology))
        return found

    def _find(self) -> dict[str, Mammogram]:
        tables = sorted(self._root.rglob("bcdr_*_img.csv"))
        if not tables:
            msg = f"{self._root}: found no table, expected some such as BCDR-D01_dataset/bcdr_d01_img.csv"
            raise DataError(msg)
        found: dict[str, Mammogram] = {}
        for table in tables:
            for row in read_rows(table, IMAGE_COLUMNS):
                one = self._record(table, row)
                if one.name in found:
                    msg = f"{table}: {one.name}: found the image twice, expected each once"
                    raise DataError(msg)
                found[one.name] = one
        listed = {one.image for one in found.values()}
        for path in self._outlines:
            if path not in listed:
                msg = f"{path}: found an outline without its image in a table, expected a row of it in bcdr_XXX_img.csv"
                raise DataError(msg)
        for table in tables:
            for path in sorted(table.parent.rglob("*.tif")):
                if path not in listed:
                    msg = f"{path}: found an image without a label, expected a row of it in {table.name}"
                    raise DataError(msg)
        return dict(sorted(found.items()))

    def _record(self, table: Path, row: Mapping[str, str]) -> Mammogram:
        where, path = f"{table}: {row['image_filename']}", table.parent / row["image_filename"]
        if not path.is_file():
            msg = f"{where}: found a label without an image, expected {path}"
            raise DataError(msg)
        kind = row["image_type_name"].upper()
        if kind[:1] not in ("L", "R") or kind[1:] not in VIEWS:
            msg = f"{where}: image_type_name: found '{kind}', expected RCC, LCC, RO or LO"
            raise DataError(msg)
        said = path.stem.rsplit("_", 1)[-1].upper()
        if said[:1] in ("L", "R") and said[1:] in VIEWS and said != kind:
            msg = f"{path}: found {said} in the file name, expected {kind} as {table.name} has"
            raise DataError(msg)
        lesions = self._outlines.get(path, ())
        pathology = "malignant" if any(one.pathology == "malignant" for one in lesions) else "benign" if lesions else "normal"
        beside = table.with_name(table.name.replace("_img", "_outlines"))
        return Mammogram(
            name=f"{table.stem.split('_')[1]}-{path.stem}",
            patient=row["patient_id"],
            image=path,
            laterality=kind[0],
            view=VIEWS[kind[1:]],
            pathology=pathology,
            mass=any(one.kind == "mass" for one in lesions),
            listed=bool(lesions),
            sides=(beside,) if lesions else (),
        )

    def _read(self, one: Mammogram) -> Pixels:
        return read_grey(one.image), list(self._outlines.get(one.image, ()))


def _points(where: str, row: Mapping[str, str]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    try:
        x, y = (np.array([float(word) for word in row[name].split()]) for name in ("lw_x_points", "lw_y_points"))
    except ValueError as error:
        msg = f"{where}: found an outline that is no numbers, expected them separated by blanks"
        raise DataError(msg) from error
    if len(x) != len(y) or not len(x):
        msg = f"{where}: found {len(x)} x and {len(y)} y of an outline, expected as many of either, and some"
        raise DataError(msg)
    return np.stack([x, y], 1)
