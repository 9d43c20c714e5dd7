"""Names in a spec to configured plugins, condition by condition; every mistake is one line, all at once."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from medrobust import registry
from medrobust.cell import Configured
from medrobust.errors import MedrobustError, SpecError
from medrobust.options import configure, wanted_budget
from medrobust.spec import NONE, AttackEntry, ConditionEntry, Entry, Spec, TargetEntry, at, in_order, read, tracks
from medrobust.strict_yaml import Document, Place
from medrobust.targets import zoo
from medrobust.types import Attack, Data, Explainer

T = TypeVar("T")


@dataclass(frozen=True)
class ChosenTarget:
    """A target of the spec: its columns in the tables and what it is built from."""

    configured: Configured
    in_zoo: bool
    target: str
    defense: str
    task: str
    attacks: tuple[str, ...]
    metrics: tuple[str, ...]

    def measured(self, metrics: Sequence[Configured]) -> tuple[Configured, ...]:
        """Those of the metrics that this target is given."""
        return tuple(metric for metric in metrics if not self.metrics or metric.label in self.metrics)


@dataclass(frozen=True)
class ChosenAttack:
    """An attack or explainer of the spec under one condition; `plugin` is None for clean images."""

    configured: Configured | None
    plugin: Attack | Explainer | None
    label: str
    store: bool
    kind: str = "attacks"


@dataclass(frozen=True)
class Condition:
    """What one condition makes of data, attacks and budget."""

    name: str
    data: Configured
    dataset: Data
    attacks: tuple[ChosenAttack, ...]
    budget: Configured | None
    fit: Configured | None
    fit_dataset: Data | None


@dataclass(frozen=True)
class Resolved:
    """A spec whose every name and option was found good."""

    spec: Spec
    conditions: tuple[Condition, ...]
    targets: tuple[ChosenTarget, ...]
    defenses: tuple[Configured | None, ...]
    clean_metrics: tuple[Configured, ...]
    attacked_metrics: tuple[Configured, ...]
    explained_metrics: tuple[Configured, ...]


@dataclass
class Reader:
    """Collects mistakes while it looks names up."""

    document: Document
    shown: str
    mistakes: list[str] = field(default_factory=list)

    def where(self, *place: str | int) -> str:
        return at(self.document, self.shown, place)

    @contextmanager
    def noting(self) -> Iterator[None]:
        try:
            yield
        except MedrobustError as error:
            self.mistakes += [line for line in str(error).splitlines() if line not in self.mistakes]

    def note(self, place: Place, message: str) -> None:
        self.mistakes.append(f"{self.where(*place)}: {message}")

    def each(self, name: str, entries: tuple[T, ...], look: Callable[[T, Place], Any]) -> list[Any]:
        """What `look` makes of every entry that is good."""
        found = []
        for index, entry in enumerate(entries):
            with self.noting():
                found.append(look(entry, (*name.split("."), index)))
        return found


def resolve(name: str, limit: int | None = None) -> Resolved:
    """A spec by path or shipped name with every plugin looked up and built once; `limit` overrides the spec's.

    Raises SpecError with one line a mistake.
    """
    spec, document, shown = read(name)
    reader = Reader(document, shown)
    folder = Path(shown).parent
    targets = reader.each("targets", spec.targets, lambda entry, place: _target(entry, reader.where(*place), folder))
    defenses = reader.each("defenses", spec.defenses, lambda entry, place: _plain("defenses", entry, reader.where(*place)))
    clean = reader.each("metrics.none", spec.metrics.none, lambda entry, place: _plain("metrics", entry, reader.where(*place)))
    attacked = reader.each("metrics.attacked", spec.metrics.attacked, lambda entry, place: _plain("metrics", entry, reader.where(*place)))
    explained = reader.each("metrics.explained", spec.metrics.explained, lambda entry, place: _plain("metrics", entry, reader.where(*place)))
    conditions = [_condition(spec, label, entry, reader) for label, entry in spec.conditions.items()]
    _cross_checks(spec, targets, conditions, reader)
    if reader.mistakes:
        raise SpecError(in_order(reader.mistakes))
    absolute = tuple(entry.model_copy(update={"weights": entry.weights and str((folder / entry.weights).resolve())}) for entry in spec.targets)
    spec = spec.model_copy(update={"limit": limit or spec.limit, "targets": absolute})
    whole = tuple(condition for condition in conditions if condition)
    return Resolved(spec, whole, tuple(targets), tuple(defenses), tuple(clean), tuple(attacked), tuple(explained))


def _plain(kind: str, entry: Entry, where: str) -> Configured | None:
    if entry.name == NONE and kind == "defenses":
        return None
    return configure(kind, entry.name, entry.options, where, entry.shown)[0]


def _target(entry: TargetEntry, where: str, folder: Path) -> ChosenTarget:
    if entry.name in zoo.names() and not entry.weights:
        if entry.options:
            msg = f"{where}.options: found options of the zoo model '{entry.name}', expected none: its card fixes them"
            raise SpecError(msg)
        card = zoo.card(entry.name)
        configured = Configured(entry.name, entry.shown, precision=entry.precision)
        return ChosenTarget(configured, True, entry.label or _shown(entry, card.target), card.defense, card.task, entry.attacks, entry.metrics)
    known = registry.available("targets")
    if entry.name not in known:
        msg = f"{where}: no '{entry.name}' among zoo models and targets; {registry.near(entry.name, [*zoo.names(), *known])}"
        raise SpecError(msg)
    configured, architecture = configure("targets", entry.name, entry.options, where, entry.shown)
    weights = None if entry.weights is None else str(folder / entry.weights)
    configured = replace(configured, weights=weights, precision=entry.precision)
    return ChosenTarget(configured, False, entry.label or _shown(entry, entry.name), NONE, architecture.task, entry.attacks, entry.metrics)


def _shown(entry: TargetEntry, name: str) -> str:
    """What a target is called that the spec gives no name."""
    return name if entry.precision == "float32" else f"{name} {entry.precision}"


def _condition(spec: Spec, label: str, entry: ConditionEntry, reader: Reader) -> Condition | None:
    data = dataset = budget = None
    with reader.noting():
        overridden = entry.data and spec.data.name in registry.available("data")
        where = reader.where("conditions", label, "data") if overridden else reader.where("data")
        data, dataset = configure("data", spec.data.name, {**spec.data.options, **entry.data}, where)
    if spec.budget:
        overridden = entry.budget and spec.budget.name in registry.available("budgets")
        place = ("conditions", label, "budget") if overridden else ("budget",)
        with reader.noting():
            budget, _ = configure("budgets", spec.budget.name, {**spec.budget.options, **entry.budget}, reader.where(*place), spec.budget.shown)
    elif entry.budget:
        reader.note(("conditions", label, "budget"), "found options, expected none: the spec has no budget")

    def attack(chosen: AttackEntry, place: Place) -> ChosenAttack:
        return _attack("attacks", chosen, entry.attack, reader.where(*place), chosen.shown in spec.transfer)

    def explainer(chosen: AttackEntry, place: Place) -> ChosenAttack:
        return _attack("explainers", chosen, entry.explainer, reader.where(*place), False)

    attacks = reader.each("attacks", spec.attacks, attack)
    explainers = reader.each("explainers", spec.explainers, explainer)
    left_out = {entry.shown for entry in (*spec.attacks, *spec.explainers) if entry.conditions and label not in entry.conditions}
    for what, overrides, chosen in (("attack", entry.attack, attacks), ("explainer", entry.explainer, explainers)):
        taken = {name for each in chosen if each.plugin for name in _fields(each.plugin)}
        for option in overrides:
            if option not in taken and not reader.mistakes:
                reader.note(("conditions", label, what, option), f"no {what} of this spec has such a field; {registry.near(option, sorted(taken))}")
    fit, fit_dataset = data, dataset
    if spec.fit_data:
        with reader.noting():
            fit, fit_dataset = configure("data", spec.fit_data.name, spec.fit_data.options, reader.where("fit_data"))
    made = tuple(probe for probe in (*attacks, *explainers) if probe.label not in left_out)
    return Condition(label, data, dataset, made, budget, fit, fit_dataset) if data else None


def _attack(kind: str, entry: AttackEntry, overrides: Mapping[str, Any], where: str, transferred: bool) -> ChosenAttack:
    if entry.name == NONE and kind == "attacks":
        return ChosenAttack(None, None, NONE, False)
    plugin = registry.load(kind, entry.name) if entry.name in registry.available(kind) else None
    options = {**entry.options, **{name: value for name, value in overrides.items() if plugin and name in _fields(plugin)}}
    configured, built = configure(kind, entry.name, options, where, entry.shown)
    return ChosenAttack(configured, built, entry.shown, entry.store or transferred, kind)


def _fields(plugin: Any) -> list[str]:
    return [known.name for known in fields(plugin) if known.init] if is_dataclass(plugin) else []


def _named_ones_are_there(spec: Spec, labels: list[str], reader: Reader) -> None:
    """Attacks and metrics that are asked for by name, and that the spec does not have."""
    for index, label in enumerate(spec.transfer):
        if label not in labels or label == NONE:
            reader.note(("transfer", index), f"no attack '{label}' in this spec; {registry.near(label, [each for each in labels if each != NONE])}")
    probes = [*labels, *(explainer.shown for explainer in spec.explainers)]
    for index, entry in enumerate(spec.targets):
        for label in entry.attacks:
            if label not in probes:
                reader.note(("targets", index, "attacks"), f"no attack '{label}' in this spec; {registry.near(label, probes)}")
    metrics = list(dict.fromkeys(metric.shown for metric in (*spec.metrics.none, *spec.metrics.attacked, *spec.metrics.explained)))
    for index, entry in enumerate(spec.targets):
        for label in entry.metrics:
            if label not in metrics:
                reader.note(("targets", index, "metrics"), f"no metric '{label}' in this spec; {registry.near(label, metrics)}")


def _conditions_are_there(spec: Spec, reader: Reader) -> None:
    """Conditions that an attack or explainer asks for by name, and that the spec does not have."""
    for kind, entries in (("attacks", spec.attacks), ("explainers", spec.explainers)):
        for index, probe in enumerate(entries):
            for label in probe.conditions:
                if label not in spec.conditions:
                    reader.note((kind, index, "conditions"), f"no condition '{label}' in this spec; {registry.near(label, list(spec.conditions))}")


def _budget_fits(spec: Spec, conditions: list[Condition | None], reader: Reader) -> None:
    """An attack that searches one kind of budget cannot search another."""
    chosen = {attack.label: attack for condition in conditions if condition and condition.budget for attack in condition.attacks}
    if not chosen or spec.budget is None:
        return
    budget = registry.load("budgets", spec.budget.name)
    for attack in chosen.values():
        wanted = attack.plugin and attack.kind == "attacks" and wanted_budget(attack.plugin, budget)
        if wanted:
            reader.note(("budget",), f"found '{spec.budget.name}', expected {wanted}, the budget that attack '{attack.label}' searches")


def _unit_fits(spec: Spec, conditions: list[Condition | None], reader: Reader) -> None:
    """A budget in a unit that the data's intensities do not have."""
    for condition in conditions:
        if condition is None or condition.budget is None:
            continue
        named = getattr(registry.build("budgets", condition.budget.name, dict(condition.budget.options)), "unit", "")
        declared = getattr(condition.dataset, "intensity_unit", "")
        if named and named != declared:
            given = declared or "no unit"
            place = ("conditions", condition.name, "budget") if spec.conditions[condition.name].budget else ("budget",)
            reader.note(place, f"found intensities in '{named}', expected {given}, which data '{spec.data.name}' declare")


def _cross_checks(spec: Spec, targets: list[ChosenTarget], conditions: list[Condition | None], reader: Reader) -> None:
    """Mistakes that no single entry shows."""
    labels = [attack.shown for attack in spec.attacks]
    known = tracks()
    if spec.track not in known and difflib.get_close_matches(spec.track, known, cutoff=0.8):
        reader.note(("track",), f"found '{spec.track}', {registry.near(spec.track, sorted(known))} a track of your own needs a name less like it")
    _named_ones_are_there(spec, labels, reader)
    _conditions_are_there(spec, reader)
    _budget_fits(spec, conditions, reader)
    _unit_fits(spec, conditions, reader)
    probes = [*labels, *(each.shown for each in spec.explainers)]
    columns = [f"{each.target}+{each.defense}" for each in targets]
    for what, names in (("attacks", probes), ("targets", columns), ("defenses", [each.shown for each in spec.defenses])):
        for name, count in Counter(names).items():
            if count > 1:
                reader.note((what,), f"found '{name.removesuffix('+none')}' {count} times, expected distinct names; `as` gives another")
    if spec.budget is None and any(label != NONE for label in labels):
        reader.note(("attacks",), "found attacks without a budget, expected `budget: {name: ...}`")
    for task in sorted({condition.dataset.task for condition in conditions if condition}):
        for target in targets:
            if target.task != task:
                reader.note(("targets",), f"'{target.configured.name}' is for {target.task}, data '{spec.data.name}' for {task}")
