"""Optimized global perturbation: a generator trained on whole volumes against a frozen classifier, and what the probes that use it share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from medrobust.digests import plain
from medrobust.guard import frozen
from medrobust.imaging.volumes import SEQUENCES
from medrobust.randomness import derive
from medrobust.training.decoded import decoded
from medrobust.types import Data, Target
from medrobust_attacks.perturbation.assessment import Assessment
from medrobust_attacks.perturbation.generator import Generator
from medrobust_attacks.perturbation.loss import GlobalLoss
from medrobust_attacks.perturbation.training import Figures, Report, Split, Training, require_schedule, shuffled

NAME = "ogp"


@dataclass(frozen=True)
class GlobalPerturbation:
    """How the generator is trained. What uses the same settings on the same target, data and seed shares its weights.

    Source: Rajapaksa & Khalvati 2022, arXiv:2211.04926, section 2.1: mask times image, classifier frozen, Adam, best epoch on validation.
    The paper's learning rate of .1 saturates the mask within a few steps, so that whole sequences are shut off; `PUBLISHED` has it.
    The mask starts near the identity and the change of the image weighs 30 instead of 1: of four settings trained for 5 to 12 epochs on phantoms this
    one's masks, taken without the image's intensity, ranked superpixels of validation volumes best. The paper's weight of 1 and a sigmoid from its
    middle shut FLAIR nearly off instead, and |mask x - x| then ranks by its intensity.

    generator: the network. loss: its three terms.
    epochs: passes over the split `train`, at least 1. batch: volumes a step, at least 1. learning_rate: of Adam, above 0.
    """

    generator: Generator = Generator(bias=3.0)
    loss: GlobalLoss = GlobalLoss(change=30.0)
    epochs: int = 8
    batch: int = 4
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        require_schedule(self.epochs, self.batch, self.learning_rate)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What the training depends on besides target, data and seed."""
        return {"name": NAME, **plain(self)}

    def fit(self, target: Target, data: Data, seed: int, folder: Path, report: Report) -> Mapping[str, Tensor]:
        """The generator's weights; see `medrobust.types.Trainable`."""
        with frozen(target), torch.enable_grad(), decoded(data, folder) as quick:
            training, validation = (Split.of(target, quick, name) for name in ("train", "val"))
            channels = training.load(training.cases()[:1]).image.shape[1]
            network = self.generator.build(derive(seed, NAME, "generator"), channels).to(training.device)
            before = {**training.clean(training.cases()), **validation.clean(validation.cases())}
            lesson = Lesson(self, network, training, validation, before, seed)
            steps = len(shuffled(len(training.cases()), self.batch, seed, 0))
            return Training(network, lesson.losses, lesson.assess, self.epochs, steps, self.learning_rate, folder, report).run()

    def mask(self, weights: Mapping[str, Tensor], image: Tensor) -> Tensor:
        """What the trained generator multiplies each volume by, (n, c, D, H, W), one volume at a time."""
        network = self.generator.restore(weights, image.shape[1], NAME).to(image.device)
        with torch.no_grad():
            return torch.cat([network(image[row : row + 1]) for row in range(len(image))])


PUBLISHED = GlobalPerturbation(Generator((16, 32, 64, 8), stride=1), GlobalLoss(), epochs=200, learning_rate=0.1)
"""The paper's learning rate and epochs at full resolution; widths are not given there."""


@dataclass(frozen=True)
class Masking:
    """Abstract: an attack or explainer that looks at the mask of the trained generator, and asks the target nothing.

    training: how the generator is trained; probes of equal settings share its weights.
    weights: of the generator, by name; empty before it is trained.
    """

    threat: ClassVar[str] = "white-box"
    task: ClassVar[str] = "classification"
    queries: ClassVar[int] = 0
    gradients: ClassVar[int] = 0
    training: GlobalPerturbation = GlobalPerturbation()
    weights: Mapping[str, Tensor] = field(default_factory=dict, compare=False)

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.training.recipe

    def fit(self, target: Target, data: Data, seed: int, folder: Path, report: Report) -> Mapping[str, Tensor]:
        """The generator's weights."""
        return self.training.fit(target, data, seed, folder, report)

    def mask(self, image: Tensor) -> Tensor:
        """What each volume is multiplied by, (n, c, D, H, W)."""
        return self.training.mask(self.weights, image)


@dataclass(frozen=True, eq=False)
class Lesson:
    """Training and validation cases with what the target says of them unperturbed, by name."""

    settings: GlobalPerturbation
    network: nn.Module
    training: Split
    validation: Split
    before: Mapping[str, Tensor]
    seed: int

    def losses(self, epoch: int) -> Iterator[Tensor]:
        """The mean loss of each batch of an epoch."""
        cases = self.training.cases()
        for rows in shuffled(len(cases), self.settings.batch, self.seed, epoch):
            batch = self.training.load([cases[row] for row in rows])
            before = torch.stack([self.before[case.case] for case in batch.cases])
            perturbed = self.network(batch.image) * batch.image
            after = self.training.probability(perturbed, batch)
            yield torch.stack(list(self.settings.loss.terms(before, after, batch.image, perturbed).values())).sum(0).mean()

    @torch.no_grad()
    def assess(self) -> Figures:
        """Figures of the validation cases, one volume at a time."""
        found = Assessment()
        sequences: tuple[str, ...] = ()
        for case in self.validation.cases():
            batch = self.validation.load([case])
            before = self.before[case.case].view(1)
            mask = self.network(batch.image)
            perturbed = mask * batch.image
            after = self.validation.probability(perturbed, batch)
            found.add(self.settings.loss.terms(before, after, batch.image, perturbed), before, after, batch.image, mask)
            channels = batch.image.shape[1]
            sequences = SEQUENCES if channels == len(SEQUENCES) else tuple(map(str, range(channels)))
        return found.figures(sequences)
