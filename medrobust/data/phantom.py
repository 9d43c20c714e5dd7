"""The embedded MRI data set: head phantoms written as fastMRI files on first use."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from medrobust.data.acquisition import mask_rule
from medrobust.data.embedded import SPLITS, at_least, identity, is_share, known_split, made
from medrobust.data.fastmri import FastMRI
from medrobust.data.fastmri_file import write_volume
from medrobust.imaging.head import FIELD_OF_VIEW, Head, head
from medrobust.imaging.kspace import fft2c
from medrobust.types import Batch, Case

GENERATOR = 1
"""Raised whenever the generator changes a number it makes."""


@dataclass(frozen=True)
class MRIPhantom:
    """Single-coil head scans of made-up subjects: MNI152 anatomy, brain contrasts, smooth phase, receiver noise, small planted lesions.

    Source: tissue maps MNI152 2009a (Fonov et al. 2011) as nilearn ships them; see `medrobust.imaging.head` for the physics.
    Results on it are a phantom's: they show a method's behaviour, not a paper's numbers.

    seed: determines every byte. train, val, test: subjects of each split; a subject is in one split.
    slices: slices per subject. size: pixels along an edge; the field of view is 240 mm. lesion_fraction: share of slices with one or two lesions.
    acceleration, center_fraction: of the sampling masks, as in `FastMRI`.
    """

    task: ClassVar[str] = "reconstruction"
    seed: int = 0
    train: int = 64
    val: int = 6
    test: int = 12
    slices: int = 8
    size: int = 320
    lesion_fraction: float = 0.3
    acceleration: float = 4.0
    center_fraction: float = 0.08

    def __post_init__(self) -> None:
        at_least(self, {"train": 0, "val": 0, "test": 1, "slices": 1, "size": 32})
        is_share(self, "lesion_fraction")
        mask_rule("random", self.acceleration, self.center_fraction)

    @property
    def digest(self) -> str:
        """Identity of generator and options; the last bits of its floats may differ between processors."""
        return identity(GENERATOR, asdict(self))

    @property
    def label(self) -> str:
        return f"phantom: MNI152 heads, {self.size}x{self.size}"

    def cases(self, split: str) -> Sequence[Case]:
        """Every slice of a split; makes its files on first use."""
        return self._files(split).cases(split)

    def patients_of(self, split: str) -> list[str]:
        """The subjects of a split, named without making its files."""
        return [f"phantom_{split}_{index:04d}" for index in range(getattr(self, split))]

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named slices, read from the files."""
        return self._files(cases[0].group.split("_")[1]).load(cases)

    def make(self, split: str) -> Path:
        """The folder that holds the split's files; makes it where it does not stand whole, and checks every file's digest once."""
        return made("mri-phantom", identity(GENERATOR, self._content(split)), split, lambda folder: self._write(split, folder))

    def _content(self, split: str) -> dict[str, object]:
        """What the bytes of a split depend on: neither the masks nor the size of other splits."""
        fields = asdict(self)
        return {name: fields[name] for name in ("seed", split, "slices", "size", "lesion_fraction")} | {"split": split}

    def _files(self, split: str) -> FastMRI:
        known_split("mri-phantom", split)
        if split not in self._folders:
            self._folders[split] = FastMRI(
                str(self.make(split)), self.acceleration, self.center_fraction, size=self.size, annotations=str(self.make(split) / f"{split}.csv")
            )
        return self._folders[split]

    @cached_property
    def _folders(self) -> dict[str, FastMRI]:
        return {}

    def _subject(self, split: str, index: int) -> Head:
        """One subject; its stream depends on the seed, the split and its number alone."""
        random = np.random.default_rng([self.seed, SPLITS.index(split), index])
        return head(random, self.slices, self.size, self.lesion_fraction)

    def _write(self, split: str, folder: Path) -> list[Path]:
        paths = []
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as table:
            boxes = csv.writer(table, lineterminator="\n")
            boxes.writerow(["file", "slice", "study_level", "x", "y", "width", "height", "label"])
            for index, stem in enumerate(self.patients_of(split)):
                subject = self._subject(split, index)
                path = folder / split / f"{stem}.h5"
                kspace = fft2c(torch.from_numpy(subject.image)).numpy()
                pixel = FIELD_OF_VIEW / self.size
                write_volume(
                    path, kspace, acquisition=subject.acquisition, patient_id=stem, recon_size=(self.size, self.size), pixel_mm=pixel, slice_mm=5.0
                )
                paths.append(path)
                for box in subject.lesions:
                    flipped = self.size - box.row - box.height
                    boxes.writerow([stem, box.slice, "No", box.column, flipped, box.width, box.height, "Planted lesion"])
        return paths
