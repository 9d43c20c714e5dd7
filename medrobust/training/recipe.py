"""What a shipped model is made from: architecture, objective, data and schedule, in one YAML file beside its card."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medrobust import registry
from medrobust.errors import SpecError
from medrobust.training.loop import Schedule
from medrobust.training.objectives import Objective
from medrobust.types import Data


class Named(BaseModel):
    """A plugin and its options."""

    model_config = ConfigDict(extra="forbid")
    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Recipe(BaseModel):
    """How `medrobust train NAME` makes a model.

    architecture, options: of registry kind `targets`. start: the zoo model whose weights training begins from; none where empty.
    target, defense: the model's columns in the tables. objective: of registry kind `objectives`. data: of registry kind `data`.
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

    def build_objective(self) -> Objective:
        """The objective, its options checked."""
        objective: Objective = registry.build("objectives", self.objective.name, self.objective.options, "objective")
        return objective

    def build_data(self) -> Data:
        """The data set, its options checked."""
        data: Data = registry.build("data", self.data.name, self.data.options, "data")
        return data

    def build_schedule(self) -> Schedule:
        """The schedule; a misspelt field is one line."""
        try:
            return Schedule(**self.schedule)
        except TypeError as error:
            msg = f"schedule: {error}"
            raise SpecError(msg) from error


def names() -> list[str]:
    """Models that have a recipe."""
    folders = [folder for point in registry.available("zoo").values() for folder in files(point.value).iterdir()]
    return sorted(folder.name for folder in folders if (folder / "recipe.yaml").is_file())


def recipe(name: str) -> Recipe:
    """The recipe of a shipped model."""
    for point in registry.available("zoo").values():
        path = files(point.value) / name / "recipe.yaml"
        if path.is_file():
            try:
                return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
            except (yaml.YAMLError, ValidationError) as error:
                msg = f"{path}: {' '.join(str(error).split())}"
                raise SpecError(msg) from error
    msg = f"train: no recipe '{name}'; {registry.near(name, names())}"
    raise SpecError(msg)
