"""Head-and-neck CT of OpenKBP, slice by slice, in HU, with seven organs at risk outlined."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from medrobust.data.cache import content_digests
from medrobust.data.embedded import SPLITS as NAMES
from medrobust.data.embedded import at_least
from medrobust.data.kept import Kept, Volume
from medrobust.data.openkbp_file import SHAPE, Patient, find_patients, read_image, read_labels
from medrobust.data.slices import declared, drawn, organs_by_slice, remembered, slice_batch, slice_cases
from medrobust.data.splits import SPLITS
from medrobust.errors import DataError
from medrobust.types import Batch, Case


@dataclass(frozen=True)
class OpenKBP:
    """Axial slices that hold an organ, as published on 128 x 128 pixels; truth 1 brainstem to 7 mandible in the order of `organs`, 0 all else.

    Source: Babier et al. 2021, doi:10.1002/mp.14845; CT is given inside the mask of possible dose alone, air stands outside.

    folder: of the published csv files, or of one npz file a patient with `ct`, `label` and `voxel_mm`; no part of the digest.
        Splits are those of its `splits.yaml` where it has one, else the published ones, as names say them.
    train, val, test: patients of each split where the folder lacks the published val or test: the missing ones and train are then drawn, with `seed`,
        from the published training patients and those whose split no name says.
    every: each so many-th slice is a case, counted from the head. title: how results are labelled; no part of the digest.
    """

    folder: str
    train: int = 30
    val: int = 6
    test: int = 18
    seed: int = 0
    every: int = 1
    title: str = "OpenKBP"

    task: ClassVar[str] = "segmentation"
    intensity_unit: ClassVar[str] = "HU"
    organs: ClassVar[tuple[str, ...]] = ("brainstem", "spinal cord", "right parotid", "left parotid", "esophagus", "larynx", "mandible")

    def __post_init__(self) -> None:
        at_least(self, {"train": 0, "val": 0, "test": 0, "every": 1})

    @property
    def digest(self) -> str:
        """Identity of names, bytes and splits, 12 hexadecimal digits."""
        listed = [(split, name) for split, names in sorted(self._splits.items()) for name in names]
        content = content_digests([path for _, name in listed for path in self._patients[name].files])
        parts = [f"every {self.every}"]
        parts += [f"{split} {name} {_contents(self._patients[name].files, content)}" for split, name in listed]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        return f"{self.title}, {SHAPE[0]}x{SHAPE[1]}"

    def cases(self, split: str) -> Sequence[Case]:
        """Every slice of the split that holds an organ, patients in the order of their numbers. Raises DataError."""
        if split not in self._splits:
            msg = f"{self.folder}: found no split '{split}', expected one of {', '.join(self._splits)}"
            raise DataError(msg)
        patients = [self._patients[name] for name in self._splits[split]]
        content = content_digests([path for patient in patients for path in patient.label_files])
        cases = []
        for patient in patients:
            index = remembered(f"openkbp {_contents(patient.label_files, content)}", lambda patient=patient: organs_by_slice(read_labels(patient)))  # type: ignore[misc]
            if not index:
                msg = f"{patient.place}: found no slice with an organ, expected some of {', '.join(self.organs)}"
                raise DataError(msg)
            cases += slice_cases(patient.name, [at for at in index if at % self.every == 0])
        return cases

    def load(self, cases: Sequence[Case]) -> Batch:
        """Image (n, 1, 128, 128) in HU, labels alike, and the context `mean`, `std` and `spacing`; what was read stays in memory while it fits."""
        return slice_batch(cases, lambda name: self._kept.get(name, self._read))

    def _read(self, name: str) -> Volume:
        if name not in self._patients:
            msg = f"{self.folder}: found no patient '{name}', expected one of its {len(self._patients)} patients"
            raise DataError(msg)
        image, edges = read_image(self._patients[name])
        return Volume.of(image, read_labels(self._patients[name]), edges[:2])

    @cached_property
    def _root(self) -> Path:
        return Path(self.folder).expanduser()

    @cached_property
    def _patients(self) -> Mapping[str, Patient]:
        return find_patients(self._root)

    @cached_property
    def _kept(self) -> Kept[Volume]:
        return Kept()

    @cached_property
    def _splits(self) -> Mapping[str, list[str]]:
        """Split to patients, in order."""
        path = self._root / SPLITS
        found = declared(path, self._patients) if path.exists() else self._published()
        return {split: sorted(names, key=list(self._patients).index) for split, names in found.items()}

    def _published(self) -> dict[str, list[str]]:
        own = {split: [name for name, patient in self._patients.items() if patient.split == split] for split in NAMES}
        lacking = [split for split in ("val", "test") if not own[split]]
        pool = own["train"] + [name for name, patient in self._patients.items() if patient.split is None]
        if not lacking:
            return {split: names for split, names in (own | {"train": pool}).items() if names}
        held = {split: names for split, names in own.items() if names and split != "train"}
        return drawn(self._root, pool, {split: getattr(self, split) for split in ("train", *lacking)}, self.seed) | held


def _contents(paths: Sequence[Path], content: Mapping[Path, str]) -> str:
    """Digests of a patient's files, each csv with its name, which says what it is."""
    return " ".join(f"{path.name if path.suffix == '.csv' else 'npz'} {content[path]}" for path in paths)
