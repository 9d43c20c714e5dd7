"""The plugins of a cell, built from its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from medrobust import registry
from medrobust.cell import Cell, Configured
from medrobust.data.watched import Watched
from medrobust.digests import digest
from medrobust.errors import CellError, MedrobustError
from medrobust.options import typed
from medrobust.randomness import derive
from medrobust.targets import zoo
from medrobust.targets.precision import reduced
from medrobust.types import Attack, Batch, Budget, Case, Data, Explainer, Metric, Target


@dataclass(frozen=True)
class Bench:
    """Everything a cell needs, ready to run.

    read: patients whose cases its defense read while it was made.
    """

    data: Data
    cases: tuple[Case, ...]
    target: Target
    attack: Attack | None
    budget: Budget | None
    metrics: tuple[Metric, ...]
    explainer: Explainer | None = None
    fit: Data | None = None
    read: frozenset[str] = frozenset()

    def first(self) -> Batch:
        """The first case of all, on the CPU, however many are done already."""
        with blame(f"data {type(self.data).__name__}"):
            return self.data.load(self.cases[:1])


@contextmanager
def blame(who: str) -> Iterator[None]:
    """An error of a plugin as one line that names it; errors that already say where pass through."""
    try:
        yield
    except MedrobustError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        msg = f"{who}: {type(error).__name__}: {text}"
        raise CellError(msg) from error


def build(kind: str, plugin: Configured) -> Any:
    return registry.build(kind, plugin.name, typed(registry.load(kind, plugin.name), plugin.options, plugin.name))


def load_target(configured: Configured, *, in_zoo: bool) -> Target:
    """A zoo model, or an architecture with its options and weights, in the precision asked for."""
    weights = Path(configured.weights) if configured.weights else None
    target = zoo.load(configured.name) if in_zoo else zoo.untrained(configured.name, dict(configured.options), weights)
    return reduced(target, configured.precision)


def assemble(cell: Cell, device: str) -> Bench:
    """Build and check every plugin of the cell; the target is on `device`.

    Raises CellError where data or weights are no longer those of the cell.
    """
    data: Data = build("data", cell.data)
    target = load_target(cell.target, in_zoo=cell.zoo)
    expect("data", cell.data.name, data.digest, cell.data_digest)
    expect("target", cell.target.name, target.digest, cell.target_digest)
    with blame(f"data {cell.data.name}"):
        cases = tuple(data.cases(cell.split))[: cell.limit]
    expect("cases", cell.split, case_digest(cases), cell.cases_digest)
    fit: Data | None = build("data", cell.fit) if cell.fit else None
    if fit and cell.fit:
        expect("data", cell.fit.name, fit.digest, cell.fit_digest)
    watched = Watched(data)
    if cell.defense:
        rng = torch.Generator().manual_seed(derive(cell.seed, "defense", cell.target_digest, cell.data_digest))
        with blame(f"defense {cell.defense.name}"):
            target = build("defenses", cell.defense)(target, cast("Data", watched), rng)
    return Bench(
        data,
        cases,
        target.to(device),
        build("attacks", cell.attack) if cell.attack and not cell.source else None,
        build("budgets", cell.budget) if cell.budget else None,
        tuple(build("metrics", metric) for metric in cell.metrics),
        build("explainers", cell.explainer) if cell.explainer else None,
        fit,
        frozenset(watched.read),
    )


def case_digest(cases: tuple[Case, ...]) -> str:
    """Identity of a case list: names, patients and groups, in order."""
    return digest([[case.case, case.patient, case.group] for case in cases])


def expect(what: str, name: str, found: str, expected: str) -> None:
    if found != expected:
        msg = f"{what} {name}: found digest {found}, expected {expected}; it has changed since the run was planned"
        raise CellError(msg)
