"""One slice a case of what was looked at: kept with a run, committed with its rows, drawn on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrobust.files import replacing, store_errors
from medrobust.provenance import CHANGED

if TYPE_CHECKING:
    import h5py
    import numpy as np

    from medrobust.store import CellFolder

PICTURES = "pictures.h5"
PATIENTS = 4
"""How many patients are shown: the first of the split, in its order, so that none is picked for its looks."""

HARMED = 2
"""How many cases more, where pictures say how much each was harmed: those that were harmed most."""


@dataclass(frozen=True)
class Picture:
    """One case of one cell.

    cell: digest. arrays: by name, each (..., H, W). Explainers: `image` (c, H, W) uint8, each channel from its own 0 to 255, `truth` bool, nothing
    where there is none, and `relevance` uint8, from the least relevant voxel of the slice to the most. Segmentation: see `imaging.slices`. Other
    attacked images: see `artifacts.answered`; `harm` and some others are no planes.
    """

    cell: str
    case: str
    arrays: Mapping[str, np.ndarray]


def stored(folder: CellFolder) -> list[Picture]:
    """One picture that a cell kept of each of its first patients, of the slice whose truth shows most; none where it kept none.

    Without such a truth the first case of each, and the cases that were harmed most.
    """
    if not folder.stored.is_file():
        return []
    import h5py

    with store_errors(folder.stored), h5py.File(folder.stored, "r") as file:
        groups = {str(group.attrs["case"]): group["picture"] for group in file.values() if "picture" in group}
        cases: dict[str, dict[str, None]] = {}
        for row in folder.rows() if groups else ():
            if row["case"] in groups:
                cases.setdefault(str(row["patient"]), {})[str(row["case"])] = None
        patients = [list(names) for names in list(cases.values())[:PATIENTS]]
        if all("harm" in group for group in groups.values()):
            return [_read(folder.digest, case, groups[case]) for case in _harmed([names[0] for names in patients], groups)]
        first = [max(names, key=lambda case: shown(groups[case]["truth"][()])) for names in patients]
        return [_read(folder.digest, case, groups[case]) for case in first]


def _harmed(first: Sequence[str], groups: Mapping[str, Any]) -> list[str]:
    """The first cases, then those of all others with the most harm; of equal ones by name."""
    others = sorted((-float(group["harm"][()]), case) for case, group in groups.items() if case not in first)
    return [*first, *(case for _, case in others[:HARMED])]


def shown(truth: np.ndarray) -> tuple[int, int]:
    """How many structures the truth of a slice has, and how many pixels of any."""
    import numpy as np

    return len(np.unique(truth[truth > 0])), int((truth > 0).sum())


def committed(folder: Path) -> list[Picture]:
    """What `commit` wrote; none where there is no such file."""
    path = folder / PICTURES
    if not path.is_file():
        return []
    import h5py

    with store_errors(path), h5py.File(path, "r") as file:
        return [_read(cell, str(group.attrs["case"]), group) for cell, groups in file.items() for group in groups.values()]


def commit(pictures: Sequence[Picture], folder: Path) -> None:
    """Write them as one small file, equal arrays once; equal pictures give equal bytes."""
    if not pictures:
        return
    import h5py

    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        file.attrs["statement"] = CHANGED
        written: dict[tuple[str, tuple[int, ...], bytes], h5py.Dataset] = {}
        for picture in sorted(pictures, key=lambda picture: picture.cell):
            group = file.create_group(f"{picture.cell}/{len(file.get(picture.cell, ())):04d}")
            group.attrs["case"] = picture.case
            for name, array in sorted(picture.arrays.items()):
                key = (str(array.dtype), array.shape, array.tobytes())
                if key in written:
                    group[name] = written[key]
                else:
                    written[key] = _write(group, name, array)
        file.flush()
        with replacing(folder / PICTURES) as temporary:
            temporary.write_bytes(file.id.get_file_image())


def _write(group: h5py.Group, name: str, array: np.ndarray) -> h5py.Dataset:
    """Compressed, but for single numbers, which cannot be."""
    packed = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if array.ndim else {}
    return group.create_dataset(name, data=array, **packed)


def _read(cell: str, case: str, group: Mapping[str, Any]) -> Picture:
    return Picture(cell, case, {name: array[()] for name, array in sorted(group.items())})
