"""Brain tumour volumes in BraTS layout, each with its grade."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from medrobust.data.brats_file import read_subject
from medrobust.data.brats_layout import Subject, find_subjects, grade_of, read_grades
from medrobust.data.cache import content_digests
from medrobust.data.embedded import SPLITS as NAMES
from medrobust.data.embedded import at_least, is_share
from medrobust.data.splits import SPLITS, read_splits
from medrobust.errors import DataError
from medrobust.imaging.volumes import centre_cube, foreground, resampled, scaled
from medrobust.types import Batch, Case


@dataclass(frozen=True)
class BraTS:
    """T1w, T1ce, T2w and FLAIR of brain tumours, each scaled to [0, 1] over its whole volume, cropped at the centre; truth 1 for HGG, 0 for LGG.

    Source: Menze et al. 2015, doi:10.1109/TMI.2014.2377694; scaling, crop and split as Rajapaksa & Khalvati 2022,
    doi:10.3389/fradi.2022.1061402: 133 / 19 / 38 subjects, 60 % of them HGG, drawn at random.

    folder: where the subjects lie, at any depth, absolute or from where the command runs; no part of the digest.
        Splits are those of its `splits.yaml` where it has one, else its folders `train`, `val` and `test`, else drawn:
    train, val, test: subjects of each split. hgg_share: share of HGG in each, in [0, 1]. seed: of the draw.
    size: voxels along each edge of the crop; a smaller volume is padded with 0.
    spacing: edge in mm of the voxels that are made of the files', before scaling and cropping; 0 leaves them as they are.
    graded: whether subjects have a grade; without, truth is 0 everywhere and only where a tumour lies can be scored.
    title: how results are labelled; no part of the digest.

    Axes are as stored. The Decathlon's Task01_BrainTumour has no grades.
    """

    folder: str
    size: int = 128
    train: int = 133
    val: int = 19
    test: int = 38
    hgg_share: float = 0.6
    seed: int = 0
    spacing: float = 0.0
    graded: bool = True
    title: str = "BraTS"

    task: ClassVar[str] = "classification"

    def __post_init__(self) -> None:
        at_least(self, {"size": 1, "train": 0, "val": 0, "test": 0})
        is_share(self, "hgg_share")
        if not 0 <= self.spacing < float("inf"):
            msg = f"spacing: found {self.spacing}, expected a finite number of mm, at least 0"
            raise ValueError(msg)

    @property
    def digest(self) -> str:
        """Identity of names, bytes, splits, grades and crop, 12 hexadecimal digits."""
        listed = [(split, name) for split, names in sorted(self._splits.items()) for name in names]
        content = content_digests([path for _, name in listed for path in self._subjects[name].files])
        parts = [f"{self.size} {self.graded}" + (f" {self.spacing:g} mm" if self.spacing else "")]
        parts += [f"{split} {name} {self._grade(name)} {' '.join(content[path] for path in self._subjects[name].files)}" for split, name in listed]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        grid = f" at {self.spacing:g} mm" if self.spacing else ""
        return f"{self.title}, {self.size}x{self.size}x{self.size}{grid}"

    def cases(self, split: str) -> Sequence[Case]:
        """Every subject of the split, in the order of their names. Raises DataError."""
        if split not in self._splits:
            msg = f"{self.folder}: found no split '{split}', expected one of {', '.join(self._splits)}"
            raise DataError(msg)
        return [Case(name, self._subjects[name].patient, name) for name in self._splits[split]]

    def load(self, cases: Sequence[Case]) -> Batch:
        """Image (n, 4, size, size, size) in [0, 1], grades (n,), and the context `tumour`, `brain` and `lost`; reads one subject at a time.

        tumour: labels above 0, (n, 1, size, size, size) bool. brain: any sequence above its background, likewise.
        lost: the fraction of the tumour's voxels outside the crop, (n,); at 1 nothing of it is left.
        """
        images, grades, tumours, brains, lost = [], [], [], [], []
        for case in cases:
            if case.case not in self._subjects:
                msg = f"{self.folder}: found no subject '{case.case}', expected one of its {len(self._subjects)} subjects"
                raise DataError(msg)
            volumes, tumour = self._read(case.case)
            images.append(centre_cube(scaled(volumes), self.size))
            brains.append(centre_cube(foreground(volumes)[None], self.size))
            tumours.append(centre_cube(tumour[None], self.size))
            lost.append(1 - tumours[-1].sum() / tumour.sum())
            grades.append(self._grade(case.case))
        context = {
            "tumour": torch.from_numpy(np.stack(tumours)),
            "brain": torch.from_numpy(np.stack(brains)),
            "lost": torch.tensor(lost, dtype=torch.float32),
        }
        return Batch(torch.from_numpy(np.stack(images)), torch.tensor(grades), tuple(cases), context)

    def _read(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Sequences (4, *shape) and tumour (*shape) of a subject, on the grid that `spacing` asks for."""
        volumes, labels, edges = read_subject(self._subjects[name])
        tumour = labels > 0
        if not self.spacing:
            return volumes, tumour
        covered = resampled(tumour[None].astype(np.float32), edges, self.spacing)[0] > 0.5
        if not covered.any():
            msg = f"{self._subjects[name].mask}: found a tumour that fills no voxel of {self.spacing:g} mm, expected a larger one"
            raise DataError(msg)
        return resampled(volumes, edges, self.spacing), covered

    @cached_property
    def _root(self) -> Path:
        return Path(self.folder).expanduser()

    @cached_property
    def _subjects(self) -> Mapping[str, Subject]:
        return find_subjects(self._root)

    @cached_property
    def _grades(self) -> Mapping[str, int]:
        return read_grades(self._root)

    def _grade(self, name: str) -> int:
        return grade_of(self._subjects[name], self._root, self._grades) if self.graded else 0

    @cached_property
    def _splits(self) -> Mapping[str, list[str]]:
        """Split to names of subjects, in order."""
        if (self._root / SPLITS).exists():
            return self._declared(read_splits(self._root / SPLITS))
        top = {name: subject.mask.relative_to(self._root).parts[0] for name, subject in self._subjects.items()}
        folders = {split: [name for name in top if top[name] == split] for split in NAMES}
        if any(folders.values()):
            return {split: names for split, names in folders.items() if names}
        return self._drawn()

    def _declared(self, splits: Mapping[str, list[str]]) -> Mapping[str, list[str]]:
        """The subjects that `splits.yaml` names, by subject or by patient."""
        owner: dict[str, str] = {}
        chosen: dict[str, list[str]] = {}
        for split, names in splits.items():
            chosen[split] = sorted({subject.name for subject in self._subjects.values() if {subject.name, subject.patient} & set(names)})
            known = {known for name in chosen[split] for known in (name, self._subjects[name].patient)}
            for name in names:
                if name not in known:
                    msg = f"{self._root / SPLITS}: {split}: found '{name}', expected a subject of the folder, such as '{next(iter(self._subjects))}'"
                    raise DataError(msg)
            for patient in {self._subjects[name].patient for name in chosen[split]}:
                if owner.setdefault(patient, split) != split:
                    msg = f"{self._root / SPLITS}: {split}: found patient '{patient}' in {owner[patient]} too, expected each patient in one split"
                    raise DataError(msg)
        return chosen

    def _drawn(self) -> Mapping[str, list[str]]:
        """Splits drawn at random, one subject a patient: of each split the nearest whole number to `hgg_share` is HGG."""
        first = {self._subjects[name].patient: name for name in sorted(self._subjects, reverse=True)}
        counts = {split: getattr(self, split) for split in NAMES}
        strata = {grade: sorted(name for name in first.values() if not self.graded or self._grade(name) == grade) for grade in (1, 0)}
        wanted = {split: (round(count * self.hgg_share) if self.graded else count) for split, count in counts.items()}
        needed = {1: wanted, 0: {split: counts[split] - wanted[split] for split in NAMES}}
        random = np.random.default_rng(self.seed)
        splits: dict[str, list[str]] = {split: [] for split in NAMES}
        for grade, kind in ((1, "HGG" if self.graded else "all"), (0, "LGG")):
            order = random.permutation(strata[grade]).tolist()
            if len(order) < sum(needed[grade].values()):
                what = " + ".join(str(needed[grade][split]) for split in NAMES)
                msg = f"{self.folder}: found {len(order)} patients ({kind}), expected at least {what} for train + val + test (or a {SPLITS})"
                raise DataError(msg)
            for split in NAMES:
                splits[split] += order[: needed[grade][split]]
                order = order[needed[grade][split] :]
        return {split: sorted(names) for split, names in splits.items() if names}
