"""Abdominal CT on disk as the public sets lay it out: which image and which labels are whose, and which number is which organ."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medrobust.errors import DataError

ORGANS = ("pancreas", "kidneys", "liver", "spleen")
"""Of the task, in order: label 1 is the first."""

PANCREAS, KIDNEYS, LIVER, SPLEEN = 1, 2, 3, 4

AMOS_NAMES = {
    0: "background", 1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gall bladder", 5: "esophagus", 6: "liver", 7: "stomach", 8: "aorta",
    9: "postcava", 10: "pancreas", 11: "right adrenal gland", 12: "left adrenal gland", 13: "duodenum", 14: "bladder", 15: "prostate/uterus",
}  # fmt: skip
LARGEST_CT = 500  # amos_0501 and above are MR
MASKS = {"pancreas": PANCREAS, "kidney_right": KIDNEYS, "kidney_left": KIDNEYS, "liver": LIVER, "spleen": SPLEEN}
ENDINGS = {"pancreas": PANCREAS, "liver": LIVER, "spleen": SPLEEN, "kidney": KIDNEYS, "kidneys": KIDNEYS, "rkid": KIDNEYS, "lkid": KIDNEYS}
TUMOURS = ("cancer", "tumour", "tumor")


@dataclass(frozen=True)
class LabelMap:
    """organs: the file's number of a label to the task's, organs alone. largest: number that the files may hold."""

    organs: Mapping[int, int]
    largest: int

    @property
    def carried(self) -> frozenset[int]:
        """The task's numbers of the organs that the set outlines at all."""
        return frozenset(self.organs.values())


@dataclass(frozen=True)
class Scan:
    """Where one subject's files lie.

    labels: one file of many labels, or one mask an organ. masks: of each mask the organ; empty for a file of many labels.
    split: to which the layout itself gives the subject; None where it says nothing.
    """

    name: str
    image: Path
    labels: tuple[Path, ...]
    masks: tuple[int, ...] = ()
    split: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.image, *self.labels)


@dataclass(frozen=True)
class Layout:
    """A public set's files and numbers.

    folders: of images, of labels, and the split they are; the first that stand are read, or all where they are splits.
    label_of: name of an image's labels, without suffix. numbers: its labels; None where `dataset.json` says them.
    """

    folders: tuple[tuple[str, str, str | None], ...] = ()
    label_of: Callable[[str], str] = str
    numbers: LabelMap | None = None


_TOTAL = {1: SPLEEN, 2: KIDNEYS, 3: KIDNEYS, 5: LIVER}
LAYOUTS: Mapping[str, Layout] = {
    "btcv": Layout(
        (("imagesTr", "labelsTr", None), ("img", "label", None)),
        lambda name: name.replace("img", "label", 1),
        LabelMap({1: SPLEEN, 2: KIDNEYS, 3: KIDNEYS, 6: LIVER, 11: PANCREAS}, 13),
    ),
    "amos22": Layout(
        (("imagesTr", "labelsTr", "train"), ("imagesVa", "labelsVa", "val"), ("imagesTs", "labelsTs", "test")),
        numbers=LabelMap({1: SPLEEN, 2: KIDNEYS, 3: KIDNEYS, 6: LIVER, 10: PANCREAS}, 15),
    ),
    "flare22": Layout(
        (("imagesTr", "labelsTr", None), ("images", "labels", None)),
        lambda name: name.removesuffix("_0000"),
        LabelMap({1: LIVER, 2: KIDNEYS, 3: SPLEEN, 4: PANCREAS, 13: KIDNEYS}, 13),
    ),
    "msd": Layout((("imagesTr", "labelsTr", None),)),
    "totalsegmentator": Layout(numbers=LabelMap({**_TOTAL, 7: PANCREAS}, 118)),
    "totalsegmentator-v1": Layout(numbers=LabelMap({**_TOTAL, 10: PANCREAS}, 104)),
}


def find_scans(folder: Path, layout: str) -> dict[str, Scan]:
    """Every labelled CT of the folder, by name in order. Raises DataError in one line.

    What a name begins with `.` is passed over, and so are AMOS22's MR images. Images of a folder without its folder of labels are not read.
    """
    if not folder.is_dir():
        msg = f"{folder}: found no such folder, expected one laid out as {layout}"
        raise DataError(msg)
    scans = _by_case(folder, LAYOUTS[layout]) if LAYOUTS[layout].folders else _by_subject(folder)
    if not scans:
        pairs = " or ".join(f"{images} and {labels}" for images, labels, _ in LAYOUTS[layout].folders) or "folders SUBJECT with a ct.nii.gz"
        msg = f"{folder}: found no labelled CT, expected {pairs} as {layout} has"
        raise DataError(msg)
    return dict(sorted(scans.items()))


def label_map(folder: Path, layout: str) -> LabelMap:
    """The set's numbers, from `dataset.json` where the layout leaves them to it. Raises DataError, also where that file contradicts the layout."""
    path, numbers = folder / "dataset.json", LAYOUTS[layout].numbers
    if numbers is not None and not path.exists():
        return numbers
    names = _names(path)
    stated = {number: organ for number, name in names.items() if (organ := _organ(name))}
    if numbers is not None:
        for number, organ in stated.items():
            if numbers.organs.get(number) != organ:
                expected = ORGANS[numbers.organs[number] - 1] if number in numbers.organs else "no organ of the task"
                msg = f"{path}: labels: found '{names[number]}' for {number}, expected {expected} as {layout} has"
                raise DataError(msg)
        return numbers
    if not stated:
        msg = f"{path}: labels: found {', '.join(names.values())}, expected one of {', '.join(ORGANS)}"
        raise DataError(msg)
    if len(set(stated.values())) == 1:  # a tumour of the set's one organ is part of that organ
        stated |= {number: next(iter(stated.values())) for number, name in names.items() if name.lower() in TUMOURS}
    return LabelMap(stated, max(names))


def _by_case(folder: Path, layout: Layout) -> dict[str, Scan]:
    scans: dict[str, Scan] = {}
    for images, labels, split in layout.folders:
        if not (folder / images).is_dir() or not (folder / labels).is_dir():
            continue
        found, outlined = _volumes(folder / images), _volumes(folder / labels)
        for name, image in found.items():
            label = layout.label_of(name)
            if label not in outlined:
                msg = f"{image}: found no labels, expected {folder / labels / label}.nii.gz"
                raise DataError(msg)
            if name in scans:
                msg = f"{image}: found the subject '{name}' twice (also {scans[name].image}), expected each once"
                raise DataError(msg)
            scans[name] = Scan(name, image, (outlined[label],), split=split)
        if split is None and found:
            break
    return {name: scan for name, scan in scans.items() if not _is_mr(name)}


def _by_subject(folder: Path) -> dict[str, Scan]:
    splits = _meta(folder / "meta.csv")
    scans = {}
    for place in sorted(folder.iterdir()):
        volumes = _volumes(place) if place.is_dir() else {}
        if "ct" not in volumes:
            continue
        masks = _volumes(place / "segmentations") if (place / "segmentations").is_dir() else {}
        others = [path for name, path in volumes.items() if name != "ct"]
        if masks:
            missing = [name for name in MASKS if name not in masks]
            if missing:
                msg = f"{place / 'segmentations'}: found no {missing[0]}.nii.gz, expected {', '.join(MASKS)}"
                raise DataError(msg)
            files, organs = tuple(masks[name] for name in MASKS), tuple(MASKS.values())
        elif len(others) == 1:
            files, organs = (others[0],), ()
        else:
            msg = f"{place}: found no labels, expected a folder segmentations or one more file than ct.nii.gz (found {len(others)})"
            raise DataError(msg)
        scans[place.name] = Scan(place.name, volumes["ct"], files, organs, splits.get(place.name))
    return scans


def _volumes(folder: Path) -> dict[str, Path]:
    """NIfTI files by name without suffix, in order."""
    paths = (path for path in sorted(folder.iterdir()) if path.name.endswith((".nii", ".nii.gz")) and not path.name.startswith("."))
    return {re.sub(r"\.nii(\.gz)?$", "", path.name): path for path in paths}


def _is_mr(name: str) -> bool:
    match = re.fullmatch(r"amos_(\d+)", name)
    return match is not None and int(match[1]) > LARGEST_CT


def _meta(path: Path) -> dict[str, str]:
    """Subject to split, of TotalSegmentator's `meta.csv`; empty where there is none. Raises DataError."""
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row["image_id"]: row["split"] for row in csv.DictReader(file, delimiter=";")}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        msg = f"{path}: found no table that can be read ({' '.join(str(error).split())}), expected the columns image_id and split, separated by ';'"
        raise DataError(msg) from error


def _names(path: Path) -> dict[int, str]:
    """Number to name, of a `dataset.json`, written either way round. Raises DataError."""
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))["labels"]
        return {int(key if str(key).isdigit() else value): str(value if str(key).isdigit() else key) for key, value in stated.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path}: found no labels that can be read ({' '.join(str(error).split())}), expected numbers and their names under 'labels'"
        raise DataError(msg) from error


def _organ(name: str) -> int | None:
    """The task's number of an organ by a set's name for it."""
    words = re.split(r"[^a-z]+", name.lower())
    if set(words) & set(TUMOURS):
        return None
    return next((organ for word in words for ending, organ in ENDINGS.items() if word.endswith(ending)), None)
