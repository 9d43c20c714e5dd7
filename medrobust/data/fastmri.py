"""fastMRI volumes from a folder, slice by slice, as the object that accelerated reconstruction measures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from medrobust.data.acquisition import acquire, mask_rule, object_image
from medrobust.data.annotations import Annotations, read_annotations
from medrobust.data.cache import content_digests
from medrobust.data.fastmri_file import Volume, read_slices, read_volume
from medrobust.data.splits import split_files
from medrobust.errors import DataError
from medrobust.types import Batch, Case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True)
class FastMRI:
    """Fully sampled fastMRI files, each slice undersampled afresh by a mask that its file's name seeds.

    Source: Zbontar et al. 2018, arXiv:1811.08839; the object is the centre crop of F* k, as FNAF measures it
    (Cheng et al. 2020, MIDL), and the mask is drawn at the crop's width.

    folder: where the files lie, absolute or from where the command runs; no part of the digest.
        Splits are those of its `splits.yaml` where it has one, else its folders `singlecoil_SPLIT`, `multicoil_SPLIT`
        or `SPLIT`, the first that exists.
    acceleration: nominal undersampling factor, at least 1. center_fraction: fully sampled share of the columns, in (0, 1].
    mask: how columns are drawn: `random`.
    size: pixels along each side of the central crop of the image.
    annotations: a csv of lesion boxes, of fastMRI+ or of Caliva et al.; empty for none.
    title: how results are labelled; no part of the digest.

    Intensities are the file's own (about 1e-5 for fastMRI); several coils are combined by `acquisition.combine`.
    """

    folder: str
    acceleration: float = 4.0
    center_fraction: float = 0.08
    mask: str = "random"
    size: int = 320
    annotations: str = ""
    title: str = "fastMRI"

    task: ClassVar[str] = "reconstruction"

    def __post_init__(self) -> None:
        mask_rule(self.mask, self.acceleration, self.center_fraction)
        if self.size < 1:
            msg = f"size: found {self.size}, expected a number of pixels of at least 1"
            raise ValueError(msg)

    @property
    def digest(self) -> str:
        """Identity of names, bytes, splits, boxes and options, 12 hexadecimal digits."""
        files = [(split, path) for split, paths in sorted(self._splits.items()) for path in paths]
        tables = [self._table] if self.annotations else []
        content = content_digests([*(path for _, path in files), *tables])
        parts = [f"{self.acceleration!r} {self.center_fraction!r} {self.mask} {self.size}"]
        parts += [f"{split} {path.name} {path.stat().st_size} {content[path]}" for split, path in files]
        parts += [content[table] for table in tables]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        return f"{self.title}, {self.size}x{self.size}"

    def cases(self, split: str) -> Sequence[Case]:
        """Every slice of every file of the split, `FILE#003`; files in the order of their names. Raises DataError."""
        if split not in self._splits:
            msg = f"{self.folder}: found no split '{split}', expected one of {', '.join(self._splits)}"
            raise DataError(msg)
        volumes = [self._volume(path) for path in self._splits[split]]
        return [
            Case(case=f"{volume.path.name}#{index:03d}", patient=volume.patient, group=volume.path.name)
            for volume in volumes
            for index in range(volume.slices)
        ]

    def load(self, cases: Sequence[Case]) -> Batch:
        """Magnitude (n, 1, size, size) of the named slices, with phase, mask, maximum, nominal and boxes; reads those slices alone."""
        rule = mask_rule(self.mask, self.acceleration, self.center_fraction)
        images, phases, masks, maxima = [], [], [], []
        for name, group in groupby(cases, key=lambda case: case.group):
            volume = self._volume(self._path(name))
            indices = [_slice_index(case) for case in group]
            for kspace in read_slices(volume.path, indices):
                image, phase, mask = acquire(object_image(torch.from_numpy(kspace), self.size), name, rule)
                images.append(image)
                phases.append(phase)
                masks.append(mask)
                maxima.append(volume.maximum)
        image = torch.stack(images)
        context = {
            "phase": torch.stack(phases),
            "mask": torch.stack(masks),
            "maximum": torch.tensor(maxima, dtype=torch.float32),
            "nominal": torch.tensor([[self.acceleration, self.center_fraction]]).repeat(len(cases), 1),
            "boxes": self._boxes(cases),
        }
        return Batch(image=image, truth=image, cases=tuple(cases), context=context)

    @cached_property
    def _splits(self) -> dict[str, tuple[Path, ...]]:
        return split_files(Path(self.folder).expanduser())

    @cached_property
    def _annotations(self) -> Annotations | None:
        return read_annotations(self._table) if self.annotations else None

    @property
    def _table(self) -> Path:
        return Path(self.annotations).expanduser()

    @cached_property
    def _paths(self) -> dict[str, Path]:
        return {path.name: path for files in self._splits.values() for path in files}

    @cached_property
    def _volumes(self) -> dict[Path, Volume]:
        return {}

    def _path(self, name: str) -> Path:
        if name not in self._paths:
            msg = f"{self.folder}: found no file '{name}', expected one of its {len(self._paths)} files"
            raise DataError(msg)
        return self._paths[name]

    def _volume(self, path: Path) -> Volume:
        """What a file says of itself, checked once."""
        if path not in self._volumes:
            volume = read_volume(path)
            if volume.undersampled:
                msg = f"{path}: mask: found an undersampled scan, expected fully sampled k-space"
                raise DataError(msg)
            if min(volume.height, volume.width) < self.size:
                msg = f"{path}: kspace: found {volume.height} x {volume.width}, expected at least size = {self.size} on both sides"
                raise DataError(msg)
            self._volumes[path] = volume
        return self._volumes[path]

    def _boxes(self, cases: Sequence[Case]) -> Tensor:
        """Boxes of each case inside the crop, (n, k, 4); k is the most that any slice of the table has, at least 1."""
        table = self._annotations
        rows = np.full((len(cases), max(table.most, 1) if table else 1, 4), np.nan, dtype=np.float32)
        for row, case in enumerate(cases) if table else ():
            volume = self._volume(self._path(case.group))
            height, width, _ = volume.header.recon
            down, right = _offset(volume.height, height, self.size), _offset(volume.width, width, self.size)
            for place, box in enumerate(table.boxes(Path(case.group).stem, _slice_index(case), height, width) if table else ()):
                inside = box.moved(down, right).clipped(self.size, self.size)
                if inside is not None:
                    rows[row, place] = inside.row, inside.column, inside.height, inside.width
        return torch.from_numpy(rows)


def _offset(full: int, recon: int, size: int) -> int:
    """From the reconstruction's first pixel to the crop's, both cut from the centre of `full` pixels."""
    return (full - recon) // 2 - (full - size) // 2


def _slice_index(case: Case) -> int:
    name, _, index = case.case.rpartition("#")
    if name != case.group or not index.isdigit():
        msg = f"case '{case.case}': found a name that is no slice of {case.group}, expected {case.group}#INDEX"
        raise DataError(msg)
    return int(index)
