"""Abdominal CT of the public multi-organ sets, slice by slice, in HU, with pancreas, kidneys, liver and spleen outlined."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from medrobust.data.cache import content_digests
from medrobust.data.ct_file import read_image, read_labels, same_grid
from medrobust.data.ct_grid import SliceGrid
from medrobust.data.ct_layout import LAYOUTS, ORGANS, LabelMap, Scan, find_scans, label_map
from medrobust.data.embedded import SPLITS as NAMES
from medrobust.data.embedded import at_least
from medrobust.data.kept import Kept, Volume
from medrobust.data.slices import Index, declared, drawn, organs_by_slice, remembered, slice_batch, slice_cases
from medrobust.data.splits import SPLITS
from medrobust.errors import DataError
from medrobust.types import Batch, Case


@dataclass(frozen=True)
class AbdominalCT:
    """Axial slices that hold an organ; truth 1 pancreas, 2 kidneys, 3 liver, 4 spleen, 0 all else.

    Source: the sets as published (BTCV doi:10.7303/syn3193805, AMOS22 arXiv:2206.08023, FLARE22 arXiv:2308.05862, the Decathlon arXiv:2106.05735,
    TotalSegmentator doi:10.1148/ryai.230024); split of 60 / 15 / 75 subjects as Chen et al. 2019, arXiv:1909.11167.

    folder: where the set lies, absolute or from where the command runs; no part of the digest.
    layout: btcv, amos22, flare22, msd, totalsegmentator or totalsegmentator-v1 (whose one-file labels are numbered otherwise).
        A Decathlon task outlines one organ, its tumour part of it. AMOS22's images above 500 are MR and left out.
    size: pixels along an edge of the slice. spacing: mm of a pixel; slices are resampled about their centre, then cropped or filled with air.
    train, val, test: subjects of each split, drawn with `seed` where neither a `splits.yaml` nor the layout splits them: AMOS22's folders
        (imagesVa is the test split where imagesTs has no labels, and `val` subjects are then drawn from imagesTr) and TotalSegmentator's `meta.csv`.
    every: each so many-th slice is a case, counted from the lowest. title: how results are labelled; no part of the digest.

    HU below -1024, a scanner's filling, read as -1024. Subjects of TotalSegmentator without any of the organs have no case.
    """

    folder: str
    layout: str
    size: int = 128
    spacing: float = 3.0
    train: int = 60
    val: int = 15
    test: int = 75
    seed: int = 0
    every: int = 1
    title: str = ""

    task: ClassVar[str] = "segmentation"
    intensity_unit: ClassVar[str] = "HU"
    organs: ClassVar[tuple[str, ...]] = ORGANS

    def __post_init__(self) -> None:
        at_least(self, {"size": 1, "train": 0, "val": 0, "test": 0, "every": 1})
        if self.layout not in LAYOUTS:
            msg = f"layout: found '{self.layout}', expected one of {', '.join(LAYOUTS)}"
            raise ValueError(msg)
        if not 0 < self.spacing < float("inf"):
            msg = f"spacing: found {self.spacing}, expected a finite number of mm above 0"
            raise ValueError(msg)

    @property
    def digest(self) -> str:
        """Identity of names, bytes, splits, label numbers and grid, 12 hexadecimal digits."""
        listed = [(split, name) for split, names in sorted(self._splits.items()) for name in names]
        content = content_digests([path for _, name in listed for path in self._scans[name].files])
        parts = [f"{self.size} {self.spacing:g} mm every {self.every} {sorted(self._numbers.organs.items())}"]
        parts += [f"{split} {name} {' '.join(content[path] for path in self._scans[name].files)}" for split, name in listed]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        return f"{self.title or self.layout}, {self.size}x{self.size} at {self.spacing:g} mm"

    def cases(self, split: str) -> Sequence[Case]:
        """Every slice of the split that holds an organ, subjects in the order of their names. Raises DataError."""
        if split not in self._splits:
            msg = f"{self.folder}: found no split '{split}', expected one of {', '.join(self._splits)}"
            raise DataError(msg)
        indexed = self._indexed(self._splits[split])
        self._check_organs(indexed)
        return [case for name, index in indexed.items() for case in slice_cases(name, [at for at in index if at % self.every == 0])]

    def load(self, cases: Sequence[Case]) -> Batch:
        """Image (n, 1, size, size) in HU, labels alike, and the context `mean`, `std` and `spacing`; what was read stays in memory while it fits."""
        return slice_batch(cases, lambda name: self._kept.get(name, self._read))

    def _read(self, name: str) -> Volume:
        """One subject, every slice of it."""
        if name not in self._scans:
            msg = f"{self.folder}: found no subject '{name}', expected one of its {len(self._scans)} subjects"
            raise DataError(msg)
        scan = self._scans[name]
        image, grid = read_image(scan.image)
        labels, lies = read_labels(scan, self._numbers)
        same_grid(scan.labels[0], lies, scan.image, grid)
        edges = grid.edges[:2]
        return Volume.of(self._grid.image(image, edges), self._grid.labels(labels, edges), (self.spacing, self.spacing))

    def _indexed(self, names: Sequence[str]) -> dict[str, Index]:
        """The slices of each subject that hold an organ, from labels alone."""
        content = content_digests([path for name in names for path in self._scans[name].labels])
        options = f"ct {self.size} {self.spacing!r} {sorted(self._numbers.organs.items())} {self._numbers.largest}"
        found = {}
        for name in names:
            scan = self._scans[name]
            digests = " ".join(content[path] for path in scan.labels)
            index = remembered(f"{options} {scan.masks} {digests}", lambda scan=scan: self._organs_of(scan))  # type: ignore[misc]
            if not index and not self.layout.startswith("totalsegmentator"):
                msg = f"{scan.labels[0]}: found no slice with an organ inside {self.size * self.spacing:g} mm, expected {self._carried()}"
                raise DataError(msg)
            found[name] = index
        return found

    def _organs_of(self, scan: Scan) -> Index:
        labels, grid = read_labels(scan, self._numbers)
        return organs_by_slice(self._grid.labels(labels, grid.edges[:2]))

    def _check_organs(self, indexed: Mapping[str, Index]) -> None:
        """Raise DataError where an organ that the set outlines is in no subject: the numbers are then not those of the layout."""
        missing = self._numbers.carried - _organs(indexed)
        if missing:
            missing -= _organs(self._indexed([name for names in self._splits.values() for name in names if name not in indexed]))
        if missing:
            names = ", ".join(ORGANS[organ - 1] for organ in sorted(missing))
            msg = f"{self.folder}: found no {names} in any of its subjects, expected {self._carried()} numbered as {self.layout} does"
            raise DataError(msg)

    def _carried(self) -> str:
        return ", ".join(ORGANS[organ - 1] for organ in sorted(self._numbers.carried))

    @cached_property
    def _root(self) -> Path:
        return Path(self.folder).expanduser()

    @cached_property
    def _grid(self) -> SliceGrid:
        return SliceGrid(self.size, self.spacing)

    @cached_property
    def _scans(self) -> Mapping[str, Scan]:
        return find_scans(self._root, self.layout)

    @cached_property
    def _numbers(self) -> LabelMap:
        return label_map(self._root, self.layout)

    @cached_property
    def _kept(self) -> Kept[Volume]:
        return Kept()

    @cached_property
    def _splits(self) -> Mapping[str, list[str]]:
        """Split to names of subjects, in order."""
        if (self._root / SPLITS).exists():
            return declared(self._root / SPLITS, self._scans)
        own = {split: [name for name, scan in self._scans.items() if scan.split == split] for split in NAMES}
        own = {split: names for split, names in own.items() if names}
        if not own.keys() - {"train"}:
            return drawn(self._root, self._scans, {split: getattr(self, split) for split in NAMES}, self.seed)
        if "test" not in own:
            own["test"] = own.pop("val")
            count = len(own.get("train", ())) - self.val
            own |= drawn(self._root, own.pop("train", ()), {"train": max(count, 0), "val": self.val}, self.seed)
        return own


def _organs(indexed: Mapping[str, Index]) -> frozenset[int]:
    return frozenset(organ for index in indexed.values() for organs in index.values() for organ in organs)
