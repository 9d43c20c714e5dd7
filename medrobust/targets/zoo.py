"""Targets by name: shipped models that are checked against their cards, and bare architectures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrobust import registry
from medrobust.errors import SpecError, WeightsError
from medrobust.files import write_text
from medrobust.targets.card import CARD, WEIGHTS, Card, card_text, check_card, read_card

if TYPE_CHECKING:
    from torch import Tensor, nn

    from medrobust.types import Target


RECIPE = "recipe.yaml"


def names() -> list[str]:
    """Every model of every zoo package that can be imported."""
    return sorted({folder.name for folder in _folders([])})


def recipes() -> list[str]:
    """Models that can be trained, whether or not their weights ship, of every zoo package that can be imported."""
    return sorted({folder.name for folder in holding(RECIPE, [])})


def card(name: str) -> Card:
    """The card of a model; SpecError with near names where there is none."""
    return _card(_folder(name))


def load(name: str) -> Target:
    """A shipped model under its task: float32, in evaluation mode, frozen.

    Raises WeightsError where its weights are missing, damaged or not those its card names.
    """
    from medrobust.targets.weights import decode, fill

    folder = _folder(name)
    card = _card(folder)
    path = folder / WEIGHTS
    network, fields = _network(card.architecture, card.options, str(folder / CARD), card.task)
    if not path.is_file():
        msg = f"{path}: no such file, expected the weights of digest {card.digest}; `medrobust train {name}` makes them"
        raise WeightsError(msg)
    fill(network, decode(path.read_bytes(), str(path)), str(path))
    target = _target(card.task, card.architecture, fields, network)
    if target.digest != card.digest:
        msg = f"{path}: digest {target.digest}, expected {card.digest} as {CARD} names it; the weights or the architecture's fields have changed"
        raise WeightsError(msg)
    return target


def untrained(architecture: str, options: Mapping[str, Any], weights: Path | None = None) -> Target:
    """An architecture with weights from a file, or as initialised: the same at every call, of use where there is nothing to train."""
    from medrobust.targets.weights import fill, read

    network, fields = _network(architecture, options, "targets")
    if weights is not None:
        if not weights.is_file() and (name := weights.parent.name) in recipes():
            msg = f"{weights}: no such file; `medrobust train {name}` makes it"
            raise WeightsError(msg)
        fill(network, read(weights), str(weights))
    return _target(registry.load("targets", architecture).task, architecture, fields, network)


def digest(architecture: str, options: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """Identity of a target: architecture, its fields (those not in `options` at their defaults), tensors in float32."""
    from medrobust.targets.weights import identity

    return identity(architecture, _fields(registry.build("targets", architecture, dict(options))), state)


def save(folder: Path, fields: Mapping[str, Any], module: nn.Module, half: bool = True) -> Card:
    """Write weights and card so that `load` takes them; the card written.

    fields: of `Card`, less `digest`; `name` is the folder's where it is not given.
    half: store float16. The digest is that of the rounded weights, for these are what is loaded; measure `figures` on them,
    by loading the model and saving it again with its figures.
    """
    from medrobust.targets.weights import fill, identity, write

    where = str(folder / CARD)
    card = check_card({"name": folder.name, **fields, "digest": "0" * 12}, where)
    network, configuration = _network(card.architecture, card.options, where, card.task)
    fill(network, module.state_dict(), str(folder / WEIGHTS))
    kept = write(folder / WEIGHTS, network.state_dict(), half)
    card = card.model_copy(update={"digest": identity(card.architecture, configuration, kept)})
    write_text(folder / CARD, card_text(card))
    return card


def _network(architecture: str, options: Mapping[str, Any], where: str, task: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """A fresh network, the same at every call, and all fields of its architecture."""
    import torch

    config = registry.build("targets", architecture, dict(options), where)
    if task is not None and config.task != task:
        msg = f"{where}: task {task!r}, but {architecture} is for {config.task!r}"
        raise WeightsError(msg)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        network: nn.Module = config.build()
    return network, _fields(config)


def _fields(config: Any) -> dict[str, Any]:
    """The architecture's fields; those that change no number are marked `compare=False`."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.compare}


def _target(task: str, architecture: str, fields: Mapping[str, Any], network: nn.Module) -> Target:
    from medrobust.targets.weights import identity

    target: Target = registry.load("tasks", task)(network.eval().requires_grad_(False), identity(architecture, fields, network.state_dict()))
    return target


def _folders(problems: list[str]) -> Iterator[Traversable]:
    """Every folder with a card; what could not be imported is noted in `problems`."""
    return holding(CARD, problems)


def holding(file: str, problems: list[str]) -> Iterator[Traversable]:
    """Every folder with such a file; what could not be imported is noted in `problems`."""
    for name in registry.available("zoo"):
        try:
            package = registry.load("zoo", name)
        except SpecError as error:
            problems.append(str(error))
            continue
        yield from (folder for folder in files(package).iterdir() if (folder / file).is_file())


def _folder(name: str) -> Traversable:
    problems: list[str] = []
    found: list[str] = []
    for folder in _folders(problems):
        if folder.name == name:
            return folder
        found.append(folder.name)
    msg = "; ".join([f"zoo: no '{name}'; {registry.near(name, found)}", *problems])
    raise SpecError(msg)


def _card(folder: Traversable) -> Card:
    where = str(folder / CARD)
    card = read_card((folder / CARD).read_text(encoding="utf-8"), where)
    if card.name != folder.name:
        msg = f"{where}: name: found {card.name!r}, expected the folder's, {folder.name!r}"
        raise WeightsError(msg)
    return card
