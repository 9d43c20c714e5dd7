"""The embedded mammograms: made-up women written as INbreast files on first use."""

from __future__ import annotations

import plistlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from medrobust.data.embedded import SPLITS, at_least, identity, known_split, made
from medrobust.data.inbreast import INbreast
from medrobust.data.mammo_dicom import write_dicom
from medrobust.data.mammogram import Rule
from medrobust.data.mammogram_set import known_options
from medrobust.data.splits import SPLITS as SPLITS_FILE
from medrobust.data.splits import write_splits
from medrobust.imaging.mammogram import Mammogram, Woman, mammogram, woman
from medrobust.imaging.mammogram_anatomy import PIXEL
from medrobust.types import Batch, Case

GENERATOR = 2
"""Raised whenever the generator changes a number it makes."""

BIRADS = {1: ("1",), 2: ("2",), 3: ("3",), 4: ("4a", "4b", "4c"), 5: ("5", "6")}
HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
VIEWS = ("CC", "MLO")


@dataclass(frozen=True)
class MammogramPhantom:
    """Mammograms of made-up women as networks see them, in [-1, 1]; truth 1 cancerous, 0 healthy by a named rule; lesions outlined.

    Source: made from geometry and power-law noise, no scan; see `medrobust.imaging.mammogram` for anatomy and physics.
    Results on it are a phantom's: they show a method's behaviour, not a paper's numbers.

    seed: determines every byte. train, val, test: patients of each split, every second one with BI-RADS 3 or above; of a patient one breast is shown,
        in CC, in MLO or, of about every second one, in both.
    size: rows and columns of what is loaded; files have 512 x 408 pixels of 0.45 mm. labels: `birads>=3`, `birads>=4 drop 3` or `mass`.
    views: which images are cases.
    """

    task: ClassVar[str] = "classification"
    rules: ClassVar[Mapping[str, Rule]] = INbreast.rules
    seed: int = 0
    train: int = 720
    val: int = 40
    test: int = 120
    size: tuple[int, int] = (256, 256)
    labels: str = "birads>=3"
    views: tuple[str, ...] = VIEWS

    def __post_init__(self) -> None:
        at_least(self, {"train": 0, "val": 0, "test": 1})
        known_options("mammogram-phantom", self.size, self.labels, self.rules, self.views, 0, 0)

    @property
    def digest(self) -> str:
        """Identity of generator and options; the last bits of its floats may differ between processors."""
        return identity(GENERATOR, asdict(self))

    @property
    def label(self) -> str:
        views = "" if set(self.views) >= set(VIEWS) else f", {' '.join(self.views)} alone"
        return f"phantom: mammograms, {self.size[0]}x{self.size[1]}, {self.labels} ({self.rules[self.labels].says}){views}"

    def cases(self, split: str) -> Sequence[Case]:
        """Every image of a split that has a label by the rule; makes its files on first use."""
        return self._files(split).cases(split)

    def patients_of(self, split: str) -> list[str]:
        """The patients of a split, named without making its files."""
        return [f"{split}{index:04d}" for index in range(getattr(self, split))]

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named images, read from the files as `INbreast.load` does."""
        return self._files(cases[0].patient[:-4]).load(cases)

    def make(self, split: str) -> Path:
        """The folder that holds the split's files; makes it where it does not stand whole, and checks every file's digest once."""
        content = {"seed": self.seed, split: getattr(self, split), "split": split}
        return made("mammogram-phantom", identity(GENERATOR, content), split, lambda folder: self._write(split, folder / split))

    def _files(self, split: str) -> INbreast:
        known_split("mammogram-phantom", split)
        if split not in self._folders:
            self._folders[split] = INbreast(str(self.make(split) / split), size=self.size, labels=self.labels, views=self.views)
        return self._folders[split]

    @cached_property
    def _folders(self) -> dict[str, INbreast]:
        return {}

    def _patient(self, split: str, index: int) -> tuple[Generator, Woman, tuple[str, ...]]:
        """One patient, her own stream and her views; they depend on the seed, the split and her number alone."""
        random = np.random.default_rng([self.seed, SPLITS.index(split), index])
        one = woman(random, cancerous=index % 2 == 1)
        shown = int(random.integers(4))
        return random, one, VIEWS if shown > 1 else (VIEWS[shown],)

    def _write(self, split: str, folder: Path) -> list[Path]:
        """Write `AllDICOMs`, `AllXML`, the muscle's outlines, `INbreast.csv` and `splits.yaml`."""
        muscles = folder / "PectoralMuscle" / "Pectoral_Muscle_XML"
        for place in (folder / "AllDICOMs", folder / "AllXML", muscles):
            place.mkdir(parents=True)
        paths, rows = [folder / "INbreast.csv", folder / SPLITS_FILE], [HEADER]
        for index, patient in enumerate(self.patients_of(split)):
            random, one, views = self._patient(split, index)
            side, birads = "R" if one.right else "L", str(random.choice(BIRADS[one.birads]))
            for view in views:
                name, shown = f"{patient}{view.lower()}", mammogram(random, one, oblique=view == "MLO")
                short = "ML" if view == "MLO" else view
                place = folder / "AllDICOMs" / f"{name}_{patient}_MG_{side}_{short}_ANON.dcm"
                pixels = np.ascontiguousarray(shown.image[:, ::-1]) if one.right else shown.image
                paths.append(write_dicom(place, pixels, patient, side, view, PIXEL))
                paths += _write_outlines(shown, one.right, folder / "AllXML" / f"{name}.xml", muscles / f"{name}_muscle.xml")
                rows.append(f"removed;removed;{side};{view};202001;{name};{one.density};{birads}")
        paths[0].write_text("\n".join(rows) + "\n", encoding="utf-8")
        write_splits(paths[1], {split: self.patients_of(split)})
        return paths


def _write_outlines(shown: Mammogram, right: bool, findings: Path, muscle: Path) -> list[Path]:
    """OsiriX lists of what was found and of the muscle, each where there is any."""
    written = []
    regions = [(finding.name, finding.points) for finding in shown.findings]
    for path, wanted in ((findings, regions), (muscle, [] if shown.muscle is None else [("Pectoral Muscle", shown.muscle)])):
        if wanted:
            rois = [_region(number, name, points, right, shown.image.shape[1]) for number, (name, points) in enumerate(wanted)]
            path.write_bytes(plistlib.dumps({"Images": [{"ImageIndex": 0, "NumberOfROIs": len(rois), "ROIs": rois}]}))
            written.append(path)
    return written


def _region(number: int, name: str, points: NDArray[np.float64], right: bool, width: int) -> dict[str, object]:
    x = width - 1 - points[:, 0] if right else points[:, 0]
    pixels = [f"({column:f}, {row:f})" for column, row in zip(x, points[:, 1], strict=True)]
    return {"IndexInImage": number, "Name": name, "NumberOfPoints": len(pixels), "Point_px": pixels, "Type": 15 if len(pixels) > 1 else 19}
