"""Deformation-robust training: learn to outline organs that a generator has moved and shaded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from medrobust import registry
from medrobust.digests import canonical
from medrobust.fitting import fitted, identity, shipped, told
from medrobust.randomness import CaseRandom
from medrobust.targets import zoo
from medrobust.training.loop import Schedule
from medrobust.training.patches import Patches
from medrobust.types import Batch, Data, Target, Trainable
from medrobust_attacks.deformation.budget import DeformationBudget
from medrobust_attacks.deformation.deform_shade import DeformShade
from medrobust_attacks.deformation.recipe import DeformationTraining
from medrobust_defenses.attacked_slices import AttackedSlices, Attacker, require_share
from medrobust_defenses.fine_tuning import fine_tuned, segmenter

NAME = "deform-robust"


@dataclass(frozen=True)
class DeformationRobust:
    """Train on patches of slices of which a share is moved and shaded first, by generators that were trained against the plain model.

    Source: Chen et al. 2019, arXiv:1909.11167, announces training on the attack's own samples as future work and gives no recipe: this project's.
    The truth is warped along with the slice. Generators do not follow the model that is trained, as in Tramer et al. 2018, arXiv:1705.07204.

    As an objective it takes the generators that the attack `deform-shade` uses against the model `against`: shipped ones, else those in the user's
    cache, else they are trained at the first step. As a defense it trains them against the target that it is given, on the data that it is given,
    unless they are shipped.

    against: zoo model that the generators were trained against. data: name and options of the data set that they were trained on; an objective's.
    xi: cross-entropies that generators aim at in nats, at least 0, one generator each; every attacked slice draws one of them.
    training: how they are trained; its own xi is not used. seed: of their training.
    share: probability that a slice is attacked, in (0, 1]. budget: what attacked slices are brought into.
    patches: what is cut from slices, and the loss. schedule: how long to train when used as a defense.
    """

    task: ClassVar[str] = "segmentation"
    against: str = "seg-unet"
    data: Mapping[str, Any] = field(default_factory=lambda: {"name": "abdomen-phantom"}, hash=False)
    xi: tuple[float, ...] = (1.0, 2.0, 3.0)
    training: DeformationTraining = DeformationTraining()
    seed: int = 0
    share: float = 0.5
    budget: DeformationBudget = DeformationBudget()
    patches: Patches = Patches()
    schedule: Schedule = Schedule(steps=800, batch=8, learning_rate=5e-4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "xi", tuple(self.xi))
        if not self.xi or not all(0 <= xi < math.inf for xi in self.xi):
            msg = f"xi: found {list(self.xi)}, expected one or more numbers of at least 0"
            raise ValueError(msg)
        require_share(self.share)
        if not isinstance(self.data.get("name"), str) or set(self.data) - {"name", "options"}:
            msg = f"data: found {dict(self.data)}, expected a name and, where there are any, options"
            raise ValueError(msg)

    @property
    def attacks(self) -> tuple[DeformShade, ...]:
        """One for each xi, not trained."""
        return tuple(DeformShade(replace(self.training, loss=replace(self.training.loss, xi=xi))) for xi in self.xi)

    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:
        """A copy of a segmentation target, trained on from its weights."""
        plain = segmenter(target, NAME)
        trained = tuple(fresh(attack, plain, data, self.seed) for attack in self.attacks)
        return fine_tuned(plain, data, self._on(trained), self.schedule, {"defense": NAME, **asdict(self)}, rng)

    def losses(self, target: Target, batch: Batch, rng: CaseRandom) -> Iterator[Tensor]:
        """The loss of one patch of each slice."""
        trained = known(self.attacks, self.against, canonical(self.data), self.seed, str(batch.image.device))
        return self._on(trained).losses(target, batch, rng)

    def _on(self, attacks: tuple[Attacker, ...]) -> AttackedSlices:
        return AttackedSlices(attacks, self.share, self.budget, self.patches)


@cache
def known(attacks: tuple[DeformShade, ...], against: str, data: str, seed: int, device: str) -> tuple[DeformShade, ...]:
    """The attacks with weights against a zoo model, found or trained once in a process. data: name and options as JSON."""
    chosen = json.loads(data)
    plain, source = zoo.load(against).to(device), registry.build("data", chosen["name"], chosen.get("options", {}), "data")
    with torch.autocast(torch.device(device).type, enabled=False):
        return tuple(fitted(attack, plain, source, seed, told("deform-shade")) for attack in attacks)


def fresh(attack: DeformShade, target: Target, data: Data, seed: int) -> DeformShade:
    """The attack with weights against this very target: shipped ones, else trained now and kept nowhere."""
    weights: Mapping[str, Tensor] | None = shipped(identity(cast("Trainable", attack), target, data.digest, seed))
    if weights is None:
        with TemporaryDirectory() as folder:
            weights = attack.fit(target, data, seed, Path(folder), told("deform-shade"))
    return replace(attack, weights=weights)
