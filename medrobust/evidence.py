"""What the validity checks look at, gathered from a computed cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from medrobust import registry
from medrobust.assemble import Bench
from medrobust.cell import Cell
from medrobust.guard import modules
from medrobust.judge import Evidence, Probed
from medrobust.store import CellFolder
from medrobust.targets import zoo
from medrobust.targets.card import Card
from medrobust.types import Data

FITTED = "train"
"""The split that a `Trainable` learns from; on `val` it only looks at what it learned, as targets do."""


@runtime_checkable
class NamesPatients(Protocol):
    """A data set that names a split's patients without making or reading its files."""

    def patients_of(self, split: str) -> Sequence[str]: ...


def gather(folder: CellFolder, bench: Bench) -> Evidence:
    """Evidence of a cell whose every row is on disk."""
    cell, state = folder.cell, folder.state()
    card = zoo.card(cell.target.name) if cell.zoo else None
    return Evidence(
        cell=cell,
        rows=folder.rows(),
        violations=state.violations,
        dependence=state.dependence,
        training_mode=any(network.training for network in modules(bench.target)),
        lowest=0.0 if state.clean_lowest < 0 else state.lowest,
        patients=frozenset(case.patient for case in bench.cases),
        trained_on=trained_on(card, cell, bench),
        figures=card.figures if card and figures_apply(card, cell) else {},
        threat=bench.attack.threat if bench.attack else "",
        passes=state.forward / cell.cases if bench.attack and cell.cases else 0.0,
        probed=Probed(**state.probed) if state.probed else None,
    )


def trained_on(card: Card | None, cell: Cell, bench: Bench) -> Mapping[str, frozenset[str]]:
    """Who learned from these data, and from which patients: the target, its defense, the attack or explainer; who did not is left out.

    The target did where its card names these data, from the split that it names. A defense did from the cases that it read while it was made. What is
    trained before it attacks or explains did from the split `train` of the data that it is fitted on.
    """
    found: dict[str, frozenset[str]] = {}
    if card and card.training.get("data") == cell.data.name:
        found["target"] = patients(bench.data, str(card.training.get("split", "train")))
    if bench.read:
        found["defense"] = bench.read
    if bench.fit and cell.fit and cell.fit.name == cell.data.name:
        found["explainer" if cell.explainer else "attack"] = patients(bench.fit, FITTED)
    return found


def patients(data: Data, split: str) -> frozenset[str]:
    """Of a split, by name."""
    return frozenset(data.patients_of(split) if isinstance(data, NamesPatients) else [case.patient for case in data.cases(split)])


def figures_apply(card: Card, cell: Cell) -> bool:
    """True where the card's figures were measured on these very cases: the same data but for what the condition sweeps."""
    if card.training.get("data") != cell.data.name or cell.limit is not None or cell.defense:
        return False
    options = {name: value for name, value in cell.data.options.items() if name not in cell.swept}
    unswept: Data = registry.build("data", cell.data.name, options)
    return card.training.get("data_digest") in (unswept.digest, cell.data_digest)
