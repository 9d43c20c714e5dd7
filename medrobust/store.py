"""The run directory: made once, opened by any number of workers, read as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrobust.cell import Cell
from medrobust.digests import digest, plain
from medrobust.errors import StoreError
from medrobust.files import store_errors, write_new_json, write_text
from medrobust.folder import FINISHED, MARKER, CellFolder, State

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FINISHED", "LOCK", "MARKER", "CellFolder", "Run", "State", "create_or_open", "open_run", "run_digest"]

LOCK = "suite.lock.yaml"


@dataclass(frozen=True)
class Run:
    """runs/<suite>@<digest>/."""

    path: Path
    lock: Mapping[str, Any]

    @property
    def digests(self) -> list[str]:
        """Every cell of the run, in the order in which they are computed."""
        return list(self.lock["lock"]["cells"])

    def cell(self, digest: str) -> CellFolder:
        return CellFolder.read(self.path / "cells" / digest)

    def cells(self) -> list[CellFolder]:
        return [self.cell(digest) for digest in self.digests]

    def rows(self) -> pd.DataFrame:
        """All rows of finished cells with the cell's `status` and `cell` digest; a partial cell is never averaged."""
        from medrobust import compaction

        return compaction.rows(self)

    def compact(self) -> Path:
        """Write rows.parquet, which can be rebuilt from the cells at any time."""
        from medrobust import compaction

        return compaction.write(self)


def open_run(path: Path) -> Run:
    """An existing run directory."""
    import yaml

    lock = path / LOCK
    if not lock.is_file():
        msg = f"{path}: found no {LOCK}, expected a run directory"
        raise StoreError(msg)
    with store_errors(lock):
        content = yaml.load(lock.read_text(encoding="utf-8"), yaml.CSafeLoader)
    if not isinstance(content, dict) or "cells" not in content.get("lock", {}):
        msg = f"{lock}: found no list of cells, expected the lock file of a run"
        raise StoreError(msg)
    return Run(path, content)


def run_digest(cells: Sequence[Cell]) -> str:
    """8 hexadecimal digits over the identities of all cells."""
    return digest(sorted(cell.digest for cell in cells), 8)


def create_or_open(suite: str, spec: Mapping[str, Any], cells: Sequence[Cell], out: Path) -> Run:
    """The run directory of these cells below `out`, made where it is missing; what it holds is kept.

    spec: the resolved spec as plain data, written into the lock file so that the run can be repeated from it.
    """
    import yaml

    identity = run_digest(cells)
    path = out / f"{suite}@{identity}"
    for cell in cells:
        enter(path / "cells" / cell.digest, cell)
    listed = {cell.digest: cell.name for cell in cells}
    targets = {cell.columns["target"] + "+" + cell.columns["defense"]: cell.target_digest for cell in cells}
    data = {cell.condition: {"digest": cell.data_digest, "label": cell.data_label, "cases": cell.cases} for cell in cells}
    lock = {**spec, "lock": {"medrobust": version("medrobust"), "digest": identity, "data": data, "targets": targets, "cells": listed}}
    text = yaml.dump(plain(lock), Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=120)
    if not (path / LOCK).exists() or (path / LOCK).read_text(encoding="utf-8") != text:
        write_text(path / LOCK, text)
    return Run(path, lock)


def enter(path: Path, cell: Cell) -> None:
    """Put a cell on disk as queued, or bring the definition of one that is there up to date."""
    folder = CellFolder(path, cell)
    if not (path / "cell.json").exists():
        write_new_json(path / "cell.json", folder.content(State()))
    if plain(CellFolder.read(path).cell) == plain(cell):
        return
    claim = folder.claim()
    if claim:
        with claim:
            state = folder.write(folder.state())
            if cell.store and state.status != "queued" and not (path / "artifacts" / "attacked.h5").exists():
                folder.reset()

