"""Training on slices of which some are attacked first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.training.patches import Patches
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.deformation.budget import DeformationBudget

Attacker = Callable[[Target, Batch, DeformationBudget, CaseRandom], Attacked]


@dataclass(frozen=True)
class AttackedSlices:
    """Patches of slices, attacked ones with the truth that the attack gives them.

    attacks: those that are there; every attacked slice draws one. share: probability that a slice is attacked, in (0, 1].
    budget: what attacks are given. patches: what is cut from slices, and the loss.
    """

    attacks: tuple[Attacker, ...] = field(repr=False)
    share: float
    budget: DeformationBudget
    patches: Patches

    def losses(self, target: Target, batch: Batch, rng: CaseRandom) -> Iterator[Tensor]:
        """The loss of one patch of each slice."""
        return self.patches.losses(target, self.mixed(target, batch, rng), rng)

    def mixed(self, target: Target, batch: Batch, rng: CaseRandom) -> Batch:
        """The slices, some of them attacked; what becomes of one depends on no other."""
        image, truth = batch.image.clone(), batch.truth.clone()
        shown, drawn = rng.uniform(0, 1) < self.share, rng.integers(0, len(self.attacks))
        for number, attack in enumerate(self.attacks):
            rows = (shown & (drawn == number)).nonzero().flatten().tolist()
            if not rows:
                continue
            with torch.autocast(batch.image.device.type, enabled=False):
                attacked = attack(target, batch.select(rows), self.budget, part(rng, rows))
            image[rows] = attacked.image
            truth[rows] = truth[rows] if attacked.truth is None else attacked.truth
        return Batch(image, truth, batch.cases, batch.context)


def part(rng: CaseRandom, rows: list[int]) -> CaseRandom:
    """The streams of these rows, which go on where they are."""
    return CaseRandom(tuple(rng.generators[row] for row in rows))


def require_share(share: float) -> None:
    """Raise ValueError unless something is attacked."""
    if not 0 < share <= 1:
        msg = f"share: found {share}, expected a number in (0, 1]"
        raise ValueError(msg)
