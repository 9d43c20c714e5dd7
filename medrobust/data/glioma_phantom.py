"""The embedded brain tumour data set: glioma phantoms written as BraTS files on first use."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import floor
from pathlib import Path
from typing import ClassVar

import nibabel
import numpy as np
from numpy.typing import NDArray

from medrobust.data.brats import BraTS
from medrobust.data.embedded import SPLITS, at_least, identity, is_share, known_split, made
from medrobust.imaging.glioma import Glioma, glioma
from medrobust.types import Batch, Case

GENERATOR = 4
"""Raised whenever the generator changes a number it makes."""

SUFFIXES = ("t1", "t1ce", "t2", "flair")


@dataclass(frozen=True)
class GliomaPhantom:
    """Four-sequence, skull-stripped brains of made-up subjects with a high- or low-grade glioma among bright things that are none.

    Source: tissue maps MNI152 2009a (Fonov et al. 2011) as nilearn ships them; see `medrobust.imaging.glioma` for tumours and physics.
    Results on it are a phantom's: they show a method's behaviour, not a paper's numbers.

    seed: determines every byte. train, val, test: subjects of each split; a subject is in one split.
    hgg_share: share of HGG in each split, in [0, 1]. size: voxels along an edge of the cube that is loaded, 192 mm.
    """

    task: ClassVar[str] = "classification"
    seed: int = 0
    train: int = 133
    val: int = 19
    test: int = 38
    hgg_share: float = 0.6
    size: int = 64

    def __post_init__(self) -> None:
        at_least(self, {"train": 0, "val": 0, "test": 1, "size": 16})
        is_share(self, "hgg_share")

    @property
    def digest(self) -> str:
        """Identity of generator and options; the last bits of its floats may differ between processors."""
        return identity(GENERATOR, asdict(self))

    @property
    def label(self) -> str:
        return f"phantom: MNI152 gliomas, {self.size}x{self.size}x{self.size}"

    def cases(self, split: str) -> Sequence[Case]:
        """Every subject of a split; makes its files on first use."""
        return self._files(split).cases(split)

    def patients_of(self, split: str) -> list[str]:
        """The subjects of a split, named without making its files."""
        return [f"glioma_{split}_{index:04d}" for index in range(getattr(self, split))]

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named subjects, read from the files as `BraTS.load` does."""
        return self._files(cases[0].case.split("_")[1]).load(cases)

    def make(self, split: str) -> Path:
        """The folder that holds the split's files; makes it where it does not stand whole, and checks every file's digest once."""
        return made("glioma-phantom", identity(GENERATOR, self._content(split)), split, lambda folder: self._write(split, folder))

    def _content(self, split: str) -> dict[str, object]:
        """What the bytes of a split depend on: not the size of other splits."""
        fields = asdict(self)
        return {name: fields[name] for name in ("seed", split, "hgg_share", "size")} | {"split": split}

    def _files(self, split: str) -> BraTS:
        known_split("glioma-phantom", split)
        if split not in self._folders:
            self._folders[split] = BraTS(str(self.make(split)), size=self.size)
        return self._folders[split]

    @cached_property
    def _folders(self) -> dict[str, BraTS]:
        return {}

    def _high_grade(self, index: int) -> bool:
        """Of the first n subjects the whole number nearest to n `hgg_share` is HGG, whatever the size of the split."""
        before, after = (floor(round(count * self.hgg_share + 0.5, 9)) for count in (index, index + 1))
        return after > before

    def _subject(self, split: str, index: int) -> Glioma:
        """One subject; its stream depends on the seed, the split and its number alone."""
        return glioma(np.random.default_rng([self.seed, SPLITS.index(split), index]), self._high_grade(index), self.size)

    def _write(self, split: str, folder: Path) -> list[Path]:
        """Write `SPLIT/SUBJECT/SUBJECT_SEQUENCE.nii.gz` and `SPLIT/name_mapping.csv`."""
        paths, table = [], folder / split / "name_mapping.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            grades = csv.writer(file, lineterminator="\n")
            grades.writerow(["Grade", "BraTS_2020_subject_ID"])
            for index, name in enumerate(self.patients_of(split)):
                subject = self._subject(split, index)
                grades.writerow(["HGG" if self._high_grade(index) else "LGG", name])
                (folder / split / name).mkdir()
                volumes = [*zip(SUFFIXES, subject.image, strict=True), ("seg", subject.labels.astype(np.int16))]
                paths += [_write_volume(folder / split / name / f"{name}_{suffix}.nii.gz", volume, subject.spacing) for suffix, volume in volumes]
        return [*paths, table]


def _write_volume(path: Path, volume: NDArray[np.int16], spacing: float) -> Path:
    """Axes to the left, back and head, the origin as in BraTS; nibabel compresses at level 1 and keeps no time, so bytes depend on content alone."""
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    affine[1, 3] = spacing * (volume.shape[1] - 1)
    nibabel.save(nibabel.Nifti1Image(volume, affine), path)
    return path
