"""Cases that are read and decoded once and kept on disk as they are: compressed files cost more than a small network's step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import cast

import torch
from safetensors.torch import load_file, save_file

from medrobust.digests import digest
from medrobust.files import store_errors
from medrobust.types import Batch, Case, Data

PLACE = ".decoded-"


@dataclass(frozen=True)
class Decoded:
    """A data set whose cases are decoded at the first load, one file a case, and give the same batches ever after.

    data: the data set. folder: where the files go; memory holds no more than the batch that is asked for.
    """

    data: Data
    folder: Path

    @property
    def task(self) -> str:
        return self.data.task

    @property
    def digest(self) -> str:
        return self.data.digest

    @property
    def label(self) -> str:
        return self.data.label

    def cases(self, split: str) -> Sequence[Case]:
        """The data set's own."""
        return self.data.cases(split)

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named cases, as the data set loads them."""
        rows = [self._one(case) for case in cases]
        tensors = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        context = {name.removeprefix("context."): tensor for name, tensor in tensors.items() if name.startswith("context.")}
        return Batch(tensors["image"], tensors["truth"], tuple(cases), context)

    def _one(self, case: Case) -> dict[str, torch.Tensor]:
        path = self.folder / f"{digest(case.case)}.safetensors"
        if not path.exists():
            batch = self.data.load([case])
            tensors = {"image": batch.image, "truth": batch.truth, **{f"context.{name}": tensor for name, tensor in batch.context.items()}}
            with store_errors(path):
                save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        found: dict[str, torch.Tensor] = load_file(path)
        return found


@contextmanager
def decoded(data: Data, folder: Path) -> Iterator[Data]:
    """The data set with a place for its cases below `folder`, which is removed when the block ends.

    One training has the folder at a time: what an earlier one left that was killed is removed too.
    """
    with store_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{PLACE}*"):
            rmtree(left, ignore_errors=True)
        place = TemporaryDirectory(prefix=PLACE, dir=folder, ignore_cleanup_errors=True)
    with place as name:
        yield cast("Data", Decoded(data, Path(name)))
