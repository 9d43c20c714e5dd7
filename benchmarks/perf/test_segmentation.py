"""Norm-bounded and smooth attacks on a segmenter against the passes they need: input gradients, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from medrobust.guard import Guarded
from medrobust.randomness import CaseRandom
from medrobust.targets.seg_unet import SegUNet
from medrobust.targets.segmentation import SegmentationTarget
from medrobust.types import Batch, Case
from medrobust_attacks.deformation.budget import DeformationBudget
from medrobust_attacks.deformation.deform_shade import DeformShade
from medrobust_attacks.deformation.networks import Generator
from medrobust_attacks.deformation.recipe import DeformationTraining
from medrobust_attacks.segmentation.bias_field import BiasField
from medrobust_attacks.segmentation.cospgd import CosPGD
from medrobust_attacks.segmentation.fgsm import FGSM
from medrobust_attacks.segmentation.pgd import PGD
from medrobust_attacks.segmentation.random_field import RandomField
from medrobust_attacks.segmentation.segpgd import SegPGD

torch.set_num_threads(1)
BUDGET = DeformationBudget()
STEPS = 20


@dataclass
class Work:
    """n slices of 160x160 before a U-Net of random weights whose finest level has so many channels: 32 is MONAI's own."""

    n: int
    channels: int

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        network = SegUNet(tuple(self.channels * factor for factor in (1, 2, 4, 8, 16))).build()  # type: ignore[arg-type]
        self.target = SegmentationTarget(network.eval().requires_grad_(False), "seg-unet")
        image = 300 * torch.randn(self.n, 1, 160, 160) - 300
        context = {"mean": torch.full((self.n,), -300.0), "std": torch.full((self.n,), 300.0), "spacing": torch.ones(self.n, 2)}
        truth = torch.randint(0, 5, (self.n, 1, 160, 160))
        self.batch = Batch(image, truth, tuple(Case(f"s#{i:03d}", "p", "s") for i in range(self.n)), context)

    def gradients(self, passes: int) -> Callable[[], object]:
        one = self.batch.select([0])

        def run() -> None:
            for _ in range(passes * self.n):
                image = one.image.clone().requires_grad_(True)
                torch.autograd.grad(self.target.loss(image, one).sum(), image)

        return run

    def forward(self, passes: int) -> Callable[[], object]:
        one = self.batch.select([0])

        def run() -> None:
            with torch.inference_mode():
                for _ in range(passes * self.n):
                    self.target(one.image, one)

        return run

    def attack(self, attack: Any) -> Callable[[], object]:
        return lambda: attack(Guarded(self.target, attack.threat), self.batch, BUDGET, CaseRandom.of(range(self.n)))

    def textbook(self, passes: int) -> Callable[[], object]:
        """The loop an unhurried author writes: `backward()` through trainable weights, and a second forward pass for the loss."""

        def run() -> None:
            self.target.network.requires_grad_(True)
            edge = BUDGET.p * self.batch.context["std"].view(-1, 1, 1, 1)
            image = self.batch.image.clone()
            for _ in range(passes):
                image = image.detach().requires_grad_(True)
                self.target.loss(image, self.batch).sum().backward()
                assert image.grad is not None
                change = image.detach() + 0.125 * edge * image.grad.sign() - self.batch.image
                image = self.batch.image + torch.maximum(torch.minimum(change, edge), -edge)
                with torch.no_grad():
                    self.target.loss(image, self.batch)
            self.target.network.zero_grad(set_to_none=True)
            self.target.network.requires_grad_(False)

        return run


def generator() -> DeformShade:
    """The generator of the shipped specs, as initialised."""
    training = DeformationTraining(Generator(grid=1))
    return DeformShade(training, training.generator.build(0).state_dict())


@pytest.mark.parametrize("channels", [8, 32])
def test_gradient_attacks(compare: Callable[..., None], channels: int) -> None:
    work = Work(1, channels)
    jobs = {
        "bare input gradients": work.gradients(STEPS),
        "PGD": work.attack(PGD(STEPS)),
        "SegPGD": work.attack(SegPGD(STEPS)),
        "CosPGD": work.attack(CosPGD(STEPS)),
        "bias field": work.attack(BiasField(STEPS)),
        "textbook PGD": work.textbook(STEPS),
    }
    compare(f"{STEPS} steps, 1 slice of 160x160, {channels} channels", jobs, "bare input gradients")


@pytest.mark.parametrize("channels", [8, 32])
def test_cheap_attacks(compare: Callable[..., None], channels: int) -> None:
    work = Work(2, channels)
    jobs = {
        "bare forward": work.forward(1),
        "deformation and shading, one forward of the generator": work.attack(generator()),
        "FGSM": work.attack(FGSM()),
        "random field": work.attack(RandomField()),
        "random field alone": work.attack(RandomField(parts="field")),
        "random shading alone": work.attack(RandomField(parts="shading")),
    }
    compare(f"one pass, 2 slices of 160x160, {channels} channels", jobs, "bare forward")
