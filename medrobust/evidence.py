"""What the validity checks look at, gathered from a computed cell."""

from __future__ import annotations

from medrobust.assemble import Bench
from medrobust.cell import Cell
from medrobust.guard import modules
from medrobust.judge import Evidence
from medrobust.store import CellFolder
from medrobust.targets import zoo


def gather(folder: CellFolder, bench: Bench, dependence: float) -> Evidence:
    """Evidence of a cell whose every row is on disk.

    dependence: relative difference between a case predicted alone and in a batch.
    """
    cell, state = folder.cell, folder.state()
    same_data = cell.zoo and zoo.card(cell.target.name).training.get("data") == cell.data.name
    return Evidence(
        cell=cell,
        rows=folder.rows(),
        violations=state.violations,
        dependence=dependence,
        training_mode=any(network.training for network in modules(bench.target)),
        lowest=state.lowest,
        patients=frozenset(case.patient for case in bench.cases),
        trained_on=_trained_on(cell, bench) if same_data else None,
        figures=zoo.card(cell.target.name).figures if same_data and cell.limit is None and not cell.defense else {},
    )


def _trained_on(cell: Cell, bench: Bench) -> frozenset[str]:
    """Patients of the split that the card says was trained on."""
    split = str(zoo.card(cell.target.name).training.get("split", "train"))
    return frozenset(case.patient for case in bench.data.cases(split))
