"""Which files of a folder belong to which split, by patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import yaml

from medrobust.data.fastmri_file import read_volume
from medrobust.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SPLITS = "splits.yaml"
PREFIXES = ("singlecoil_", "multicoil_", "")


def split_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Split to its files, each sorted by name, from `splits.yaml` or else from the folder's sub-folders. Raises DataError.

    Sub-folders are fastMRI's `singlecoil_SPLIT` and `multicoil_SPLIT`, or `SPLIT`; of several for one split the first of these counts.
    """
    if not folder.is_dir():
        msg = f"{folder}: found no such folder, expected a folder of fastMRI files"
        raise DataError(msg)
    splits = _declared(folder) if (folder / SPLITS).exists() else _folders(folder)
    seen: dict[str, Path] = {}
    for path in (path for files in splits.values() for path in files):
        if path.name in seen:
            msg = f"{path}: found the file name twice (also {seen[path.name]}), expected each name once"
            raise DataError(msg)
        seen[path.name] = path
    return splits


def read_splits(path: Path) -> dict[str, list[str]]:
    """A `splits.yaml`: split to patients or file names, no name in two splits. Raises DataError."""
    try:
        splits = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"{path}: found no readable YAML ({' '.join(str(error).split())}), expected a mapping of split to patients or files"
        raise DataError(msg) from error
    if not isinstance(splits, dict) or not splits:
        msg = f"{path}: found {type(splits).__name__}, expected a mapping of split to patients or files"
        raise DataError(msg)
    owner: dict[str, str] = {}
    for split, names in splits.items():
        if not isinstance(split, str) or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            msg = f"{path}: {split}: found {names!r:.80}, expected a list of patients or file names (quote numbers)"
            raise DataError(msg)
        for name in names:
            if name in owner:
                msg = f"{path}: {split}: found '{name}', which {owner[name]} has already, expected each name once"
                raise DataError(msg)
            owner[name] = split
    return splits


def _declared(folder: Path) -> dict[str, tuple[Path, ...]]:
    path, files = folder / SPLITS, sorted(folder.rglob("*.h5"))
    patients = {file: read_volume(file).patient for file in files}
    splits: dict[str, tuple[Path, ...]] = {}
    owner: dict[str, str] = {}
    for split, names in read_splits(path).items():
        chosen: set[Path] = set()
        for name in names:
            matches = [file for file in files if name in {file.name, patients[file]}]
            if not matches:
                msg = f"{path}: {split}: found '{name}', expected a patient or file of the folder, such as '{next(iter(patients.values()), '-')}'"
                raise DataError(msg)
            chosen.update(matches)
        for patient in {patients[file] for file in chosen}:
            if owner.setdefault(patient, split) != split:
                msg = f"{path}: {split}: found patient '{patient}' in {owner[patient]} too, expected each patient in one split"
                raise DataError(msg)
        splits[split] = tuple(sorted(chosen, key=lambda file: file.name))
    return splits


def _folders(folder: Path) -> dict[str, tuple[Path, ...]]:
    found: Mapping[str, tuple[Path, ...]] = {
        child.name: files for child in sorted(folder.iterdir()) if child.is_dir() and (files := tuple(sorted(child.glob("*.h5"))))
    }
    splits: dict[str, tuple[Path, ...]] = {}
    for prefix in PREFIXES:
        for name, files in found.items():
            owned = prefix or not name.startswith(PREFIXES[:2])
            if name.startswith(prefix) and owned:
                splits.setdefault(name.removeprefix(prefix), files)
    if not splits:
        msg = f"{folder}: found no {SPLITS} and no sub-folder of *.h5 files, expected either (medrobust data split FOLDER writes one)"
        raise DataError(msg)
    return splits


def split_patients(patients: Iterable[str], fractions: Mapping[str, float], seed: int) -> dict[str, list[str]]:
    """Patients drawn at random into splits, each patient in one; sizes are the fractions rounded by largest remainder.

    Raises ValueError for fractions that are negative or do not sum to 1.
    """
    if min(fractions.values(), default=-1) < 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        msg = f"fractions: found {dict(fractions)}, expected numbers of at least 0 that sum to 1"
        raise ValueError(msg)
    order = np.random.default_rng(seed).permutation(sorted(set(patients))).tolist()
    exact = {split: fraction * len(order) for split, fraction in fractions.items()}
    sizes = {split: int(share + 1e-9) for split, share in exact.items()}
    for split in sorted(exact, key=lambda split: sizes[split] - exact[split])[: len(order) - sum(sizes.values())]:
        sizes[split] += 1
    splits = {}
    for split, count in sizes.items():
        splits[split], order = sorted(order[:count]), order[count:]
    return splits


def write_splits(path: Path, splits: Mapping[str, Sequence[str]], note: str = "") -> None:
    """Write a `splits.yaml`, whole or not at all. note: one comment line."""
    text = (f"# {note}\n" if note else "") + yaml.safe_dump({split: list(names) for split, names in splits.items()}, sort_keys=False)
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
