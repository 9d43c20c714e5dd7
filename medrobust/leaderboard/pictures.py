"""One slice a case of what explainers were shown and said: kept with a run, committed with its rows, drawn on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrobust.files import replacing, store_errors

if TYPE_CHECKING:
    import numpy as np

    from medrobust.store import CellFolder

PICTURES = "pictures.h5"
CASES = 4
"""How many cases are shown: the first of the split, in its order, so that none is picked for its looks."""


@dataclass(frozen=True)
class Picture:
    """One case of one cell.

    cell: digest. image: (c, H, W) uint8, each channel from its own 0 to 255. truth: (H, W) bool, nothing where there is none.
    relevance: (H, W) uint8, from the least relevant voxel of the slice to the most.
    """

    cell: str
    case: str
    image: np.ndarray
    truth: np.ndarray
    relevance: np.ndarray


def stored(folder: CellFolder) -> list[Picture]:
    """The pictures that a cell kept of its first cases; none where it kept none."""
    if not folder.cell.explainer or not folder.stored.is_file():
        return []
    import h5py

    with store_errors(folder.stored), h5py.File(folder.stored, "r") as file:
        order = {str(row["case"]): None for row in folder.rows()}
        groups = {str(group.attrs["case"]): group for group in file.values()}
        return [_read(folder.digest, case, groups[case]["picture"]) for case in list(order)[:CASES] if "picture" in groups.get(case, ())]


def committed(folder: Path) -> list[Picture]:
    """What `commit` wrote; none where there is no such file."""
    path = folder / PICTURES
    if not path.is_file():
        return []
    import h5py

    with store_errors(path), h5py.File(path, "r") as file:
        return [_read(cell, str(group.attrs["case"]), group) for cell, groups in file.items() for group in groups.values()]


def commit(pictures: Sequence[Picture], folder: Path) -> None:
    """Write them as one small file; equal pictures give equal bytes."""
    if not pictures:
        return
    import h5py

    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        for picture in sorted(pictures, key=lambda picture: picture.cell):
            group = file.create_group(f"{picture.cell}/{len(file.get(picture.cell, ())):04d}")
            group.attrs["case"] = picture.case
            for name in ("image", "truth", "relevance"):
                group.create_dataset(name, data=getattr(picture, name), compression="gzip", compression_opts=9, shuffle=True)
        file.flush()
        with replacing(folder / PICTURES) as temporary:
            temporary.write_bytes(file.id.get_file_image())


def _read(cell: str, case: str, group: Mapping[str, Any]) -> Picture:
    return Picture(cell, case, group["image"][()], group["truth"][()], group["relevance"][()])
