"""What a shipped model is made from: architecture, objective, data and schedule, in one YAML file beside its card."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medrobust import registry
from medrobust.errors import SpecError
from medrobust.options import typed
from medrobust.targets import zoo
from medrobust.training.objectives import Objective
from medrobust.training.schedule import Schedule
from medrobust.training.watch import Validation
from medrobust.types import Data

T = TypeVar("T")


class Named(BaseModel):
    """A plugin and its options."""

    model_config = ConfigDict(extra="forbid")
    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Recipe(BaseModel):
    """How `medrobust train NAME` makes a model.

    architecture, options: of registry kind `targets`. start: the zoo model whose weights training begins from; none where empty.
    target, defense: the model's columns in the tables. objective: of registry kind `objectives`. data: of registry kind `data`.
    schedule, validation: fields of `Schedule` and `Validation`; those not named are at their defaults.
    """

    model_config = ConfigDict(extra="forbid")
    architecture: str
    options: dict[str, Any] = Field(default_factory=dict)
    target: str
    defense: str = "none"
    start: str = ""
    objective: Named
    data: Named
    schedule: dict[str, Any] = Field(default_factory=dict)
    validation: dict[str, Any] = Field(default_factory=dict)

    def build_objective(self) -> Objective:
        """The objective, its options checked."""
        name = self.objective.name
        options = typed(registry.load("objectives", name), self.objective.options, f"objective: {name}")
        objective: Objective = registry.build("objectives", name, options, "objective")
        return objective

    def build_data(self) -> Data:
        """The data set, its options checked."""
        name = self.data.name
        data: Data = registry.build("data", name, typed(registry.load("data", name), self.data.options, f"data: {name}"), "data")
        return data

    def build_schedule(self) -> Schedule:
        """The schedule; a misspelt, mistyped or impossible field is one line."""
        return _built(Schedule, self.schedule, "schedule")

    def build_validation(self) -> Validation:
        """What is looked at while the model is trained; a misspelt, mistyped or impossible field is one line."""
        return _built(Validation, self.validation, "validation")


def _built(plain: type[T], fields: dict[str, Any], where: str) -> T:
    """The dataclass with these fields. Raises SpecError."""
    known = [field.name for field in dataclasses.fields(plain)]  # type: ignore[arg-type]
    for name in fields:
        if name not in known:
            msg = f"{where}: no field '{name}'; {registry.near(name, known)}"
            raise SpecError(msg)
    try:
        return plain(**typed(plain, fields, where))
    except ValueError as error:
        msg = f"{where}: {error}"
        raise SpecError(msg) from error


def recipe(name: str) -> Recipe:
    """The recipe of a shipped model."""
    path = next((folder / zoo.RECIPE for folder in zoo.holding(zoo.RECIPE, []) if folder.name == name), None)
    if path is None:
        msg = f"train: no recipe '{name}'; {registry.near(name, zoo.recipes())}"
        raise SpecError(msg)
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        msg = f"{path}: {' '.join(str(error).split())}"
        raise SpecError(msg) from error
