"""The optimal local perturbation: a generator trained on single superpixels against a frozen classifier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.ndimage import find_objects
from torch import Tensor, nn

from medrobust.digests import plain
from medrobust.guard import frozen
from medrobust.imaging.superpixels import Superpixels
from medrobust.randomness import derive
from medrobust.types import Batch, Data, Target
from medrobust_attacks.perturbation.generator import Generator
from medrobust_attacks.perturbation.loss import inverse, require_floor
from medrobust_attacks.perturbation.training import Figures, Report, Split, Training, require_schedule, shuffled

NAME = "optimal-local"
Box = tuple[slice, ...]
"""Part of a volume along each of its axes."""


@dataclass(frozen=True)
class LocalPerturbation:
    """How the generator is trained: on superpixels of a few volumes of each class, to move the probability as far as one superpixel can.

    Source: Rajapaksa & Khalvati 2022, doi:10.3389/fradi.2022.1061402, section 3.4: loss mean 1 / |y_np - y_p|, here 1 / sqrt(d^2 + floor^2), Adam
    with a rate of .01, 25 epochs of which the last is taken, 443 superpixels of six volumes, three of each class.
    The network sees the superpixel alone, 0 around it, in its bounding box and a margin rather than in the whole volume, where there is nothing
    but 0. Superpixels without any intensity, which no factor changes, are left out.

    generator: the network. floor: change of probability below which a smaller one makes no difference, in (0, 1).
    volumes: of each class, 0 and 1, drawn from the split `train`, at least 1; fewer where it has no more.
    margin: of the box around a superpixel in voxels, at least 0.
    epochs: at least 1. superpixels: drawn anew for each epoch, at least 1; fewer where there are not so many, which is the paper's way.
    batch: superpixels a step, at least 1. learning_rate: of Adam, above 0.
    """

    generator: Generator = Generator()
    floor: float = 1e-2
    volumes: int = 3
    margin: int = 4
    epochs: int = 25
    superpixels: int = 100
    batch: int = 4
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        require_floor(self.floor)
        require_schedule(self.epochs, self.batch, self.learning_rate)
        for name, least in (("volumes", 1), ("margin", 0), ("superpixels", 1)):
            if getattr(self, name) < least:
                msg = f"{name}: found {getattr(self, name)}, expected at least {least}"
                raise ValueError(msg)

    def recipe(self, partition: Superpixels) -> Mapping[str, Any]:
        """What the training depends on besides target, data and seed."""
        return {"name": NAME, **plain(self), "partition": plain(partition)}

    def fit(self, partition: Superpixels, target: Target, data: Data, seed: int, folder: Path, report: Report) -> Mapping[str, Tensor]:
        """The generator's weights; see `medrobust.types.Trainable`."""
        with frozen(target), torch.enable_grad():
            split = Split.of(target, data, "train")
            volumes = self._volumes(split, seed)
            network = self.generator.build(derive(seed, NAME, "generator"), volumes.image.shape[1]).to(split.device)
            lesson = Lesson.of(self, network, split, volumes, partition.partition(volumes.image), seed)
            return Training(network, lesson.losses, no_figures, self.epochs, lesson.steps, self.learning_rate, folder, report).run()

    def _volumes(self, split: Split, seed: int) -> Batch:
        """As many random volumes of each class as asked for, where there are so many; holds those alone."""
        cases = split.cases()
        order = torch.randperm(len(cases), generator=torch.Generator().manual_seed(derive(seed, NAME, "volumes"))).tolist()
        found: dict[int, list[Batch]] = {0: [], 1: []}
        for row in order:
            one = split.load([cases[row]])
            of_class = found.setdefault(int(one.truth), [])
            if len(of_class) < self.volumes:
                of_class.append(one)
            if min(len(found[label]) for label in (0, 1)) == self.volumes:
                break
        for label in (0, 1):
            if not found[label]:
                msg = f"training: found no case of class {label} in split 'train', expected at least one"
                raise ValueError(msg)
        chosen = [*found[0], *found[1]]
        context = {name: torch.cat([one.context[name] for one in chosen]) for name in chosen[0].context}
        images, truths = torch.cat([one.image for one in chosen]), torch.cat([one.truth for one in chosen])
        return Batch(images, truths, tuple(one.cases[0] for one in chosen), context)


@dataclass(frozen=True)
class LocalMask:
    """The generator at work on single superpixels. network: trained or in training. margin: of the box around a superpixel, in voxels."""

    network: nn.Module
    margin: int

    def __call__(self, image: Tensor, labels: Tensor) -> Tensor:
        """Volume (c, D, H, W) and its superpixels (D, H, W) to the value of every voxel where its own superpixel is multiplied by its mask."""
        values = image.clone()
        for label, box in enumerate(boxes(labels, self.margin)):
            values[:, *box] = torch.where(labels[box] == label, self.part(image, labels, label, box), values[:, *box])
        return values

    def part(self, image: Tensor, labels: Tensor, label: int, box: Box) -> Tensor:
        """The box (c, d, h, w) of one superpixel, which is multiplied by its mask; 0 around it."""
        seen: Tensor = image[:, *box] * (labels[box] == label)
        masked: Tensor = self.network(seen[None])[0] * seen
        return masked

    def version(self, image: Tensor, labels: Tensor, label: int, box: Box) -> Tensor:
        """The volume (c, D, H, W) in which one superpixel alone is multiplied by its mask."""
        changed = image.clone()
        changed[:, *box] = torch.where(labels[box] == label, self.part(image, labels, label, box), image[:, *box])
        return changed


def boxes(labels: Tensor, margin: int) -> list[Box]:
    """The bounding box of each label 0, ..., K - 1 of (D, H, W), wider by `margin` on all sides as far as the volume goes."""
    found = find_objects(labels.cpu().numpy() + 1)
    return [tuple(slice(max(side.start - margin, 0), min(side.stop + margin, n)) for side, n in zip(box, labels.shape, strict=True)) for box in found]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What an epoch draws from.

    regions: superpixels of the volumes, (n, D, H, W). samples: volume and label of those that hold any intensity. boxes: of each volume's labels.
    before: what the target says of the volumes unperturbed, (n,).
    """

    settings: LocalPerturbation
    perturb: LocalMask
    split: Split
    volumes: Batch
    regions: Tensor
    samples: Sequence[tuple[int, int]]
    boxes: Sequence[Sequence[Box]]
    before: Tensor
    seed: int

    @classmethod
    def of(cls, settings: LocalPerturbation, network: nn.Module, split: Split, volumes: Batch, regions: Tensor, seed: int) -> Lesson:
        lit = (volumes.image != 0).any(1).cpu()
        samples = [(row, label) for row in range(len(volumes)) for label in torch.unique(regions[row][lit[row]]).tolist()]
        if not samples:
            msg = "training: found volumes that are 0 everywhere, expected intensity"
            raise ValueError(msg)
        clean = split.clean(volumes.cases)
        before = torch.stack([clean[case.case] for case in volumes.cases])
        around = [boxes(labels, settings.margin) for labels in regions]
        return cls(settings, LocalMask(network, settings.margin), split, volumes, regions.to(split.device), samples, around, before, seed)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-min(self.settings.superpixels, len(self.samples)) // self.settings.batch)

    def losses(self, epoch: int) -> Iterator[Tensor]:
        """The mean loss of each batch of an epoch."""
        order = [row for rows in shuffled(len(self.samples), self.settings.batch, self.seed, epoch) for row in rows]
        order = order[: self.settings.superpixels]
        for start in range(0, len(order), self.settings.batch):
            chosen = [self.samples[place] for place in order[start : start + self.settings.batch]]
            images = [self.perturb.version(self.volumes.image[row], self.regions[row], label, self.boxes[row][label]) for row, label in chosen]
            rows = [row for row, _ in chosen]
            after = self.split.probability(torch.stack(images), self.volumes.select(rows))
            yield inverse(after - self.before[rows], self.settings.floor).mean()


def no_figures() -> Figures:
    """Nothing is validated: the last epoch is taken."""
    return {}
