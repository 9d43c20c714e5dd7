"""Images of MedMNIST, 2-D and 3-D, grey and in colour, from the published npz files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from medrobust.data.cache import content_digests
from medrobust.data.embedded import known_split
from medrobust.data.medmnist_file import Header, images_of, read_headers, read_labels
from medrobust.errors import DataError
from medrobust.types import Batch, Case

HIGHEST = 255


@dataclass(frozen=True)
class MedMNIST:
    """The images of one file with their classes, intensities in [0, 1]; splits are the file's own.

    Source: Yang et al. 2023, MedMNIST v2, doi:10.1038/s41597-022-01721-8 (CC BY 4.0 but for DermaMNIST, CC BY-NC 4.0). The files name no patients,
    so each image counts as a patient of its own: where a patient has several, intervals are narrower than they should be.

    file: such as pneumoniamnist.npz or, in the larger sizes, pneumoniamnist_224.npz; no part of the digest, its content is.
        Sets of one class an image alone, not the multi-label ChestMNIST.
    title: how results are labelled, the file's name where empty; no part of the digest.
    """

    file: str
    title: str = ""

    task: ClassVar[str] = "classification"
    intensity: ClassVar[str] = "stored grey values or colours, 0 to 255, divided by 255"

    @property
    def digest(self) -> str:
        """Identity of the file's bytes, 12 hexadecimal digits."""
        return content_digests([self._path])[self._path][:12] if self._headers else ""

    @property
    def label(self) -> str:
        shape = self._header("train").shape[1:]
        edges = "x".join(map(str, shape[:-1] if self._header("train").coloured else shape))
        return f"{self.title or self._path.stem}, {edges}, each image a patient of its own"

    @property
    def classes(self) -> int:
        """How many classes the training split has."""
        return int(self._labels["train"].max()) + 1

    def cases(self, split: str) -> Sequence[Case]:
        """Every image of the split, in an order that is shuffled once and for all. Raises DataError, also where there is none.

        Files may hold one class after the other, and the limit of a spec keeps the first cases.
        """
        known_split(str(self._path), split)
        found = len(self._labels[split])
        if not found:
            msg = f"{self._path}: {split}: found no image, expected some"
            raise DataError(msg)
        order = np.random.default_rng(0).permutation(found).tolist()
        return [Case(name, name, name) for name in (f"{split}#{index:06d}" for index in order)]

    def patients_of(self, split: str) -> Sequence[str]:
        """The names of the split's images: no image is another's patient."""
        return [case.patient for case in self.cases(split)]

    def load(self, cases: Sequence[Case]) -> Batch:
        """Image (n, c, *space) float32 in [0, 1], c 3 for colours and else 1, and truth (n,), the class from 0; reads those images alone."""
        places = [self._place(case) for case in cases]
        stored = {split: images_of(self._path, split) for split in dict.fromkeys(split for split, _ in places)}
        image = np.stack([np.asarray(stored[split][index]) for split, index in places]).astype(np.float32) / HIGHEST
        image = np.moveaxis(image, -1, 1) if self._header("train").coloured else image[:, None]
        truth = torch.tensor([int(self._labels[split][index]) for split, index in places], dtype=torch.int64)
        return Batch(torch.from_numpy(np.ascontiguousarray(image)), truth, tuple(cases))

    def _place(self, case: Case) -> tuple[str, int]:
        split, _, number = case.case.partition("#")
        if split not in self._labels or not number.isdigit() or int(number) >= len(self._labels[split]):
            msg = f"{self._path}: found no image '{case.case}', expected one such as test#000000"
            raise DataError(msg)
        return split, int(number)

    @cached_property
    def _path(self) -> Path:
        return Path(self.file).expanduser()

    @cached_property
    def _headers(self) -> Mapping[str, Header]:
        return read_headers(self._path)

    def _header(self, split: str) -> Header:
        return self._headers[f"{split}_images"]

    @cached_property
    def _labels(self) -> Mapping[str, NDArray[np.int64]]:
        return read_labels(self._path) if self._headers else {}
