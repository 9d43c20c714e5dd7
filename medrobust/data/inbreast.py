"""Full-field digital mammograms of INbreast, with its BI-RADS and its outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from medrobust.data.dicom_file import read_dicom
from medrobust.data.inbreast_file import NAME, read_outlines, read_table, view_of
from medrobust.data.mammogram import BIRADS, MASS, Mammogram, Rule
from medrobust.data.mammogram_set import MammogramSet, Pixels, agree, known_options
from medrobust.errors import DataError
from medrobust.types import Batch, Case


@dataclass(frozen=True)
class INbreast:
    """Mammograms of INbreast as networks see them, in [-1, 1]; truth 1 cancerous, 0 healthy by a named rule.

    Source: Moreira et al. 2012, doi:10.1016/j.acra.2011.09.014; rules and preprocessing as Becker et al. 2019, doi:10.1016/j.ejrad.2019.108649.

    folder: with INbreast.csv or INbreast.xls, AllDICOMs and AllXML; no part of the digest. An image without xml has no finding.
        Splits are those of its `splits.yaml` where it has one, which names patients (the second word of a DICOM's name), else drawn:
    size: rows and columns. labels: `birads>=3`, `birads>=4 drop 3` or `mass`, of the table's column or, where it has none, of the outlines.
    views: which images are cases. val, test: share of patients in each split, drawn with `seed`; train is the rest.
    title: how results are labelled; no part of the digest.
    """

    folder: str
    size: tuple[int, int] = (256, 256)
    labels: str = "birads>=3"
    views: tuple[str, ...] = ("CC", "MLO")
    val: float = 0.1
    test: float = 0.25
    seed: int = 0
    title: str = "INbreast"

    task: ClassVar[str] = "classification"
    rules: ClassVar[Mapping[str, Rule]] = {**BIRADS, **MASS}

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
        root = Path(self.folder).expanduser()
        return MammogramSet(root, self._find, self._read, self.size, self.labels, self.rules, self.views, self.val, self.test, self.seed)

    def _find(self) -> dict[str, Mammogram]:
        """Every image that the table lists. Raises DataError for one without the other."""
        root = Path(self.folder).expanduser()
        table, rows = read_table(root)
        if not (root / "AllXML").is_dir():
            msg = f"{root}: found no folder AllXML, expected one with the outlines"
            raise DataError(msg)
        found = {}
        for path in sorted((root / "AllDICOMs").glob("*.dcm")):
            match = NAME.fullmatch(path.stem)
            if match is None:
                msg = f"{path}: found the name '{path.name}', expected IMAGE_PATIENT_MG_L_CC_ANON.dcm or the like"
                raise DataError(msg)
            name, patient, side, view = match.groups()
            if name not in rows:
                msg = f"{path}: found an image without a label, expected a row '{name}' in {table.name}"
                raise DataError(msg)
            row = rows[name]
            agree(path, "the file name", (side, view_of(view)), table.name, (row.laterality, row.view))
            xml = root / "AllXML" / f"{name}.xml"
            outlined = xml.exists() or row.birads < 3
            one = Mammogram(name, patient, path, side, row.view, row.birads, mass=row.mass, outlined=outlined, sides=(xml,) if xml.exists() else ())
            found[name] = one if row.mass is not None or self.labels != "mass" else replace(one, mass=_has_mass(one))
        missing = sorted(rows.keys() - found.keys())
        if missing:
            msg = f"{table}: found a label without an image, expected a file {root / 'AllDICOMs' / missing[0]}_*.dcm"
            raise DataError(msg)
        return found

    def _read(self, one: Mammogram) -> Pixels:
        stored = read_dicom(one.image)
        agree(one.image, "the DICOM tags", (stored.laterality, view_of(stored.view)), "the file name", (one.laterality, one.view))
        return stored.pixels, [outline for path in one.sides for outline in read_outlines(path)]


def _has_mass(one: Mammogram) -> bool:
    return any(outline.kind == "mass" for path in one.sides for outline in read_outlines(path))
