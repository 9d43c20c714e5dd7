"""How the two generators are trained, on unpaired images of both kinds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medrobust.digests import plain
from medrobust.guard import modules
from medrobust.randomness import derive
from medrobust.training.decoded import decoded
from medrobust.types import Data, Target
from medrobust_attacks.cyclegan.augment import NOTHING, Augmentation
from medrobust_attacks.cyclegan.discriminator import Discriminator
from medrobust_attacks.cyclegan.generator import Generator
from medrobust_attacks.cyclegan.layers import require
from medrobust_attacks.cyclegan.lesson import MADE, TRUTH, Kinds, Lesson
from medrobust_attacks.cyclegan.pool import Pool
from medrobust_attacks.cyclegan.training import Exchange
from medrobust_attacks.perturbation.training import Report

NAME = "cyclegan"
UPDATES = ("separate", "joint")
WATCHING = ("interval", "validate", "explode")
"""Settings that change no weight."""


@dataclass(frozen=True)
class CycleTraining:
    """The whole recipe: what uses equal ones on the same data and seed shares its weights; no target is asked.

    Source: Zhu et al. 2017, arXiv:1703.10593: squared distances as adversarial loss, a way there and back, pools, Adam with first moments of .5, a
    rate that is constant and then falls to 0. Becker et al. 2019, doi:10.1016/j.ejrad.2019.108649, experiment 1, of which EXPERIMENT_1 holds every
    setting; the defaults are far smaller and shorter.

    generator, discriminator: of both kinds, alike. augmentation: of training images.
    steps: in all, at least 1; an epoch has as many images as the rarer kind. batch: images of a kind in a step, at least 1.
    constant: steps before the rate begins to fall, from 0 to `steps`.
    learning_rate, discriminator_rate: of Adam, above 0.
    cycle: weight of the mean absolute difference after the way there and back, at least 0; the loss of scores weighs 1.
    identity: weight, in units of `cycle`, of the change that a generator makes of an image of the kind it makes, at least 0.
    pool: earlier images kept of each kind for its discriminator, at least 0.
    updates: separate (inject, its discriminator, remove, its discriminator, each with what the last update changed, as in experiment 1) or joint
        (both generators at once, then both discriminators, as CycleGAN's own code has it, in less time).
    checkpoints: steps after which both generators are kept, beside the last one.
    bfloat16: convolutions in half precision, for speed.
    interval: steps from one checkpoint of the training to the next, at least 1; each is looked at on `validate` images of each kind of the split
        `val`, at least 1. explode: |loss| from which on the training has diverged, above 0.
    """

    generator: Generator = Generator(16, blocks=6)
    discriminator: Discriminator = Discriminator(32)
    augmentation: Augmentation = Augmentation()
    steps: int = 2000
    batch: int = 1
    constant: int = 1000
    learning_rate: float = 2e-4
    discriminator_rate: float = 2e-4
    cycle: float = 10.0
    identity: float = 0.0
    pool: int = 50
    updates: str = "separate"
    checkpoints: tuple[int, ...] = ()
    bfloat16: bool = False
    interval: int = 200
    validate: int = 8
    explode: float = 1e4

    def __post_init__(self) -> None:
        object.__setattr__(self, "checkpoints", tuple(self.checkpoints))
        for name, least in (("steps", 1), ("batch", 1), ("constant", 0), ("pool", 0), ("interval", 1), ("validate", 1)):
            require(getattr(self, name) >= least, name, getattr(self, name), f"at least {least}")
        require(self.constant <= self.steps, "constant", self.constant, f"at most the {self.steps} steps there are")
        for name in ("learning_rate", "discriminator_rate", "explode"):
            require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "a number above 0")
        for name in ("cycle", "identity"):
            require(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "a weight of at least 0")
        require(self.updates in UPDATES, "updates", f"'{self.updates}'", f"one of {', '.join(UPDATES)}")
        between = all(1 <= step <= self.steps for step in self.checkpoints)
        require(between, "checkpoints", list(self.checkpoints), f"steps from 1 to {self.steps}")

    @property
    def kept(self) -> tuple[int, ...]:
        """The steps after which both generators are kept, in order; the last step is the last."""
        return tuple(sorted({*self.checkpoints, self.steps}))

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What the training depends on besides data and seed."""
        settings = {name: value for name, value in plain(self).items() if name not in WATCHING}
        return {"name": NAME, **settings, "checkpoints": list(self.kept)}

    def rate(self, network: str, step: int) -> float:
        """Learning rate of a network in a step counted from 0: constant, then straight down to 0, which it would have one step after the last."""
        whole = self.learning_rate if network in MADE else self.discriminator_rate
        return whole * min(1.0, (self.steps - step) / max(1, self.steps - self.constant))

    def fit(self, target: Target, data: Data, seed: int, folder: Path, report: Report) -> Mapping[str, Tensor]:
        """Both generators' weights at every kept step; of the target, its device alone. See `medrobust.types.Trainable`."""
        parameters = (parameter for network in modules(target) for parameter in network.parameters())
        device = next((parameter.device for parameter in parameters), torch.device("cpu"))
        with torch.enable_grad(), decoded(data, folder) as quick:
            options: dict[str, Generator | Discriminator] = dict.fromkeys(MADE, self.generator) | dict.fromkeys(TRUTH, self.discriminator)
            lesson = Lesson(
                {name: one.build(derive(seed, NAME, name)).to(device) for name, one in options.items()},
                {kind: Pool(self.pool) for kind in TRUTH},
                Kinds.of(quick, "train", device),
                Kinds.of(quick, "val", device),
                self.augmentation,
                self.updates == "joint",
                self.batch,
                self.cycle,
                self.identity,
                self.validate,
                self.bfloat16,
                seed,
            )
            return Exchange(lesson, self.rate, self.steps, self.kept, self.interval, self.explode, folder, report).run()


EXPERIMENT_1 = CycleTraining(Generator(), Discriminator(), steps=63_600, constant=31_800, interval=500)
"""Experiment 1 at 256x256: 200 epochs of 318 steps, as many as there are cancerous images, the rate constant for the first 100."""

EXPERIMENT_2 = CycleTraining(
    Generator(64, padding="reflect", upsampling="nearest", skip=False, slope=0.0, after_sum=False, spectral_norm=True),
    Discriminator(padding="reflect", spectral_norm=True),
    NOTHING,
    steps=500_000,
    constant=250_000,
    discriminator_rate=1e-4,
    updates="joint",
    checkpoints=tuple(range(5_000, 500_001, 5_000)),
    interval=500,
)
"""Experiment 2 at 512x408, through TFGAN: no input skip, nearest-neighbour upsampling, spectral normalisation throughout, no identity loss. Its
generators' instance normalisation adds .001 to the variance where 1e-5 is added here, and its weights begin by ICNR, which is not done here."""
