"""Tampering with mammograms against the bare passes of the generators, and what the metrics of an image cost beside a reader's pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from medrobust.budgets import IntensityRange
from medrobust.guard import Guarded, micro_batch
from medrobust.metrics.artefacts import Change, GridIndex, LocalGridIndex, Texture
from medrobust.randomness import CaseRandom
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.image_classifiers import ResNet2D
from medrobust.types import Attacked, Batch, Case, Outcome
from medrobust_attacks.cyclegan.cyclegan import CycleGAN
from medrobust_attacks.cyclegan.lesson import MADE
from medrobust_attacks.cyclegan.recipe import CycleTraining
from medrobust_attacks.cyclegan.training import called

torch.set_num_threads(1)
BUDGET = IntensityRange()
TRAINING = CycleTraining()


class Work:
    """n images of size x size, every other one cancerous, both generators as initialised, and a reader of random weights."""

    def __init__(self, n: int, size: int) -> None:
        torch.manual_seed(0)
        image = 2 * torch.rand(n, 1, size, size) - 1
        cases = tuple(Case(f"image{row}", f"patient{row}", f"image{row}") for row in range(n))
        mask = torch.ones_like(image)
        context = {"lesion": mask, "breast": mask, "outlined": torch.ones(n, dtype=torch.bool)}
        self.batch = Batch(image, torch.arange(n) % 2, cases, context)
        self.networks = {does: TRAINING.generator.build(0).eval() for does in MADE}
        step = called(TRAINING.steps)
        weights = {f"{step}.{does}.{name}": weight for does, one in self.networks.items() for name, weight in one.state_dict().items()}
        self.attack = CycleGAN(training=TRAINING, weights=weights)
        self.target = ClassificationTarget(ResNet2D().build().eval().requires_grad_(False), "reader")

    def generators(self) -> Callable[[], object]:
        @torch.inference_mode()
        def run() -> None:
            for truth, network in enumerate(self.networks.values()):
                for piece in torch.split(self.batch.image[self.batch.truth == truth], micro_batch(torch.device("cpu"))):
                    network(piece)

        return run

    def tampered(self) -> Callable[[], object]:
        return lambda: self.attack(Guarded(self.target, self.attack.threat), self.batch, BUDGET, CaseRandom.of(range(len(self.batch.cases))))

    def read(self) -> Callable[[], object]:
        @torch.inference_mode()
        def run() -> None:
            for piece in torch.split(self.batch.image, micro_batch(torch.device("cpu"))):
                self.target(piece, self.batch)

        return run

    def metric(self, metric: Callable[[Outcome], object]) -> Callable[[], object]:
        outcome = Outcome(self.batch, Attacked(self.batch.image.flip(3)), torch.zeros(len(self.batch.cases), 2))
        return lambda: metric(outcome)


@pytest.mark.parametrize("size", [128, 256])
def test_tampering(compare: Callable[..., None], size: int) -> None:
    work = Work(8, size)
    compare(f"8 images of {size}x{size}", {"bare generators": work.generators(), "attack": work.tampered()}, "bare generators")


@pytest.mark.parametrize("size", [128, 256])
def test_metrics(compare: Callable[..., None], size: int) -> None:
    work = Work(8, size)
    jobs = {"bare reader": work.read(), **{type(one).__name__: work.metric(one) for one in (GridIndex(), LocalGridIndex(), Change(), Texture())}}
    compare(f"8 images of {size}x{size}", jobs, "bare reader")
