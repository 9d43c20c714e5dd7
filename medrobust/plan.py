"""A spec as cells, in the order in which they are computed, with counts and cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Protocol, runtime_checkable

from medrobust.assemble import blame, case_digest, load_target
from medrobust.cell import Cell
from medrobust.errors import SpecError
from medrobust.guard import BLACK_BOX, NO_BOX
from medrobust.resolve import ChosenAttack, ChosenTarget, Condition, Resolved, resolve
from medrobust.spec import NONE
from medrobust.types import Case, Trainable


@runtime_checkable
class CountsQueries(Protocol):
    """An attack that says what it costs: forward passes a case."""

    @property
    def queries(self) -> int: ...


@runtime_checkable
class CountsGradients(Protocol):
    """An attack that says how many backward passes it needs a case."""

    @property
    def gradients(self) -> int: ...


@dataclass(frozen=True)
class Cost:
    """Passes through the target for the whole cell, the judging pass included; None where the attack does not say."""

    forward: int | None
    gradient: int | None


@dataclass(frozen=True)
class Plan:
    """Every cell of a spec: clean ones first, transfers after their sources. costs: digest -> passes."""

    resolved: Resolved
    cells: tuple[Cell, ...]
    costs: dict[str, Cost]


def plan(name: str, limit: int | None = None) -> Plan:
    """The plan of a spec by path or shipped name.

    Builds every plugin, makes embedded data on first use and reads weights, since all enter identities.
    Raises SpecError, DataError or WeightsError; a lock file whose digests are not found again is a SpecError.
    """
    resolved = resolve(name, limit)
    direct = list(_direct(resolved))
    direct.sort(key=lambda pair: pair[0].probe is not None)
    cells = [cell for cell, _ in direct] + list(_transfers(resolved, [cell for cell, _ in direct]))
    costs = {cell.digest: _cost(cell, attack) for cell, attack in direct}
    costs |= {cell.digest: Cost(cell.cases, 0) for cell in cells if cell.source}
    if len({cell.digest for cell in cells}) != len(cells):
        msg = f"{name}: two cells are the same; expected conditions, targets, defenses and attacks that differ"
        raise SpecError(msg)
    _check_lock(name, resolved, cells, limit)
    return Plan(resolved, tuple(cells), costs)


def _direct(resolved: Resolved) -> Iterator[tuple[Cell, ChosenAttack]]:
    """Cells that attack their own target, or none."""
    spec = resolved.spec
    targets = [(chosen, load_target(chosen.configured, in_zoo=chosen.in_zoo).digest) for chosen in resolved.targets]
    for condition in resolved.conditions:
        cases = _cases(condition, spec.data.split, spec.limit)
        seed = spec.conditions[condition.name].seed
        for (chosen, digest), defense, attack in product(targets, resolved.defenses, condition.attacks):
            if chosen.attacks and attack.label not in chosen.attacks:
                continue
            explains = attack.kind == "explainers"
            trained = condition.fit_dataset if isinstance(attack.plugin, Trainable) else None
            metrics = resolved.explained_metrics if explains else resolved.attacked_metrics if attack.configured else resolved.clean_metrics
            columns = {"target": chosen.target, "defense": _defense(chosen, defense.label if defense else NONE), "attack": attack.label}
            cell = Cell(
                track=spec.track,
                condition=condition.name,
                seed=spec.seed if seed is None else seed,
                data=condition.data,
                data_digest=condition.dataset.digest,
                data_label=condition.dataset.label,
                split=spec.data.split,
                limit=spec.limit,
                cases=len(cases),
                cases_digest=case_digest(cases),
                target=chosen.configured,
                target_digest=digest,
                defense=defense,
                attack=None if explains else attack.configured,
                budget=condition.budget if attack.configured and not explains else None,
                metrics=chosen.measured(metrics),
                columns=columns,
                zoo=chosen.in_zoo,
                swept=tuple(spec.conditions[condition.name].data),
                store=attack.store,
                explainer=attack.configured if explains else None,
                fit=condition.fit if trained else None,
                fit_digest=trained.digest if trained else "",
            )
            yield cell, attack


def _cases(condition: Condition, split: str, limit: int | None) -> tuple[Case, ...]:
    with blame(f"data {condition.data.name}"):
        cases = tuple(condition.dataset.cases(split))[:limit]
    if not cases:
        msg = f"data {condition.data.name}: found no case in split '{split}', expected at least one"
        raise SpecError(msg)
    return cases


def _defense(chosen: ChosenTarget, applied: str) -> str:
    """The defense column: what the card names, and what is applied at run time."""
    return "+".join(name for name in (chosen.defense, applied) if name != NONE) or NONE


def _transfers(resolved: Resolved, direct: Sequence[Cell]) -> Iterator[Cell]:
    """The stored images of every target replayed on every other, for each attack the spec transfers."""
    for source in direct:
        if source.columns["attack"] not in resolved.spec.transfer:
            continue
        for other in direct:
            same_question = (other.condition, other.columns["attack"]) == (source.condition, source.columns["attack"])
            if same_question and other.digest != source.digest:
                label = f"{source.columns['attack']} from {named(source)}"
                yield replace(other, columns={**other.columns, "attack": label}, source=source.digest, store=False)


def named(cell: Cell) -> str:
    """The cell's target in words, such as `recon-unet+fnaf-robust`."""
    return cell.columns["target"] + ("" if cell.columns["defense"] == NONE else f"+{cell.columns['defense']}")


def _cost(cell: Cell, attack: ChosenAttack) -> Cost:
    if not attack.plugin:
        return Cost(cell.cases, 0)
    if attack.plugin.threat == NO_BOX:
        return Cost(cell.cases, 0)
    forward = cell.cases * (attack.plugin.queries + 1) if isinstance(attack.plugin, CountsQueries) else None
    if isinstance(attack.plugin, CountsGradients):
        return Cost(forward, cell.cases * attack.plugin.gradients)
    return Cost(forward, 0 if attack.plugin.threat == BLACK_BOX else None)


def _check_lock(name: str, resolved: Resolved, cells: Sequence[Cell], limit: int | None) -> None:
    lock = resolved.spec.lock
    if lock is None or limit:
        return
    known, locked = {cell.digest for cell in cells}, lock.get("cells", {})
    missing = [text for digest, text in locked.items() if digest not in known]
    if missing:
        msg = f"{name}: lock: '{missing[0]}' and {len(missing) - 1} more of {len(locked)} cells have changed: other data, weights or options"
        raise SpecError(msg)


def shard(cells: Sequence[Cell], index: int, count: int) -> list[Cell]:
    """The cells of shard `index` (from 1) of `count`, dealt out in the order of their digests; a transfer goes with its source."""
    roots = sorted(cell.digest for cell in cells if not cell.source)
    mine = {digest for position, digest in enumerate(roots) if position % count == index - 1}
    return [cell for cell in cells if (cell.source or cell.digest) in mine]
