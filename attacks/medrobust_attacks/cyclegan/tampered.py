"""Images as they were taken and the same tampered with, for who learns to tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import nn

from medrobust import registry
from medrobust.budgets import IntensityRange
from medrobust.digests import digest
from medrobust.errors import DataError
from medrobust.fitting import fitted, told
from medrobust.options import typed
from medrobust.randomness import CaseRandom
from medrobust.targets.classification import ClassificationTarget
from medrobust.types import Batch, Case, Data
from medrobust_attacks.cyclegan.cyclegan import CycleGAN
from medrobust_attacks.cyclegan.recipe import CycleTraining

MARK = "~tampered"
"""Ends the name of a tampered case, group too: it is an image of its own, of the same patient."""


@dataclass(frozen=True)
class Tampered:
    """Every image of another data set twice: as it is, class 0, and with malignant features injected or removed by CycleGAN, class 1.

    Source: this project; a tamper detector is trained and measured on it like any classifier. The generators are those of the attack `cyclegan` with
    equal `training` on the same data: shipped ones, else those in the user's cache, else they are trained first.

    data: name and options of the data set whose images they are, of task classification. training: of the generators. seed: of their training.
    steps: kept steps of the training that take turns, image by image; the last alone where there is none.
    """

    task: ClassVar[str] = "classification"
    data: Mapping[str, Any] = field(default_factory=lambda: {"name": "mammogram-phantom"}, hash=False)
    training: CycleTraining = CycleTraining()
    steps: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not isinstance(self.data.get("name"), str) or set(self.data) - {"name", "options"}:
            msg = f"data: found {dict(self.data)}, expected a name and, where there are any, options"
            raise ValueError(msg)
        for step in self.steps:
            CycleGAN(step=step, training=self.training)

    @property
    def digest(self) -> str:
        """Identity of the images, the generators' recipe and which of their steps are used, 12 hexadecimal digits."""
        return digest({"data": self._source.digest, "recipe": self.training.recipe, "steps": list(self._steps), "seed": self.seed})

    @property
    def label(self) -> str:
        return f"{self._source.label}, each as taken and tampered with"

    def cases(self, split: str) -> Sequence[Case]:
        """Each case of the split, and after it its tampered form."""
        return [one for case in self._source.cases(split) for one in (case, Case(case.case + MARK, case.patient, case.group + MARK))]

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named images; the context is that of the images as taken."""
        names = [case.case.removesuffix(MARK) for case in cases]
        batch = self._source.load([replace(case, case=name, group=case.group.removesuffix(MARK)) for case, name in zip(cases, names, strict=True)])
        changed = torch.tensor([case.case.endswith(MARK) for case in cases])
        image = batch.image.clone()
        for turn, step in enumerate(self._steps):
            rows = [row for row, case in enumerate(cases) if changed[row] and self._turn(case) == turn]
            if rows:
                image[rows] = self._attack(step)(NOBODY, batch.select(rows), IntensityRange(), CaseRandom.of([0] * len(rows))).image
        return Batch(image, changed.long(), tuple(cases), batch.context)

    def _turn(self, case: Case) -> int:
        """Which of the steps an image is given; its name alone says so."""
        return int(digest(case.case), 16) % len(self._steps)

    def _attack(self, step: int) -> CycleGAN:
        return replace(self._trained, step=step)

    @property
    def _steps(self) -> tuple[int, ...]:
        return self.steps or (self.training.steps,)

    @cached_property
    def _source(self) -> Data:
        name = self.data["name"]
        source: Data = registry.build("data", name, typed(registry.load("data", name), self.data.get("options", {}), f"data: {name}"), "data")
        if source.task != self.task:
            msg = f"tampered: found data '{self.data['name']}' of task {source.task}, expected {self.task}"
            raise DataError(msg)
        return source

    @cached_property
    def _trained(self) -> CycleGAN:
        """The attack with weights; whoever asks for an image first may do so in inference mode, in which nothing can be trained."""
        with torch.inference_mode(False):
            return fitted(CycleGAN(training=self.training), NOBODY, self._source, self.seed, told("cyclegan"))


NOBODY = ClassificationTarget(nn.Identity(), "")
"""The target of an attack that asks none."""
