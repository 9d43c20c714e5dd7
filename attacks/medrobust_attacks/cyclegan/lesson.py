"""What the four networks see in a step, and the losses they take turns at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from medrobust.imaging.spectrum import grid_index
from medrobust.randomness import derive
from medrobust.types import Case, Data
from medrobust_attacks.cyclegan.augment import Augmentation
from medrobust_attacks.cyclegan.pool import Pool
from medrobust_attacks.perturbation.training import Figures, shuffled

INJECT, REMOVE = "inject", "remove"
HEALTHY, CANCEROUS = "healthy", "cancerous"
MADE = {INJECT: CANCEROUS, REMOVE: HEALTHY}
"""What each generator makes, by which its judge is named; it makes it of the other kind."""

TRUTH = {HEALTHY: 0, CANCEROUS: 1}


class Turn(NamedTuple):
    """The networks to be updated together, and the named terms of their loss, each () with its graph."""

    networks: tuple[str, ...]
    terms: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Kinds:
    """The cases of one split by kind. device: where their images go."""

    data: Data
    cases: Mapping[str, Sequence[Case]]
    device: torch.device

    @classmethod
    def of(cls, data: Data, split: str, device: torch.device) -> Kinds:
        """Reads every case of the split once, for its truth; ValueError where a kind is missing."""
        named = list(data.cases(split))
        truths = [int(data.load([case]).truth[0]) for case in named]
        cases = {kind: [case for case, found in zip(named, truths, strict=True) if found == truth] for kind, truth in TRUTH.items()}
        for kind, found in cases.items():
            if not found:
                msg = f"training: found no {kind} case in split '{split}', expected at least one"
                raise ValueError(msg)
        return cls(data, cases, device)

    def load(self, kind: str, rows: Sequence[int]) -> Tensor:
        """Images (n, 1, H, W) in [-1, 1]."""
        return self.data.load([self.cases[kind][row] for row in rows]).image.to(self.device)


@dataclass(frozen=True, eq=False)
class Lesson:
    """Both kinds, drawn apart from each other; every draw depends on seed and step alone.

    networks: the generators by what they do, and the discriminators by the kind they take for real. pools: by the kind of their images.
    joint: both generators are updated at once, then both discriminators; else each generator before its own discriminator.
    batch: images of a kind in a step. cycle, identity: weights of the generators' terms. bfloat16: convolutions in half precision.
    """

    networks: Mapping[str, nn.Module]
    pools: Mapping[str, Pool]
    training: Kinds
    validation: Kinds
    augmentation: Augmentation
    joint: bool
    batch: int
    cycle: float
    identity: float
    validate: int
    bfloat16: bool
    seed: int

    def turns(self, step: int) -> Iterator[Turn]:
        """Losses in the order of a step, each after the update that the last one led to."""
        images = {kind: self._draw(kind, step) for kind in TRUTH}
        if self.joint:
            made, terms = self._generate(images, tuple(MADE))
            yield Turn(tuple(MADE), terms)
            for kind, image in made.items():
                yield self._criticise(kind, images[kind], image, step)
            return
        for does, kind in MADE.items():
            made, terms = self._generate(images, (does,))
            yield Turn((does,), terms)
            yield self._criticise(kind, images[kind], made[kind], step)

    @torch.no_grad()
    def assess(self) -> Figures:
        """Means over validation images: change, grid index in dB, and what the way there and back leaves, in intensity."""
        figures: dict[str, float] = {}
        for does, kind in MADE.items():
            source = other(kind)
            image = torch.cat([self.validation.load(source, [row]) for row in self._validation(source)])
            made = torch.cat([self._run(does, one) for one in torch.split(image, 1)])
            back = torch.cat([self._run(undone(does), one) for one in torch.split(made, 1)])
            figures |= {f"{does} change": l1_loss(made, image).item(), f"{does} cycle": l1_loss(back, image).item()}
            figures |= {f"{does} grid": float(grid_index(made).mean()), f"{source} grid": float(grid_index(image).mean())}
        return figures

    def _generate(self, images: Mapping[str, Tensor], updated: tuple[str, ...]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What both generators make, by its kind, and the terms of those that are updated; both ways there and back belong to either."""
        only(self.networks, updated)
        made = {kind: self._run(does, images[other(kind)]) for does, kind in MADE.items()}
        terms: dict[str, Tensor] = {}
        for does, kind in MADE.items():
            terms[f"{other(kind)} cycle"] = self.cycle * l1_loss(self._run(undone(does), made[kind]), images[other(kind)])
        for does in updated:
            scores = self._run(MADE[does], made[MADE[does]])
            terms[f"{does} adversarial"] = mse_loss(scores, torch.ones_like(scores))
            if self.identity:
                same = images[MADE[does]]
                terms[f"{does} identity"] = self.cycle * self.identity * l1_loss(self._run(does, same), same)
        return {kind: image.detach() for kind, image in made.items()}, terms

    def _criticise(self, kind: str, real: Tensor, made: Tensor, step: int) -> Turn:
        """Half the squared distance of the scores of real images from 1 and of those out of the pool from 0."""
        only(self.networks, (kind,))
        earlier = self.pools[kind](made, self._random("pool", kind, step))
        yes, no = self._run(kind, real), self._run(kind, earlier)
        return Turn((kind,), {kind: (mse_loss(yes, torch.ones_like(yes)) + mse_loss(no, torch.zeros_like(no))) / 2})

    def _run(self, name: str, image: Tensor) -> Tensor:
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bfloat16):
            output: Tensor = self.networks[name](image)
        return output.float()

    def _draw(self, kind: str, step: int) -> Tensor:
        """Images of a kind in a step, augmented: an epoch has as many as the rarer kind, and the commoner one's leftovers change with the epoch."""
        size = min(self.batch, *(len(cases) for cases in self.training.cases.values()))
        batches = min(len(cases) for cases in self.training.cases.values()) // size
        epoch, place = divmod(step, batches)
        rows = shuffled(len(self.training.cases[kind]), size, derive(self.seed, kind), epoch)[place]
        return self.augmentation(self.training.load(kind, rows), self._random("augmentation", kind, step))

    def _random(self, *what: object) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self.seed, *what))

    def _validation(self, kind: str) -> list[int]:
        """Rows spread over the kind."""
        there = len(self.validation.cases[kind])
        count = min(self.validate, there)
        return [row * there // count for row in range(count)]


def only(networks: Mapping[str, nn.Module], names: tuple[str, ...]) -> None:
    """Gradients for these networks, and none for the others: a third of their time, saved."""
    for name, network in networks.items():
        network.requires_grad_(name in names)


def other(kind: str) -> str:
    return CANCEROUS if kind == HEALTHY else HEALTHY


def undone(does: str) -> str:
    """The generator that leads back."""
    return REMOVE if does == INJECT else INJECT
