"""Subjects on disk as BraTS and the Medical Segmentation Decathlon lay them out: which files and which grade are whose."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medrobust.errors import DataError
from medrobust.imaging.volumes import SEQUENCES

SUFFIXES = {  # last part of a file's stem, BraTS 2018-2021 and 2023, in lower case
    **dict.fromkeys(("t1", "t1n", "t1w"), "T1w"),
    **dict.fromkeys(("t1ce", "t1c", "t1gd"), "T1ce"),
    **dict.fromkeys(("t2", "t2w"), "T2w"),
    **dict.fromkeys(("flair", "t2f"), "FLAIR"),
    "seg": "mask",
}
DECATHLON = {"T1w": 1, "T1ce": 2, "T2w": 3, "FLAIR": 0}  # channel of a Task01_BrainTumour image
GRADES = {"HGG": 1, "LGG": 0}


@dataclass(frozen=True)
class Subject:
    """Where one subject's files lie.

    sequences: of each of SEQUENCES the file, and the channel of it that holds the sequence, None for a file of one volume.
    """

    name: str
    sequences: Mapping[str, tuple[Path, int | None]]
    mask: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file once, the mask last."""
        return (*dict.fromkeys(self.sequences[sequence][0] for sequence in SEQUENCES), self.mask)

    @property
    def patient(self) -> str:
        """Whom it belongs to: BraTS 2023 names are PATIENT-TIMEPOINT, all others are the patient's own."""
        match = re.fullmatch(r"(BraTS-[A-Za-z]+-\d+)-\d+", self.name)
        return match[1] if match else self.name


def find_subjects(folder: Path) -> dict[str, Subject]:
    """Every subject at any depth of the folder, by name in order. Raises DataError in one line.

    A subject is a folder with at least one file whose stem ends in a sequence's name; a lone NIfTI file of unknown name in a
    folder without `seg` is its mask (Kaggle's copy of BraTS 2020 has one). A folder named `*.nii` around a file is looked through.
    """
    if not folder.is_dir():
        msg = f"{folder}: found no such folder, expected a folder of BraTS subjects"
        raise DataError(msg)
    if _is_decathlon(folder):
        return _decathlon(folder)
    groups: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*.nii*")):
        if path.is_file() and path.name.endswith((".nii", ".nii.gz")) and not path.name.startswith("."):
            groups.setdefault(next(parent for parent in path.parents if not parent.name.endswith((".nii", ".nii.gz"))), []).append(path)
    subjects: dict[str, Subject] = {}
    for place, paths in groups.items():
        subject = _subject(place, paths)
        if subject is None:
            continue
        if subject.name in subjects:
            msg = f"{place}: found the subject '{subject.name}' twice (also {subjects[subject.name].mask.parent}), expected each once"
            raise DataError(msg)
        subjects[subject.name] = subject
    if not subjects:
        msg = f"{folder}: found no subject, expected folders with NIfTI files such as BraTS20_Training_001_t1.nii.gz, _t1ce, _t2, _flair and _seg"
        raise DataError(msg)
    return dict(sorted(subjects.items()))


def read_grades(folder: Path) -> dict[str, int]:
    """Name of a subject to 1 (HGG) or 0 (LGG), of every `name_mapping*.csv` at any depth; each of its subject columns is a name. Raises DataError."""
    grades: dict[str, int] = {}
    for path in sorted(folder.rglob("name_mapping*.csv")):
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            msg = f"{path}: found a file that cannot be read ({error}), expected a csv with the columns Grade and BraTS_2020_subject_ID"
            raise DataError(msg) from error
        for line, row in enumerate(rows, start=2):
            if "Grade" not in row:
                break
            names = [value for column, value in row.items() if column and column.lower().endswith("subject_id") and value not in {None, "", "NA"}]
            if row["Grade"] not in GRADES:
                msg = f"{path}:{line}: Grade: found {row['Grade']!r}, expected HGG or LGG"
                raise DataError(msg)
            grades |= dict.fromkeys(names, GRADES[row["Grade"]])
    return grades


def grade_of(subject: Subject, folder: Path, grades: Mapping[str, int]) -> int:
    """1 for HGG, 0 for LGG: as the table says, else as the folder says in which BraTS 2018 and 2019 keep the subject. Raises DataError."""
    if subject.name in grades:
        return grades[subject.name]
    kept = [GRADES[part] for part in subject.mask.relative_to(folder).parts if part in GRADES]
    if not kept:
        msg = f"{folder}: {subject.name}: found no grade, expected a row in name_mapping.csv or a folder HGG or LGG (or graded: false)"
        raise DataError(msg)
    return kept[-1]


def _subject(place: Path, paths: Iterable[Path]) -> Subject | None:
    """The subject of a folder; None where no file has a sequence's name."""
    found: dict[str, Path] = {}
    unknown = []
    for path in paths:
        stem = re.sub(r"\.nii(\.gz)?$", "", path.name)
        kind = SUFFIXES.get(re.split(r"[-_.]", stem)[-1].lower())
        if kind is None:
            unknown.append(path)
        elif kind in found:
            msg = f"{path}: found a second {kind} (also {found[kind].name}), expected one of each sequence in a subject's folder"
            raise DataError(msg)
        else:
            found[kind] = path
    if not found.keys() - {"mask"}:
        return None
    if "mask" not in found and len(unknown) == 1:
        found["mask"] = unknown[0]
    missing = [kind for kind in (*SEQUENCES, "mask") if kind not in found]
    if missing:
        names = ", ".join(f"*_{suffix}" for suffix, kind in SUFFIXES.items() if kind == missing[0])
        msg = f"{place}: found no {missing[0]}, expected one NIfTI file of {names}"
        raise DataError(msg)
    return Subject(place.name, {sequence: (found[sequence], None) for sequence in SEQUENCES}, found["mask"])


def _is_decathlon(folder: Path) -> bool:
    return (folder / "dataset.json").is_file() and (folder / "imagesTr").is_dir()


def _decathlon(folder: Path) -> dict[str, Subject]:
    """Subjects of Task01_BrainTumour, read by MONAI from its `dataset.json`."""
    from monai.data import load_decathlon_datalist

    try:
        entries: list[dict[str, str]] = load_decathlon_datalist(str(folder / "dataset.json"), True, "training")
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder / 'dataset.json'}: found no list of training cases ({error}), expected that of Task01_BrainTumour"
        raise DataError(msg) from error
    subjects = {}
    for entry in entries:
        image = Path(entry["image"])
        name = re.sub(r"\.nii(\.gz)?$", "", image.name)
        subjects[name] = Subject(name, {sequence: (image, channel) for sequence, channel in DECATHLON.items()}, Path(entry["label"]))
    return dict(sorted(subjects.items()))
