"""The promises of a registered plugin, and the benches that suit it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from medrobust import registry
from medrobust.budgets import Norm
from medrobust.errors import SpecError
from medrobust.testing.attacks import attack_promises, highest, run
from medrobust.testing.bench import Bench
from medrobust.testing.defenses import defense_promises
from medrobust.testing.explainers import explainer_promises
from medrobust.testing.metrics import metric_promises
from medrobust.testing.promise import Promise
from medrobust.testing.targets import target_promises
from medrobust.testing.volumes import VolumeData
from medrobust.types import Attack, Budget

PROMISES: dict[str, Callable[[], list[Promise]]] = {
    "attacks": attack_promises,
    "explainers": explainer_promises,
    "defenses": defense_promises,
    "metrics": metric_promises,
    "targets": target_promises,
}


def benches_for(kind: str, plugin: Any) -> tuple[Bench, ...]:
    """The benches on which a plugin keeps its promises: the default one of its task.

    For an attack with the budget that its `__call__` names, and the metric that its trace follows. A norm-bounded attack raises the target's own loss
    on whatever it is given: it has one bench a kind of images.
    """
    suited = Bench.suited(plugin, VolumeData.task if kind == "explainers" else "reconstruction")
    if kind != "attacks":
        return (suited,)
    budget = budget_for(plugin)
    if isinstance(budget, Norm):
        return Bench.normed(plugin)
    bench = replace(suited, budget=budget)
    return (replace(bench, objective=objective_for(plugin, bench)),)


def budget_for(attack: Attack) -> Budget:
    """The default budget of the type that the attack's `budget` is annotated with; a maximum norm where it takes any."""
    hint = typing.get_type_hints(type(attack).__call__).get("budget", Budget)
    if hint is Budget or not inspect.isclass(hint):
        return Bench().budget
    try:
        return typing.cast("Budget", hint())
    except TypeError as error:
        msg = f"{type(attack).__name__}: its budget {hint.__name__} has no default: {error}"
        raise SpecError(msg) from error


def objective_for(attack: Attack, bench: Bench) -> Any:
    """The registered metric that gives the returned images the loss of their best queries, or None for the target's own loss."""
    batch, target = bench.batch(), bench.target()
    attacked = run(attack, bench, batch, target)
    if "loss" not in attacked.trace:
        return None
    best = highest(attacked).float()
    for name in registry.available("metrics"):
        with suppress(Exception):  # a broken metric is its own report, not this attack's
            metric = registry.load("metrics", name)()
            judged = replace(bench, objective=metric).judge(target, batch, attacked)
            if judged.shape == best.shape and torch.allclose(judged.float(), best, rtol=1e-3):
                return metric
    return None
