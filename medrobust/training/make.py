"""From a recipe to a model folder: weights and card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from medrobust import registry
from medrobust.errors import MedrobustError
from medrobust.targets import weights, zoo
from medrobust.targets.card import WEIGHTS, Card
from medrobust.training.decoded import decoded
from medrobust.training.loop import Report, train
from medrobust.training.recipe import Recipe, recipe
from medrobust.training.schedule import Schedule
from medrobust.training.tasks import Training, training_of
from medrobust.training.watch import Watch
from medrobust.types import Target

LINES = 20
"""How many lines a training prints where the screen is no terminal."""
LATER = ("weight_decay", "start_share")
"""Fields of a schedule that are not said where they are 0: cards were written before there were such."""


@dataclass(frozen=True)
class Maker:
    """One training: what to make, where it runs, and the network that is being trained."""

    name: str
    recipe: Recipe
    schedule: Schedule
    device: str
    network: nn.Module

    @classmethod
    def of(cls, name: str, steps: int | None, device: str, threads: int, seed: int | None = None) -> Maker:
        """The recipe's network, as initialised by `seed`, the recipe's own where it is None."""
        torch.set_num_threads(threads)
        if torch.device(device).type == "cuda" and not torch.cuda.is_available():
            msg = f"--device: found {device}, but no GPU is available here; expected cpu"
            raise MedrobustError(msg)
        chosen = recipe(name)
        schedule = chosen.build_schedule()
        schedule = replace(schedule, steps=steps or schedule.steps, seed=schedule.seed if seed is None else seed)
        torch.manual_seed(schedule.seed)
        network: nn.Module = registry.build("targets", chosen.architecture, chosen.options).build()
        return cls(name, chosen, schedule, device, network.to(device))

    def description(self) -> str:
        """One line on what is about to happen."""
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        start = f" from {self.recipe.start}" if self.recipe.start else ""
        batches = f"{self.schedule.steps} batches of {self.schedule.batch}"
        return f"{self.recipe.architecture}, {parameters:,} parameters{start}, {batches} on {self.device}"

    @contextmanager
    def progress(self, console: Console) -> Iterator[Report]:
        """A bar on a terminal, else a line now and then."""
        if not console.is_terminal:
            every = max(1, self.schedule.steps // LINES)

            def line(step: int, loss: float) -> None:
                if step % every == 0:
                    console.print(f"step {step}/{self.schedule.steps} loss {loss:.4f}")

            yield line
            return
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4f}")
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task(self.name, total=self.schedule.steps, loss=float("nan"))
            yield lambda step, loss: bar.update(task, completed=step, loss=loss)

    def train(self, checkpoints: Path, start: Path | None, report: Report, keep_every: int = 0) -> Mapping[str, float] | None:
        """Train to the end, from the checkpoint where there is one, else from the recipe's start.

        keep_every: steps between two checkpoints that are kept, 0 for none.
        Returns step and validation figures of the weights that were chosen, None where they are the last.
        """
        chosen, training = self.recipe, self._training()
        if chosen.start and not (checkpoints / "checkpoint.safetensors").exists():
            if start:
                weights.fill(self.network, weights.read(start / chosen.start / WEIGHTS), str(start))
            else:
                weights.fill(self.network, modules_of(zoo.load(chosen.start)).state_dict(), chosen.start)
        target, validation = self._target(self.network), chosen.build_validation()
        with decoded(chosen.build_data(), checkpoints) if training.decode else nullcontext(chosen.build_data()) as data:
            watch = None
            if validation.every or keep_every:
                watch = Watch(checkpoints, self.schedule.steps, validation, keep_every, lambda: training.validate(target, data, self.device))
            train(target, self.network, chosen.build_objective(), data, self.schedule, checkpoints, report, watch)
        return watch.best() if watch else None

    def save(self, folder: Path, chosen_look: Mapping[str, float] | None = None) -> Card:
        """Write weights and card; the card's figures are those of the weights as they are loaded again.

        chosen_look: what `train` returned.
        """
        chosen, data, training = self.recipe, self.recipe.build_data(), self._training()
        schedule = {name: value for name, value in vars(self.schedule).items() if name not in training.idle and (value or name not in LATER)}
        about: dict[str, Any] = {
            "data": chosen.data.name,
            "data_digest": data.digest,
            "data_label": data.label,
            "split": "train",
            "patients": len({case.patient for case in data.cases("train")}),
            training.unit: len(data.cases("train")),
            "start": chosen.start,
            "objective": chosen.objective.model_dump(),
            "schedule": json.loads(json.dumps(schedule)),
        }
        if chosen_look is not None:
            about["validation"] = {**vars(chosen.build_validation()), "chosen": {name: round(value, 6) for name, value in chosen_look.items()}}
        fields: dict[str, Any] = {
            "name": folder.name,
            "task": self._task(),
            "architecture": chosen.architecture,
            "options": chosen.options,
            "target": chosen.target,
            "defense": chosen.defense,
            "intensity": getattr(data, "intensity", training.intensity),
            "training": about,
        }
        zoo.save(folder, fields, self.network)
        weights.fill(self.network, weights.read(folder / WEIGHTS), str(folder))
        self.network.requires_grad_(False).eval()
        figures = training.figures(self._target(self.network), data, self.device)
        return zoo.save(folder, {**fields, "figures": {name: round(value, 6) for name, value in figures.items()}}, self.network)

    def shipped_figures(self) -> dict[str, float]:
        """What the shipped card says; empty where nothing is shipped."""
        return dict(zoo.card(self.name).figures) if self.name in zoo.names() else {}

    def _task(self) -> str:
        task: str = registry.load("targets", self.recipe.architecture).task
        return task

    def _training(self) -> Training:
        return training_of(getattr(registry.load("targets", self.recipe.architecture), "images", "") or self._task())

    def _target(self, network: nn.Module) -> Target:
        target: Target = registry.load("tasks", self._task())(network, "training")
        return target


def modules_of(target: Target) -> nn.Module:
    """The network of a shipped target."""
    network = getattr(target, "network", None)
    if not isinstance(network, nn.Module):
        msg = f"start: found a target of type {type(target).__name__}, expected one that holds a network"
        raise MedrobustError(msg)
    return network
