"""What generator and critic see in a step, and the figures of the generator on validation slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medrobust.imaging.deformation import displacement, folding, warp, warp_labels
from medrobust.randomness import CaseRandom, derive
from medrobust.targets.segmentation import z_score
from medrobust.types import Batch, Case
from medrobust_attacks.deformation.losses import AttackLoss, critic_loss
from medrobust_attacks.deformation.networks import GeneratorNetwork, Made
from medrobust_attacks.perturbation.training import Figures, Split, shuffled


@dataclass(frozen=True, eq=False)
class Lesson:
    """Training and validation slices before the frozen target; every draw depends on seed and step alone.

    batch: slices of an update, as many as there are where there are fewer. updates: of the critic before each of the generator; none where its term
    weighs nothing. validate: validation slices. penalty: weight of the critic's.
    """

    loss: AttackLoss
    generator: GeneratorNetwork
    critic: nn.Module
    training: Split
    validation: Split
    batch: int
    updates: int
    validate: int
    penalty: float
    seed: int

    def criticise(self, step: int) -> Iterator[Tensor]:
        """Losses of the critic, each on slices of its own."""
        self.critic.requires_grad_(True)
        for update in range(self.updates):
            batch, random = self._draw(step, update)
            clean = z_score(batch.image, batch)
            with torch.no_grad():
                attacked = self._attacked(clean, self._make(clean, random))
            share = torch.rand(len(batch), generator=random).to(clean)
            yield critic_loss(self.critic, clean, attacked, self.penalty, share)

    def generate(self, step: int) -> dict[str, Tensor]:
        """Terms of the generator's loss, the mean over slices of each."""
        self.critic.requires_grad_(False)
        batch, random = self._draw(step, self.updates)
        clean = z_score(batch.image, batch)
        made = self._make(clean, random)
        before, after, gap = self._ask(batch, clean, self._attacked(clean, made))
        return {name: term.mean() for name, term in self.loss.terms(before, after, made, gap).items()}

    @torch.no_grad()
    def assess(self) -> Figures:
        """Means over validation slices; the agreement of S_DV with S0 is a Dice over the organs that S0 holds, by the pixels of all slices."""
        tables: dict[str, list[Tensor]] = {}
        counts: list[Tensor] = []
        for cases in self._validation():
            batch = self.validation.load(cases)
            clean = z_score(batch.image, batch)
            shape = self.generator.options.noise_shape(*clean.shape[2:])
            made = self.generator(clean, CaseRandom.of([derive(self.seed, "validation", case.case) for case in cases]).normal(*shape).to(clean))
            attacked = self._attacked(clean, made)
            before, after, gap = self._ask(batch, clean, attacked)
            found = {
                **self.loss.terms(before, after, made, gap),
                "cross-entropy": self.loss.cross_entropy(before, after),
                "p": (attacked - clean).abs().flatten(1).mean(1),
                "displacement": displacement(made.field, batch.context["spacing"]).flatten(1).amax(1),
                "folding": folding(made.field),
                "largest shading": made.shading.abs().flatten(1).amax(1),
            }
            tables = {name: [*tables.get(name, []), values] for name, values in found.items()}
            still, now = before.argmax(1, keepdim=True), after.argmax(1, keepdim=True)
            counts.append(torch.stack([overlap(still, now, before.shape[1]), overlap(warp_labels(still, made.field), now, before.shape[1])]))
        figures = {name: float(torch.cat(values).double().mean()) for name, values in tables.items()}
        unmoved, moved = agreement(torch.stack(counts).sum(0))
        return {**figures, "agreement": unmoved, "agreement with the moved": moved}

    def _draw(self, step: int, update: int) -> tuple[Batch, torch.Generator]:
        """Slices of an update in a step, epoch after epoch without those that fill no batch, and its draws."""
        cases, number = self.training.cases(), step * (self.updates + 1) + update
        size = min(self.batch, len(cases))
        epoch, place = divmod(number, len(cases) // size)
        rows = shuffled(len(cases), size, self.seed, epoch)[place]
        return self.training.load([cases[row] for row in rows]), torch.Generator().manual_seed(derive(self.seed, "draws", number))

    def _make(self, clean: Tensor, random: torch.Generator) -> Made:
        shape = self.generator.options.noise_shape(*clean.shape[2:])
        made: Made = self.generator(clean, torch.randn(len(clean), *shape, generator=random).to(clean))
        return made

    def _attacked(self, clean: Tensor, made: Made) -> Tensor:
        """I_DV in z-scores."""
        return warp(clean, made.field) + made.shading

    def _ask(self, batch: Batch, clean: Tensor, attacked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """S0, log S_DV and f(I0) - f(I_DV)."""
        target = self.training.target
        with torch.no_grad():
            before = self.loss.clean(target(batch.image, batch))
        mean, std = (batch.context[name].view(-1, 1, 1, 1) for name in ("mean", "std"))
        gap = self.critic(clean) - self.critic(attacked) if self.updates else clean.new_zeros(len(clean))
        return before, target(attacked * std + mean, batch), gap

    def _validation(self) -> list[Sequence[Case]]:
        cases = self.validation.cases()
        count = min(self.validate, len(cases))
        chosen = [cases[row * len(cases) // count] for row in range(count)]
        return [chosen[start : start + self.batch] for start in range(0, count, self.batch)]


def overlap(one: Tensor, other: Tensor, classes: int) -> Tensor:
    """Pixels of each class in one, in the other and in both, (3, classes) int64."""
    counts = [torch.bincount(labels.flatten(), minlength=classes) for labels in (one, other, one[one == other])]
    return torch.stack(counts)


def agreement(counts: Tensor) -> list[float]:
    """Dice of each table (m, 3, classes) of `overlap`, the mean over organs that the first holds; 1 where it holds none."""
    first, second, both = counts[:, :, 1:].double().unbind(1)
    dice = 2 * both / (first + second).clamp_min(1)
    return [float(values[held].mean()) if bool(held.any()) else 1.0 for values, held in zip(dice, first > 0, strict=True)]
