"""FNAF against the passes it needs: random search against bare forwards, gradient search against forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from medrobust.guard import Guarded
from medrobust.imaging.masks import RandomMask
from medrobust.randomness import CaseRandom
from medrobust.targets.reconstruction import ReconstructionTarget
from medrobust.targets.unet import UNet
from medrobust.types import Batch, Case
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_attacks.fnaf.gradient import GradientSearch
from medrobust_attacks.fnaf.random_search import RandomSearch

torch.set_num_threads(1)
BUDGET = FeatureBudget()


@dataclass
class Work:
    """n slices of 320x320 under one mask, before a U-Net of so many channels: 8 is the shipped one, 32 the paper's."""

    n: int
    channels: int = 8

    def __post_init__(self) -> None:
        self.target = ReconstructionTarget(UNet(self.channels).build().eval().requires_grad_(False), "u-net")
        image = torch.rand(self.n, 1, 320, 320)
        context = {
            "phase": torch.rand(self.n, 1, 320, 320),
            "mask": RandomMask().draw(320, 0).expand(self.n, 1, 1, 320),
            "nominal": torch.tensor([[4.0, 0.08]]).repeat(self.n, 1),
        }
        self.batch = Batch(image, image, tuple(Case(f"v#{i}", "p", "v") for i in range(self.n)), context)

    def streams(self) -> CaseRandom:
        return CaseRandom.of(range(self.n))

    def forward(self, passes: int) -> Callable[[], object]:
        one = self.batch.select([0])

        def run() -> None:
            with torch.inference_mode():
                for _ in range(passes * self.n):
                    self.target(one.image, one)

        return run

    def forward_backward(self, passes: int) -> Callable[[], object]:
        one = self.batch.select([0])

        def run() -> None:
            for _ in range(passes * self.n):
                image = one.image.clone().requires_grad_(True)
                torch.autograd.grad(self.target(image, one).square().sum(), image)

        return run

    def search(self, attack: RandomSearch | GradientSearch, micro_batch: int = 1) -> Callable[[], object]:
        return lambda: attack(Guarded(self.target, attack.threat, micro_batch), self.batch, BUDGET, self.streams())

    def one_by_one(self, trials: int) -> Callable[[], object]:
        """The loop an unhurried author writes: one trial of one slice after the other, each its own search."""

        def run() -> None:
            for index in range(self.n):
                one = self.batch.select([index])
                rng = CaseRandom.of([index])
                for _ in range(trials):
                    RandomSearch(1)(self.target, one, BUDGET, rng)

        return run


@pytest.mark.parametrize(("channels", "trials"), [(8, 11), (32, 4)])
def test_random_search(compare: Callable[..., None], channels: int, trials: int) -> None:
    work = Work(2, channels)
    jobs = {
        "bare forwards": work.forward(trials),
        "random search, fresh masks": work.search(RandomSearch(trials)),
        "random search, fixed mask": work.search(RandomSearch(trials, redraw_mask=False)),
        "random search, passes of 4": work.search(RandomSearch(trials), 4),
        "one by one, gradients recorded": work.one_by_one(trials),
    }
    compare(f"FNAF random search, {trials} trials, 2 slices, {channels} channels", jobs, "bare forwards")


@pytest.mark.parametrize(("channels", "steps"), [(8, 4), (32, 2)])
def test_gradient_search(compare: Callable[..., None], channels: int, steps: int) -> None:
    work = Work(2, channels)
    jobs = {
        "bare forwards and backwards": work.forward_backward(steps),
        "gradient search, fresh masks": work.search(GradientSearch(steps)),
        "gradient search, fixed mask": work.search(GradientSearch(steps, redraw_mask=False)),
    }
    compare(f"FNAF gradient search, {steps} steps, 2 slices, {channels} channels", jobs, "bare forwards and backwards")


@pytest.mark.parametrize(("trials", "slices"), [(11, 1), (22, 1), (11, 2), (11, 4)])
def test_growth(compare: Callable[..., None], trials: int, slices: int) -> None:
    work = Work(slices)
    jobs = {"bare forwards": work.forward(trials), "random search": work.search(RandomSearch(trials))}
    compare(f"growth: {trials} trials, {slices} slices", jobs, "bare forwards")
