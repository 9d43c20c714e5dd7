"""What every set of mammograms does alike: labels by rule, splits by patient, images as networks see them, and the digest of it all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medrobust.data.cache import content_digests
from medrobust.data.embedded import SPLITS as NAMES
from medrobust.data.kept import Kept
from medrobust.data.mammogram import Mammogram, Outline, Rule, counted
from medrobust.data.mammogram_image import Frame, breast_mask, scaled
from medrobust.data.splits import SPLITS, read_splits, split_patients
from medrobust.errors import DataError
from medrobust.types import Batch, Case

Pixels = tuple[NDArray[np.int32], list[Outline]]


@dataclass(frozen=True)
class Shown:
    """One image as loaded. image: (h, w) in [-1, 1]. lesion, breast: (h, w), eight pixels a byte."""

    image: NDArray[np.float32]
    lesion: NDArray[np.uint8]
    breast: NDArray[np.uint8]

    @property
    def bytes(self) -> int:
        return self.image.nbytes + self.lesion.nbytes + self.breast.nbytes


@dataclass(frozen=True)
class MammogramSet:
    """The images of one folder under one label rule.

    root: the folder. find: its images, by name in order. read: pixels of one in its file, and its lesions' outlines.
    size: rows and columns of what is loaded. labels, rules: the rule's name, and those that the set can serve. views: which are cases.
    val, test: share of the patients in each split, drawn with `seed` where neither `splits.yaml` nor the set splits them; train is the rest.
    """

    root: Path
    find: Callable[[], Mapping[str, Mammogram]]
    read: Callable[[Mammogram], Pixels]
    size: tuple[int, int]
    labels: str
    rules: Mapping[str, Rule]
    views: tuple[str, ...]
    val: float
    test: float
    seed: int

    @property
    def digest(self) -> str:
        """Identity of names, bytes, labels, sides, splits and frame, 12 hexadecimal digits."""
        listed = [(split, case.case) for split in sorted(self.splits) for case in self._listed(split)]
        content = content_digests(sorted({path for _, name in listed for path in _files(self.images[name])}))
        parts = [f"{tuple(self.size)} {self.labels} {self.rule.says}"]
        for split, name in listed:
            one = self.images[name]
            said = f"{one.patient} {one.laterality} {one.view} {self.rule.label(one)} {one.outlined}"
            parts.append(f"{split} {name} {said} {' '.join(content[path] for path in _files(one))}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    def described(self, title: str) -> str:
        """How results are labelled: set, size, rule and, where not all usual ones, views."""
        views = "" if set(self.views) >= {"CC", "MLO"} else f", {' '.join(self.views)} alone"
        return f"{title}, {self.size[0]}x{self.size[1]}, {self.labels} ({self.rule.says}){views}"

    def cases(self, split: str) -> list[Case]:
        """Every image of the split that has a label and is of the views, by name. Raises DataError, also where there is none."""
        if split not in self.splits:
            msg = f"{self.root}: found no split '{split}', expected one of {', '.join(self.splits)}"
            raise DataError(msg)
        found = self._listed(split)
        if not found:
            msg = f"{self.root}: {split}: found no image of the views {', '.join(self.views)} with a label by '{self.labels}', expected some"
            raise DataError(msg)
        return found

    def load(self, cases: Sequence[Case]) -> Batch:
        """Image (n, 1, h, w) in [-1, 1], truth (n,), and the context `lesion` and `breast` (n, 1, h, w) and `outlined` (n,)."""
        images, lesions, breasts = [], [], []
        for case in cases:
            one = self._kept.get(case.case, self._shown)
            images.append(one.image[None])
            lesions.append(_unpacked(one.lesion, self.size))
            breasts.append(_unpacked(one.breast, self.size))
        records = [self._record(case.case) for case in cases]
        truth = torch.tensor([self._label(one) for one in records], dtype=torch.int64)
        context = {
            "lesion": torch.from_numpy(np.stack(lesions)),
            "outlined": torch.tensor([one.outlined for one in records]),
            "breast": torch.from_numpy(np.stack(breasts)),
        }
        return Batch(torch.from_numpy(np.stack(images)), truth, tuple(cases), context)

    @cached_property
    def rule(self) -> Rule:
        return self.rules[self.labels]

    @cached_property
    def images(self) -> Mapping[str, Mammogram]:
        if not self.root.is_dir():
            msg = f"{self.root}: found no such folder, expected one of mammograms"
            raise DataError(msg)
        return self.find()

    @cached_property
    def splits(self) -> Mapping[str, list[str]]:
        """Split to the names of its images, whatever the rule and views: the same patients are held out under each."""
        if (self.root / SPLITS).exists():
            return self._declared(self.root / SPLITS)
        own = self._own()
        wanted = {name: getattr(self, name) for name in ("val", "test") if name not in own.values()}
        drawn = self._drawn([patient for patient, split in own.items() if split in (None, "train")], wanted)
        own |= {patient: split for split, patients in drawn.items() for patient in patients}
        found = {split: [name for name, one in self.images.items() if own[one.patient] == split] for split in NAMES}
        return {split: names for split, names in found.items() if names}

    def _own(self) -> dict[str, str | None]:
        """Patient to the split that the set itself says, None where it does not."""
        own: dict[str, str | None] = {}
        for one in self.images.values():
            if own.setdefault(one.patient, one.split) != one.split:
                msg = f"{one.image}: found patient '{one.patient}' in {one.split} and in {own[one.patient]}, expected each patient in one split"
                raise DataError(msg)
        return own

    def _drawn(self, patients: Sequence[str], wanted: Mapping[str, float]) -> dict[str, list[str]]:
        """Patients drawn into train and the wanted splits, those with a suspicious image and the others alike."""
        ill = {one.patient for one in self.images.values() if one.suspicious}
        shares = {"train": 1 - sum(wanted.values()), **wanted}
        found: dict[str, list[str]] = {}
        for some in ([name for name in patients if name in ill], [name for name in patients if name not in ill]):
            for split, names in split_patients(some, shares, self.seed).items():
                found.setdefault(split, []).extend(names)
        return found

    def _declared(self, path: Path) -> dict[str, list[str]]:
        """Images of a `splits.yaml`, which names patients or images."""
        splits: dict[str, list[str]] = {}
        owner: dict[str, str] = {}
        for split, named in read_splits(path).items():
            known = {word for one in self.images.values() for word in (one.patient, one.name)}
            for name in named:
                if name not in known:
                    msg = f"{path}: {split}: found '{name}', expected a patient or image of the folder, such as '{next(iter(self.images))}'"
                    raise DataError(msg)
            chosen = [one for one in self.images.values() if {one.patient, one.name} & set(named)]
            for one in chosen:
                if owner.setdefault(one.patient, split) != split:
                    msg = f"{path}: {split}: found patient '{one.patient}' in {owner[one.patient]} too, expected each patient in one split"
                    raise DataError(msg)
            splits[split] = [one.name for one in chosen]
        return splits

    def _listed(self, split: str) -> list[Case]:
        chosen = [self.images[name] for name in self.splits[split]]
        return [Case(one.name, one.patient, one.name) for one in chosen if one.view in self.views and self.rule.label(one) is not None]

    def _record(self, name: str) -> Mammogram:
        if name not in self.images:
            msg = f"{self.root}: found no image '{name}', expected one of its {len(self.images)} images"
            raise DataError(msg)
        return self.images[name]

    def _label(self, one: Mammogram) -> int:
        found = self.rule.label(one)
        if found is None:
            msg = f"{one.image}: found an image that '{self.labels}' leaves out, expected one with a label"
            raise DataError(msg)
        return found

    def _shown(self, name: str) -> Shown:
        one = self._record(name)
        pixels, outlines = self.read(one)
        height, width = pixels.shape
        frame = Frame((height, width), self.size, flip=one.laterality == "R")
        image = scaled(frame.image(pixels), one.image)
        lesion = frame.mask(counted(outlines, self.rule) if self._label(one) else [])
        return Shown(image, np.packbits(lesion), np.packbits(breast_mask(image)))

    @cached_property
    def _kept(self) -> Kept[Shown]:
        return Kept()


def known_options(
    name: str, size: tuple[int, int], labels: str, rules: Mapping[str, Rule], views: tuple[str, ...], val: float, test: float
) -> None:
    """Raise ValueError for the first option that the set `name` cannot serve."""
    if len(size) != 2 or min(size) < 16:
        msg = f"size: found {size}, expected rows and columns of at least 16"
        raise ValueError(msg)
    if labels not in rules:
        msg = f"labels: found '{labels}', expected one that {name} can serve: {', '.join(rules)}"
        raise ValueError(msg)
    if not views:
        msg = "views: found none, expected some, such as CC and MLO"
        raise ValueError(msg)
    for field, share in (("val", val), ("test", test)):
        if not 0 <= share <= 1:
            msg = f"{field}: found {share}, expected a share in [0, 1]"
            raise ValueError(msg)
    if val + test > 1:
        msg = f"val: found {val}, expected at most what test ({test}) leaves"
        raise ValueError(msg)


def agree(path: Path, here: str, found: tuple[str, str], there: str, expected: tuple[str, str]) -> None:
    """Raise DataError where two sources contradict each other on side or view, (side, view) of each; silence and odd views contradict nothing."""
    for what, one, other, words in zip(("side", "view"), found, expected, (("L", "R"), ("CC", "MLO")), strict=True):
        if one != other and one in words and other in words:
            msg = f"{path}: found the {what} {one} in {here}, expected {other} as {there} has"
            raise DataError(msg)


def _files(one: Mammogram) -> tuple[Path, ...]:
    return (one.image, *one.sides)


def _unpacked(bits: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.unpackbits(bits, count=size[0] * size[1]).reshape(1, *size).astype(np.float32)
