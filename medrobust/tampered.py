"""The clean and the attacked image of every case of a stored cell, where images are single planes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from medrobust.artifacts import load_attacked
from medrobust.assemble import blame, build, case_digest, expect
from medrobust.cell import Cell
from medrobust.errors import StoreError
from medrobust.provenance import Statement
from medrobust.registry import near
from medrobust.store import FINISHED, CellFolder, Run
from medrobust.types import Case, Data

BATCH = 16
INJECT, REMOVE = "inject", "remove"


@dataclass(frozen=True)
class Tampered:
    """One case of a cell.

    clean, attacked: (H, W) float32 in the data's units. truth: class of the clean image, None where the task is not classification.
    """

    case: Case
    clean: NDArray[np.float32]
    attacked: NDArray[np.float32]
    truth: int | None
    statement: Statement

    @property
    def span(self) -> tuple[float, float]:
        """From the lowest to the highest value of both."""
        return float(min(self.clean.min(), self.attacked.min())), float(max(self.clean.max(), self.attacked.max()))


def stored_cells(run: Run, attacks: Sequence[str] = (), target: str = "", condition: str = "") -> list[CellFolder]:
    """One cell with stored images for each attack, of the named attacks or of all, in the order of the run.

    An attack that asks no target leaves the same images in the cells of all of them; where images differ, target and condition have to choose.
    """
    found: dict[str, list[CellFolder]] = {}
    for folder in run.cells():
        if _keeps(folder.cell) and folder.state().status in FINISHED and folder.stored.is_file():
            found.setdefault(folder.cell.columns["attack"], []).append(folder)
    for name in attacks:
        if name not in found:
            msg = f"{run.path}: no finished cell with stored images of the attack '{name}'; {near(name, list(found))} (`store: true` keeps images)"
            raise StoreError(msg)
    if not found:
        msg = f"{run.path}: found no finished cell with stored images, expected an attack with `store: true`"
        raise StoreError(msg)
    return [_one(run, name, found[name], target, condition) for name in attacks or found]


def _keeps(cell: Cell) -> bool:
    return cell.store and cell.attack is not None and cell.source is None


def _one(run: Run, name: str, folders: Sequence[CellFolder], target: str, condition: str) -> CellFolder:
    chosen = [each for each in folders if target in ("", each.cell.columns["target"]) and condition in ("", each.cell.condition)]
    images = {(each.state().artifact, each.cell.data_digest) for each in chosen}
    if len(images) != 1:
        said = ", ".join(f"'{each.cell.name}'" for each in (chosen or folders)[:4])
        msg = f"{run.path}: {name}: found {len(images)} different sets of images ({said}), expected one: choose with --target and --condition"
        raise StoreError(msg)
    return chosen[0]


def images(folder: CellFolder, limit: int | None = None) -> Iterator[Tampered]:
    """Every case in the order of the data, at most `limit`. StoreError where an image is no single plane, or is not what was stored."""
    cell = folder.cell
    data: Data = build("data", cell.data)
    expect("data", cell.data.name, data.digest, cell.data_digest)
    with blame(f"data {cell.data.name}"):
        cases = tuple(data.cases(cell.split))[: cell.limit]
    expect("cases", cell.split, case_digest(cases), cell.cases_digest)
    for start in range(0, len(cases[:limit]), BATCH):
        batch = data.load(cases[:limit][start : start + BATCH])
        attacked = load_attacked(folder.path, batch)
        for index, case in enumerate(batch.cases):
            if batch.image.shape[1:2] != (1,) or batch.image.ndim != 4:
                msg = f"{folder.stored}: case '{case.case}': found an image of shape {tuple(batch.image.shape[1:])}, expected one plane (1, H, W)"
                raise StoreError(msg)
            truth = int(batch.truth[index]) if batch.truth.ndim == 1 and batch.truth.dtype == torch.int64 else None
            planes = batch.image[index, 0].float().numpy(), attacked.image[index, 0].float().numpy()
            yield Tampered(case, *planes, truth, statement(cell, case, truth))


def statement(cell: Cell, case: Case, truth: int | None) -> Statement:
    """What the attacked image of a case has to say of itself."""
    assert cell.attack is not None  # noqa: S101 - `stored_cells` gives no other
    options = dict(cell.attack.options)
    said = {"name": cell.attack.name, **options}
    return Statement(cell.columns["attack"], cell.digest, case.case, case.patient, cell.data_label, direction(options.get("direction"), truth), said)


def direction(option: object, truth: int | None) -> str:
    """What an attack whose option `direction` is inject, remove or tamper (by truth) did to an image; empty where it has no such option."""
    if option in (INJECT, REMOVE):
        return str(option)
    return {0: INJECT, 1: REMOVE}.get(truth, "") if option == "tamper" and truth is not None else ""
