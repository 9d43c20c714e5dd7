"""How the generator of fields and shading is trained against a frozen segmenter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medrobust.digests import plain
from medrobust.guard import frozen
from medrobust.randomness import derive
from medrobust.training.decoded import decoded
from medrobust.types import Data, Target
from medrobust_attacks.deformation.lesson import Lesson
from medrobust_attacks.deformation.losses import AttackLoss
from medrobust_attacks.deformation.networks import Critic, Generator, GeneratorNetwork
from medrobust_attacks.deformation.training import Duel
from medrobust_attacks.perturbation.training import Report, Split

NAME = "deform-shade"
PARTS: Mapping[str, tuple[str, ...]] = {"both": ("field", "shading"), "field": ("field",), "shading": ("shading",)}


@dataclass(frozen=True)
class DeformationTraining:
    """The whole recipe: what uses equal ones on the same target, data and seed shares its weights.

    Source: Chen et al. 2019, arXiv:1909.11167, section 3.2 and 3.3: the target frozen, both networks by RMSProp at 1e-4. What it leaves open is
    chosen here: sizes, numbers of steps and of the critic's updates, which slices (the split `train`), and that the last weights are kept. The
    critic's slope is held by a penalty: with every parameter clipped to .01 it hardly told slices apart (its term stayed under 1e-4) and held
    nothing back.

    generator, critic: the networks. loss: the generator's.
    parts: which branches there are: both; field (retrained with D only); shading (retrained with V only).
    steps: updates of the generator, at least 1. batch: slices of each update, at least 2. learning_rate: of RMSProp for both networks, above 0.
    critic_updates: updates of the critic before each of the generator, on slices of their own, at least 1.
    interval: steps between checkpoints, at least 1; each is validated on `validate` slices spread over the split `val`, at least 1.
    explode: |loss| of the critic from which on the training has diverged, above 0.
    """

    generator: Generator = Generator()
    critic: Critic = Critic(penalty=10.0)
    loss: AttackLoss = AttackLoss()
    parts: str = "both"
    steps: int = 400
    batch: int = 8
    learning_rate: float = 5e-4
    critic_updates: int = 1
    interval: int = 50
    validate: int = 32
    explode: float = 1e4

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 2), ("critic_updates", 1), ("interval", 1), ("validate", 1)):
            if getattr(self, name) < least:
                msg = f"{name}: found {getattr(self, name)}, expected at least {least}"
                raise ValueError(msg)
        for name in ("learning_rate", "explode"):
            if not 0 < getattr(self, name) < math.inf:
                msg = f"{name}: found {getattr(self, name)}, expected a number above 0"
                raise ValueError(msg)
        if self.parts not in PARTS:
            msg = f"parts: found '{self.parts}', expected one of {', '.join(PARTS)}"
            raise ValueError(msg)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What the training depends on besides target, data and seed."""
        return {"name": NAME, **plain(self)}

    def fit(self, target: Target, data: Data, seed: int, folder: Path, report: Report) -> Mapping[str, Tensor]:
        """The generator's weights; see `medrobust.types.Trainable`."""
        with frozen(target), torch.enable_grad(), decoded(data, folder) as quick:
            training, validation = (Split.of(target, quick, name) for name in ("train", "val"))
            generator = self.generator.build(derive(seed, NAME, "generator"), PARTS[self.parts]).to(training.device)
            critic = self.critic.build(derive(seed, NAME, "critic")).to(training.device)
            updates = self.critic_updates if self.loss.adversarial else 0
            lesson = Lesson(self.loss, generator, critic, training, validation, self.batch, updates, self.validate, self.critic.penalty, seed)
            return Duel(
                generator,
                critic,
                self.critic.hold,
                lesson.criticise,
                lesson.generate,
                lesson.assess,
                self.steps,
                self.interval,
                self.learning_rate,
                self.explode,
                folder,
                report,
            ).run()

    def restore(self, weights: Mapping[str, Tensor]) -> GeneratorNetwork:
        """The trained generator, frozen."""
        return self.generator.restore(weights, PARTS[self.parts], NAME)


PUBLISHED = DeformationTraining(
    Generator((32, 64, 128, 256), latent=64, grid=1, start=1.0), Critic((32, 64, 128, 256)), steps=100_000, batch=16, learning_rate=1e-4
)
"""The paper's learning rate, every pixel decoded and layers initialised alike; sizes, steps and batch are not given there."""

