"""Slices of labelled CT volumes as cases, drawn and declared splits of their subjects, and a note of which slices hold an organ."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medrobust.data.cache import user_cache
from medrobust.data.kept import Volume
from medrobust.data.splits import read_splits
from medrobust.errors import DataError
from medrobust.types import Batch, Case

Index = Mapping[int, Sequence[int]]
"""Slice to the organs in it, slices without one left out."""


def slice_cases(subject: str, slices: Iterable[int]) -> list[Case]:
    """One case a slice, named by subject and slice."""
    return [Case(f"{subject}#{index:03d}", subject, subject) for index in slices]


def slice_batch(cases: Sequence[Case], volume_of: Callable[[str], Volume]) -> Batch:
    """Image (n, 1, h, w) in HU, labels (n, 1, h, w), and the context `mean`, `std` (n,) in HU of the volume and `spacing` (n, 2) in mm."""
    images, labels, means, stds, spacings = [], [], [], [], []
    for case in cases:
        subject, _, number = case.case.rpartition("#")
        volume = volume_of(subject)
        if not number.isdigit() or int(number) >= len(volume.image):
            msg = f"{subject}: found no slice '{number}', expected one of 000 to {len(volume.image) - 1:03d}"
            raise DataError(msg)
        images.append(volume.image[int(number)])
        labels.append(volume.labels[int(number)])
        means.append(volume.mean)
        stds.append(volume.std)
        spacings.append(volume.spacing)
    context = {name: torch.tensor(values, dtype=torch.float32) for name, values in {"mean": means, "std": stds, "spacing": spacings}.items()}
    image, truth = (torch.from_numpy(np.stack(rows)[:, None]) for rows in (images, labels))
    return Batch(image.float(), truth.long(), tuple(cases), context)


def organs_by_slice(labels: NDArray[np.uint8]) -> dict[int, list[int]]:
    """Of labels (z, h, w), slice to the labels above 0 in it; slices without one are left out."""
    found = {index: np.flatnonzero(np.bincount(plane.ravel())[1:]) + 1 for index, plane in enumerate(labels)}
    return {index: organs.tolist() for index, organs in found.items() if organs.size}


def remembered(identity: str, make: Callable[[], Index]) -> Index:
    """What `make` gave for the same identity before, from the user's cache; where that cannot be written it is made every time."""
    path = user_cache() / "slices" / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.json"
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        return {int(index): [int(organ) for organ in organs] for index, organs in json.loads(path.read_text(encoding="utf-8")).items()}
    found = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        partial.write_text(json.dumps(found), encoding="utf-8")
        partial.replace(path)
    return found


def declared(path: Path, subjects: Iterable[str]) -> dict[str, list[str]]:
    """Split to subjects, of a `splits.yaml` that names subjects. Raises DataError."""
    known = list(subjects)
    splits = {split: sorted(names) for split, names in read_splits(path).items()}
    for split, names in splits.items():
        for name in names:
            if name not in known:
                msg = f"{path}: {split}: found '{name}', expected a subject of the folder, such as '{known[0]}'"
                raise DataError(msg)
    return splits


def drawn(folder: Path, subjects: Iterable[str], counts: Mapping[str, int], seed: int) -> dict[str, list[str]]:
    """So many subjects a split, drawn at random without replacement; a split of none is left out. Raises DataError where there are too few."""
    order = np.random.default_rng(seed).permutation(sorted(subjects)).tolist()
    if len(order) < sum(counts.values()):
        what = " + ".join(f"{count} {split}" for split, count in counts.items())
        msg = f"{folder}: found {len(order)} subjects to draw from, expected at least {what} (or a splits.yaml)"
        raise DataError(msg)
    splits = {}
    for split, count in counts.items():
        splits[split], order = sorted(order[:count]), order[count:]
    return {split: names for split, names in splits.items() if names}
