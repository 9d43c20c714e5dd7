"""The embedded abdominal CT data set: made-up subjects written as AMOS22 files on first use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import nibabel
import numpy as np
from numpy.typing import NDArray

from medrobust.data.abdominal_ct import AbdominalCT
from medrobust.data.ct_layout import AMOS_NAMES, ORGANS
from medrobust.data.embedded import SPLITS, at_least, identity, known_split, made
from medrobust.data.splits import SPLITS as SPLITS_FILE
from medrobust.data.splits import write_splits
from medrobust.imaging.abdomen import KIDNEYS, LIVER, PANCREAS, SPLEEN, WIDTH, Abdomen, abdomen
from medrobust.types import Batch, Case

GENERATOR = 1
"""Raised whenever the generator changes a number it makes."""

FOLDERS = {"train": "Tr", "val": "Va", "test": "Ts"}
AMOS_IDS = {SPLEEN: 1, LIVER: 6, PANCREAS: 10}  # kidneys are split by side
RIGHT_KIDNEY, LEFT_KIDNEY = 2, 3


@dataclass(frozen=True)
class AbdomenPhantom:
    """Slices of abdominal CT of made-up subjects, in HU, with pancreas, kidneys, liver and spleen outlined.

    Source: made from solid geometry, no scan; see `medrobust.imaging.abdomen` for anatomy and physics.
    Results on it are a phantom's: they show a method's behaviour, not a paper's numbers.

    seed: determines every byte. train, val, test: subjects of each split; a subject is in one split.
    size: pixels along an edge of the square slice, 384 mm. slices: of each subject, over 192 mm.
    """

    task: ClassVar[str] = "segmentation"
    intensity_unit: ClassVar[str] = "HU"
    organs: ClassVar[tuple[str, ...]] = ORGANS
    seed: int = 0
    train: int = 60
    val: int = 15
    test: int = 20
    size: int = 128
    slices: int = 24

    def __post_init__(self) -> None:
        at_least(self, {"train": 0, "val": 0, "test": 1, "size": 32, "slices": 8})

    @property
    def digest(self) -> str:
        """Identity of generator and options; the last bits of its floats may differ between processors."""
        return identity(GENERATOR, asdict(self))

    @property
    def label(self) -> str:
        return f"phantom: abdominal CT, {self.size}x{self.size} at {WIDTH / self.size:g} mm"

    def cases(self, split: str) -> Sequence[Case]:
        """Every slice of a split that holds an organ; makes its files on first use."""
        return self._files(split).cases(split)

    def patients_of(self, split: str) -> list[str]:
        """The subjects of a split, named without making its files."""
        return [f"phantom_{split}_{index:04d}" for index in range(getattr(self, split))]

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named slices, read from the files as `AbdominalCT.load` does."""
        return self._files(cases[0].case.split("_")[1]).load(cases)

    def make(self, split: str) -> Path:
        """The folder that holds the split's files; makes it where it does not stand whole, and checks every file's digest once."""
        return made("abdomen-phantom", identity(GENERATOR, self._content(split)), split, lambda folder: self._write(split, folder / split))

    def _content(self, split: str) -> dict[str, object]:
        """What the bytes of a split depend on: not the size of other splits."""
        fields = asdict(self)
        return {name: fields[name] for name in ("seed", split, "size", "slices")} | {"split": split}

    def _files(self, split: str) -> AbdominalCT:
        known_split("abdomen-phantom", split)
        if split not in self._folders:
            self._folders[split] = AbdominalCT(str(self.make(split) / split), "amos22", size=self.size, spacing=WIDTH / self.size)
        return self._folders[split]

    @cached_property
    def _folders(self) -> dict[str, AbdominalCT]:
        return {}

    def _subject(self, split: str, index: int) -> Abdomen:
        """One subject; its stream depends on the seed, the split and its number alone."""
        return abdomen(np.random.default_rng([self.seed, SPLITS.index(split), index]), self.size, self.slices)

    def _write(self, split: str, folder: Path) -> list[Path]:
        """Write `imagesXX/SUBJECT.nii.gz`, `labelsXX/SUBJECT.nii.gz`, `dataset.json` and `splits.yaml`, XX being Tr, Va or Ts."""
        images, labels = folder / f"images{FOLDERS[split]}", folder / f"labels{FOLDERS[split]}"
        images.mkdir()
        labels.mkdir()
        paths = [folder / "dataset.json", folder / SPLITS_FILE]
        listed = [{"image": f"./{images.name}/{name}.nii.gz", "label": f"./{labels.name}/{name}.nii.gz"} for name in self.patients_of(split)]
        keys = {"train": "training", "val": "validation", "test": "test"}
        numbered = {str(number): organ for number, organ in AMOS_NAMES.items()}
        described = {"name": "phantom", "modality": {"0": "CT"}, "labels": numbered, keys[split]: listed}
        paths[0].write_text(json.dumps(described, indent=1), encoding="utf-8")
        write_splits(paths[1], {split: self.patients_of(split)})
        for index, name in enumerate(self.patients_of(split)):
            subject = self._subject(split, index)
            paths.append(_write_volume(images / f"{name}.nii.gz", subject.image, subject.spacing))
            paths.append(_write_volume(labels / f"{name}.nii.gz", amos_labels(subject.labels), subject.spacing))
        return paths


def amos_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The generator's labels (*shape) by AMOS22's numbers; the first axis runs to the left, and a kidney is the right one before its middle."""
    found = np.zeros_like(labels)
    for ours, theirs in AMOS_IDS.items():
        found[labels == ours] = theirs
    right = np.arange(labels.shape[0])[:, None, None] < labels.shape[0] / 2
    found[(labels == KIDNEYS) & right] = RIGHT_KIDNEY
    found[(labels == KIDNEYS) & ~right] = LEFT_KIDNEY
    return found


def _write_volume(path: Path, volume: NDArray[np.int16] | NDArray[np.uint8], spacing: tuple[float, float, float]) -> Path:
    """Axes to the left, back and head, the origin in the middle; nibabel compresses at level 1 and keeps no time: bytes depend on content alone."""
    steps = np.array([-spacing[0], -spacing[1], spacing[2]])
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(volume.shape) - 1) / 2
    nibabel.save(nibabel.Nifti1Image(volume, affine), path)
    return path
