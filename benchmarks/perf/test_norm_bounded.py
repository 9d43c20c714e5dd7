"""PGD-20 on the shipped classifiers against 20 bare input gradients, beside ART as it stands and on a frozen network, foolbox and torchattacks.

The harness puts a few images through a pass, always as many, so that rows depend on no batch size; bare gradients are of the whole batch at once, the
cheapest there are. `make perf` puts foolbox and torchattacks beside the environment; one that is not there is left out,
and the table says so.
"""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from medrobust.budgets import Norm
from medrobust.chunk import chunked
from medrobust.guard import BLACK_BOX, Guarded
from medrobust.outcomes import check_attacked
from medrobust.randomness import CaseRandom
from medrobust.targets import zoo
from medrobust.targets.classification import entropy
from medrobust.types import Attacked, Batch, Case
from medrobust_attacks.art.pgd import PGD

torch.set_num_threads(1)
STEPS, EPS = 20, 4 / 255
SHARE = 0.125
BUDGET = Norm("linf", EPS, 0.0, 1.0)
ATTACK = PGD(steps=STEPS, step=SHARE, random_start=False)


class TwoLogits(nn.Module):
    """A network with one logit as rivals take classifiers: with the other at 0."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image)
        return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


class Work:
    """n images in [0, 1] before a shipped classifier, frozen as the harness holds it, and its trainable twin as a user has it."""

    def __init__(self, name: str, n: int, *shape: int) -> None:
        self.target = zoo.load(name)
        self.twin = TwoLogits(copy.deepcopy(self.target.network)).eval().requires_grad_(True)
        self.target.network.requires_grad_(False)
        self.frozen = TwoLogits(self.target.network).eval()
        image = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))
        self.ready: dict[str, Guarded] = {}
        self.batch = Batch(image, torch.arange(n) % 2, tuple(Case(f"{i}", f"{i}", f"{i}") for i in range(n)))

    def bare(self, size: int) -> Callable[[], object]:
        """What the steps cannot do without: forward and backward, nothing stepped."""

        def run() -> None:
            for _ in range(STEPS):
                for image, truth in zip(self.batch.image.split(size), self.batch.truth.split(size), strict=True):
                    asked = image.detach().requires_grad_(True)
                    torch.autograd.grad(entropy(self.target.network(asked), truth).sum(), asked)

        return run

    def attack(self) -> Attacked:
        return ATTACK(self.guarded(ATTACK.threat), self.batch, BUDGET, CaseRandom.of(range(len(self.batch))))

    def harness(self) -> object:
        """The attack as the loop puts it through: checked, audited, and judged by one more pass."""
        attacked = check_attacked(self.batch, self.attack())
        assert BUDGET.audit(self.batch, attacked) == ("",) * len(self.batch)
        return self.guarded(BLACK_BOX)(attacked.image, self.batch)

    def guarded(self, threat: str) -> Guarded:
        """As a cell does once."""
        if threat not in self.ready:
            self.ready[threat] = chunked(self.target, threat, "cpu", lambda: self.batch.select([0]))
        return self.ready[threat]

    def art(self, network: nn.Module) -> Callable[[], object]:
        shape = tuple(self.batch.image.shape[1:])
        estimator = PyTorchClassifier(network, nn.CrossEntropyLoss(), shape, 2, clip_values=(0.0, 1.0), device_type="cpu")
        options = {"eps": EPS, "eps_step": SHARE * EPS, "max_iter": STEPS, "batch_size": len(self.batch), "verbose": False}
        image, truth = self.batch.image.numpy(), np.eye(2, dtype=np.float32)[self.batch.truth.numpy()]
        return lambda: ProjectedGradientDescent(estimator, norm=np.inf, **options).generate(image, truth)

    def foolbox(self, library: Any) -> Callable[[], object]:
        model = library.PyTorchModel(self.twin, bounds=(0, 1))
        attack = library.attacks.LinfPGD(steps=STEPS, rel_stepsize=SHARE, random_start=False)
        return lambda: attack(model, self.batch.image, self.batch.truth, epsilons=EPS)

    def torchattacks(self, library: Any) -> Callable[[], object]:
        attack = library.PGD(self.twin, eps=EPS, alpha=SHARE * EPS, steps=STEPS, random_start=False)
        return lambda: attack(self.batch.image, self.batch.truth)


def library(name: str) -> Any:
    """The rival, None where it is not installed; its warnings of its own age are not ours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "n", "shape"), [("mammo-resnet-128", 8, (1, 128, 128)), ("roi-resnet", 4, (4, 64, 64, 64))])
def test_pgd(compare: Callable[..., None], capsys: pytest.CaptureFixture[str], name: str, n: int, shape: tuple[int, ...]) -> None:
    work = Work(name, n, *shape)
    bare = f"{STEPS} input gradients, {n} images a pass"
    jobs: dict[str, Callable[[], object]] = {
        bare: work.bare(n),
        f"{STEPS} input gradients, one image a pass": work.bare(1),
        "art-pgd": work.attack,
        "art-pgd in the harness": work.harness,
        "ART as it stands": work.art(work.twin),
        "ART, frozen network": work.art(work.frozen),
    }
    for rival in ("foolbox", "torchattacks"):
        found = library(rival)
        if found is None:
            with capsys.disabled():
                print(f"\n{rival} is not installed: left out")
        else:
            jobs[rival] = getattr(work, rival)(found)
    compare(f"PGD-{STEPS} on {name}, {n} x {'x'.join(map(str, shape))}", jobs, bare)
