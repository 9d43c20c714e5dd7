"""Full-field digital mammograms of VinDr-Mammo, with its boxes."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from medrobust.data.dicom_file import read_dicom
from medrobust.data.inbreast_file import view_of
from medrobust.data.mammogram import BIRADS, MASS, Mammogram, Outline, Rule, birads_number
from medrobust.data.mammogram_file import one_of, read_rows
from medrobust.data.mammogram_set import MammogramSet, Pixels, agree, known_options
from medrobust.errors import DataError
from medrobust.types import Batch, Case

BREASTS, FINDINGS = "breast-level_annotations.csv", "finding_annotations.csv"
BREAST_COLUMNS = ("study_id", "image_id", "laterality", "view_position", "breast_birads", "split")
FINDING_COLUMNS = ("image_id", "finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax")
SPLIT_OF = {"training": "train", "test": "test"}


@dataclass(frozen=True)
class VinDrMammo:
    """Mammograms of VinDr-Mammo as networks see them, in [-1, 1]; truth 1 cancerous, 0 healthy by a named rule.

    Source: Nguyen et al. 2023, doi:10.1038/s41597-023-02100-7; preprocessing as Becker et al. 2019, doi:10.1016/j.ejrad.2019.108649.

    folder: with breast-level_annotations.csv, finding_annotations.csv and images/STUDY/IMAGE.dicom; no part of the digest. A study is a patient.
        Splits are those of its `splits.yaml` where it has one, which names studies, else the published ones, and `val`, a share of the training
        studies, drawn with `seed`.
    size: rows and columns. labels: `birads>=3`, `birads>=4 drop 3` (both of the breast) or `mass`. views: which images are cases.
    title: how results are labelled; no part of the digest.
    """

    folder: str
    size: tuple[int, int] = (256, 256)
    labels: str = "birads>=3"
    views: tuple[str, ...] = ("CC", "MLO")
    val: float = 0.1
    seed: int = 0
    title: str = "VinDr-Mammo"

    task: ClassVar[str] = "classification"
    rules: ClassVar[Mapping[str, Rule]] = {**BIRADS, **MASS}

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
    def _findings(self) -> Mapping[str, Sequence[Outline]]:
        """Image to its boxes; images without a finding are left out. Raises DataError."""
        path, found = self._root / FINDINGS, dict[str, list[Outline]]()
        for row in read_rows(path, FINDING_COLUMNS):
            where = f"{path}: {row['image_id']}"
            kinds = [kind for kind in _categories(where, row["finding_categories"]) if kind != "no finding"]
            if kinds:
                birads = birads_number(row["finding_birads"], where) if row["finding_birads"] else None
                found.setdefault(row["image_id"], []).append(Outline("mass" if "mass" in kinds else kinds[0], _box(where, row), birads=birads))
        return found

    def _find(self) -> dict[str, Mammogram]:
        table, found = self._root / BREASTS, {}
        paths = {path.stem: path for path in sorted((self._root / "images").glob("*/*.dicom"))}
        for row in read_rows(table, BREAST_COLUMNS):
            name, where = row["image_id"], f"{table}: {row['image_id']}"
            path = paths.get(name)
            if path is None or path.parent.name != row["study_id"]:
                msg = f"{where}: found a label without an image, expected {self._root / 'images' / row['study_id'] / name}.dicom"
                raise DataError(msg)
            side, view = one_of(where, "laterality", row["laterality"], ("L", "R")), view_of(row["view_position"])
            split = SPLIT_OF[one_of(where, "split", row["split"], tuple(SPLIT_OF))]
            mass = any(outline.kind == "mass" for outline in self._findings.get(name, ()))
            birads = birads_number(row["breast_birads"], where)
            found[name] = Mammogram(name, row["study_id"], path, side, view, birads, mass=mass, split=split, sides=(self._root / FINDINGS,))
        for name, path in paths.items():
            if name not in found:
                msg = f"{path}: found an image without a label, expected a row '{name}' in {table.name}"
                raise DataError(msg)
        return dict(sorted(found.items()))

    def _read(self, one: Mammogram) -> Pixels:
        stored = read_dicom(one.image)
        agree(one.image, "the DICOM tags", (stored.laterality, view_of(stored.view)), BREASTS, (one.laterality, one.view))
        return stored.pixels, list(self._findings.get(one.name, ()))


def _categories(where: str, text: str) -> list[str]:
    """The kinds of a finding, lower case, of a list written as text. Raises DataError."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        msg = f"{where}: finding_categories: found '{text:.60}', expected a list such as ['Mass']"
        raise DataError(msg)
    return [word.strip().lower() for word in found]


def _box(where: str, row: Mapping[str, str]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Corners in pixels, x before y."""
    try:
        left, top, right, bottom = (float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError as error:
        msg = f"{where}: found a finding without a box, expected xmin, ymin, xmax and ymax"
        raise DataError(msg) from error
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) - 0.5
